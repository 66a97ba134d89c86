"""The processes of the service each by itself, as containers and systemd run them."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.servers.installation import Installation, free_port
from tests.servers.migration import wait_for
from tests.servers.sandbox import run_sandbox
from tests.servers.valkey import valkey

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Start]:
    """Starts a verb with its log on standard output, which goes to `<verb>.out`."""
    with ExitStack() as started:

        def start(
            installation: Installation, verb: str, **environment: str
        ) -> "subprocess.Popen[str]":
            output = started.enter_context((tmp_path / f"{verb}.out").open("w"))
            process = subprocess.Popen(
                installation.command(verb),
                env={**installation.environment, "OSSIMPORT_LOG": "stdout", **environment},
                cwd=installation.home,
                stdout=output,
                stderr=output,
                text=True,
            )
            started.callback(process.wait, 90)
            started.callback(process.terminate)
            return process

        yield start


@pytest.mark.slow
def test_a_job_is_watched_that_a_lone_master_and_worker_carry_out(
    tmp_path: Path, alone: Start
) -> None:
    objects = run_sandbox(tmp_path / "objects", access_key="sandbox", bucket="ossimport-demo")
    with valkey() as redis, objects as sandbox:
        installation = Installation(tmp_path)
        installation.configure(sandboxPort="", redisUrl=redis.url)
        installation.write_job(destDomain=sandbox.endpoint)
        installation.fill(20)
        master = alone(installation, "master")
        wait_for((installation.wd / "run").is_dir, "the directories of a lone master")
        processes = [master, alone(installation, "worker")]

        done = installation.run("import", "--no-start", "--yes")

        assert done.returncode == 0, done.stdout + done.stderr
        assert "JobState:Succeed" in done.stdout
        assert "20 listed = 20 copied" in done.stdout
        assert "import service" not in done.stdout  # that would be another one
        assert [process.poll() for process in processes] == [None, None]
        for process in processes:
            process.terminate()
        assert [process.wait(90) for process in processes] == [0, 0]
    assert "succeeded in" in (tmp_path / "worker.out").read_text()
    assert not (installation.wd / "logs" / "import.log").exists()


def test_watching_others_needs_their_redis(tmp_path: Path) -> None:
    done = Installation(tmp_path).run("import", "--no-start", "--yes")
    assert done.returncode == 1
    assert "redisUrl" in done.stderr


@pytest.mark.slow
def test_flower_alone_takes_its_password_from_the_named_file(tmp_path: Path, alone: Start) -> None:
    port = free_port()
    (tmp_path / "given").write_text("as told\n")
    with valkey() as redis:
        installation = Installation(tmp_path)
        installation.configure(sandboxPort="", flowerPort=port, redisUrl=redis.url)
        given = str(tmp_path / "given")
        flower = alone(installation, "monitor", OSSIMPORT_FLOWER_PASSWORD_FILE=given)
        wait_for(lambda: _status(port, "/healthcheck") == 200, "Flower")
        assert _status(port, "/", "ossimport:as told") == 200
        assert _status(port, "/", "ossimport:other") == 401
        assert not (installation.wd / "run" / "flower.password").exists()
        flower.terminate()
        assert flower.wait(90) == 0


def _status(port: int, path: str, login: str = "") -> int:
    """The HTTP status of Flower's answer; 0 when there is none."""
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


# -- the word that they work ---------------------------------------------------------------------

WORD = b"READY=1\nWATCHDOG=1"
LAST_WORD = "worker: Warm shutdown (MainProcess)"  # Celery's, past all logging


class Ears:
    """Listens where systemd would."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)

    def heard(self) -> int:
        """How many words came since the last look."""
        words = []
        with suppress(BlockingIOError):
            while True:
                words.append(self._socket.recv(100))
        assert set(words) <= {WORD}
        return len(words)

    def close(self) -> None:
        self._socket.close()


@pytest.mark.slow
def test_master_and_worker_say_that_they_work_as_long_as_redis_answers(
    tmp_path: Path, alone: Start
) -> None:
    with valkey() as redis, ExitStack() as listening:
        installation = Installation(tmp_path)
        installation.configure(sandboxPort="", redisUrl=redis.url)
        ears = {name: Ears(tmp_path / f"{name}.socket") for name in ("master", "worker")}
        for name, each in ears.items():
            listening.callback(each.close)
            alone(
                installation,
                name,
                NOTIFY_SOCKET=each.path,
                OSSIMPORT_READY_FILE=str(tmp_path / f"{name}.ready"),
                OSSIMPORT_LOG="json",
            )

        def all_spoke() -> bool:
            spoke.update(name for name, each in ears.items() if each.heard())
            return spoke == ears.keys()

        def touched() -> dict[str, int]:
            return {name: (tmp_path / f"{name}.ready").stat().st_mtime_ns for name in ears}

        for _ in range(2):
            spoke: set[str] = set()
            wait_for(all_spoke, "both to say that they work")
        before = touched()
        os.kill(redis.pid, signal.SIGSTOP)  # it answers nobody, and closes no connection
        try:
            quiet = 0
            while quiet < 12:  # longer than two words take
                time.sleep(1)
                quiet = 0 if any([each.heard() for each in ears.values()]) else quiet + 1
        finally:
            os.kill(redis.pid, signal.SIGCONT)
        spoke = set()
        wait_for(all_spoke, "both to say that they work again")
        assert all(touched()[name] > before[name] for name in ears)
    for name in ears:
        whole, _, _ = (tmp_path / f"{name}.out").read_text().rpartition("\n")  # it still writes
        lines = whole.splitlines()
        for line in [line for line in lines if line not in ("", LAST_WORD)]:
            assert {"time", "level", "logger", "process", "message"} <= json.loads(line).keys()
