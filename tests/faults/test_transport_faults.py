"""What the transport makes of servers that break, lie, stall and hang up. On both event loops."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ossimport.errors import Permanent, StorageError, Transient
from ossimport.limits.way import Way
from ossimport.throttle import Throttle
from ossimport.transport import Endpoint, Response, Transport
from tests.servers.installation import free_port
from tests.servers.raw_http import DEADLINE, LOOPS, Peer, RawServer, run_on
from tests.unit.test_transport import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BIG = memoryview(bytes(range(256)) * (16 << 10))  # 4 MiB

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=LOOPS, name="run")
def fixture_run(request: pytest.FixtureRequest) -> Runner:
    return lambda main: run_on(request.param, main)


def scripted(answer: bytes) -> Callable[[Peer], None]:
    """Read one request, send `answer`, close."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)

    return script


def paced(take: Callable[[int], float]) -> Callable[[Endpoint], Way]:
    """Slices of 64 KiB, each after so many seconds as `take` says."""
    cap = cast(Throttle, SimpleNamespace(rate=(64 << 10) / 0.05, take=take))
    return lambda _: Way(cap)


def keeping_alive(peer: Peer) -> None:
    """Answer every request, for as long as the client likes."""
    while peer.read_request()[0]:
        peer.send(OK)


async def ask(
    endpoint: Endpoint,
    method: str = "GET",
    body: bytes | memoryview = b"",
    max_body: int = 1 << 20,
    **limits: Any,
) -> Response:
    """One request over a transport of its own."""
    transport = Transport(**limits)
    try:
        return await transport.request(endpoint, method, "/k", {}, body, max_body=max_body)
    finally:
        await transport.close()


async def failure(
    request: Coroutine[Any, Any, Response], kind: type[StorageError] = Transient
) -> StorageError:
    """The error that a request ends with."""
    with pytest.raises(kind) as caught:
        await request
    return caught.value


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"
    b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK


@pytest.mark.parametrize("answer", [OK, CHUNKED, INTERIM], ids=["counted", "chunked", "interim"])
@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
def test_a_connection_closed_at_any_byte_of_the_response_is_transient(
    run: Runner, answer: bytes, reset: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer[: peer.number - 1])
        if reset:
            peer.reset()

    async def main() -> None:
        transport = Transport()
        for cut in range(len(answer)):
            error = await failure(transport.request(server.endpoint, "PUT", "/k", {}, b"body"))
            assert error.code == "ConnectionReset", cut
            assert str(server.endpoint.port) in str(error)
        response = await transport.request(server.endpoint, "PUT", "/k", {}, b"body")
        assert response.status == 200
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == len(answer) + 1


def test_a_connection_closed_at_any_byte_of_the_request_is_transient(run: Runner) -> None:
    def script(peer: Peer) -> None:
        if peer.number > 1:
            peer.sock.recv(peer.number - 1, socket.MSG_WAITALL)

    async def main() -> None:
        transport = Transport()
        for cut in range(90):
            error = await failure(transport.request(server.endpoint, "PUT", "/k", {}, b"body" * 5))
            assert error.code == "ConnectionReset", cut
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 90


def test_a_kept_alive_connection_closed_at_any_byte_of_the_request_is_replaced(
    run: Runner,
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.sock.recv(peer.number, socket.MSG_WAITALL)

    async def main() -> None:
        transport = Transport()
        for _ in range(60):
            response = await transport.request(server.endpoint, "PUT", "/k", {}, b"body" * 5)
            assert response.body == b"ok"
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 60


@pytest.mark.parametrize("size", [0, 1, 100, 65_536, 1_000_000, 4 << 20])
@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
def test_a_connection_closed_inside_the_request_is_transient(
    run: Runner, size: int, reset: bool
) -> None:
    def script(peer: Peer) -> None:
        if size:
            peer.read_head()
            peer.read_body(size - 1)
        if reset:
            peer.reset()

    with RawServer(script) as server:
        error = run(failure(ask(server.endpoint, "PUT", BIG)))
    assert error.code == "ConnectionReset"
    assert server.connections == 1


def test_a_kept_alive_connection_closed_while_the_request_goes_out_is_replaced_once(
    run: Runner,
) -> None:
    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            if peer.number == 1 and bodies:
                return  # has read the second request, and closes without an answer
            bodies.append(peer.number)
            peer.send(OK)

    async def main() -> None:
        transport = Transport()
        for _ in range(2):
            response = await transport.request(server.endpoint, "PUT", "/k", {}, BIG)
            assert response.status == 200
        await transport.close()

    bodies: list[int] = []
    with RawServer(script) as server:
        run(main())
    assert bodies == [1, 2]
    assert server.connections == 2


def test_a_request_is_not_sent_a_third_time(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 1:
            peer.send(OK)
            peer.read_request()

    async def main() -> None:
        transport = Transport()
        await transport.request(server.endpoint, "GET", "/k", {})
        error = await failure(transport.request(server.endpoint, "GET", "/k", {}))
        assert error.code == "ConnectionReset"
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 2


def test_a_kept_alive_connection_that_breaks_inside_the_answer_is_not_tried_again(
    run: Runner,
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()
        peer.send(OK[:1])

    async def main() -> None:
        transport = Transport()
        await transport.request(server.endpoint, "GET", "/k", {})
        error = await failure(transport.request(server.endpoint, "GET", "/k", {}))
        assert "1 bytes into the response" in str(error)
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 1


REFUSAL = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 6\r\n\r\nno way"


@pytest.mark.parametrize("how", ["close", "drain", "half-close"])
def test_a_refusal_during_a_large_body_is_the_answer(run: Runner, how: str) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_body(100_000)
        peer.send(REFUSAL)  # closing with bytes unread resets the connection behind it
        if how == "half-close":
            peer.sock.shutdown(socket.SHUT_WR)
        if how != "close":
            peer.wait_closed()

    async def main() -> None:
        transport = Transport()
        for _ in range(30):
            response = await transport.request(server.endpoint, "PUT", "/k", {}, BIG)
            assert (response.status, response.body) == (403, b"no way")
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 30


def test_a_refusal_by_a_server_that_reads_no_more_is_the_answer_and_ends_the_connection(
    run: Runner,
) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(REFUSAL.replace(b"Connection: close\r\n", b""))
        released.wait(DEADLINE)

    async def main() -> None:
        transport = Transport()
        for _ in range(2):
            body = memoryview(bytes(32 << 20))
            response = await transport.request(server.endpoint, "PUT", "/k", {}, body)
            assert response.status == 403
        await transport.close()

    released = threading.Event()
    with RawServer(script) as server:
        run(main())
        released.set()
    assert server.connections == 2


def test_what_comes_unasked_ends_a_kept_alive_connection(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        if peer.number == 1:
            answered.wait(DEADLINE)
            peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        peer.wait_closed()
        closed.set()

    async def main() -> None:
        transport = Transport(keep_alive=0)
        await transport.request(server.endpoint, "GET", "/k", {})
        answered.set()
        assert await asyncio.to_thread(closed.wait, DEADLINE)
        assert (await transport.request(server.endpoint, "GET", "/k", {})).status == 200
        await transport.close()

    answered, closed = threading.Event(), threading.Event()
    with RawServer(script) as server:
        run(main())
    assert server.connections == 2


def test_a_success_before_the_body_was_sent_is_not_believed(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OK)
        peer.wait_closed()

    with RawServer(script) as server:
        error = run(failure(ask(server.endpoint, "PUT", memoryview(bytes(32 << 20)))))
    assert error.code == "BadResponse"
    assert "before the body" in str(error)


def test_a_refusal_while_we_hold_the_body_back_is_the_answer_at_once(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(REFUSAL)
        peer.wait_closed()

    waits = iter([0.0, 3600.0])
    with RawServer(script) as server:
        response = run(ask(server.endpoint, "PUT", BIG, way_to=paced(lambda _: next(waits))))
    assert response.status == 403


def test_a_server_that_only_says_goodbye_ends_the_request_at_once(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.sock.shutdown(socket.SHUT_WR)  # and reads no more
        released.wait(DEADLINE)

    released = threading.Event()
    with RawServer(script) as server:
        began = time.monotonic()
        error = run(failure(ask(server.endpoint, "PUT", memoryview(bytes(32 << 20)))))
        assert time.monotonic() - began < DEADLINE / 2
        released.set()
    assert error.code == "ConnectionReset"


def test_our_own_pace_is_not_the_servers_idleness(run: Runner) -> None:
    waits = iter([0.0, 1.5, 0.0])
    with RawServer(keeping_alive) as server:
        request = ask(
            server.endpoint,
            "PUT",
            BIG[: 3 << 16],
            way_to=paced(lambda _: next(waits)),
            idle_timeout=1.0,
            min_speed=1e9,
        )
        assert run(request).status == 200


def test_a_server_that_reads_nothing_gets_no_more_than_buffers_hold(run: Runner) -> None:
    def script(peer: Peer) -> None:
        released.wait(DEADLINE)

    def pace(size: int) -> float:
        offered.append(size)
        return 0.0

    offered: list[int] = []
    released = threading.Event()
    body = memoryview(bytes(64 << 20))
    with RawServer(script) as server:
        error = run(
            failure(ask(server.endpoint, "PUT", body, way_to=paced(pace), idle_timeout=0.3))
        )
        released.set()
    assert error.code == "Timeout"
    assert sum(offered) < 32 << 20


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "ConnectionReset"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "BadResponse"),
        (b"<html>502</html>", "BadResponse"),
        (bytes(range(256)), "BadResponse"),
        (b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1_000_000, "BadResponse"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100_000, "BadResponse"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "ConnectionReset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "ConnectionReset"),
    ],
)
def test_an_unusable_answer_is_transient(run: Runner, answer: bytes, code: str) -> None:
    with RawServer(scripted(answer)) as server:
        assert run(failure(ask(server.endpoint))).code == code


def test_bytes_behind_an_answer_are_not_the_next_answer(run: Runner) -> None:
    async def main() -> None:
        transport = Transport()
        for _ in range(3):
            assert (await transport.request(server.endpoint, "GET", "/k", {})).body == b"ok"
        await transport.close()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK + b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
        peer.wait_closed()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 3


@pytest.mark.parametrize("how", ["chunked", "until close", "counted"])
def test_answers_arrive_whole_however_they_are_framed(run: Runner, how: str) -> None:
    body = bytes(BIG[: 3 << 20])
    if how == "chunked":
        parts = [body[i : i + 70_000] for i in range(0, len(body), 70_000)]
        wire = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + wire + b"0\r\n\r\n"
    elif how == "until close":
        answer = b"HTTP/1.1 200 OK\r\n\r\n" + body
    else:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with RawServer(scripted(answer)) as server:
        assert run(ask(server.endpoint, max_body=len(body))).body == body
        error = run(failure(ask(server.endpoint, max_body=len(body) - 1), Permanent))
        assert error.code == "BadResponse"


@pytest.mark.parametrize("stall", ["connect", "answer", "head", "body", "request"])
def test_a_server_that_stalls_ends_in_a_timeout(run: Runner, stall: str) -> None:
    def script(peer: Peer) -> None:
        if stall == "request":
            peer.read_head()
        elif stall != "answer":
            peer.read_request()
            peer.send(OK[:30] if stall == "head" else OK[:-1])
        release.wait(DEADLINE)

    release = threading.Event()
    with RawServer(script) as server:
        began = time.monotonic()
        error = run(failure(ask(server.endpoint, "PUT", BIG[: 32 << 20], idle_timeout=0.3)))
        release.set()
    assert error.code == "Timeout"
    assert 0.25 < time.monotonic() - began < DEADLINE / 2


@pytest.mark.parametrize(
    ("answer", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    ],
)
def test_a_server_that_trickles_is_ended_by_the_least_speed(
    run: Runner, answer: bytes, drop: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)
        while not release.wait(0.02):
            peer.send(drop)

    release = threading.Event()
    with RawServer(script) as server:
        error = run(failure(ask(server.endpoint, idle_timeout=0.5, min_speed=1e6)))
        release.set()
    assert error.code == "Timeout"
    assert "less than 1e+06" in str(error)


def test_a_request_that_takes_too_long_in_all_is_ended(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not release.wait(0.02):
            peer.send(b"x")

    release = threading.Event()
    with RawServer(script) as server:
        error = run(failure(ask(server.endpoint, total_timeout=0.5)))
        release.set()
    assert "more than 0.5 s" in str(error)


def test_a_server_that_takes_a_large_body_byte_by_byte_is_ended(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.read_head()
        while not release.wait(0.02):
            peer.sock.recv(1)

    release = threading.Event()
    with RawServer(script) as server:
        error = run(
            failure(ask(server.endpoint, "PUT", memoryview(bytes(32 << 20)), idle_timeout=0.3))
        )
        release.set()
    assert error.code == "Timeout"


def test_a_kept_alive_connection_to_a_server_that_has_vanished_is_given_up(run: Runner) -> None:
    """No answer, no FIN: what a pulled plug, or a firewall that forgot us, looks like."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        if peer.number == 1:
            release.wait(DEADLINE)
        else:
            keeping_alive(peer)

    async def main() -> None:
        transport = Transport(idle_timeout=1.0, max_connections=1)
        await transport.request(server.endpoint, "GET", "/k", {})
        error = await failure(transport.request(server.endpoint, "PUT", "/k", {}, BIG))
        assert error.code == "Timeout"
        assert (await transport.request(server.endpoint, "PUT", "/k", {}, BIG)).status == 200
        await transport.close()

    release = threading.Event()
    with RawServer(script) as server:
        run(main())
        release.set()
    assert server.connections == 2


def test_a_slow_reader_is_not_taken_for_a_dead_one(run: Runner) -> None:
    """The loop's buffer is empty long before the kernel's: what counts is what the peer took."""

    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
        peer.read_head()
        for _ in range(len(BIG) >> 17):
            peer.read_body(128 << 10)
            time.sleep(0.03)  # the slow line; not a wait for anything
        peer.send(OK)

    with RawServer(script) as server:
        response = run(ask(server.endpoint, "PUT", BIG, idle_timeout=0.8))
    assert response.status == 200


def test_nothing_listens(run: Runner) -> None:
    endpoint = Endpoint("http", "127.0.0.1", free_port())
    error = run(failure(ask(endpoint)))
    assert error.code == "ConnectionRefused"
    assert str(endpoint) in str(error)


def test_a_connection_that_cannot_be_made_frees_its_place(run: Runner) -> None:
    async def main() -> None:
        transport = Transport(max_connections=1)
        async with asyncio.timeout(DEADLINE):
            for _ in range(3):
                await failure(transport.request(endpoint, "GET", "/k", {}))
        await transport.close()

    endpoint = Endpoint("http", "127.0.0.1", free_port())
    run(main())


def test_a_name_that_does_not_exist(run: Runner) -> None:
    error = run(failure(ask(Endpoint("http", "nowhere.invalid", 80))))
    assert error.code == "DnsFailure"


def test_a_listener_that_does_not_accept_ends_in_a_timeout(run: Runner) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(8):  # fill the queue of connections that nobody accepts
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        error = run(failure(ask(Endpoint("http", *address), connect_timeout=0.3)))
    assert error.code == "Timeout"
    assert "no connection within 0.3 s" in str(error)


def test_header_values_are_in_no_message(run: Runner) -> None:
    async def main(endpoint: Endpoint, **limits: Any) -> str:
        transport = Transport(**limits)
        headers = {"Authorization": "top-secret"}
        try:
            return repr(await failure(transport.request(endpoint, "GET", "/k", headers)))
        finally:
            await transport.close()

    for answer in (b"", b"junk", OK[:-1], b"HTTP/1.1 200 OK\r\nSet-Cookie: top-secret\r\n"):
        with RawServer(scripted(answer)) as server:
            assert "top-secret" not in run(main(server.endpoint))


@pytest.mark.parametrize("when", ["sending", "waiting", "reading"])
def test_a_cancelled_request_closes_its_connection_and_frees_its_place(
    run: Runner, when: str
) -> None:
    def script(peer: Peer) -> None:
        if peer.number > 1:
            keeping_alive(peer)
            return
        peer.read_head()
        if when != "sending":
            peer.read_body(len(BIG))
        if when == "reading":
            peer.send(OK[:-1])
        reached.set()
        peer.wait_closed()
        closed.set()

    async def main() -> None:
        transport = Transport(max_connections=1)
        request = asyncio.create_task(transport.request(server.endpoint, "PUT", "/k", {}, BIG))
        await asyncio.to_thread(reached.wait, DEADLINE)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert await asyncio.to_thread(closed.wait, DEADLINE)
        assert (await transport.request(server.endpoint, "PUT", "/k", {}, b"x")).status == 200
        await transport.close()

    reached, closed = threading.Event(), threading.Event()
    with RawServer(script) as server:
        run(main())
    assert server.connections == 2


def test_a_request_that_fails_and_is_cancelled_at_once_leaves_nothing_behind(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        reached.set()
        released.wait(DEADLINE)

    async def main() -> None:
        transport = Transport()
        body = memoryview(bytes(32 << 20))
        request = asyncio.create_task(transport.request(server.endpoint, "PUT", "/k", {}, body))
        await asyncio.to_thread(reached.wait, DEADLINE)
        closing = asyncio.create_task(transport.close())
        await asyncio.sleep(0)  # one step: the request has failed and does not know yet
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await closing
        assert not transport._watches
        del request
        gc.collect()  # complains of errors that nobody looked at

    reached, released = threading.Event(), threading.Event()
    with RawServer(script) as server:
        run(main())
        released.set()


def test_closing_ends_the_requests_under_way_and_those_that_wait(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        reached.set()
        peer.wait_closed()

    async def main() -> None:
        transport = Transport(max_connections=1)
        requests = [
            asyncio.create_task(failure(transport.request(server.endpoint, "GET", "/k", {})))
            for _ in range(3)
        ]
        await asyncio.to_thread(reached.wait, DEADLINE)
        await transport.close()
        assert not transport._watches
        await transport.close()
        for error in await asyncio.gather(*requests):
            assert error.code == "ConnectionReset"
            assert "closed" in str(error)
        await failure(transport.request(server.endpoint, "GET", "/k", {}))

    reached = threading.Event()
    with RawServer(script) as server:
        run(main())
    assert server.connections == 1


# -- under TLS


@pytest.fixture(name="authority", scope="module")
def fixture_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_tls_stream_cut_anywhere_is_transient(run: Runner, authority: Authority) -> None:
    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)

    def cut(peer: Peer) -> None:
        """Pass on what the server says, up to a byte that comes later with each connection."""
        left = 1 + 89 * (peer.number - 1)
        with socket.create_connection(server.endpoint[1:], DEADLINE) as behind:
            forth = threading.Thread(target=pour, args=(peer.sock, behind))
            forth.start()
            while left and (data := behind.recv(left)):
                peer.send(data)
                left -= len(data)
            peer.sock.shutdown(socket.SHUT_RDWR)
            forth.join(DEADLINE)

    async def main() -> None:
        transport = Transport(ca_file=str(authority.ca_file))
        endpoint = relay.endpoint._replace(scheme="https")
        codes = set()
        async with asyncio.timeout(200):
            while True:
                try:
                    response = await transport.request(endpoint, "PUT", "/k", {}, b"body")
                except Transient as exc:
                    codes.add(exc.code)
                else:
                    break
        assert response.body == b"ok"
        assert codes <= {"ConnectionReset", "TlsError"}
        await transport.close()

    with RawServer(serve, authority.context) as server, RawServer(cut) as relay:
        run(main())
    assert relay.connections > 10


def pour(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until there are no more."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked", "X-A: 1"])
def test_an_answer_that_ends_without_goodbye_under_tls_is_transient(
    run: Runner, authority: Authority, framing: str
) -> None:
    """Only close_notify ends a body that has no length."""
    answer = f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nok".encode()
    with RawServer(scripted(answer), authority.context) as server:
        error = run(failure(ask(server.endpoint, ca_file=str(authority.ca_file))))
    assert error.code == "ConnectionReset"


def test_a_body_without_length_under_tls_ends_with_a_goodbye(
    run: Runner, authority: Authority
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        assert isinstance(peer.sock, ssl.SSLSocket)
        peer.sock.unwrap()

    body = bytes(BIG[: 1 << 20])
    with RawServer(script, authority.context) as server:
        assert run(ask(server.endpoint, ca_file=str(authority.ca_file))).body == body


@pytest.mark.parametrize("goodbye", [False, True])
def test_a_kept_alive_tls_connection_that_is_closed_is_replaced(
    run: Runner, authority: Authority, goodbye: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_head()  # of the next request, on its way
        if goodbye:
            assert isinstance(peer.sock, ssl.SSLSocket)
            peer.sock.unwrap()

    async def main() -> None:
        transport = Transport(ca_file=str(authority.ca_file))
        for _ in range(5):
            assert (await transport.request(server.endpoint, "PUT", "/k", {}, b"x")).body == b"ok"
        await transport.close()

    with RawServer(script, authority.context) as server:
        run(main())
    assert server.connections == 5


def test_garbage_under_a_tls_connection_is_a_tls_error(run: Runner, authority: Authority) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK[:-1])
        with socket.socket(fileno=os.dup(peer.sock.fileno())) as raw:
            raw.sendall(b"not a record of TLS at all")
        peer.wait_closed()

    with RawServer(script, authority.context) as server:
        error = run(failure(ask(server.endpoint, ca_file=str(authority.ca_file))))
    assert error.code == "TlsError"


def test_a_refusal_during_a_large_body_under_tls_is_the_answer(
    run: Runner, authority: Authority
) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.read_body(100_000)
        peer.send(REFUSAL)
        peer.wait_closed()

    with RawServer(script, authority.context) as server:
        response = run(ask(server.endpoint, "PUT", BIG, ca_file=str(authority.ca_file)))
    assert (response.status, response.body) == (403, b"no way")


# -- memory


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_large_body_is_held_once(run: Runner, authority: Authority, scheme: str) -> None:
    body = bytes(BIG) * 8

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 1 << 16):
            peer.sock.sendall(memoryview(body)[start : start + (1 << 16)])

    async def main() -> None:
        transport = Transport(ca_file=str(authority.ca_file))
        tracemalloc.start()
        try:
            response = await transport.request(server.endpoint, "GET", "/k", {})
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert response.body == body
        assert len(body) < peak < len(body) + (2 << 20)
        await transport.close()

    with RawServer(script, authority.context if scheme == "https" else None) as server:
        run(main())
