"""OSS's client against answers that no healthy service gives, and what it really sends.

Each test runs over both ways out: `put` over our transport, `start_upload` over oss2.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ossimport.dest.oss import OssDestination
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Origin
from ossimport.transport import Endpoint, Transport
from tests.servers.installation import free_port
from tests.servers.raw_http import DEADLINE, Peer, RawServer

SECRET, TOKEN = "the-secret-key", "the-security-token"
STORED = b'HTTP/1.1 200 OK\r\nETag: "E"\r\nx-oss-request-id: R\r\nContent-Length: 0\r\n\r\n'

Call = Callable[[OssDestination], Awaitable[object]]


async def put(dest: OssDestination) -> object:
    return await dest.put("key", b"body", {"content-type": "text/plain"})


async def start_upload(dest: OssDestination) -> object:
    return await dest.start_upload("key", {"content-type": "text/plain"})


both_ways = pytest.mark.parametrize("call", [put, start_upload])


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[Endpoint, list[str]]]:
    """A server that gives every request the same answer; and the heads that it was sent."""
    heads: list[str] = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            heads.append(head.decode("latin-1"))
            peer.send(answer)

    with RawServer(script) as server:
        yield server.endpoint, heads


async def stat(dest: OssDestination) -> object:
    return await dest.stat("key")


async def list_objects(dest: OssDestination) -> object:
    return await dest.list("key", "")


async def finish_upload(dest: OssDestination) -> object:
    return await dest.finish_upload("key", "id", {1: "etag"})


async def run(
    endpoint: Endpoint, call: Call, bucket: str = "bucket", patience_s: float = DEADLINE
) -> object:
    """Make a destination, call it once, and close everything."""
    transport = Transport(idle_timeout=patience_s)
    dest = OssDestination(
        endpoint=endpoint,
        bucket=bucket,
        access_key="access",
        secret_key=SECRET,
        security_token=TOKEN,
        region="cn-hangzhou",
        transport=transport,
        control_timeout=patience_s,
    )
    try:
        return await call(dest)
    finally:
        await dest.close()
        await transport.close()


async def failure(
    endpoint: Endpoint, call: Call, bucket: str = "bucket", patience_s: float = DEADLINE
) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await run(endpoint, call, bucket, patience_s)
    error = caught.value
    assert error.op
    assert SECRET not in repr(error) + str(error)
    assert TOKEN not in repr(error) + str(error)
    return error


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@both_ways
async def test_a_busy_service_says_when_to_come_back(call: Call) -> None:
    body = b"<Error><Code>ServiceUnavailable</Code><Message>Slow</Message></Error>"
    with answering(answer("503 Slow", body, "Retry-After: 9", "x-oss-request-id: R")) as (end, _):
        error = await failure(end, call)
    assert isinstance(error, Transient)
    assert (error.code, error.request_id, error.retry_after) == ("ServiceUnavailable", "R", 9.0)
    assert error.key == "key"


@both_ways
async def test_a_refusal_is_sent_once_and_only_once(call: Call) -> None:
    with answering(answer("500 Broken", b"<html>down</html>")) as (end, heads):
        error = await failure(end, call)
    assert isinstance(error, Transient)
    assert error.code == "ServerError"
    assert len(heads) == 1


@both_ways
async def test_where_nothing_listens_the_connection_is_refused(call: Call) -> None:
    error = await failure(Endpoint("http", "127.0.0.1", free_port()), call)
    assert isinstance(error, Transient)
    assert (error.code, error.key) == ("ConnectionRefused", "key")


@both_ways
async def test_a_name_that_does_not_resolve_is_told(call: Call) -> None:
    error = await failure(Endpoint("http", "no-such-host.invalid", 80), call)
    assert isinstance(error, Transient)
    assert error.code == "DnsFailure"
    assert "bucket.no-such-host.invalid" in str(error)


@both_ways
async def test_a_connection_that_breaks_is_told(call: Call) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    with RawServer(script) as server:
        error = await failure(server.endpoint, call)
    assert isinstance(error, Transient)
    assert error.code == "ConnectionReset"


@both_ways
async def test_a_server_that_says_nothing_is_not_waited_for(call: Call) -> None:
    with RawServer(Peer.wait_closed) as server:
        error = await failure(server.endpoint, call, patience_s=0.2)
    assert isinstance(error, Transient)
    assert (error.code, error.key) == ("Timeout", "key")
    assert "no connection" not in str(error)  # it is there, and silent


@pytest.mark.parametrize("call", [put, stat, start_upload, finish_upload])
@pytest.mark.parametrize("body", [b"", b"<html>Welcome to the hotel</html>", b"hello"])
async def test_success_from_somebody_else_is_not_believed(call: Call, body: bytes) -> None:
    size = len(body) if call is not stat else 0  # an answer to HEAD has no body
    with answering(answer("200 OK", body[:size])) as (end, _):
        error = await failure(end, call)
    assert isinstance(error, Transient)
    assert (error.code, error.key) == ("BadResponse", "key")


async def test_the_connection_is_used_again_after_an_upload_was_finished() -> None:
    async def twice(dest: OssDestination) -> object:
        return [await finish_upload(dest), await finish_upload(dest)]

    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(answer("200 OK", b"<CompleteMultipartUploadResult/>", 'ETag: "E"'))

    with RawServer(script) as server:
        assert await run(server.endpoint, twice) == [("E", None, "")] * 2
        assert server.connections == 1


@both_ways
async def test_an_answer_that_is_not_http_is_told(call: Call) -> None:
    with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as (end, _):
        error = await failure(end, call)
    assert isinstance(error, Transient)


@both_ways
async def test_a_redirect_is_not_followed(call: Call) -> None:
    with answering(STORED) as (elsewhere, heads_elsewhere):
        location = f"Location: {elsewhere}/bucket/key"
        for status in ("301 Moved", "307 Moved"):
            with answering(answer(status, b"", location)) as (end, _):
                assert isinstance(await failure(end, call), Fatal)
    assert heads_elsewhere == []


async def test_a_failed_callback_leaves_the_object_stored() -> None:
    body = b"<Error><Code>CallbackFailed</Code></Error>"
    with answering(answer("203 CallbackFailed", body, 'ETag: "E"')) as (end, _):
        stored = await run(end, put)
    assert stored == ("E", None, "")


@both_ways
async def test_the_way_there_knows_no_proxy_and_no_netrc(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with answering(answer("503 Slow")) as (end, heads):
        await failure(end, call)
    assert "authorization: OSS4-HMAC-SHA256 " in heads[0]


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("a/b c+d%.txt", "/bucket/a/b%20c%2Bd%25.txt"),
        ("caf\u00e9~", "/bucket/caf%C3%A9~"),
        ("a/../b", "/bucket/a%2F..%2Fb"),
        ("../a/b", "/bucket/..%2Fa%2Fb"),
        ("a//b/c", "/bucket/a%2F%2Fb%2Fc"),
        ("a/.", "/bucket/a%2F."),
        ("a\r\nb?c#d", "/bucket/a%0D%0Ab%3Fc%23d"),
    ],
)
async def test_no_proxy_can_make_another_key_of_the_path(key: str, target: str) -> None:
    with answering(STORED) as (end, heads):
        await run(end, lambda dest: dest.put(key, b"", {}))
        await run(end, lambda dest: dest.stat(key))
        await run(end, lambda dest: dest.upload_part(key, "I/D", 3, b"x"))
    targets = [head.split(" ")[:2] for head in heads]
    part = f"{target}?partNumber=3&uploadId=I%2FD"
    assert targets == [["PUT", target], ["HEAD", target], ["PUT", part]]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_on_an_address_the_bucket_is_in_the_path(host: str) -> None:
    with answering(STORED) as (end, heads):
        await run(end._replace(host=host), put)
        await failure(end._replace(host=host), start_upload)
    assert heads[0].startswith("PUT /bucket/key HTTP/1.1")
    assert heads[1].startswith("POST /bucket/key?uploads")


async def test_on_a_name_the_bucket_is_in_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def here(host: str, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1" if host == "bucket.oss.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    with answering(STORED) as (end, heads):
        await run(end._replace(host="oss.test"), put)
        await failure(end._replace(host="oss.test"), start_upload)
    assert heads[0].startswith("PUT /key HTTP/1.1")
    assert heads[1].startswith("POST /key?uploads")
    assert all(f"Host: bucket.oss.test:{end.port}" in head for head in heads)


@both_ways
@pytest.mark.parametrize("bucket", ["a/b", "UPPER", "", "..", "a" * 64, "bucket?x", "-a-"])
async def test_a_bucket_name_that_would_lead_astray_is_refused(call: Call, bucket: str) -> None:
    with answering(STORED) as (end, heads):
        error = await failure(end, call, bucket=bucket)
    assert isinstance(error, Fatal)
    assert "Cure: check destBucket" in str(error)
    assert heads == []


@both_ways
async def test_a_host_that_cannot_be_is_refused(call: Call) -> None:
    error = await failure(Endpoint("http", "not a host", 80), call)
    assert isinstance(error, Fatal)
    assert "Cure: check destDomain" in str(error)


@pytest.mark.parametrize("body", [b"<html/>", b"<Result><IsTruncated>false", b"hello", b""])
async def test_a_listing_by_somebody_else_is_not_believed(body: bytes) -> None:
    with answering(answer("200 OK", body)) as (end, _):
        error = await failure(end, list_objects)
    assert isinstance(error, Transient)
    assert (error.op, error.code) == ("list", "BadResponse")


@pytest.mark.parametrize(("said", "crc64"), [("7", 7), ("-7", None), ("0x7", None), ("", None)])
async def test_what_is_no_crc64_is_none(said: str, crc64: int | None) -> None:
    reply = answer(
        "200 OK", b"", 'ETag: "E"', "x-oss-request-id: R", f"x-oss-hash-crc64ecma: {said}"
    )
    with answering(reply) as (end, _):
        assert await run(end, put) == ("E", crc64, "R")


async def test_oss2_logs_no_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with answering(answer("403 No", b"<Error><Code>AccessDenied</Code></Error>")) as (end, heads):
        assert isinstance(await failure(end, start_upload), Permanent)
    assert TOKEN in heads[0]
    assert TOKEN not in caplog.text


ORIGIN = Origin("from", "a/\u4e2d +%", "SOURCE-2", 7, {"x-oss-meta-a": "b"})


async def copy(dest: OssDestination) -> object:
    return await dest.copy_from("key", ORIGIN, {"x-oss-server-side-encryption": "AES256"})


async def copy_part(dest: OssDestination) -> object:
    return await dest.copy_part_from("key", "id", 3, ORIGIN, range(100, 300))


both_copies = pytest.mark.parametrize("call", [copy, copy_part])


def copied(etag: str, *headers: str) -> bytes:
    return answer("200 OK", f"<Result><ETag>{etag}</ETag></Result>".encode(), *headers)


async def test_a_copy_names_the_version_that_it_is_to_be_of() -> None:
    with answering(copied('"E"', "x-oss-request-id: R", "x-oss-hash-crc64ecma: 7")) as (end, heads):
        assert await run(end, copy) == ("E", 7, "R")
        assert await run(end, copy_part) == ("E", 7, 200)
    whole, part = (head.lower() for head in heads)
    assert heads[0].startswith("PUT /bucket/key HTTP/1.1\r\n")
    assert heads[1].startswith("PUT /bucket/key?partNumber=3&uploadId=id HTTP/1.1\r\n")
    for head in (whole, part):
        assert "\r\nx-oss-copy-source: /from/a%2f%e4%b8%ad%20%2b%25\r\n" in head
        assert "\r\nx-oss-copy-source-if-match: source-2\r\n" in head
        assert "\r\ncontent-length: 0" in head
        assert "x-oss-meta-a" not in head, "OSS has it"
    assert "\r\nx-oss-server-side-encryption: aes256\r\n" in whole
    assert "\r\nx-oss-tagging-directive: replace\r\n" in whole
    assert "\r\nx-oss-metadata-directive: replace\r\n" in whole
    assert "\r\nx-oss-copy-source-range: bytes=100-299\r\n" in part


@both_copies
@pytest.mark.parametrize(
    "reply",
    [copied('"E"'), copied("&quot;E&quot;"), copied("E"), answer("200 OK", b"", 'ETag: "E"')],
)
async def test_the_etag_of_a_copy_is_found_wherever_it_is(call: Call, reply: bytes) -> None:
    with answering(reply) as (end, _):
        result = await run(end, call)
    assert isinstance(result, tuple)
    assert result[:2] == ("E", None)


@both_copies
@pytest.mark.parametrize("body", [b"", b"<html/>", b"<Error><Code>InternalError</Code></Error>"])
async def test_an_answer_that_names_no_copy_is_none(call: Call, body: bytes) -> None:
    with answering(answer("200 OK", body)) as (end, _):
        error = await failure(end, call)
    assert isinstance(error, Transient)
    assert (error.code, error.key) == ("BadResponse", "key")


@both_copies
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("412 No", "PreconditionFailed", Permanent),
        ("404 No", "NoSuchKey", Permanent),
        ("404 No", "NoSuchBucket", Fatal),
        ("403 No", "AccessDenied", Permanent),
        ("400 No", "EntityTooLarge", Permanent),
        ("501 No", "NotImplemented", Permanent),
        ("503 No", "ServiceUnavailable", Transient),
    ],
)
async def test_a_refused_copy_is_told(call: Call, status: str, code: str, kind: type) -> None:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    with answering(answer(status, body, "x-oss-request-id: R")) as (end, heads):
        error = await failure(end, call)
    assert type(error) is kind
    assert (error.code, error.key, error.request_id) == (code, "key", "R")
    assert len(heads) == 1


def own_authority(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the file with the certificate that it needs."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    authority, chain = directory / "authority.pem", directory / "chain.pem"
    authority.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(secret + authority.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, authority


@both_ways
async def test_both_ways_trust_the_same_authorities(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Peer) -> None:
        while peer.read_request()[0]:
            peer.send(answer("503 Slow"))

    context, authority = own_authority(tmp_path)
    with RawServer(script, context) as server:
        assert (await failure(server.endpoint, call)).code == "TlsError"
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert (await failure(server.endpoint, call)).code == "ServerError"


async def test_a_slow_control_request_does_not_hold_up_the_loop() -> None:
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def script(peer: Peer) -> None:
        peer.read_request()
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(DEADLINE)
        peer.send(answer("503 Slow"))

    async def meanwhile() -> None:
        released.set()

    with RawServer(script) as server:
        error, _ = await asyncio.gather(failure(server.endpoint, start_upload), meanwhile())
    assert isinstance(error, Transient)
