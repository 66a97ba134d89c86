"""Proxies: which one is meant, what is sent to it, and what its refusals mean."""

import asyncio
import contextlib
import socket
import ssl
import threading
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ossimport.dest.oss import OssDestination
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.transport import Endpoint, Proxies, Response, Transport
from ossimport.transport.connection import Connection
from ossimport.transport.dialing import Dialer
from tests.servers.installation import free_port
from tests.servers.raw_http import DEADLINE, LOOPS, Peer, RawServer, run_on
from tests.unit.test_transport import Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CREDENTIALS = "us%40er:pass%3Aword"
BASIC = b"Proxy-Authorization: Basic " + b64encode(b"us@er:pass:word")
BIG = bytes(range(256)) * 8192

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=LOOPS, name="run")
def fixture_run(request: pytest.FixtureRequest) -> Runner:
    return lambda main: run_on(request.param, main)


@pytest.fixture(autouse=True)
def _no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


# -- which one

SERVER = Endpoint("http", "a.test", 80)
SECURE = Endpoint("https", "b.test", 443)


def chosen(endpoint: Endpoint) -> str:
    return str(Proxies.from_environment().between(endpoint))


@pytest.mark.parametrize(
    ("environment", "http", "https"),
    [
        ({}, "None", "None"),
        ({"HTTP_PROXY": "http://p:1"}, "http://p:1", "None"),
        ({"https_proxy": "http://p:1"}, "None", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "None", "http://p:1"),
        ({"ALL_PROXY": "http://p"}, "http://p:80", "http://p:80"),
        ({"all_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "http://p:1", "http://q:2"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "http://q:2", "None"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "a.test"}, "None", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "no_proxy": "x, .test"}, "None", "None"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "b.test:443"}, "http://p:1", "None"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "est"}, "http://p:1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, "None", "None"),
        ({"ALL_PROXY": "http://[::1]:3128"}, "http://[::1]:3128", "http://[::1]:3128"),
    ],
)
def test_the_environment_says_which(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], http: str, https: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (chosen(SERVER), chosen(SECURE)) == (http, https)


@pytest.mark.parametrize("host", ["localhost", "x.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_this_host_is_never_behind_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    assert chosen(Endpoint("http", host, 80)) == "None"
    asked = Proxies({"all": "http://p:1"}).between(Endpoint("http", host, 80))
    assert str(asked) == "http://p:1"


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    transport = Transport()
    monkeypatch.setenv("ALL_PROXY", "http://q:2")
    assert str(transport.proxies.between(SERVER)) == "http://p:1"


@pytest.mark.parametrize(
    "url",
    ["socks5://u:secret@p:1", "https://u:secret@p:1", "http://u:secret@p:x", "http://u:secret@"],
)
def test_a_proxy_that_we_cannot_use_is_fatal_and_its_password_is_not_told(url: str) -> None:
    with pytest.raises(Fatal, match="Cure: set HTTPS_PROXY or ALL_PROXY") as caught:
        Proxies({"https": url}).between(SECURE)
    assert caught.value.code == "InvalidProxy"
    assert "secret" not in "".join(traceback.format_exception_only(caught.value))


def test_a_password_is_in_no_representation() -> None:
    proxies = Proxies({"all": f"http://{CREDENTIALS}@p:1"})
    proxy = proxies.between(SERVER)
    assert proxy is not None
    assert proxy.url == f"http://{CREDENTIALS}@p:1"
    for text in (repr(proxies), str(proxies), repr(proxy), str(proxy)):
        assert "pass" not in text


# -- what is sent


def relay(peer: Peer, to: Endpoint, answer: bytes = b"HTTP/1.1 200 Go on\r\n\r\n") -> None:
    """What a proxy does behind a CONNECT: bytes both ways until both have hung up."""
    with socket.create_connection((to.host, to.port), DEADLINE) as behind:
        peer.send(answer)

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := behind.recv(65536):
                    peer.sock.sendall(data)
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=back)
        thread.start()
        with contextlib.suppress(OSError):
            while data := peer.sock.recv(65536):
                behind.sendall(data)
        with contextlib.suppress(OSError):
            behind.shutdown(socket.SHUT_WR)
        thread.join(DEADLINE)


async def ask(
    server: Endpoint, proxy: Endpoint, *, times: int = 1, credentials: str = "", **options: Any
) -> Response:
    """Requests by PUT through a proxy, one after another; the last response."""
    url = f"http://{credentials}@{proxy.authority}" if credentials else str(proxy)
    transport = Transport(proxies=Proxies({"all": url}), **options)
    try:
        for _ in range(times):
            response = await transport.request(server, "PUT", "/k?a=b", {"X-A": "1"}, BIG)
        return response
    finally:
        await transport.close()


@pytest.mark.parametrize("credentials", ["", CREDENTIALS])
def test_a_plain_request_names_the_whole_url_and_its_connection_is_kept(
    run: Runner, credentials: str
) -> None:
    heads: list[list[bytes]] = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            heads.append(head.split(b"\r\n"))
            peer.send(OK)

    with RawServer(script) as proxy:
        endpoint = Endpoint("http", "no.such.host.test", 8080)
        assert run(ask(endpoint, proxy.endpoint, times=3, credentials=credentials)).body == b"ok"
    lines = [b"PUT http://no.such.host.test:8080/k?a=b HTTP/1.1", b"X-A: 1"]
    lines += [BASIC] if credentials else []
    lines += [b"Host: no.such.host.test:8080", b"Content-Length: %d" % len(BIG)]
    assert heads == [lines] * 3
    assert proxy.connections == 1


@contextlib.contextmanager
def secure(
    folder: Path, answer: bytes = b"HTTP/1.1 200 Go on\r\n\r\n"
) -> Iterator[tuple[RawServer, RawServer, dict[str, Any], list[bytes], list[bool | None]]]:
    """A TLS server that closes after each answer, a proxy to it, and what both saw."""
    authority = Authority(folder)
    heads: list[bytes] = []
    resumed: list[bool | None] = []

    def serve(peer: Peer) -> None:
        head, body = peer.read_request()
        assert head.startswith(b"PUT /k?a=b HTTP/1.1\r\nX-A: 1\r\nHost: 127.0.0.1:")
        assert b"Proxy" not in head
        assert body == BIG
        assert isinstance(peer.sock, ssl.SSLSocket)
        resumed.append(peer.sock.session_reused)
        peer.send(OK)

    def pass_on(peer: Peer) -> None:
        heads.append(peer.read_head())
        relay(peer, server.endpoint, answer)

    with RawServer(serve, authority.context) as server, RawServer(pass_on) as proxy:
        yield server, proxy, {"ca_file": str(authority.ca_file)}, heads, resumed


@pytest.mark.parametrize("credentials", ["", CREDENTIALS])
def test_a_secure_request_goes_through_a_tunnel_and_resumes_its_session(
    run: Runner, tmp_path: Path, credentials: str
) -> None:
    async def resolve(name: str, port: int) -> Sequence[str]:
        assert name == "proxy.test"
        return ["127.0.0.1"]

    with secure(tmp_path) as (server, proxy, trust, heads, resumed):
        named = proxy.endpoint._replace(host="proxy.test")
        options = {**trust, "credentials": credentials, "resolve": resolve}
        assert run(ask(server.endpoint, named, times=3, **options)).body == b"ok"
        authority = server.endpoint.authority.encode()
    lines = [b"CONNECT " + authority + b" HTTP/1.1"] + ([BASIC] if credentials else [])
    assert [head.split(b"\r\n") for head in heads] == [[*lines, b"Host: " + authority]] * 3
    assert resumed == [False, True, True]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 Connection established\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Fine\r\nVia: x\r\n\r\n",
    ],
)
def test_any_success_opens_the_tunnel(run: Runner, tmp_path: Path, answer: bytes) -> None:
    with secure(tmp_path, answer) as (server, proxy, trust, _, _):
        assert run(ask(server.endpoint, proxy.endpoint, times=2, **trust)).body == b"ok"


def test_who_is_behind_the_tunnel_must_prove_it(run: Runner, tmp_path: Path) -> None:
    with (
        secure(tmp_path) as (server, proxy, _, _, resumed),
        pytest.raises(Transient, match="certificate is refused") as caught,
    ):
        run(ask(server.endpoint, proxy.endpoint))
    assert caught.value.code == "TlsError"
    assert "through the proxy" in str(caught.value)
    assert not resumed


def test_tunnels_are_kept(run: Runner, tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    def serve(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(OK)

    def pass_on(peer: Peer) -> None:
        peer.read_head()
        relay(peer, server.endpoint)

    with RawServer(serve, authority.context) as server, RawServer(pass_on) as proxy:
        run(ask(server.endpoint, proxy.endpoint, times=5, ca_file=str(authority.ca_file)))
    assert (server.connections, proxy.connections) == (1, 1)


def test_a_tunnel_that_breaks_while_idle_is_replaced(run: Runner, tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    def serve(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(OK)
            if peer.number == 1:
                peer.read_request()  # hears the second request, and hangs up
                return

    def pass_on(peer: Peer) -> None:
        peer.read_head()
        relay(peer, server.endpoint)

    with RawServer(serve, authority.context) as server, RawServer(pass_on) as proxy:
        run(ask(server.endpoint, proxy.endpoint, times=3, ca_file=str(authority.ca_file)))
    assert proxy.connections == 2


# -- refusals

SECURED = Endpoint("https", "b.test", 443)
PLAIN = Endpoint("http", "b.test", 80)


def refusal(status: bytes, times: int = 1000) -> bytes:
    """A proxy's answer that quotes what it was sent."""
    body = b"<p>us@er:pass:word may not</p>" * times
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (b"407 Authentication Required", Fatal, "http://USER:PASSWORD@HOST:PORT"),
        (b"403 Forbidden", Permanent, "NO_PROXY"),
        (b"405 Method Not Allowed", Permanent, "NO_PROXY"),
        (b"302 Found", Permanent, "NO_PROXY"),
        (b"429 Too Many Requests", Transient, "now"),
        (b"502 Bad Gateway", Transient, "now"),
        (b"504 Gateway Timeout", Transient, "now"),
    ],
)
def test_a_proxy_that_refuses_a_tunnel(
    run: Runner, status: bytes, kind: type[StorageError], told: str
) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(refusal(status))

    with RawServer(script) as proxy, pytest.raises(kind) as caught:
        run(ask(SECURED, proxy.endpoint, credentials=CREDENTIALS))
    error = caught.value
    assert error.code == "ProxyRefused"
    for part in (told, str(SECURED), "through the proxy http://127.0.0.1", status[:3].decode()):
        assert part in str(error)
    assert "word" not in str(error)


def test_a_proxy_that_wants_other_credentials_for_a_plain_request_is_fatal(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(refusal(b"407 Authentication Required"))

    with RawServer(script) as proxy, pytest.raises(Fatal, match="credentials") as caught:
        run(ask(PLAIN, proxy.endpoint, credentials=CREDENTIALS))
    assert caught.value.code == "ProxyRefused"
    assert "word" not in str(caught.value)


def test_any_other_status_of_a_plain_request_is_an_answer(run: Runner) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as proxy:
        assert run(ask(PLAIN, proxy.endpoint)).status == 403


@pytest.mark.parametrize("endpoint", [SECURED, PLAIN])
def test_a_proxy_that_is_not_there(run: Runner, endpoint: Endpoint) -> None:
    proxy = Endpoint("http", "127.0.0.1", free_port())
    with pytest.raises(Transient, match="the proxy http://127.0.0.1") as caught:
        run(ask(endpoint, proxy, credentials=CREDENTIALS))
    assert caught.value.code == "ConnectionRefused"
    assert f"({endpoint.scheme.upper()}_PROXY)" in str(caught.value)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "ConnectionReset"),
        (b"HTTP/1.1 200 OK\r\n", "ConnectionReset"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "BadResponse"),
        (b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000, "BadResponse"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "ConnectionReset"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "ConnectionReset"),
    ],
)
def test_a_proxy_that_is_none(run: Runner, answer: bytes, code: str) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(answer)

    with RawServer(script) as proxy, pytest.raises(Transient) as caught:
        run(ask(SECURED, proxy.endpoint))
    assert caught.value.code == code
    assert "through the proxy http://127.0.0.1" in str(caught.value)


def test_a_proxy_that_says_nothing_ends_in_a_timeout_and_frees_the_place(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[asyncio.Timeout] = []
    prepare = Dialer._prepare

    def from_then_on(delay: float | None) -> asyncio.Timeout:
        timeouts.append(asyncio.timeout_at(None))
        return timeouts[-1]

    async def reached(dialer: Dialer, connection: Connection) -> None:
        """The time of the attempt passes from now on, however long it took to come here."""
        timeouts[-1].reschedule(asyncio.get_running_loop().time() + 0.3)
        await prepare(dialer, connection)

    monkeypatch.setattr(asyncio, "timeout", from_then_on)
    monkeypatch.setattr(Dialer, "_prepare", reached)

    def script(peer: Peer) -> None:
        peer.read_head()
        if peer.number == 2:
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.wait_closed()

    with RawServer(script) as proxy:

        async def main() -> None:
            transport = Transport(
                proxies=Proxies({"all": str(proxy.endpoint)}),
                max_connections=1,
            )
            for _ in ("no answer", "no TLS"):
                with pytest.raises(Transient, match="through the proxy") as caught:
                    await transport.request(SECURED, "GET", "/", {})
                assert caught.value.code == "Timeout"
            await transport.close()

        run(main())
    assert proxy.connections == 2


# -- the control plane of OSS, which is not ours, goes the same way


@contextlib.asynccontextmanager
async def destination(endpoint: Endpoint, proxy: Endpoint) -> AsyncIterator[OssDestination]:
    url = f"http://{CREDENTIALS}@{proxy.authority}"
    transport = Transport(proxies=Proxies({"all": url}))
    dest = OssDestination(
        endpoint=endpoint,
        bucket="bucket",
        access_key="access",
        secret_key="secret",
        region="cn-hangzhou",
        transport=transport,
    )
    try:
        yield dest
    finally:
        await dest.close()
        await transport.close()


STARTED = b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"


async def test_the_control_plane_sends_plain_requests_through_the_proxy() -> None:
    heads: list[bytes] = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            heads.append(head)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(STARTED), STARTED))

    with RawServer(script) as proxy:
        async with destination(PLAIN, proxy.endpoint) as dest:
            assert await dest.start_upload("key", {}) == "U"
    assert heads[0].startswith(b"POST http://bucket.b.test:80/key?uploads= HTTP/1.1\r\n")
    assert BASIC in heads[0].split(b"\r\n")


async def test_the_control_plane_goes_through_a_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    heads: list[bytes] = []

    def serve(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(STARTED), STARTED))

    def pass_on(peer: Peer) -> None:
        heads.append(peer.read_head())
        relay(peer, server.endpoint)

    with RawServer(serve, authority.context) as server, RawServer(pass_on) as proxy:
        async with destination(server.endpoint, proxy.endpoint) as dest:
            for _ in range(2):
                assert await dest.start_upload("key", {}) == "U"
    assert BASIC in heads[1].split(b"\r\n")


@pytest.mark.parametrize("endpoint", [SECURED, PLAIN])
async def test_the_control_plane_says_that_a_proxy_wants_other_credentials(
    endpoint: Endpoint,
) -> None:
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.send(refusal(b"407 Authentication Required", 1))

    with RawServer(script) as proxy:
        async with destination(endpoint, proxy.endpoint) as dest:
            with pytest.raises(Fatal, match="it asks for other credentials") as caught:
                await dest.start_upload("key", {})
    assert caught.value.code == "ProxyRefused"
    shown = "".join(traceback.format_exception(caught.value))
    assert "word" not in shown.replace("PASSWORD", "")
