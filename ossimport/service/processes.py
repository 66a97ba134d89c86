"""Processes of this installation: found again by pid *and* start time, ended without haste.

A pid alone proves nothing: the process may be long gone and its number given to a stranger. So a
pid file names the pid, the moment that process started, and the working directory it belongs to
(a copied directory must not end the processes of the one it was copied from).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ossimport.service.files import read_json, write_private

# Windows has no SIGKILL: there every end is abrupt.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


class Identity(NamedTuple):
    """One process, for good: no later process of the same pid equals it."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """It runs. A zombie does not."""
        return bool(self.started) and start_time(self.pid) == self.started


def start_time(pid: int) -> str:
    """When the process started, in words that only its own system can compare; "" if none runs."""
    if sys.platform == "linux":
        return _linux_start_time(pid)
    if sys.platform == "win32":
        question = f"(Get-Process -Id {pid}).StartTime.Ticks"
        return _told_by("powershell", "-NoProfile", "-Command", question)
    state, _, started = _told_by("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
    return "" if state.startswith("Z") else started.strip()


def _linux_start_time(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # The command's name stands in parentheses and may itself hold blanks and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _told_by(*command: str) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip()


class PidFile:
    """Remembers one process of a working directory."""

    def __init__(self, working_dir: Path, name: str) -> None:
        self._owner = str(working_dir.resolve())
        self._path = working_dir / "run" / f"{name}.pid"

    def write(self, pid: int) -> None:
        noted = {"pid": pid, "started": start_time(pid), "workingDir": self._owner}
        write_private(self._path, json.dumps(noted))

    def read(self) -> Identity | None:
        """The process, if it still runs and belongs to this working directory."""
        noted = read_json(self._path)
        if noted.get("workingDir") != self._owner:
            return None
        identity = Identity(int(noted["pid"]), str(noted["started"]))
        return identity if identity.alive else None

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def ask_to_end(process: Identity) -> None:
    """Send SIGTERM, if it is still the same process."""
    _send(process, signal.SIGTERM)


def end(process: Identity, grace: float) -> bool:
    """Ask the process to end; make it end when `grace` seconds were not enough (then False)."""
    ask_to_end(process)
    if wait_until(lambda: not process.alive, grace):
        return True
    _send(process, KILL)
    wait_until(lambda: not process.alive, 5)
    return False


def _send(process: Identity, number: int) -> None:
    if process.alive:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Look often until the condition holds; False if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
