"""Starts the sandbox as a process of its own, on a free port of loopback."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oss2

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_ROOT = Path(__file__).parents[2]


@dataclass
class RunningSandbox:
    """A sandbox that listens."""

    process: subprocess.Popen[bytes]
    port: int
    directory: Path
    access_key: str
    secret_key: str
    bucket: str
    region: str

    @property
    def endpoint(self) -> str:
        """URL without a bucket: path style."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def oss2(self, version: str = "v4", **changes: str) -> Any:
        """A bucket of stock oss2, signing with `version`; `changes` replace what it is made of."""
        made_of = {
            "endpoint": self.endpoint,
            "bucket": self.bucket,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "region": self.region,
        } | changes
        auth = oss2.make_auth(made_of["access_key"], made_of["secret_key"], version)
        session = oss2.Session()
        session.session.hooks["response"].append(_read_to_the_end)
        return oss2.Bucket(
            auth,
            made_of["endpoint"],
            made_of["bucket"],
            region=made_of["region"],
            session=session,
        )

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def run_sandbox(
    directory: Path,
    *,
    port: int = 0,
    access_key: str = "sandbox-key",
    secret_key: str = "sandbox-secret",
    bucket: str = "sandbox",
    region: str = "cn-hangzhou",
) -> Iterator[RunningSandbox]:
    """Run a sandbox that keeps its objects in `directory`; port 0 takes a free one."""
    arguments = ["--port", str(port), "--dir", str(directory), "--access-key", access_key]
    arguments += ["--bucket", bucket, "--region", region]
    environment = {
        **os.environ,
        "OSSIMPORT_SANDBOX_SECRET_KEY": secret_key,
        "PYTHONPATH": str(_ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ossimport.sandbox", *arguments],
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        real_port = _listening_port(process)
        yield RunningSandbox(process, real_port, directory, access_key, secret_key, bucket, region)
    finally:
        _end(process)


def _read_to_the_end(response: Any, *_: object, **__: object) -> None:
    """Spare tests the warning about connections that oss2 leaves to the garbage collector.

    It does not read the answers to HEAD and CompleteMultipartUpload, nor long errors.
    """
    if response.request.method != "GET" or response.status_code >= 300:
        assert response.content is not None


def _listening_port(process: subprocess.Popen[bytes]) -> int:
    """Wait for the line that says where it listens."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise TimeoutError(f"the sandbox did not listen within {_START_SECONDS} s: {line!r}")
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            raise RuntimeError(f"the sandbox ended with exit code {process.wait()}")
        line += data
    address = line.decode().split("http://", 1)[1].split(",", 1)[0]
    return int(address.rpartition(":")[2])


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.stdout is not None
    process.stdout.close()
