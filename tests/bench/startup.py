"""The case of a small job, started with one command: what each second of it is."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tests.bench.bench import SMALL, Bench
from tests.bench.figures import Table
from tests.servers.installation import Installation, free_port

OBJECTS = 100
_LOGGED = re.compile(r"\[([\d-]+ [\d:]+,\d+)\] .*\] (\w+) (started|is ready)")


class Moment(NamedTuple):
    """Something that happened, and what had been going on until then."""

    at: float  # seconds since 1970
    until_then: str


def import_(bench: Bench) -> list[Table]:
    """`python -m ossimport import --yes` of 100 files, as shipped: sandbox and tracker included."""
    table = Table("import", f"`import --yes` of {OBJECTS} files of 4 KiB, the environment ready")
    for run in range(-1, bench.runs):
        installation = _installation(bench)
        try:
            bench.console.print(f"import: run {run + 1}", highlight=False)
            moments = _timed(installation)
        finally:
            installation.clear()
        if run < 0:
            continue  # Python compiles the modules once; that belongs to the environment
        for before, moment in zip(moments, moments[1:], strict=False):
            table.add(moment.until_then, {"seconds": moment.at - before.at})
        table.add("all of it", {"seconds": moments[-1].at - moments[0].at})
    return [table]


def _installation(bench: Bench) -> Installation:
    home = bench.home()
    home.mkdir()
    installation = Installation(home, flowerPort=free_port())
    for number in range(OBJECTS):
        (installation.source / f"{number:03d}").write_bytes(os.urandom(SMALL))
    return installation


def _timed(installation: Installation) -> list[Moment]:
    """Run it to its end."""
    moments = [Moment(time.time(), "")]
    process = subprocess.Popen(
        installation.command("import", "--yes"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=installation.environment,
        cwd=installation.home,
    )
    assert process.stdout
    lines = [(time.time(), line.strip()) for line in process.stdout]
    if process.wait():
        raise RuntimeError("\n".join(line for _, line in lines))
    end = time.time()

    def said(holds: Callable[[str], bool]) -> float:
        return next(at for at, line in lines if holds(line))

    logged = _logged(installation.wd / "logs" / "ossimport2.log")
    copying = ("redis", "sandbox", "worker", "master")
    moments += [
        Moment(logged["redis", "started"], "interpreter, configuration, supervisor"),
        Moment(logged["redis", "is ready"], "Redis starts"),
        Moment(max(logged[name, "is ready"] for name in copying), "worker, master, sandbox start"),
        Moment(said(lambda line: line.endswith("success!")), "both ends checked, job submitted"),
        Moment(said(lambda line: line.startswith("Job ")), "scanned, copied, verified, closed"),
        Moment(said(lambda line: line.startswith("Stop ")), "service stops"),
        Moment(end, "interpreter ends"),
    ]
    return moments


def _logged(path: Path) -> dict[tuple[str, str], float]:
    """When each process was started and when it was ready, as the supervisor noted it."""
    found = {}
    for line in path.read_text().splitlines():
        if match := _LOGGED.match(line):
            at = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S,%f").astimezone()
            found[match[2], match[3]] = at.timestamp()
    return found
