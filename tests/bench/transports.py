"""What our transport costs beside libcurl, on both event loops, alone and under the engine.

    python -m tests.bench.transports        needs pycurl, which the product does not: pip install it

Every client sends the same PUTs, 60 in flight, from one process to one cheap server. What is
measured is the CPU time of the client's process; runs of all clients take turns.
"""

import asyncio
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import click
import uvloop

from ossimport.budget import Budget
from ossimport.copying import CopyPolicy
from ossimport.dest.oss import OssDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Transient
from ossimport.model import Lane, Outcome, Upload
from ossimport.sources.memory import MemorySource
from ossimport.transport import Endpoint, Proxies, Response, Transport
from ossimport.transport.wire import Body
from tests.bench.cheap_server import cheap_server
from tests.bench.measure import CLIENT_CORES, on_cores

pycurl: Any = import_module("pycurl")  # has no types, and is not there where types are checked

IN_FLIGHT = 60
SIZES = {"4 KiB": 4 << 10, "100 KiB": 100 << 10}
BUCKET = "null-transports"  # the server drops what is put there
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


class PycurlTransport:
    """What `Transport` does, by libcurl's multi interface driven by the event loop."""

    proxies = Proxies()

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, IN_FLIGHT)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._arm)
        self._timer: asyncio.Handle | None = None
        self._idle: list[Any] = []
        self._running: dict[Any, asyncio.Future[None]] = {}

    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body = b"",
        *,
        max_body: int = 64 << 20,
    ) -> Response:
        """See Transport; of its errors there is only one."""
        easy = self._idle.pop() if self._idle else _new_handle()
        head: list[bytes] = []
        chunks: list[bytes] = []
        easy.setopt(pycurl.URL, f"{endpoint}{target}")
        easy.setopt(pycurl.CUSTOMREQUEST, method)
        easy.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        easy.setopt(pycurl.POSTFIELDS, body)
        easy.setopt(pycurl.HEADERFUNCTION, head.append)
        easy.setopt(pycurl.WRITEFUNCTION, chunks.append)
        done = self._running[easy] = self._loop.create_future()
        self._multi.add_handle(easy)
        await done
        self._idle.append(easy)
        fields = [line.decode("latin-1").partition(":") for line in head[1:-1]]
        return Response(
            easy.getinfo(pycurl.RESPONSE_CODE),
            {name.lower(): value.strip() for name, _, value in fields},
            b"".join(chunks),
        )

    async def close(self) -> None:
        """Close all connections."""
        for easy in self._idle:
            easy.close()
        self._multi.close()

    def _watch(self, what: int, fd: int, multi: object, data: object) -> None:
        if what in {pycurl.POLL_IN, pycurl.POLL_INOUT}:
            self._loop.add_reader(fd, self._act, fd, pycurl.CSELECT_IN)
        else:
            self._loop.remove_reader(fd)
        if what in {pycurl.POLL_OUT, pycurl.POLL_INOUT}:
            self._loop.add_writer(fd, self._act, fd, pycurl.CSELECT_OUT)
        else:
            self._loop.remove_writer(fd)

    def _arm(self, milliseconds: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if milliseconds >= 0:
            self._timer = self._loop.call_later(
                milliseconds / 1000, self._act, pycurl.SOCKET_TIMEOUT, 0
            )

    def _act(self, fd: int, event: int) -> None:
        self._multi.socket_action(fd, event)
        left = 1
        while left:
            left, good, bad = self._multi.info_read()
            for easy in good:
                self._multi.remove_handle(easy)
                self._running.pop(easy).set_result(None)
            for easy, _, text in bad:
                self._multi.remove_handle(easy)
                self._running.pop(easy).set_exception(Transient(text, code="ConnectionReset"))


def _new_handle() -> Any:
    easy = pycurl.Curl()
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.PATH_AS_IS, 1)
    easy.setopt(pycurl.PROXY, "")
    easy.setopt(pycurl.POST, 1)
    return easy


TRANSPORTS: dict[str, Callable[[], Any]] = {
    "ours": lambda: Transport(max_connections=IN_FLIGHT, first_connections=IN_FLIGHT),
    "libcurl": PycurlTransport,
}

Work = Callable[[Any, Endpoint, int, int], Awaitable[None]]


async def put(transport: Any, endpoint: Endpoint, size: int, count: int) -> None:
    """The transport alone, with headers of the number and length that OSS gets."""
    body = bytes(size)
    headers = {
        "content-type": "application/octet-stream",
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
        "x-oss-date": "20260101T000000Z",
        "authorization": "OSS4-HMAC-SHA256 Credential=access/20260101/cn-hangzhou/oss/"
        f"aliyun_v4_request, Signature={'0' * 64}",
    }
    names = iter(range(count))

    async def send() -> None:
        for name in names:
            target = f"/{BUCKET}/{name:08}"
            response = await transport.request(endpoint, "PUT", target, headers, body)
            assert response.status == 200

    await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))


async def copy(transport: Any, endpoint: Endpoint, size: int, count: int) -> None:
    """The engine: read from memory, CRC64, signature, PUT, comparison."""
    source = MemorySource()
    source.put("object", bytes(size))
    (listed,) = source.scan(Lane())
    dest = OssDestination(
        endpoint=endpoint,
        bucket=BUCKET,
        access_key="access",
        secret_key="secret",
        region="cn-hangzhou",
        transport=cast(Transport, transport),
    )
    policy = CopyPolicy(dest_prefix="", multipart_threshold=1 << 30, part_size=1 << 30)
    engine = CopyEngine(source, dest, policy, Budget(1 << 30), jitter=random.random)
    infos = iter([listed.info] * count)

    async def run() -> None:
        for info in infos:
            assert (await engine.copy(info, save=_save)).outcome is Outcome.COPIED

    await asyncio.gather(*(run() for _ in range(IN_FLIGHT)))
    await engine.close()


async def _save(upload: Upload | None) -> None:
    """Nothing is left to go on with."""


def cost(
    loop: str, make: Callable[[], Any], work: Work, endpoint: Endpoint, *, size: int, count: int
) -> float:
    """Microseconds of CPU time per request, connections and first requests aside."""

    async def run() -> float:
        transport = make()
        await work(transport, endpoint, size, 10 * IN_FLIGHT)
        began = time.process_time()
        await work(transport, endpoint, size, count)
        spent = time.process_time() - began
        await transport.close()
        return spent / count * 1e6

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(run())


@click.command()
@click.option("--requests", default=20_000, show_default=True, help="Per run; large ones: a third.")
@click.option("--runs", default=3, show_default=True)
def main(requests: int, runs: int) -> None:
    """Print microseconds of CPU time per request."""
    clients = [(name, loop) for name in TRANSPORTS for loop in LOOPS]
    cases = [(work, size) for work in (put, copy) for size in SIZES]
    costs: dict[tuple[Any, ...], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory, cheap_server(Path(directory)) as server:
        endpoint = Endpoint("http", "127.0.0.1", server.port)
        for _ in range(runs):
            for work, size in cases:
                count = requests if SIZES[size] < 10_000 else requests // 3
                for name, loop in clients:
                    with on_cores(CLIENT_CORES):
                        spent = cost(
                            loop, TRANSPORTS[name], work, endpoint, size=SIZES[size], count=count
                        )
                    costs.setdefault((name, loop, work, size), []).append(spent)
    print(f"Python {platform.python_version()}, uvloop {version('uvloop')}, {pycurl.version}")
    print(f"{'us of CPU per request':24}", *(f"{w.__name__} {s}".rjust(14) for w, s in cases))
    for name, loop in clients:
        medians = [statistics.median(costs[name, loop, work, size]) for work, size in cases]
        print(f"{name + ' on ' + loop:24}", *(f"{median:14.1f}" for median in medians))


if __name__ == "__main__":
    main()
