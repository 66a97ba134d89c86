"""Processes of this installation: found again from pid files, ended without haste.

A pid file names the process for good (`identity`), and the working directory it belongs to: a
copied directory must not end the processes of the one it was copied from.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ossimport.identity import Identity, start_time
from ossimport.service.files import read_json, write_private

# Windows has no SIGKILL: there every end is abrupt.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


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
