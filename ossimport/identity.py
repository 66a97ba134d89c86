"""Who a process is: a pid proves nothing once it may have been given to another process."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


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


def host_name(*, standalone: bool) -> str:
    """This host in worker names and task directories; standalone it is `localhost`."""
    return "localhost" if standalone else socket.gethostname()


def name_of_this_process(host: str) -> str:
    """The name under which this process claims tasks and leases: `host:pid:started`."""
    pid = os.getpid()
    return f"{host}:{pid}:{start_time(pid)}"


def is_dead(name: str, host: str) -> bool:
    """True if the process of that name ran on this `host` and runs no more."""
    its_host, _, rest = name.partition(":")
    pid, _, started = rest.partition(":")
    return its_host == host and pid.isdigit() and not Identity(int(pid), started).alive


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
