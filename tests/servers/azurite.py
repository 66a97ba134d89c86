"""Runs Azurite, Microsoft's emulator of Azure Storage, on a free port of loopback.

It is a program for node. `bash tests/run` installs it; tests that need it skip where it is not.
"""

import base64
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

_ROOT = Path(__file__).parents[2]
_PROGRAM = "azurite-blob"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
ACCOUNT = "ossimport"
_LENIENT = ["--skipApiVersionCheck"]  # the SDK is newer than what it knows
KEY = base64.b64encode(b"a key of the account, for tests only").decode()


@dataclass
class RunningAzurite:
    """An emulator that listens."""

    port: int

    @property
    def domain(self) -> str:
        """As srcDomain has it."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def sdk(self) -> BlobServiceClient:
        """The service's own SDK."""
        return BlobServiceClient(self.domain, credential=KEY, retry_total=0)


def find_azurite() -> str:
    """The program, or a skipped test."""
    installed = _ROOT / ".azurite-test/node_modules/.bin"
    path = shutil.which(_PROGRAM, path=f"{installed}{os.pathsep}{os.environ.get('PATH', '')}")
    if path is None:
        pytest.skip(f"{_PROGRAM} is not installed; tests/run does it where there is npm")
    return path


@contextmanager
def run_azurite() -> Iterator[RunningAzurite]:
    """Run an emulator that keeps everything in memory."""
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0"]
    process = subprocess.Popen(
        [
            find_azurite(),
            *options,
            "--inMemoryPersistence",
            "--silent",
            "--disableTelemetry",
            *_LENIENT,
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
    )
    try:
        yield RunningAzurite(_listening_port(process))
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _listening_port(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the line that says where it listens."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_SECONDS
    said = b""
    while b"successfully listens on http://127.0.0.1:" not in said or not said.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise TimeoutError(f"Azurite did not listen within {_START_SECONDS} s: {said!r}")
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            raise RuntimeError(f"Azurite ended with exit code {process.wait()}: {said!r}")
        said += data
    return int(said.rpartition(b"http://127.0.0.1:")[2].split()[0])
