"""Starts the cheap server as a process of its own and gives it orders."""

import http.client
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.bench.authority import CA_FILE
from tests.bench.measure import SERVER_CORES, on_cores
from tests.servers.installation import free_port

ROOT = Path(__file__).parents[2]
START_S = 60.0


class Stats(NamedTuple):
    """What the server has seen since the last reset."""

    requests: dict[str, int]
    seconds: dict[str, float]  # from the first request of a kind to the last
    connections: int
    cpu: float  # seconds that the server itself has spent


class Held(NamedTuple):
    """What is in a bucket."""

    objects: int
    size: int


class CheapServer:
    """A server that listens on 127.0.0.1."""

    def __init__(self, port: int, ca_file: Path | None) -> None:
        self.port = port
        self.ca_file = ca_file
        self._context = ssl.create_default_context(cafile=ca_file) if ca_file else None

    @property
    def scheme(self) -> str:
        return "https" if self.ca_file else "http"

    def endpoint(self, host: str = "127.0.0.1") -> str:
        """Its URL."""
        return f"{self.scheme}://{host}:{self.port}"

    def stats(self) -> Stats:
        """What it has seen."""
        return Stats(**self._order("stats"))

    def reset(self) -> None:
        """Have it count anew."""
        self._order("reset")

    def forget(self, bucket: str) -> Held:
        """Have it drop a bucket, and say what it held."""
        return Held(**self._order("forget", bucket=bucket))

    def fill(self, bucket: str, objects: int, size: int) -> None:
        """Have it make objects."""
        self._order("fill", bucket=bucket, count=objects, size=size)

    def times(self, bucket: str) -> dict[str, float]:
        """When the body of each object was there, in epoch seconds."""
        return self._order("times", bucket=bucket)

    def _order(self, name: str, **arguments: object) -> dict[str, Any]:
        if self._context:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=self._context, timeout=60
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", f"/_ctl/{name}?{urlencode(arguments)}")
            told: dict[str, Any] = json.load(connection.getresponse())
            return told
        finally:
            connection.close()


@contextmanager
def cheap_server(
    directory: Path, *, delay_ms: float = 0.0, tls: bool = False
) -> Iterator[CheapServer]:
    """Run a server; its certificates, if any, go to `directory`."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.server", "--port", str(port)]
    command += ["--delay-ms", str(delay_ms), *(("--tls", str(directory)) if tls else ())]
    with on_cores(SERVER_CORES):
        process = subprocess.Popen(command, cwd=ROOT)
    try:
        _await(port, process)
        yield CheapServer(port, directory / CA_FILE if tls else None)
    finally:
        process.terminate()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.02)
    raise RuntimeError("the cheap server does not start")
