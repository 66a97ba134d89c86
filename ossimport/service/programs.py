"""What the service consists of: how each of its processes is started, and when it is ready."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import ossimport
from ossimport.config import SystemConfig
from ossimport.service import ports
from ossimport.service.embedded import Answer, EmbeddedServer
from ossimport.service.processes import PidFile, end
from ossimport.service.pulse import READY_FILE

# First those who scan, copy and look on: each writes down where it is, and waits for no other. Then
# what copying needs, and Redis when nobody writes to it any more.
STOP_ORDER = (("monitor", "master", "worker"), ("sandbox",), ("redis",))
# Seconds from SIGTERM to SIGKILL.
GRACE_S = {"monitor": 5.0, "master": 10.0, "worker": 20.0, "sandbox": 5.0, "redis": 10.0}

# The bucket that conf/local_job.cfg names; open to nobody but this host.
DEMO_BUCKET = "ossimport-demo"
DEMO_KEYS = {
    "OSSIMPORT_SANDBOX_ACCESS_KEY": "sandbox",
    "OSSIMPORT_SANDBOX_SECRET_KEY": "sandbox-secret",
}


@dataclass(frozen=True)
class Program:
    """One process of the service."""

    name: str
    spawn: Callable[[IO[str]], subprocess.Popen[bytes]]  # its output goes to the file
    ready: Callable[[], bool]
    loading: Callable[[], bool] = lambda: False  # it is on its way and may take long
    optional: bool = False  # the service goes on without it


def programs(system: SystemConfig) -> list[Program]:
    """All processes that these settings ask for; an embedded Redis stands first."""
    if system.host_role == "worker":
        return [_verb(system, "worker")]
    chosen = [_verb(system, "worker"), _verb(system, "master")]
    if system.sandbox_port:
        chosen.insert(0, sandbox(system, system.sandbox_port))
    if system.flower_port:
        port = system.flower_port
        chosen.append(_verb(system, "monitor", ready=lambda: ports.answers(port), optional=True))
    if not system.redis_url.reveal():
        chosen.insert(0, redis(system))
    return chosen


def redis(system: SystemConfig) -> Program:
    """The embedded server."""
    server = EmbeddedServer(system.working_dir)
    return Program(
        "redis",
        spawn=server.spawn,
        ready=lambda: server.answer() is Answer.READY,
        loading=lambda: server.answer() is Answer.LOADING,
    )


def sandbox(system: SystemConfig, port: int) -> Program:
    """The local OSS endpoint with the demo's bucket."""
    where = ("--dir", str(system.working_dir / "data" / "sandbox"), "--bucket", DEMO_BUCKET)
    return Program(
        "sandbox",
        spawn=lambda log: _python(log, "sandbox", "--port", str(port), *where, env=DEMO_KEYS),
        ready=lambda: ports.answers(port),
    )


def _verb(
    system: SystemConfig,
    name: str,
    *,
    ready: Callable[[], bool] | None = None,
    optional: bool = False,
) -> Program:
    """A verb of the console; it says by itself that it is ready unless `ready` can see it."""
    sign = system.working_dir / "run" / f"{name}.ready"

    def spawn(log: IO[str]) -> subprocess.Popen[bytes]:
        sign.unlink(missing_ok=True)
        return _python(log, name, "--sys", str(system.path), env={READY_FILE: str(sign)})

    return Program(name, spawn=spawn, ready=ready or sign.exists, optional=optional)


def _python(log: IO[str], *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ossimport", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **env},
        cwd=Path(ossimport.__file__).parents[1],
        start_new_session=True,
    )


def end_leftovers(working_dir: Path) -> list[str]:
    """End the processes that a killed supervisor left behind; return their names.

    Call it with the lock of the working directory held and no supervisor running.
    """
    ended = []
    server = EmbeddedServer(working_dir)
    for name, grace in GRACE_S.items():
        pid_file = PidFile(working_dir, name)
        if name == "redis" and not pid_file.read() and (pid := server.pid()):
            pid_file.write(pid)  # its supervisor died before it could note the pid
        if process := pid_file.read():
            end(process, grace)
            ended.append(name)
        pid_file.remove()
    return ended
