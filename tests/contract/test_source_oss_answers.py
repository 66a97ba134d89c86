"""The OSS source against answers that no healthy service gives, and what it really sends."""

import asyncio
import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from ossimport.dest.oss import OssDestination
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.oss.bucket import Access
from ossimport.sources.oss import OssSource
from ossimport.transport import Endpoint, Transport
from tests.servers.raw_http import DEADLINE, Peer, RawServer

SECRET, TOKEN = "the-secret-key", "the-security-token"
INFO = ObjectInfo("key", 10, 0, "E")
BODY = b"0123456789"

Answer = Callable[[dict[str, str]], bytes]  # from a request's query


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def error(status: str, code: str, more: str = "", *headers: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>Words</Message>{more}</Error>"
    return answer(status, body.encode(), *headers)


def page(*keys: str, truncated: bool = True, marker: str = "") -> bytes:
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
        '<ETag>"E"</ETag><Size>10</Size></Contents>'
        for key in keys
    )
    marker = f"<NextMarker>{marker}</NextMarker>" if marker else ""
    head = f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{marker}"
    return answer("200 OK", f"<ListBucketResult>{head}{contents}</ListBucketResult>".encode())


@contextmanager
def answering(reply: bytes | Answer) -> Iterator[tuple[RawServer, list[str]]]:
    """A server that answers by the query of the request; and the heads that it was sent."""
    heads: list[str] = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            heads.append(head.decode("latin-1"))
            query = parse_qs(urlsplit(heads[-1].split(" ")[1]).query)
            params = {name: values[0] for name, values in query.items()}
            peer.send(reply if isinstance(reply, bytes) else reply(params))

    with RawServer(script) as server:
        yield server, heads


def access(endpoint: Endpoint) -> Access:
    return Access(endpoint, "bucket", "cn-hangzhou", "access", SECRET, TOKEN)


def listed(endpoint: Endpoint, prefix: str = "", lane: Lane = Lane()) -> list[str]:  # noqa: B008
    source = OssSource(access(endpoint), prefix)
    try:
        return [entry.info.key for entry in source.scan(lane)]
    finally:
        asyncio.run(source.close())


def scan_failure(endpoint: Endpoint) -> StorageError:
    with pytest.raises(StorageError) as caught:
        listed(endpoint)
    fault = caught.value
    assert SECRET not in repr(fault) + str(fault)
    assert TOKEN not in repr(fault) + str(fault)
    assert "dest" not in str(fault)
    return fault


async def read(
    endpoint: Endpoint, offset: int = 0, length: int = 10, patience_s: float = DEADLINE
) -> bytes:
    transport = Transport(idle_timeout=patience_s)
    source = OssSource(access(endpoint), "", transport)
    try:
        return bytes((await source.read(INFO, offset, length)).body)
    finally:
        await source.close()
        await transport.close()


async def read_failure(
    endpoint: Endpoint, offset: int = 0, length: int = 10, patience_s: float = DEADLINE
) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await read(endpoint, offset, length, patience_s)
    fault = caught.value
    assert (fault.op, fault.key) == ("read", "key")
    assert SECRET not in repr(fault) + str(fault)
    assert TOKEN not in repr(fault) + str(fault)
    return fault


# -- copies inside the service


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        (["x-oss-object-type: Normal", "x-oss-hash-crc64ecma: 7"], True),
        (["x-oss-object-type: Normal"], False),  # nothing would be proved
        (["x-oss-object-type: Normal", "x-oss-hash-crc64ecma: none"], False),
        (["x-oss-hash-crc64ecma: 7"], False),
        (["x-oss-object-type: Symlink", "x-oss-hash-crc64ecma: 7"], False),
    ],
)
async def test_only_what_states_all_that_is_needed_may_be_copied(
    headers: list[str], may: bool
) -> None:
    head = answer("200 OK", b"", 'ETag: "E"', *headers).replace(b"Length: 0", b"Length: 10")
    transport = Transport()
    with answering(head) as (server, heads):
        source = OssSource(access(server.endpoint), "a/", transport)
        origin = await source.origin(INFO)
        await source.close()
    await transport.close()
    assert (origin is not None) == may
    assert origin is None or origin[:4] == ("bucket", "a/key", "E", 7)
    assert heads[0].startswith("HEAD /bucket/a/key HTTP/1.1\r\n")
    assert '\r\nif-match: "E"\r\n' in heads[0]


async def test_old_versions_are_looked_for_below_the_prefix() -> None:
    version = "<Version><Key>a/b</Key><IsLatest>{}</IsLatest></Version>"
    marker = "<DeleteMarker><Key>a/b</Key><IsLatest>{}</IsLatest></DeleteMarker>"
    body = "".join([version.format("false"), marker.format("false"), version.format("true")])
    for reply, wanted in (
        (answer("200 OK", body.encode()), {"old versions": 2}),
        (answer("403 No", b"<Error><Code>AccessDenied</Code></Error>"), {}),
    ):
        transport = Transport()
        with answering(reply) as (server, heads):
            source = OssSource(access(server.endpoint), "a/", transport)
            assert await source.untold(500) == wanted
            await source.close()
        await transport.close()
        target = heads[0].split(" ")[1]
        assert target == "/bucket/?max-keys=500&prefix=a%2F&versions"


# -- listings


def test_a_listing_goes_on_behind_the_last_key() -> None:
    pages = {"": page("a/a", "a/b c".replace(" ", "&#32;")), "a/b c": page("a/c", truncated=False)}
    with answering(lambda query: pages[query.get("start-after", "")]) as (server, heads):
        assert listed(server.endpoint, "a/") == ["a", "b c", "c"]
        assert server.connections == 1
    target = "/bucket/?encoding-type=url&list-type=2&max-keys=1000&prefix=a%2F"
    assert heads[0].startswith(f"GET {target} HTTP/1.1\r\n")
    assert heads[1].startswith(f"GET {target}&start-after=a%2Fb%20c HTTP/1.1\r\n")
    assert f"\r\nx-oss-security-token: {TOKEN}\r\n" in heads[0]
    assert "\r\nauthorization: OSS4-HMAC-SHA256 Credential=access/" in heads[0]


@pytest.mark.parametrize(
    "second",
    [
        page("a", "b"),
        page("b", "c"),
        page("a"),
        page("d", "c"),
        page("c", "c"),
        page(),
        page("a", "b", truncated=False),
    ],
)
def test_pages_that_go_in_circles_stop_the_job_at_either_end(second: bytes) -> None:
    def reply(query: dict[str, str]) -> bytes:
        return second if query.get("start-after") or query.get("marker") else page("a", "b")

    async def list_all(endpoint: Endpoint) -> None:
        transport = Transport()
        dest = OssDestination(
            endpoint=endpoint,
            bucket="bucket",
            access_key="access",
            secret_key=SECRET,
            region="cn-hangzhou",
            transport=transport,
        )
        try:
            await dest.list("", "", 2000)
        finally:
            await dest.close()
            await transport.close()

    with answering(reply) as (server, heads):
        fault = scan_failure(server.endpoint)
        assert isinstance(fault, Fatal)
        assert fault.code == "ListingLoops"
        assert "Cure: " in str(fault)
        assert len(heads) <= 3
        with pytest.raises(Fatal) as caught:
            asyncio.run(list_all(server.endpoint))
        assert caught.value.code == "ListingLoops"


def test_an_empty_page_that_goes_on_is_asked_for_with_a_marker() -> None:
    def reply(query: dict[str, str]) -> bytes:
        if query.get("list-type") == "2":
            return page("c", truncated=False) if query.get("start-after") == "b" else page()
        assert "start-after" not in query
        assert query.get("marker", "") in {"", "a"}
        return page(marker="b" if "marker" in query else "a")

    with answering(reply) as (server, heads):
        assert listed(server.endpoint) == ["c"]
        assert len(heads) == 5


def test_an_empty_page_whose_marker_stays_stops_the_job() -> None:
    with answering(lambda query: page(marker=query.get("marker") or "a")) as (server, heads):
        fault = scan_failure(server.endpoint)
        assert (type(fault), fault.code) == (Fatal, "ListingLoops")
        assert len(heads) <= 6


@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b"hello", b"<ListBucketResult/>"])
def test_a_listing_by_somebody_else_is_asked_for_again(body: bytes) -> None:
    with answering(answer("200 OK", body)) as (server, _):
        fault = scan_failure(server.endpoint)
    assert (type(fault), fault.op, fault.code) == (Transient, "scan", "BadResponse")
    assert "check srcDomain" in str(fault)


@pytest.mark.parametrize(
    ("reply", "code", "cure"),
    [
        (error("403 No", "AccessDenied"), "AccessDenied", "oss:ListObjects"),
        (
            error("403 No", "AccessDenied", "<Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>"),
            "AccessDenied",
            "set srcDomain to oss-cn-beijing.aliyuncs.com",
        ),
        (error("404 No", "NoSuchBucket"), "NoSuchBucket", "srcBucket"),
        (error("403 No", "SecondLevelDomainForbidden"), "SecondLevelDomainForbidden", "srcDomain"),
        (error("403 No", "InvalidAccessKeyId"), "InvalidAccessKeyId", "srcAccessKey"),
        (error("403 No", "SecurityTokenExpired"), "SecurityTokenExpired", "srcSecurityToken"),
        (answer("301 Moved", b"", "Location: http://elsewhere/"), "HTTP301", "srcDomain"),
        (answer("404 No", b"<html>nothing here</html>"), "HTTP404", "srcDomain"),
    ],
)
def test_a_refusal_stops_the_job_and_says_which_key_to_mend(
    reply: bytes, code: str, cure: str
) -> None:
    with answering(reply) as (server, heads):
        fault = scan_failure(server.endpoint)
        source = OssSource(access(server.endpoint), "")
        with pytest.raises(Fatal, match="Cure: "):
            source.check()
        asyncio.run(source.close())
    assert (type(fault), fault.op, fault.code) == (Fatal, "scan", code)
    assert cure in str(fault)
    assert len(heads) == 2


@pytest.mark.parametrize("status", ["503 Slow", "429 Slow"])
def test_a_busy_service_says_when_to_come_back(status: str) -> None:
    reply = error(status, "QpsLimitExceeded", "", "Retry-After: 9", "x-oss-request-id: R")
    with answering(reply) as (server, heads):
        fault = scan_failure(server.endpoint)
    assert isinstance(fault, Transient)
    assert (fault.code, fault.request_id, fault.retry_after) == ("QpsLimitExceeded", "R", 9.0)
    assert len(heads) == 1


def test_a_lane_goes_on_where_a_storm_has_ended_it() -> None:
    storm = iter([True, True, False, True, False])

    def reply(query: dict[str, str]) -> bytes:
        if next(storm, False):
            return error("503 Slow", "ServiceUnavailable")
        after = query.get("start-after", "")
        return page("a", "b") if not after else page("c", truncated=after < "b")

    with answering(reply) as (server, _):
        source = OssSource(access(server.endpoint), "")
        seen: list[str] = []
        while seen[-1:] != ["c"]:
            try:
                for entry in source.scan(Lane(seen[-1] if seen else "")):
                    seen.append(entry.cursor)
            except Transient:
                continue
        asyncio.run(source.close())
    assert seen == ["a", "b", "c"]


def test_a_check_sees_that_nothing_can_be_read() -> None:
    def reply(query: dict[str, str]) -> bytes:
        if "list-type" in query:
            return page("key", truncated=False)
        return error("403 No", "AccessDenied")

    with answering(reply) as (server, heads):
        source = OssSource(access(server.endpoint), "")
        with pytest.raises(Fatal, match="oss:GetObject") as caught:
            source.check()
        asyncio.run(source.close())
    assert (caught.value.op, caught.value.code) == ("check", "AccessDenied")
    assert "Range: bytes=0-0".lower() in heads[1].lower()


def test_who_waits_for_a_page_is_not_left_waiting_when_the_source_is_closed() -> None:
    asked = threading.Event()
    faults: list[StorageError] = []

    def script(peer: Peer) -> None:
        peer.read_request()
        asked.set()
        peer.wait_closed()

    def walk() -> None:
        try:
            list(source.scan(Lane()))
        except StorageError as exc:
            faults.append(exc)

    with RawServer(script) as server:
        source = OssSource(access(server.endpoint), "")
        thread = threading.Thread(target=walk)
        thread.start()
        assert asked.wait(DEADLINE)
        asyncio.run(source.close())
        thread.join(DEADLINE)
    assert not thread.is_alive()
    assert [type(fault) for fault in faults] == [Transient]
    with pytest.raises(Transient):
        list(source.scan(Lane()))


# -- objects


async def test_a_read_is_signed_ranged_and_pinned() -> None:
    part = answer("206 Partial", b"234", "Content-Range: bytes 2-4/10", 'ETag: "E"')
    with answering(part) as (server, heads):
        assert await read(server.endpoint, 2, 3) == b"234"
    head = heads[0].lower()
    assert head.startswith("get /bucket/key http/1.1\r\n")
    assert "\r\nrange: bytes=2-4\r\n" in head
    assert '\r\nif-match: "e"\r\n' in head
    assert "\r\nauthorization: oss4-hmac-sha256 " in head


@pytest.mark.parametrize(
    ("key", "target"),
    [
        (".", "/bucket/%2E"),
        ("..", "/bucket/%2E%2E"),
        ("/a", "/bucket/%2Fa"),
        ("//", "/bucket/%2F%2F"),
        ("a/../b", "/bucket/a%2F..%2Fb"),
        ("a/b c+d%", "/bucket/a/b%20c%2Bd%25"),
        ("a\r\nb?c#d", "/bucket/a%0D%0Ab%3Fc%23d"),
        ("not-utf8-\udcff", "/bucket/not-utf8-%FF"),
    ],
)
async def test_no_proxy_can_make_another_key_of_the_path(key: str, target: str) -> None:
    with answering(answer("200 OK", BODY)) as (server, heads):
        source = OssSource(access(server.endpoint), "")
        await source.read(INFO._replace(key=key), 0, 10)
        await source.close()
    assert heads[0].split(" ")[1] == target


async def test_a_body_that_ends_early_is_no_body() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"
    chunked = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n01234"
    for text, code in ((cut, "ConnectionReset"), (chunked, "BadResponse")):

        def script(peer: Peer, text: bytes = text) -> None:
            peer.read_request()
            peer.send(text)

        with RawServer(script) as server:
            fault = await read_failure(server.endpoint)
        assert (type(fault), fault.code) == (Transient, code)


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123")
        peer.wait_closed()

    with RawServer(script) as server:
        fault = await read_failure(server.endpoint, patience_s=0.2)
    assert (type(fault), fault.code) == (Transient, "Timeout")


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (error("412 Changed", "PreconditionFailed"), Permanent, "SourceChanged"),
        (answer("200 OK", BODY, 'ETag: "F"'), Permanent, "SourceChanged"),
        (error("404 No", "NoSuchKey"), Permanent, "NotFound"),
        (error("404 No", "NoSuchBucket"), Fatal, "NoSuchBucket"),
        (error("403 No", "AccessDenied"), Permanent, "AccessDenied"),
        (error("403 No", "InvalidObjectState"), Permanent, "InvalidObjectState"),
        (error("403 No", "RequestTimeTooSkewed"), Transient, "RequestTimeTooSkewed"),
        (error("503 Slow", "ServiceUnavailable"), Transient, "ServiceUnavailable"),
        (answer("502 Bad", b"<html>"), Transient, "ServerError"),
    ],
)
async def test_what_a_refused_read_means(reply: bytes, kind: type[StorageError], code: str) -> None:
    with answering(reply) as (server, heads):
        fault = await read_failure(server.endpoint)
        assert (type(fault), fault.code) == (kind, code)
        assert len(heads) == 1


async def test_the_answer_to_a_head_says_in_a_header_what_is_wrong() -> None:
    for code, kind in (("NoSuchKey", "NotFound"), ("NoSuchBucket", "NoSuchBucket")):
        text = base64.b64encode(f"<Error><Code>{code}</Code></Error>".encode()).decode()
        with answering(answer("404 No", b"", f"x-oss-err: {text}")) as (server, _):
            source = OssSource(access(server.endpoint), "")
            with pytest.raises(StorageError) as caught:
                await source.stat("key")
            await source.close()
        assert (caught.value.code, caught.value.op) == (kind, "stat")


async def test_an_md5_is_the_checksum_where_there_is_no_crc64() -> None:
    md5 = "eB5eJF1ptWaXm4bijSPyxw=="
    for header, value in (
        ("x-oss-hash-crc64ecma: 7", ("crc64", "7")),
        (f"Content-MD5: {md5}", ("md5", "781e5e245d69b566979b86e28d23f2c7")),
        ("Content-MD5: ???", None),
        ("Content-MD5: AAAA", None),
        ("Server: x", None),
    ):
        with answering(answer("200 OK", BODY, header)) as (server, _):
            source = OssSource(access(server.endpoint), "")
            assert (await source.read(INFO, 0, 10)).checksum == value
            await source.close()


async def test_a_closed_source_leaves_the_workers_transport_open() -> None:
    transport = Transport()
    with answering(answer("200 OK", BODY)) as (server, _):
        for _ in range(2):
            source = OssSource(access(server.endpoint), "", transport)
            await source.read(INFO, 0, 10)
            await source.close()
            await source.close()
        assert server.connections == 1
    await transport.close()


def test_a_bucket_name_that_would_lead_astray_is_refused() -> None:
    with pytest.raises(Fatal, match="Cure: check srcBucket"):
        OssSource(access(Endpoint("http", "127.0.0.1", 1))._replace(bucket="a/b"), "")


def test_settings_are_shown_without_secrets() -> None:
    assert SECRET not in repr(access(Endpoint("http", "127.0.0.1", 1)))
    assert TOKEN not in repr(access(Endpoint("http", "127.0.0.1", 1)))
