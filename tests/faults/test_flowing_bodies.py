"""Bodies that are read while they are sent, and what can come between. On both event loops."""

import asyncio
import itertools
import threading
import weakref
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ossimport.limits.way import Way
from ossimport.throttle import Throttle
from ossimport.transport import Endpoint, Transport
from ossimport.transport.wire import Flowing
from tests.servers.raw_http import DEADLINE, LOOPS, Peer, RawServer, run_on
from tests.unit.test_transport import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 6\r\n\r\nno way"
BYTES = bytes(range(251)) * 30_000  # 7.5 MB

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=LOOPS, name="run")
def fixture_run(request: pytest.FixtureRequest) -> Runner:
    return lambda main: run_on(request.param, main)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Stream(Flowing):
    """Gives `data` in pieces of at most `piece` bytes; before each it does what `before` says."""

    def __init__(self, data: bytes = BYTES, piece: int = 100_000) -> None:
        self.asked: list[tuple[int, int]] = []
        self._data = memoryview(data)
        self._piece = piece

    def __len__(self) -> int:
        return len(self._data)

    async def before(self, start: int) -> None:
        """By default nothing."""

    async def read(self, start: int, most: int) -> memoryview:
        await self.before(start)
        piece = self._data[start : start + min(most, self._piece)]
        self.asked.append((start, len(piece)))
        return piece


def in_order(asked: list[tuple[int, int]]) -> bool:
    """Whether each piece begins where the one before it ended."""
    return all(a + size == b for (a, size), (b, _) in itertools.pairwise(asked))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [1, 65_536, 100_001, len(BYTES)])
def test_every_byte_arrives_in_order(
    run: Runner, authority: Authority, size: int, tls: bool
) -> None:
    def script(peer: Peer) -> None:
        while (request := peer.read_request())[0]:
            came.append(request)
            peer.send(OK)

    async def main() -> None:
        transport = Transport(ca_file=str(authority.ca_file))
        for _ in range(2):
            body = Stream(BYTES[:size])
            assert (await transport.request(server.endpoint, "PUT", "/k", {}, body)).status == 200
            assert in_order(body.asked)
            assert body.asked[0][0] == 0
        await transport.close()

    came: list[tuple[bytes, bytes]] = []
    with RawServer(script, tls=authority.context if tls else None) as server:
        run(main())
    assert [body for _, body in came] == [BYTES[:size]] * 2
    assert all(b"Content-Length: %d" % size in head for head, _ in came)
    assert server.connections == 1


def test_it_is_read_anew_when_the_connection_turns_out_to_be_dead(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        if peer.number == 1:
            peer.read_head()
            peer.read_body(200_000)  # of the second request, and closes without an answer

    async def main() -> None:
        transport = Transport()
        await transport.request(server.endpoint, "PUT", "/k", {}, b"x")
        body = Stream()
        assert (await transport.request(server.endpoint, "PUT", "/k", {}, body)).status == 200
        again = [i for i, (start, _) in enumerate(body.asked) if not start]
        assert len(again) == 2
        assert sum(size for _, size in body.asked[again[1] :]) == len(BYTES)
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 2


def test_a_refusal_in_the_middle_is_the_answer_and_no_more_is_read(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_body(150_000)
        peer.send(REFUSAL)
        answered.set()
        peer.wait_closed()

    class Waiting(Stream):
        async def before(self, start: int) -> None:
            if start == 300_000:
                assert await asyncio.to_thread(answered.wait, DEADLINE)
                for _ in range(3):  # the event loop looks at its sockets in between
                    await asyncio.sleep(0.01)

    async def main() -> None:
        transport = Transport()
        response = await transport.request(server.endpoint, "PUT", "/k", {}, body)
        assert (response.status, response.body) == (403, b"no way")
        await transport.close()

    answered, body = threading.Event(), Waiting()
    with RawServer(script) as server:
        run(main())
    assert body.asked[-1][0] == 300_000


class Broken(Exception):
    """What a source may say."""


def test_what_reading_raises_comes_out_and_the_body_stays_incomplete(run: Runner) -> None:
    def script(peer: Peer) -> None:
        while request := peer.read_request():
            if not request[0]:
                return
            came.append(len(request[1]))
            peer.send(OK)

    class Breaking(Stream):
        async def before(self, start: int) -> None:
            if start == last:
                raise Broken

    async def main() -> None:
        transport = Transport(max_connections=1)
        with pytest.raises(Broken):
            await transport.request(server.endpoint, "PUT", "/k", {}, Breaking())
        response = await transport.request(server.endpoint, "PUT", "/k", {}, Stream(b"next"))
        assert response.status == 200
        await transport.close()

    came: list[int] = []
    last = len(BYTES) - len(BYTES) % 100_000
    with RawServer(script) as server:
        run(main())
    assert sorted(came)[0] == 4
    assert sum(came) < len(BYTES) + 4  # never all of the one that broke
    assert server.connections == 2


def test_a_source_that_takes_its_time_is_not_the_servers_idleness(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)

    class Slow(Stream):
        async def before(self, start: int) -> None:
            await asyncio.sleep(1.5 if start == 100_000 else 0)

    async def main() -> None:
        transport = Transport(idle_timeout=1.0, min_speed=1e9)
        body = Slow(BYTES[:300_000])
        assert (await transport.request(server.endpoint, "PUT", "/k", {}, body)).status == 200
        await transport.close()

    with RawServer(script) as server:
        run(main())


def test_who_is_cancelled_while_he_reads_frees_his_place(run: Runner) -> None:
    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.wait_closed()
            closed.set()
            return
        peer.read_request()
        peer.send(OK)

    class Endless(Stream):
        async def before(self, start: int) -> None:
            if start:
                reading.set()
                await asyncio.Event().wait()

    async def main() -> None:
        transport = Transport(max_connections=1)
        request = transport.request(server.endpoint, "PUT", "/k", {}, Endless())
        task = asyncio.ensure_future(request)
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(closed.wait, DEADLINE)
        assert (await transport.request(server.endpoint, "PUT", "/k", {}, Stream())).status == 200
        await transport.close()

    reading, closed = asyncio.Event(), threading.Event()
    with RawServer(script) as server:
        run(main())
    assert server.connections == 2


def test_what_goes_is_what_was_paid_for(run: Runner) -> None:
    def script(peer: Peer) -> None:
        came.append(peer.read_request()[1])
        peer.send(OK)

    def take(size: int) -> float:
        paid.append(size)
        return 0.0

    def way_to(endpoint: Endpoint) -> Way:
        return Way(cast(Throttle, SimpleNamespace(rate=(64 << 10) / 0.05, take=take)))

    async def main() -> None:
        transport = Transport(way_to=way_to)
        body = Stream(BYTES[:1_000_000])
        assert (await transport.request(server.endpoint, "PUT", "/k", {}, body)).status == 200
        assert [size for _, size in body.asked] == paid
        await transport.close()

    paid: list[int] = []
    came: list[bytes] = []
    with RawServer(script) as server:
        run(main())
    assert came == [BYTES[:1_000_000]]
    assert max(paid) <= 64 << 10


def test_a_piece_that_is_sent_is_given_up_before_the_next_is_read() -> None:
    class Block(bytearray):
        """Bytes that can be watched."""

    class Watched(Stream):
        async def read(self, start: int, most: int) -> memoryview:
            held.append(sum(block() is not None for block in blocks))
            block = Block(100)
            blocks.append(weakref.ref(block))
            return memoryview(block)

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)

    async def main() -> None:
        transport = Transport()
        body = Watched(bytes(1000))
        assert (await transport.request(server.endpoint, "PUT", "/k", {}, body)).status == 200
        await transport.close()

    held: list[int] = []
    blocks: list[weakref.ref[Block]] = []
    with RawServer(script) as server:
        run_on("asyncio", main())  # which writes at once what the system takes
    assert held == [0] * 10
