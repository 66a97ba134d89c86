"""Who a process is: a pid proves nothing once it may have been given to another process."""

import hashlib
import os
import socket
import subprocess
import sys
import uuid
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
    """The name under which this process claims tasks and leases."""
    pid = os.getpid()
    return name_of(Identity(pid, start_time(pid)), host)


def name_of(process: Identity, host: str) -> str:
    """`host:pid:system:started`, where `system` is what the pid is unique in."""
    return f"{host}:{process.pid}:{_system()}:{process.started}"


def is_dead(name: str, host: str) -> bool:
    """True if the process of that name ran on this `host`, where we see it, and runs no more.

    Of a process in another container, even one with our host's name, or before the host was
    started again, this is never said.
    """
    match name.split(":", 3):
        case [its_host, pid, system, started] if pid.isdecimal():
            ours = its_host == host and system == _system()
            return ours and not Identity(int(pid), started).alive
    return False


def _system() -> str:
    """The running kernel and the PID namespace in it, in a few characters."""
    if sys.platform != "linux":
        return "-"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return uuid.uuid4().hex[:12]  # equals no other: then nobody is ever said to be dead
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


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
