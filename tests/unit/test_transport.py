"""The transport against servers that behave: reuse, bounds, order, TLS, pace."""

import asyncio
import datetime
import ipaddress
import math
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ossimport.errors import Transient
from ossimport.limits.gate import Gate
from ossimport.limits.way import Way
from ossimport.throttle import LocalCell, bandwidth
from ossimport.transport import Endpoint, Transport
from ossimport.transport.addresses import Addresses, resolve
from ossimport.transport.connection import Connection
from ossimport.transport.dialing import Dialer
from ossimport.transport.inflight import InFlight
from ossimport.transport.outgoing import Outgoing
from ossimport.transport.pool import Pool
from tests.servers.lateness import lateness
from tests.servers.raw_http import DEADLINE, LOOPS, Peer, RawServer, run_on

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=LOOPS, name="run")
def fixture_run(request: pytest.FixtureRequest) -> Runner:
    return lambda main: run_on(request.param, main)


def unconnected() -> Connection:
    """A connection that no event loop serves yet."""
    return Connection(
        "somewhere",
        way=Way(),
        step=1 << 20,
        outgoing=Outgoing(),
        scratch=memoryview(bytearray(1 << 10)),
        on_lost=lambda _: None,
    )


def echo(peer: Peer) -> None:
    """Answer every request with its own bytes."""
    while True:
        head, body = peer.read_request()
        if not head:
            return
        answer = head + b"\r\n\r\n" + body
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer))
        peer.send(answer)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1 << 20, (3 << 20) + 1])
def test_every_byte_of_the_request_arrives(run: Runner, kind: Any, size: int) -> None:
    body = kind(bytes(i * 7 % 251 for i in range(1021)) * (size // 1021 + 1))[:size]

    async def main() -> None:
        transport = Transport()
        response = await transport.request(
            server.endpoint, "PUT", "/k%20k?a=b", {"X-A": "1"}, body, max_body=1 << 23
        )
        head, received = response.body.split(b"\r\n\r\n", 1)
        assert received == bytes(body)
        host = f"127.0.0.1:{server.endpoint.port}"
        lines = [b"PUT /k%20k?a=b HTTP/1.1", b"X-A: 1", f"Host: {host}".encode()]
        assert head.split(b"\r\n") == [*lines, b"Content-Length: %d" % size]
        await transport.close()

    with RawServer(echo) as server:
        run(main())


def test_head_requests_and_empty_answers_keep_the_connection(run: Runner) -> None:
    answers = {
        b"HEAD": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        b"DELETE": b"HTTP/1.1 204 No Content\r\n\r\n",
        b"GET": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n",
    }

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            peer.send(answers[head.split()[0]])

    async def main() -> None:
        transport = Transport()
        for method, status in [("HEAD", 200), ("DELETE", 204), ("GET", 304), ("HEAD", 200)]:
            response = await transport.request(server.endpoint, method, "/", {})
            assert (response.status, response.body) == (status, b"")
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 1


def test_connections_are_bounded_shared_in_order_and_used_again(run: Runner) -> None:
    order: list[bytes] = []

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            order.append(head.split()[1])
            barrier.wait(DEADLINE)  # as many requests at once as connections, never fewer here
            peer.send(OK)

    async def main() -> None:
        transport = Transport(max_connections=4)
        await asyncio.gather(
            *(transport.request(server.endpoint, "GET", f"/{i:02}", {}) for i in range(20))
        )
        await transport.close()

    barrier = threading.Barrier(4)
    with RawServer(script) as server:
        run(main())
    assert server.connections == 4
    for start in range(0, 20, 4):
        assert sorted(order[start : start + 4]) == [b"/%02d" % i for i in range(start, start + 4)]


def test_the_connection_used_last_is_used_first(run: Runner) -> None:
    served: list[int] = []

    def script(peer: Peer) -> None:
        while peer.read_head():
            served.append(peer.number)
            if len(served) <= 3:
                barrier.wait(DEADLINE)
            peer.send(OK)

    async def main() -> None:
        transport = Transport()
        await asyncio.gather(
            *(transport.request(server.endpoint, "GET", "/", {}) for _ in range(3))
        )
        for _ in range(10):
            await transport.request(server.endpoint, "GET", "/", {})
        await transport.close()

    barrier = threading.Barrier(3)
    with RawServer(script) as server:
        run(main())
    assert len(set(served[3:])) == 1


def test_a_cancelled_wait_for_a_connection_gives_its_turn_on(run: Runner) -> None:
    def script(peer: Peer) -> None:
        while peer.read_head():
            reached.set()
            release.wait(DEADLINE)
            peer.send(OK)

    async def main() -> None:
        transport = Transport(max_connections=1)
        first, second, third, fourth = (
            asyncio.create_task(transport.request(server.endpoint, "GET", "/", {}))
            for _ in range(4)
        )
        await asyncio.to_thread(reached.wait, DEADLINE)
        second.cancel()
        release.set()
        await first  # the third's turn has come in this step of the loop
        third.cancel()
        assert (await fourth).status == 200
        results = await asyncio.gather(second, third, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        await transport.close()

    reached, release = threading.Event(), threading.Event()
    with RawServer(script) as server:
        run(main())


def test_a_turn_that_comes_together_with_a_cancellation_is_passed_on(run: Runner) -> None:
    async def main() -> None:
        lost = asyncio.Event()
        pool = Pool(
            server.endpoint,
            flow=InFlight(1, 1, 0.0),
            way=Way(),
            dialer=Dialer(
                server.endpoint,
                addresses=Addresses("127.0.0.1", server.endpoint.port, resolve=resolve, start=0.0),
                proxy=None,
                tls=None,
                timeout=DEADLINE,
                make=lambda w: Connection(
                    w,
                    way=Way(),
                    step=1 << 20,
                    outgoing=Outgoing(),
                    scratch=memoryview(bytearray(1 << 10)),
                    on_lost=lambda _: lost.set(),
                ),
            ),
            on_made=lambda _: None,
        )
        connection = await pool.take()
        waiting = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        pool.give_back(connection)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(DEADLINE):
            assert await pool.take() is connection
        connection.abort()
        pool.give_back(connection)
        assert pool.is_unused()
        await lost.wait()

    with RawServer(echo) as server:
        run(main())


async def test_an_early_answer_is_seen_even_if_the_peer_takes_all_we_send() -> None:
    class Greedy(asyncio.Transport):
        """Takes everything at once; the answer to the first bytes is there a turn later."""

        taken = 0

        def write(self, data: bytes | bytearray | memoryview) -> None:
            if not self.taken:
                asyncio.get_running_loop().call_soon(self.answer)
            self.taken += len(data)

        def answer(self) -> None:
            connection.get_buffer(-1)[: len(answer)] = answer
            connection.buffer_updated(len(answer))

        def get_write_buffer_size(self) -> int:
            return 0

    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    transport = Greedy()
    connection = unconnected()
    connection.connection_made(transport)
    response = await connection.exchange("PUT", b"head", bytes(32 << 20), 0)
    assert response.status == 403
    assert transport.taken < 4 << 20
    assert not connection.reusable


@pytest.mark.parametrize("size", [0, 4_000, 100_000])
async def test_a_request_of_usual_size_is_one_write(size: int) -> None:
    class Kernel(asyncio.Transport):
        """Answers what it is given, although it keeps the body back."""

        def __init__(self) -> None:
            super().__init__()
            self.writes: list[bytes] = []

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.writelines([data])

        def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
            self.writes.append(b"".join(list_of_data))
            connection.get_buffer(-1)[: len(OK)] = OK
            connection.buffer_updated(len(OK))

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return max(0, size - 64_000)

    transport = Kernel()
    connection = unconnected()
    connection.connection_made(transport)
    answer = connection.exchange("PUT", b"head", bytes(size), len(OK))
    if size == 100_000:
        with pytest.raises(Transient, match="before the body was sent"):
            await answer
    else:
        assert (await answer).status == 200
    assert transport.writes == [b"head" + bytes(size)]


async def test_a_connection_lost_on_the_way_to_tls_is_not_taken_for_a_good_one() -> None:
    connection = unconnected()
    connection.connection_made(asyncio.Transport())
    assert connection.reusable
    connection.connection_lost(None)
    connection.connection_made(asyncio.Transport())
    assert not connection.reusable
    with pytest.raises(ConnectionResetError):
        await connection.start_tls(ssl.create_default_context(), "somewhere")


def test_unused_connections_are_closed_after_a_while(run: Runner) -> None:
    closed = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OK)
        peer.wait_closed()
        closed.set()

    async def main() -> None:
        transport = Transport(keep_alive=0.1)
        await transport.request(server.endpoint, "GET", "/", {})
        assert await asyncio.to_thread(closed.wait, DEADLINE)
        async with asyncio.timeout(DEADLINE):
            while transport._pools:
                await asyncio.sleep(0.01)  # an endpoint that nobody uses is forgotten, too
        assert (await transport.request(server.endpoint, "GET", "/", {})).status == 200
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 2


@pytest.mark.parametrize("answer", [b"Connection: close\r\n", b""])
def test_a_connection_that_the_server_closes_is_not_used_again(run: Runner, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(OK.replace(b"OK\r\n", b"OK\r\n" + answer))

    async def main() -> None:
        transport = Transport()
        for _ in range(5):
            assert (await transport.request(server.endpoint, "GET", "/", {})).body == b"ok"
        await transport.close()

    with RawServer(script) as server:
        run(main())
    assert server.connections == 5


def test_what_cannot_be_sent_is_refused_before_a_byte_of_it_is_sent(run: Runner) -> None:
    async def main() -> None:
        transport = Transport()
        for target, headers in [("/\r\nX: y", {}), ("/", {"X": "1\r\nY: 2"}), ("/", {"A\n": "1"})]:
            with pytest.raises(ValueError, match="control characters"):
                await transport.request(server.endpoint, "GET", target, headers)
        with pytest.raises(ValueError, match="scheme"):
            await transport.request(Endpoint("ftp", "h", 21), "GET", "/", {})
        sent = await transport.request(server.endpoint, "GET", "/good", {})
        assert sent.body.startswith(b"GET /good ")
        await transport.close()

    with RawServer(echo) as server:
        run(main())
    assert server.connections == 1


def test_headers_are_made_when_the_turn_of_their_request_has_come(run: Runner) -> None:
    async def main() -> None:
        gate, way = Gate(), Way()
        gate.set(0.0)
        way.lead([gate])
        transport = Transport(max_connections=1, way_to=lambda _: way)
        made: list[int] = []

        def headers(number: int) -> dict[str, str]:
            made.append(number)
            return {"x-number": str(number)}

        waiting = [
            asyncio.create_task(
                transport.request(server.endpoint, "GET", "/", partial(headers, number))
            )
            for number in range(2)
        ]
        await asyncio.sleep(0)
        assert made == []  # a limit holds them both back
        gate.set(math.inf)
        await asyncio.to_thread(reached.wait, DEADLINE)
        assert made == [0]  # there is one connection
        release.set()
        answers = await asyncio.gather(*waiting)
        assert [b"x-number: %d\r\n" % n in a.body for n, a in enumerate(answers)] == [True, True]
        assert made == [0, 1]
        await transport.close()

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            reached.set()
            release.wait(DEADLINE)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))

    reached, release = threading.Event(), threading.Event()
    with RawServer(script) as server:
        run(main())


class Authority:
    """A certificate authority of our own, and a server certificate for 127.0.0.1 signed by it."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        root = self._certificate(name, name, key, key)
        root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(
            root.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        server_key = ec.generate_private_key(ec.SECP256R1())
        server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test server")])
        leaf = self._certificate(server_name, name, server_key, key).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
            critical=False,
        )
        chain = folder / "server.pem"
        chain.write_bytes(
            leaf.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            + server_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain)

    @staticmethod
    def _certificate(
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        identity = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(identity, critical=False)
        )


async def put_over_tls(endpoint: Endpoint, body: bytes, **options: Any) -> bytes | bytearray:
    transport = Transport(**options)
    try:
        response = await transport.request(endpoint, "PUT", "/", {}, body, max_body=1 << 24)
        return response.body.split(b"\r\n\r\n", 1)[1]
    finally:
        await transport.close()


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_tls_works_with_an_authority_that_is_named(run: Runner, tmp_path: Path, size: int) -> None:
    authority = Authority(tmp_path)
    body = b"x" * size
    with RawServer(echo, authority.context) as server:
        assert run(put_over_tls(server.endpoint, body, ca_file=str(authority.ca_file))) == body


def test_ssl_cert_file_names_an_authority_too(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    with RawServer(echo, authority.context) as server:
        assert run(put_over_tls(server.endpoint, b"x")) == b"x"


@pytest.mark.parametrize("why", ["unknown authority", "other address"])
def test_tls_is_refused_to_a_server_that_is_not_who_it_says(
    run: Runner, tmp_path: Path, why: str
) -> None:
    authority = Authority(tmp_path, "127.0.0.2" if why == "other address" else "127.0.0.1")
    ca_file = str(authority.ca_file) if why == "other address" else None
    refused = pytest.raises(Transient, match="certificate is refused")
    with RawServer(echo, authority.context) as server, refused as caught:
        run(put_over_tls(server.endpoint, b"secret", ca_file=ca_file))
    assert caught.value.code == "TlsError"


def test_a_server_that_speaks_no_tls_is_a_tls_error(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.send(OK)

    with RawServer(script) as server, pytest.raises(Transient) as caught:
        run(put_over_tls(server.endpoint._replace(scheme="https"), b"x"))
    assert caught.value.code == "TlsError"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_second_connection_resumes_the_session_of_the_first(
    run: Runner, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority = Authority(tmp_path)
    authority.context.maximum_version = version
    resumed: list[bool | None] = []

    def script(peer: Peer) -> None:
        peer.read_head()
        assert isinstance(peer.sock, ssl.SSLSocket)
        resumed.append(peer.sock.session_reused)
        peer.send(OK)  # and close

    async def main() -> None:
        transport = Transport(ca_file=str(authority.ca_file))
        for _ in range(3):
            await transport.request(server.endpoint, "GET", "/", {})
        await transport.close()

    with RawServer(script, authority.context) as server:
        run(main())
    assert resumed == [False, True, True]


class Taking(asyncio.Protocol):
    """Takes requests whose heads come in one piece, on the loop of those who send them."""

    left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self.left:
            head, _, data = data.partition(b"\r\n\r\n")
            self.left = int(head.rpartition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        self.left -= len(data)
        if not self.left:
            self.transport.write(OK)


@pytest.mark.parametrize("sizes", [[1_000_000], [100_000] * 10, [4_000] * 250])
def test_a_pace_is_kept_for_large_and_small_bodies(run: Runner, sizes: list[int]) -> None:
    rate = 800_000.0

    async def main() -> None:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(Taking, "127.0.0.1", 0)
        endpoint = Endpoint("http", "127.0.0.1", listener.sockets[0].getsockname()[1])
        throttle = bandwidth(rate, LocalCell())
        transport = Transport(way_to=lambda _: Way(throttle))
        work = iter(sizes)

        async def copy() -> None:
            for size in work:
                await transport.request(endpoint, "PUT", "/", {}, memoryview(bytes(size)))

        async with lateness() as late:
            began = time.monotonic()
            await asyncio.gather(*(copy() for _ in range(8)))
            seconds = time.monotonic() - began
        await transport.close()
        listener.close()
        await listener.wait_closed()
        assert seconds > sum(sizes) / rate * 0.95
        assert seconds - late.seconds() < sum(sizes) / rate * 1.08

    run(main())
