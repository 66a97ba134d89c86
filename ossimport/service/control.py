"""What `start`, `stop` and `stat` do with the supervisor of a working directory."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ossimport
from ossimport.config import SystemConfig
from ossimport.errors import ConfigError, Problem, ServiceError
from ossimport.identity import Identity
from ossimport.ledger.redis import open_ledger
from ossimport.service import logs
from ossimport.service.files import Lock, read_json
from ossimport.service.processes import PidFile, end, wait_until
from ossimport.service.programs import GRACE_S, end_leftovers
from ossimport.wording import counted

LONGEST_STOP_S = sum(GRACE_S.values()) + 5


@dataclass(frozen=True)
class Status:
    """What the supervisor last said of itself."""

    state: str  # starting, running, stopping, stopped, failed
    notes: list[str] = field(default_factory=list)
    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    prefix: str = ""  # the environment that it runs from

    @property
    def copies(self) -> bool:
        """All that a job needs answers; the tracker may still be on its way."""
        needed = [process for name, process in self.processes.items() if name != "monitor"]
        return bool(needed) and all(process["state"] == "running" for process in needed)

    @property
    def troubles(self) -> list[str]:
        """A line for everything that the operator should know."""
        failing = [
            f"The {name} process does not stay up: it {process['trouble']}"
            f" ({counted(process['restarts'], 'restart')}). See logs/{logs.OUTPUT}."
            for name, process in self.processes.items()
            if process["state"] == "failing"
        ]
        return [*self.notes, *failing]


def supervisor(system: SystemConfig) -> Identity | None:
    """The running supervisor of this working directory."""
    return PidFile(system.working_dir, "supervisor").read()


def status(system: SystemConfig) -> Status | None:
    """What the running supervisor says; None if none runs."""
    process = supervisor(system)
    told = read_json(_status_file(system))
    if process is None:
        return None
    if told.get("pid") != process.pid:
        return Status("starting")
    prefix = told.get("prefix", "")  # one of an earlier version may still run
    return Status(told["state"], told["notes"], told["processes"], prefix)


def start(system: SystemConfig, *, flower: bool = True) -> Status:
    """Start the service and wait until all of it answers, without `flower` all but Flower.

    A service that runs already stays as it is.

    Raises ConfigError (a port, the working directory), ServiceError, or LedgerUnavailable and
    PreflightError (a given Redis); nothing runs then.
    """
    prepare(system)
    warnings = examine_redis(system)  # the embedded one is started; a given one must be there
    wait_until(lambda: not _is_stopping(system), LONGEST_STOP_S)
    daemon = None if supervisor(system) else _spawn_supervisor(system)
    with ExitStack() as undo:
        if daemon:
            undo.callback(_give_up, daemon)  # also when Ctrl-C ends the waiting
        told = _await_answers(system, daemon, flower)
        undo.pop_all()
    return replace(told, notes=[*warnings, *told.notes])


def examine_redis(system: SystemConfig) -> list[str]:
    """What an operator should know of a given Redis; the embedded one is as it should be.

    Raises PreflightError for one that cannot be used as it is set, LedgerUnavailable.
    """
    if not system.redis_url:
        return []
    with closing(open_ledger(system.redis_url.reveal())) as ledger:
        warnings = ledger.examine()
        ledger.jobs()
    return warnings


def stop(system: SystemConfig) -> bool:
    """End the service, and what a killed supervisor left behind; False if nothing ran."""
    if not _status_file(system).parent.is_dir():
        return False
    process = supervisor(system)
    if process:
        end(process, LONGEST_STOP_S)
    leftovers: list[str] = []
    with Lock(system.working_dir / "run" / "lock") as lock:
        # A supervisor drops it a moment before it ends. A console verb may hold it: the processes
        # are that verb's then, and it ends them itself.
        if wait_until(lock.take, 2):
            leftovers = end_leftovers(system.working_dir)
    return bool(process or leftovers)


def prepare(system: SystemConfig) -> None:
    """Make the directories of the service. Raises ConfigError if they cannot be written."""
    working_dir = system.working_dir
    try:
        for name in ("run", "logs", "data"):
            (working_dir / name).mkdir(parents=True, exist_ok=True)
        (working_dir / "run").chmod(0o700)
        probe = working_dir / "run" / f"probe.{os.getpid()}"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            [
                Problem(
                    file=str(system.path),
                    line=0,
                    key="workingDir",
                    value=str(working_dir),
                    message=f"The working directory cannot be written: {error.strerror}.",
                    cure="make it writable and leave it some room, or name another in workingDir",
                )
            ]
        ) from error


def _spawn_supervisor(system: SystemConfig) -> subprocess.Popen[bytes]:
    output = system.working_dir / "logs" / logs.OUTPUT
    logs.rotate(output, over=0)  # each start begins anew, as the original's does
    with closing(output.open("ab")) as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ossimport.service", str(system.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=Path(ossimport.__file__).parents[1],
            start_new_session=True,
        )


def _is_stopping(system: SystemConfig) -> bool:
    told = status(system)
    return told is not None and told.state in ("stopping", "failed", "stopped")


def _await_answers(
    system: SystemConfig, daemon: subprocess.Popen[bytes] | None, flower: bool
) -> Status:
    while True:
        told = status(system)
        if told and (told.state == "running" or (told.copies and not flower)):
            return told
        if not told and (daemon is None or daemon.poll() is not None):
            raise _failure(system, daemon.pid if daemon else 0)
        time.sleep(0.02)


def _give_up(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.wait()


def _failure(system: SystemConfig, pid: int) -> ConfigError | ServiceError:
    told = read_json(_status_file(system))
    if told.get("pid") == pid and told.get("problems"):
        return ConfigError([Problem(*problem) for problem in told["problems"]])
    what = told.get("error") if told.get("pid") == pid else ""
    return ServiceError(
        what or f"The import service ended while it was starting.\n{logs.tail(system.working_dir)}"
    )


def _status_file(system: SystemConfig) -> Path:
    return system.working_dir / "run" / "status.json"
