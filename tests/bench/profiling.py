"""Where a worker's time goes while it copies: samples of its stack, by function and by part.

py-spy looks at the process from outside, so the product runs as it always does. What a C function
takes (a system call, a hash, the parser) counts for the Python function that called it.
"""

import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console

from tests.bench import report
from tests.bench.bench import MEDIUM, MIB, SMALL, Bench
from tests.bench.figures import Table
from tests.bench.product import Product, product

RATE = 500  # samples per second
SIZES = {"small": SMALL, "medium": MEDIUM, "large": 256 * MIB}
SHOWN = 25
_OURS = ("ossimport/", "workers/")
_PY_SPY = Path(sys.executable).parent / "py-spy"


class Frame(NamedTuple):
    """One call on a stack."""

    function: str
    file: str

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.function} ({self.file})"

    @property
    def part(self) -> str:
        """The part of the product, or the library, that it belongs to."""
        pieces = self.file.removesuffix(".py").split("/")
        return "/".join(pieces[:2]) if self.file.startswith(_OURS) else pieces[0]


_WAITING = Frame("_worker", "concurrent/futures/thread.py")


def stacks(folded: str) -> Iterator[tuple[list[Frame], int]]:
    """Read what `py-spy record --format raw` writes: outermost frame first, and how often.

    What stands around the product is left out, and so are threads that wait for work, which py-spy
    cannot always tell from threads that have some.
    """
    for line in folded.splitlines():
        path, _, count = line.rpartition(" ")
        frames = []
        for each in path.split(";"):
            function, _, place = each.rpartition(" (")
            frames.append(Frame(function, place.rstrip(")").partition(":")[0]))
        if frames[-1] != _WAITING:
            ours = (n for n, frame in enumerate(frames) if frame.file.startswith(_OURS))
            yield frames[next(ours, 0) :], int(count)


def tables(folded: str) -> list[Table]:
    """Shares of the samples: by part and by function, of itself and with what it calls."""
    own_parts: Counter[str] = Counter()
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    total = 0
    for frames, count in stacks(folded):
        total += count
        own[frames[-1].name] += count
        own_parts[frames[-1].part] += count
        for name in {frame.name for frame in frames}:
            within[name] += count
    titles = {
        "parts": ("the function that ran, by part, % of samples", own_parts),
        "functions": ("the function that ran, % of samples", own),
        "calls": ("functions with all that they call, % of samples", within),
    }
    found = []
    for name, (title, counts) in titles.items():
        table = Table(name, f"{title} ({total:,} samples)")
        for row, count in counts.most_common(SHOWN):
            table.add(row, {"%": 100 * count / total})
        found.append(table)
    return found


def record(ours: Product, source: Path, bucket: str, output: Path) -> str:
    """Copy a directory while py-spy looks on; return its samples."""
    command = [str(_PY_SPY), "record", "--pid", str(ours.child()), "--format", "raw"]
    command += ["--rate", str(RATE), "--duration", "3600", "--output", str(output)]
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert watcher.stderr
    drained = threading.Thread(target=watcher.stderr.read)
    drained.start()
    try:
        ours.upload(source, bucket)
    finally:
        watcher.send_signal(signal.SIGINT)  # it writes what it has
        watcher.wait()
        drained.join()
        watcher.stderr.close()
    return output.read_text()


@click.command()
@click.argument("what", type=click.Choice(list(SIZES)), default="small")
@click.option("--objects", default=120_000, show_default=True, help="Of 4 KiB; fewer if larger.")
@click.option("--tls", is_flag=True, help="Have the server speak TLS.")
@click.option("--raw", type=click.Path(path_type=Path), help="Keep the samples, for a flame graph.")
def main(*, what: str, objects: int, tls: bool, raw: Path | None) -> None:
    """Profile a worker that copies WHAT: files of 4 KiB (small), 100 KiB (medium), 256 MiB."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="ossimport-bench-") as directory:
        bench = Bench(Path(directory), console, many=objects, few=objects // 6, tls=tls)
        counts = (2, 8) if what == "large" else bench.counts(SIZES[what])
        first, all_of_it = bench.tree(SIZES[what], *counts)
        with bench.server() as server, product(bench.home(), server) as ours:
            ours.upload(first, bench.fresh("null"))  # what happens once is not of interest
            output = raw or bench.log()
            folded = record(ours, all_of_it, bench.fresh("null"), output)
    for table in tables(folded):
        report.show(table, console)


if __name__ == "__main__":
    main()
