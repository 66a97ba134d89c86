"""The number of requests in flight against servers that count them, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from ossimport.errors import Transient
from ossimport.transport import Endpoint, Transport
from tests.servers.raw_http import LOOPS, run_on

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"

Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS, name="run")
def fixture_run(request: pytest.FixtureRequest) -> Runner:
    return lambda main: run_on(request.param, main)


class Server:
    """Answers each request after `delay` seconds, and refuses at once what exceeds `places`."""

    def __init__(self, delay: float, places: int) -> None:
        self.delay, self.places = delay, places
        self.peak = self.present = 0
        self.forget()

    def forget(self) -> None:
        """Count anew."""
        self.answered = self.refused = 0
        self.area = 0.0
        self.since = self.last = time.monotonic()

    @property
    def mean(self) -> float:
        """Mean number of requests present."""
        return self.area / (self.last - self.since)

    def change(self, by: int) -> None:
        """Requests have come or gone."""
        now = time.monotonic()
        self.area += self.present * (now - self.last)
        self.last = now
        self.present += by
        self.peak = max(self.peak, self.present)


class Visit(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        assert data.endswith(b"\r\n\r\n")
        server = self.server
        if server.present >= server.places:
            server.refused += 1
            self.transport.write(REFUSED)
        else:
            server.change(1)
            asyncio.get_running_loop().call_later(server.delay, self.answer)

    def answer(self) -> None:
        """It has been here for long enough."""
        self.server.change(-1)
        self.server.answered += 1
        if not self.transport.is_closing():  # The load may have ended and hung up.
            self.transport.write(OK)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Endpoint]:
    """Listen on this loop."""
    listener = await asyncio.get_running_loop().create_server(
        lambda: Visit(server), "127.0.0.1", 0, backlog=200
    )
    try:
        yield Endpoint("http", "127.0.0.1", listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await listener.wait_closed()


@asynccontextmanager
async def load(transport: Transport, endpoint: Endpoint, runners: int) -> AsyncIterator[None]:
    """Runners that send one request after another, and wait a little after a refusal."""

    async def send() -> None:
        while True:
            try:
                response = await transport.request(endpoint, "GET", "/", {})
            except Transient:
                continue
            if response.status != 200:
                await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(send()) for _ in range(runners)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        await transport.close()


def limit_of(transport: Transport) -> tuple[int, int]:
    """(in flight, limit) at the one endpoint."""
    return next(iter(transport.in_flight().values()), (0, 0))


async def until(holds: Callable[[], bool]) -> None:
    """Wait; the test's own deadline ends it."""
    while not holds():
        await asyncio.sleep(0.01)


def test_the_cap_is_reached_kept_and_never_exceeded(run: Runner) -> None:
    async def main() -> None:
        server = Server(0.3, places=1000)
        async with serving(server) as endpoint:
            transport = Transport(max_connections=32, first_connections=8)
            async with load(transport, endpoint, runners=40):
                await until(lambda: limit_of(transport) == (32, 32))
                server.forget()
                await until(lambda: server.answered >= 320)
                assert server.peak == 32
                assert server.mean >= 0.75 * 32  # of answers that a slow machine handles one by one
        assert server.refused == 0

    run(main())


def test_a_server_with_ten_places_gets_about_ten_requests(run: Runner) -> None:
    async def main() -> None:
        server = Server(0.06, places=10)
        async with serving(server) as endpoint:
            transport = Transport(max_connections=60)
            async with load(transport, endpoint, runners=60):
                await until(lambda: 0 < limit_of(transport)[1] < 10)
                await until(lambda: limit_of(transport)[1] in (9, 10))
                for _ in range(6):  # once, unless this machine stops us meanwhile
                    server.forget()
                    await until(lambda: server.answered >= 1000)
                    assert server.refused <= 0.03 * 1000
                    if server.mean >= 8:
                        break
                assert server.mean >= 8

    run(main())


def test_a_server_that_is_back_is_used_again(run: Runner) -> None:
    async def main() -> None:
        server = Server(0.02, places=0)
        async with serving(server) as endpoint:
            transport = Transport(max_connections=24)
            async with load(transport, endpoint, runners=24):
                await until(lambda: limit_of(transport)[1] == 2)
                server.places = 1000
                await until(lambda: limit_of(transport) == (24, 24))
                await until(lambda: server.peak == 24)

    run(main())


def test_a_server_that_never_answers_is_asked_less_and_less(run: Runner) -> None:
    async def main() -> None:
        server = Server(1000.0, places=10**9)  # who was timed out stays counted
        async with serving(server) as endpoint:
            transport = Transport(max_connections=24, idle_timeout=0.2)
            async with load(transport, endpoint, runners=24):
                await until(lambda: limit_of(transport)[1] == 2)

    run(main())
