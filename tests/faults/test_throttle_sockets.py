"""Bodies that are sent and read under limits, over real sockets and on both event loops."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ossimport.limits.gate import Gate
from ossimport.limits.way import Way
from ossimport.transport import Endpoint, Transport
from tests.servers.lateness import lateness
from tests.servers.raw_http import LOOPS, Peer, RawServer, run_on
from tests.unit.test_transport import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=LOOPS, name="run")
def fixture_run(request: pytest.FixtureRequest) -> Runner:
    return lambda main: run_on(request.param, main)


@pytest.fixture(scope="module", name="authority")
def fixture_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def giving(size: int) -> Callable[[Peer], None]:
    """Answer every request with a body."""

    def script(peer: Peer) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
        while peer.read_request()[0]:
            peer.send(head + bytes(size))

    return script


def taking(peer: Peer) -> None:
    """Take every body."""
    while peer.read_request()[0]:
        peer.send(OK)


async def busy(transport: Transport, endpoint: Endpoint, body: bytes, seconds: float) -> int:
    """Send or read one body after another, eight at a time; return the bytes that were moved."""
    moved = 0

    async def go_on() -> None:
        nonlocal moved
        while True:
            answer = await transport.request(
                endpoint, "PUT" if body else "GET", "/", {}, memoryview(body)
            )
            moved += len(body) + len(answer.body)

    tasks = [asyncio.create_task(go_on()) for _ in range(8)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results
    return moved


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("size", "rate"), [(2_000, 1e5), (300_000, 2e6)])
def test_what_is_read_is_limited_whatever_its_size(
    run: Runner, authority: Authority, size: int, rate: float, tls: bool
) -> None:
    async def main() -> None:
        gate, way = Gate(), Way()
        gate.set(rate)
        way.lead((), (), [gate])
        transport = Transport(
            ca_file=str(authority.ca_file), way_to=lambda _: way, idle_timeout=0.8, min_speed=1e9
        )
        async with lateness() as late:
            began = time.monotonic()
            moved = await busy(transport, server.endpoint, b"", 2.0)
            seconds = time.monotonic() - began
        await transport.close()
        assert moved <= rate * seconds * 1.05 + 8 * min(size, 100_000)
        assert moved >= rate * (seconds - late.seconds()) * 0.5 - 8 * size

    with RawServer(giving(size), authority.context if tls else None) as server:
        run(main())


def test_limits_that_come_and_go_bind_bodies_that_have_begun(run: Runner) -> None:
    async def main() -> None:
        gate, way = Gate(), Way()
        transport = Transport(way_to=lambda _: way)
        body = bytes(16 << 20)
        sending = asyncio.create_task(
            transport.request(server.endpoint, "PUT", "/", {}, memoryview(body))
        )
        while not transport.in_flight():
            await asyncio.sleep(0)
        gate.set(0.0)
        way.lead((), [gate], ())
        done, _ = await asyncio.wait([sending], timeout=0.6)
        assert not done
        gate.set(float("inf"))
        way.lead()
        async with asyncio.timeout(30):
            assert (await sending).status == 200
        await transport.close()

    with RawServer(taking) as server:
        run(main())


def test_who_waits_for_its_turn_can_be_cancelled_and_nothing_is_left(run: Runner) -> None:
    async def main() -> None:
        gate, way = Gate(), Way()
        gate.set(0.0)
        for gates in (([gate], (), ()), ((), [gate], ()), ((), (), [gate])):
            way.lead(*gates)
            transport = Transport(way_to=lambda _: way)
            assert await busy(transport, server.endpoint, b"x" * 500_000, 0.1) == 0 or gates[2]
            assert transport.in_flight().get(server.endpoint, (0, 0))[0] == 0
            await transport.close()

    with RawServer(taking) as server:
        run(main())


def test_a_request_made_by_another_way_waits_for_its_turn_too(run: Runner) -> None:
    async def main() -> None:
        gate, way = Gate(), Way()
        gate.set(10.0)
        way.lead([gate])
        transport = Transport(way_to=lambda _: way)
        began = time.monotonic()
        for _ in range(6):
            await transport.turn(Endpoint("http", "127.0.0.1", 9))
        assert time.monotonic() - began > 0.4
        await transport.close()

    run(main())
