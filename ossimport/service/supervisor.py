"""The process that `start` leaves behind: it starts the others, watches them, and stops them.

It writes what it sees to `run/status.json`: `start` waits for it, `stat` reports from it.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

from ossimport.config import SystemConfig
from ossimport.errors import ConfigError, OssImportError, Problem, ServiceError
from ossimport.service import logs, ports
from ossimport.service.files import Lock, write_private
from ossimport.service.processes import PidFile, wait_until
from ossimport.service.programs import STOP_ORDER, end_leftovers, programs
from ossimport.service.watched import Watched

EARLY_DEATHS = 2  # who dies that often before it was ready even once would go on so
LOCK_PATIENCE_S = 60.0
ROTATE_EVERY_S = 60.0

log = logging.getLogger("ossimport.service")


class Supervisor:
    """Runs until SIGTERM or SIGINT."""

    def __init__(self, system: SystemConfig) -> None:
        self._system = system
        self._watched: dict[str, Watched] = {}
        self._notes: list[str] = []  # for the operator: what does not run, and why
        self._state = "starting"
        self._told = ""
        self._stopping = False

    def run(self) -> None:
        """Start everything, keep it running, stop it in order."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        self._tell()
        failure: OssImportError | None = None
        try:
            end_leftovers(self._system.working_dir)
            self._check_ports()
            self._bring_up()
            self._state = "running"
            self._keep_up()
            self._state = "stopping"
            self._tell()
        except OssImportError as error:
            failure = error
        finally:
            self._bring_down()
        self._state = "failed" if failure else "stopped"
        self._tell(failure)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _check_ports(self) -> None:
        """Raise ConfigError if the sandbox's port is taken; do without Flower if Flower's is."""
        system = self._system
        if system.sandbox_port and not ports.is_free(system.sandbox_port):
            raise ConfigError([_port_taken(system, "sandboxPort", system.sandbox_port)])
        if system.flower_port and not ports.is_free(system.flower_port):
            problem = _port_taken(system, "flowerPort", system.flower_port)
            self._notes.append(f"Flower is not started.\n{problem}")

    def _bring_up(self) -> None:
        """Start Redis, then all others at once; return when every one is ready."""
        for program in programs(self._system):
            if program.name != "monitor" or not self._notes:
                watched = Watched(program, self._system.working_dir, sys.stderr)
                self._watched[program.name] = watched
        self._start_up([w for w in self._watched.values() if w.program.name == "redis"])
        self._start_up(list(self._watched.values()))
        for watched in filter(_hopeless, self._watched.values()):
            self._notes.append(f"The {watched.program.name} does not start: it {watched.trouble}.")

    def _start_up(self, these: list[Watched]) -> None:
        """Start them and wait until they are ready. Raises ServiceError if one cannot be."""
        while not self._stopping and not all(w.ready or _hopeless(w) for w in these):
            self._look(these)
            for watched in these:
                if _hopeless(watched) and not watched.program.optional:
                    raise ServiceError(
                        f"The {watched.program.name} process does not start: it {watched.trouble}."
                        f"\n{logs.tail(self._system.working_dir)}"
                    )
            time.sleep(0.02)

    def _keep_up(self) -> None:
        rotate_at = time.monotonic() + ROTATE_EVERY_S
        while not self._stopping:
            self._look(self._watched.values())
            if time.monotonic() > rotate_at:
                logs.rotate(self._system.working_dir / "logs" / "import.log")
                rotate_at += ROTATE_EVERY_S
            time.sleep(0.1)

    def _look(self, these: Iterable[Watched]) -> None:
        for watched in these:
            watched.look(time.monotonic())
        self._tell()

    def _bring_down(self) -> None:
        """Stop what still runs, in order."""
        for names in STOP_ORDER:
            together = [self._watched[name] for name in names if name in self._watched]
            for watched in together:
                watched.ask_to_end()
            for watched in together:
                watched.wait_for_end()

    def _tell(self, failure: OssImportError | None = None) -> None:
        status = {
            "pid": os.getpid(),
            "prefix": sys.prefix,
            "state": self._state,
            "error": str(failure or ""),
            "problems": failure.problems if isinstance(failure, ConfigError) else (),
            "notes": self._notes,
            "processes": {name: watched.status() for name, watched in self._watched.items()},
        }
        text = json.dumps(status, indent=2)
        if text != self._told:
            with suppress(OSError):  # a full disk must not end those who wait until it is mended
                write_private(self._system.working_dir / "run" / "status.json", text)
                self._told = text


def _hopeless(watched: Watched) -> bool:
    return not watched.ready and watched.early_deaths >= EARLY_DEATHS


def _port_taken(system: SystemConfig, key: str, port: int) -> Problem:
    return Problem(
        file=str(system.path),
        line=0,
        key=key,
        value=str(port),
        message=f"Port {port} of 127.0.0.1 is in use by another program.",
        cure=f"end that program, or give {key} another port; empty: not started",
    )


def supervise(system: SystemConfig) -> None:
    """Run the service of this working directory, unless another supervisor does so already."""
    run = system.working_dir / "run"
    pid_file = PidFile(system.working_dir, "supervisor")
    with Lock(run / "lock") as lock:
        # A console verb holds it for the while in which it needs Redis.
        if not wait_until(lambda: lock.take() or pid_file.read() is not None, LOCK_PATIENCE_S):
            log.error("another console command has held %s for too long", run / "lock")
        if lock.held:
            (run / "status.json").unlink(missing_ok=True)
            pid_file.write(os.getpid())
            Supervisor(system).run()
            pid_file.remove()
