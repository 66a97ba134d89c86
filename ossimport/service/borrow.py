"""Redis and the sandbox for a console verb: those that run, else started for the while."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ossimport.config import SystemConfig
from ossimport.errors import ServiceError
from ossimport.ledger.base import Ledger
from ossimport.ledger.redis import open_ledger
from ossimport.service import logs, ports, redis_url
from ossimport.service.control import prepare, supervisor
from ossimport.service.embedded import Answer, EmbeddedServer
from ossimport.service.files import Lock
from ossimport.service.processes import PidFile, wait_until
from ossimport.service.programs import GRACE_S, Program, redis, sandbox

PATIENCE_S = 60.0
STARTUP_S = 60.0


@contextmanager
def ledger(system: SystemConfig) -> Iterator[Ledger]:
    """Open the ledger; an embedded Redis that does not run is started, and stopped at the end."""
    with _redis(system):
        opened = open_ledger(redis_url(system))
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def sandbox_for(system: SystemConfig, host: str, port: int) -> Iterator[None]:
    """If this installation's sandbox is meant, see that it answers for the while."""
    ours = host in ("127.0.0.1", "localhost") and port == system.sandbox_port
    if not ours or ports.answers(port):
        yield
        return
    with _running(system, sandbox(system, port)):
        yield


@contextmanager
def _redis(system: SystemConfig) -> Iterator[None]:
    if system.redis_url:
        yield
        return
    server = EmbeddedServer(system.working_dir)
    if supervisor(system) and server.answer() is Answer.READY:
        yield  # also on a full disk: whoever looks at the job needs no room
        return
    prepare(system)
    with Lock(system.working_dir / "run" / "lock") as lock:
        _wait_for_redis(system, server, lock)
        if server.answer() is Answer.READY:
            yield
            return
        with _running(system, redis(system)):
            yield


def _wait_for_redis(system: SystemConfig, server: EmbeddedServer, lock: Lock) -> None:
    """Return when the service's Redis answers, or when starting one is up to us."""

    def settled() -> bool:
        if supervisor(system) and server.answer() is Answer.READY:
            return True
        return lock.take() and server.answer() is not Answer.LOADING

    if not wait_until(settled, PATIENCE_S):
        raise ServiceError(
            "The embedded Redis of this installation does not answer, or another console command"
            " has held it for a minute.\n    cure: bash console.sh stop; what it printed is in"
            f" {system.working_dir}/logs/{logs.OUTPUT}"
        )


@contextmanager
def _running(system: SystemConfig, program: Program) -> Iterator[None]:
    pid_file = PidFile(system.working_dir, program.name)
    with (system.working_dir / "logs" / logs.OUTPUT).open("a") as log:
        process = program.spawn(log)
    try:
        pid_file.write(process.pid)
        deadline = time.monotonic() + STARTUP_S
        while not program.ready():
            if process.poll() is not None or time.monotonic() > deadline and not program.loading():
                raise ServiceError(
                    f"The {program.name} process does not start.\n{logs.tail(system.working_dir)}"
                )
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        if not wait_until(lambda: process.poll() is not None, GRACE_S[program.name]):
            process.kill()
            process.wait()
        pid_file.remove()
