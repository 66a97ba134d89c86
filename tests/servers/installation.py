"""A whole installation in a temporary directory: conf/, a source, and the console's verbs.

Every verb is a process of its own. Nothing else than the console starts or ends anything here,
but for `kill`, which takes the pid from the service's own status.
"""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ossimport.config.kinds import SHORTEST_INTERVAL_VARIABLE

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300.0  # with what takes seconds, on a machine that has other things to do


class Installation:
    """`home` holds conf/, `wd` is the working directory, `source` what the job copies."""

    patience_s = PATIENCE_S  # with a verb

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        self.wd = home / "wd"
        self.source = home / "source"
        self.conf = home / "conf"
        self.sandbox_port = free_port()
        self._begun: list[subprocess.Popen[str]] = []
        self.conf.mkdir()
        self.source.mkdir()
        self.configure(**settings)
        self.write_job()

    @property
    def job_file(self) -> Path:
        return self.conf / "local_job.cfg"

    def configure(self, **settings: object) -> None:
        """Write sys.properties."""
        values = {
            "workingDir": self.wd,
            "sandboxPort": self.sandbox_port,
            "flowerPort": "",
            "workerProcessNum": 1,
            **settings,
        }
        write_properties(self.conf / "sys.properties", values)

    def write_job(self, name: str = "local_job.cfg", **settings: object) -> Path:
        """Write a job file that copies the source into the demo bucket of the sandbox."""
        values = {
            "srcType": "local",
            "srcPrefix": f"{self.source}/",
            "destAccessKey": "sandbox",
            "destSecretKey": "sandbox-secret",
            "destDomain": f"http://127.0.0.1:{self.sandbox_port}",
            "destBucket": "ossimport-demo",
            "destPrefix": "in/",
            "jobName": "local_test",
            **settings,
        }
        path = self.conf / name
        write_properties(path, values)
        return path

    def fill(self, count: int, size: int = 100) -> None:
        """Put objects into the source."""
        for number in range(count):
            (self.source / f"object-{number:05d}").write_bytes(os.urandom(size))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ossimport", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("OSSIMPORT_")}
        # So that a test need not wait for a quarter of an hour between two rounds.
        inherited[SHORTEST_INTERVAL_VARIABLE] = "1"
        return {**inherited, "PYTHONPATH": str(ROOT), "OSS_IMPORT_HOME": str(self.home)}

    def run(self, *arguments: str, answers: str | None = "") -> "subprocess.CompletedProcess[str]":
        """Run a verb to its end. `answers` is its standard input; None: it is closed."""
        return subprocess.run(
            self.command(*arguments),
            input=answers,
            stdin=subprocess.DEVNULL if answers is None else None,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.home,
            timeout=self.patience_s,
            check=False,
        )

    def begin(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a verb in the background, its output in `home/output`."""
        with (self.home / "output").open("w") as output:
            process = subprocess.Popen(
                self.command(*arguments),
                text=True,
                env=self.environment,
                cwd=self.home,
                **{"stdout": output, "stderr": output, "stdin": subprocess.DEVNULL, **options},
            )
        self._begun.append(process)
        return process

    def stop(self) -> "subprocess.CompletedProcess[str]":
        return self.run("stop")

    def clear(self) -> None:
        """End all that a test may have left running."""
        for process in self._begun:
            process.kill()
            process.wait()
        self.stop()

    def status(self) -> dict[str, Any]:
        """What the supervisor says."""
        status: dict[str, Any] = json.loads((self.wd / "run" / "status.json").read_text())
        return status

    def pids(self) -> dict[str, int]:
        """The running processes of the service by name."""
        pids = {}
        for path in (self.wd / "run").glob("*.pid"):
            with suppress(FileNotFoundError):  # it has ended a moment ago
                pids[path.stem] = int(json.loads(path.read_text())["pid"])
        return {name: pid for name, pid in pids.items() if is_running(pid)}

    def kill(self, name: str) -> int:
        """kill -9 one process of the service; return its pid."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def stat(self) -> dict[str, Any]:
        """`stat --json` of the only job."""
        (job,) = json.loads(self.run("stat", "--json").stdout)["jobs"]
        found: dict[str, Any] = job
        return found


def write_properties(path: Path, values: dict[str, object]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))


def _ports() -> Iterator[int]:
    """A thousand ports of this process's own, over and over: none comes twice within a test."""
    own = 10_000 + 1000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 9)
    first = int.from_bytes(os.urandom(2))
    return (own + (first + step) % 1000 for step in itertools.count())


_PORTS = _ports()


def free_port() -> int:
    """A port below those that systems give to outgoing connections, and of no test beside this."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def is_running(pid: int) -> bool:
    """The process exists and is no zombie."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(found.stdout.strip()) and "Z" not in found.stdout
