"""The S3 source against answers that no healthy store gives, old stores, and other regions."""

import asyncio
import random
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.sources.base import Checksum
from ossimport.sources.s3 import Access, S3Source
from ossimport.sources.s3_place import find
from ossimport.transport import Transport
from tests.servers.raw_http import DEADLINE, Peer, RawServer

SECRET, TOKEN = "the-secret-key", "the-security-token"
MD5 = "781e5e245d69b566979b86e28d23f2c7"
INFO = ObjectInfo("key", 10, 0, MD5)
BODY = b"0123456789"


class Asked(NamedTuple):
    """A request, as it came."""

    method: str
    target: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def region(self) -> str:
        """What it is signed for."""
        return self.headers["authorization"].split("/")[2]


Answer = Callable[[Asked], bytes]


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def error(status: str, code: str, more: str = "", *headers: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>Words</Message>{more}</Error>"
    return answer(status, body.encode(), *headers)


def page(*keys: str, truncated: bool = True, more: str = "") -> bytes:
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"{MD5}"</ETag><Size>10</Size></Contents>'
        for key in keys
    )
    head = f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{more}"
    return answer("200 OK", f"<ListBucketResult>{head}{contents}</ListBucketResult>".encode())


@contextmanager
def answering(reply: bytes | Answer) -> Iterator[tuple[RawServer, list[Asked]]]:
    """A server that answers each request; and the requests that it got."""
    requests: list[Asked] = []

    def script(peer: Peer) -> None:
        while head := peer.read_request()[0]:
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            query = parse_qs(urlsplit(target).query, errors="surrogateescape")
            headers = dict(line.split(": ", 1) for line in lines)
            params = {name: values[0] for name, values in query.items()}
            asked = Asked(method, target, params, {n.lower(): v for n, v in headers.items()})
            requests.append(asked)
            text = reply if isinstance(reply, bytes) else reply(asked)
            if method == "HEAD":
                text = text.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            peer.send(text)

    with RawServer(script) as server:
        yield server, requests


def access(domain: object, bucket: str = "bucket") -> Access:
    return Access(find(str(domain), bucket), "access", SECRET, TOKEN)


def listed(server: RawServer, prefix: str = "", lane: Lane = Lane()) -> list[str]:  # noqa: B008
    source = S3Source(access(server.endpoint), prefix)
    try:
        return [entry.info.key for entry in source.scan(lane)]
    finally:
        asyncio.run(source.close())


def hold_secrets(fault: StorageError) -> None:
    assert SECRET not in repr(fault) + str(fault)
    assert TOKEN not in repr(fault) + str(fault)


def scan_failure(server: RawServer) -> StorageError:
    with pytest.raises(StorageError) as caught:
        listed(server)
    hold_secrets(caught.value)
    return caught.value


async def read(
    server: RawServer, info: ObjectInfo = INFO, patience_s: float = DEADLINE
) -> Checksum | None:
    transport = Transport(idle_timeout=patience_s)
    source = S3Source(access(server.endpoint), "", transport)
    try:
        payload = await source.read(info, 0, info.size)
        assert payload.body == BODY
        return payload.checksum
    finally:
        await source.close()
        await transport.close()


async def read_failure(
    server: RawServer, info: ObjectInfo = INFO, patience_s: float = DEADLINE
) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await read(server, info, patience_s)
    fault = caught.value
    assert (fault.op, fault.key) == ("read", info.key)
    hold_secrets(fault)
    return fault


# -- listings


def test_a_listing_goes_on_behind_the_last_key() -> None:
    def reply(asked: Asked) -> bytes:
        if "start-after" in asked.query:
            return page("a/c", truncated=False)
        return page("a/a", "a/b%2B+c", more="<EncodingType>url</EncodingType>")

    with answering(reply) as (server, requests):
        assert listed(server, "a/") == ["a", "b+ c", "c"]
        assert server.connections == 1
        assert requests[0].headers["host"] == server.endpoint.authority
    target = "/bucket/?encoding-type=url&list-type=2&max-keys=1000&prefix=a%2F"
    assert requests[0].target == target
    assert requests[1].target == target + "&start-after=a%2Fb%2B%20c"
    assert requests[0].headers["x-amz-security-token"] == TOKEN
    assert "content-length" not in requests[0].headers


class Store:
    """Keys, listed as well as a store can that is as old as `knows` says."""

    def __init__(self, keys: Sequence[str], knows: str, page_size: int = 3) -> None:
        self.keys = sorted(keys)
        self.knows = knows.split()
        self.page_size = page_size

    def __call__(self, asked: Asked) -> bytes:
        query = asked.query
        if "refusal" in self.knows and "list-type" in query:
            return error("501 No", "NotImplemented")
        begins = {"start-after", "marker"} & set(self.knows) & set(query)
        after = query[begins.pop()] if begins else ""
        keys = [key for key in self.keys if key > after]
        shown = keys[: self.page_size]
        said = "<EncodingType>url</EncodingType>" if "encoding-type" in self.knows else ""
        text = [quote(key, safe="") if said else key for key in shown]
        return page(*text, truncated=len(keys) > len(shown), more=said)


KEYS = [*(f"k-{n:02d}" for n in range(10)), "a b", "a+b", "a%2Bb", "z/", "z//", "\U0001f600"]


@pytest.mark.parametrize(
    "knows",
    ["start-after", "start-after marker", "marker", "marker encoding-type", "marker refusal"],
)
@pytest.mark.parametrize("seed", range(4))
def test_old_stores_are_listed_as_well_whatever_of_the_request_they_know(
    knows: str, seed: int
) -> None:
    """Killed at any entry and gone on by another process: every key exactly once."""
    choice = random.Random(seed)
    with answering(Store(KEYS, knows)) as (server, requests):
        seen: list[str] = []
        cursor, done = "", False
        while not done:
            source = S3Source(access(server.endpoint), "")
            done = True
            for entry in source.scan(Lane(cursor)):
                seen.append(entry.info.key)
                cursor = entry.cursor
                if choice.random() < 0.2:
                    done = False
                    break
            asyncio.run(source.close())
        assert seen == sorted(KEYS)
        requests.clear()
        assert listed(server) == sorted(KEYS)
    pages = -(-len(KEYS) // 3)
    assert len(requests) <= pages + 1  # found out once
    if "start-after" not in knows:
        assert all("list-type" not in asked.query for asked in requests[2:])


def test_a_store_that_knows_neither_is_not_followed_in_circles() -> None:
    with answering(Store(KEYS, "")) as (server, requests):
        fault = scan_failure(server)
        assert (type(fault), fault.code) == (Fatal, "ListingLoops")
        assert len(requests) == 3


def test_nothing_behind_a_marker_is_not_believed_of_a_store_that_showed_more() -> None:
    """A store that ignores `start-after` and answers `marker` with an empty last page."""

    def reply(asked: Asked) -> bytes:
        return page(truncated=False) if "marker" in asked.query else page("a", "b", "c")

    with answering(reply) as (server, _), pytest.raises(Fatal, match="ListingLoops|again"):
        listed(server, lane=Lane("b"))
    with answering(reply) as (server, _):
        assert listed(server, lane=Lane("c")) == []


class Disorderly:
    """A store whose order of names is not that of their bytes, as a walk through directories is."""

    keys = ("a.txt", "a0", "b", "a/b", "c", "d")

    def __call__(self, asked: Asked) -> bytes:
        first = int(asked.query.get("continuation-token", "0"))
        after = asked.query.get("start-after", "")
        keys = [key for key in self.keys[first:] if key > after]
        more = f"<NextContinuationToken>{first + 3}</NextContinuationToken>"
        return page(*keys[:3], truncated=len(keys) > 3, more=more if len(keys) > 3 else "")


def test_a_store_that_does_not_list_in_order_is_found_out_and_loses_nothing_in_silence() -> None:
    with answering(Disorderly()) as (server, _):
        fault = scan_failure(server)
    assert (type(fault), fault.code) == (Fatal, "ListingLoops")


def test_a_walk_goes_on_by_the_token_of_its_last_page() -> None:
    def reply(asked: Asked) -> bytes:
        step = int(asked.query.get("continuation-token", "0"))
        if "continuation-token" in asked.query:
            assert "start-after" not in asked.query
        more = f"<NextContinuationToken>{step + 1}</NextContinuationToken>"
        return page(f"k{step}", truncated=step < 3, more=more)

    with answering(reply) as (server, requests):
        assert listed(server) == ["k0", "k1", "k2", "k3"]
        assert [asked.query.get("continuation-token") for asked in requests] == [None, *"123"]


def test_a_token_that_is_no_more_known_is_done_without() -> None:
    def reply(asked: Asked) -> bytes:
        if "continuation-token" in asked.query:
            return error("400 No", "InvalidArgument")
        after = asked.query.get("start-after", "")
        more = "<NextContinuationToken>word</NextContinuationToken>"
        return page("b", truncated=False) if after == "a" else page("a", more=more)

    with answering(reply) as (server, requests):
        assert listed(server) == ["a", "b"]
        assert len(requests) == 3


def test_a_storm_does_not_take_a_token_twice() -> None:
    """The page is asked for behind its key then, and no token is kept for long."""
    storm = iter([False, True])
    more = "<NextContinuationToken>word</NextContinuationToken>"

    def reply(asked: Asked) -> bytes:
        if next(storm, False):
            return error("503 Slow", "SlowDown")
        return page("b", truncated=False) if "start-after" in asked.query else page("a", more=more)

    with answering(reply) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        with pytest.raises(Transient):
            list(source.scan(Lane()))
        assert [entry.info.key for entry in source.scan(Lane("a"))] == ["b"]
        asyncio.run(source.close())
    assert ["continuation-token" in asked.query for asked in requests] == [False, True, False]


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
def test_pages_that_go_in_circles_stop_the_job(second: bytes) -> None:
    def reply(asked: Asked) -> bytes:
        return second if {"start-after", "marker"} & set(asked.query) else page("a", "b")

    with answering(reply) as (server, requests):
        fault = scan_failure(server)
        assert (type(fault), fault.code) == (Fatal, "ListingLoops")
        assert "Cure: " in str(fault)
        assert len(requests) <= 3


def test_empty_pages_are_passed_over_by_the_word_that_each_gives() -> None:
    def reply(asked: Asked) -> bytes:
        assert "marker" not in asked.query
        step = int(asked.query.get("continuation-token", "0"))
        more = f"<NextContinuationToken>{step + 1}</NextContinuationToken>"
        return page(more=more) if step < 5 else page("z", truncated=False)

    with answering(reply) as (server, requests):
        assert listed(server, lane=Lane("a")) == ["z"]
        assert len(requests) == 6


def test_empty_pages_whose_word_stays_stop_the_job() -> None:
    more = "<NextContinuationToken>again</NextContinuationToken>"
    with answering(page(more=more)) as (server, requests):
        fault = scan_failure(server)
        assert (type(fault), fault.code) == (Fatal, "ListingLoops")
        assert len(requests) == 2


def test_an_empty_page_that_goes_on_by_no_word_is_asked_for_with_a_marker() -> None:
    def reply(asked: Asked) -> bytes:
        if "list-type" in asked.query:
            return page()
        after = asked.query.get("marker", "")
        return page("b", truncated=False) if after else page(more="<NextMarker>a</NextMarker>")

    with answering(reply) as (server, _):
        assert listed(server) == ["b"]


@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b"hello", b"<ListBucketResult/>"])
def test_a_listing_by_somebody_else_is_asked_for_again(body: bytes) -> None:
    with answering(answer("200 OK", body)) as (server, _):
        fault = scan_failure(server)
    assert (type(fault), fault.op, fault.code) == (Transient, "scan", "BadResponse")
    assert "check srcDomain" in str(fault)


# -- refusals


@pytest.mark.parametrize(
    ("reply", "code", "cure"),
    [
        (error("403 No", "AccessDenied"), "AccessDenied", "s3:ListBucket"),
        (error("403 No", "AccessDenied"), "AccessDenied", "requesters pay"),
        (error("404 No", "NoSuchBucket"), "NoSuchBucket", "srcBucket"),
        (error("403 No", "InvalidAccessKeyId"), "InvalidAccessKeyId", "srcAccessKey"),
        (error("403 No", "SignatureDoesNotMatch"), "SignatureDoesNotMatch", "srcSecretKey"),
        (error("400 No", "ExpiredToken"), "ExpiredToken", "srcSecurityToken"),
        (error("301 No", "PermanentRedirect"), "PermanentRedirect", "srcDomain"),
        (answer("302 Moved", b"", "Location: http://elsewhere/"), "HTTP302", "srcDomain"),
        (answer("404 No", b"<html>nothing here</html>"), "HTTP404", "srcDomain"),
    ],
)
def test_a_refusal_stops_the_job_and_says_what_to_mend(reply: bytes, code: str, cure: str) -> None:
    with answering(reply) as (server, requests):
        fault = scan_failure(server)
        assert len(requests) == 1
        source = S3Source(access(server.endpoint), "")
        with pytest.raises(Fatal, match="Cure: "):
            source.check()
        asyncio.run(source.close())
    assert (type(fault), fault.op, fault.code) == (Fatal, "scan", code)
    assert cure in str(fault)


@pytest.mark.parametrize("status", ["503 Slow", "429 Slow"])
def test_a_busy_store_says_when_to_come_back(status: str) -> None:
    reply = error(status, "SlowDown", "", "Retry-After: 9", "x-amz-request-id: R")
    with answering(reply) as (server, requests):
        fault = scan_failure(server)
    assert isinstance(fault, Transient)
    assert (fault.code, fault.request_id, fault.retry_after) == ("SlowDown", "R", 9.0)
    assert "workerTaskThreadNum" in str(fault)
    assert len(requests) == 1


def test_a_lane_goes_on_where_a_storm_has_ended_it() -> None:
    storm = random.Random(3)

    def reply(asked: Asked) -> bytes:
        if storm.random() < 0.5:
            return error("503 Slow", "SlowDown")
        return Store(KEYS, "start-after")(asked)

    with answering(reply) as (server, _):
        source = S3Source(access(server.endpoint), "")
        seen: list[str] = []
        while seen[-1:] != [max(KEYS)]:
            try:
                seen += (e.cursor for e in source.scan(Lane(seen[-1] if seen else "")))
            except Transient:
                continue
        asyncio.run(source.close())
    assert seen == sorted(KEYS)


def test_a_check_sees_that_nothing_can_be_read() -> None:
    def reply(asked: Asked) -> bytes:
        if "list-type" in asked.query:
            return page("key", truncated=False)
        return error("403 No", "AccessDenied")

    with answering(reply) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        with pytest.raises(Fatal, match="s3:GetObject") as caught:
            source.check()
        asyncio.run(source.close())
    assert (caught.value.op, caught.value.code) == ("check", "AccessDenied")
    assert requests[1].headers["range"] == "bytes=0-0"


@pytest.mark.parametrize(
    ("reply", "kind", "code", "said"),
    [
        (error("412 Changed", "PreconditionFailed"), Permanent, "SourceChanged", ""),
        (answer("200 OK", BODY, 'ETag: "F"'), Permanent, "SourceChanged", ""),
        (answer("200 OK", BODY[:9]), Permanent, "SourceChanged", ""),
        (error("404 No", "NoSuchKey"), Permanent, "NotFound", ""),
        (error("404 No", "NoSuchBucket"), Fatal, "NoSuchBucket", "srcBucket"),
        (error("403 No", "AccessDenied"), Permanent, "AccessDenied", "kms:Decrypt"),
        (error("403 No", "InvalidObjectState"), Permanent, "InvalidObjectState", "restore it"),
        (error("403 No", "RequestTimeTooSkewed"), Transient, "RequestTimeTooSkewed", "clock"),
        (error("400 No", "KMS.DisabledException"), Permanent, "KMS.DisabledException", "KMS key"),
        (error("400 No", "InvalidRequest"), Permanent, "InvalidRequest", "SSE-C"),
        (error("503 Slow", "SlowDown"), Transient, "SlowDown", ""),
        (answer("502 Bad", b"<html>"), Transient, "ServerError", ""),
    ],
)
async def test_what_a_refused_read_means(
    reply: bytes, kind: type[StorageError], code: str, said: str
) -> None:
    with answering(reply) as (server, requests):
        fault = await read_failure(server)
        assert (type(fault), fault.code) == (kind, code)
        assert said in str(fault)
        assert len(requests) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", "ConnectionReset"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n01234", "BadResponse"),
        (b"", "ConnectionReset"),
    ],
)
async def test_a_body_that_ends_early_is_no_body(text: bytes, code: str) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(text)

    with RawServer(script) as server:
        fault = await read_failure(server)
    assert (type(fault), fault.code) == (Transient, code)


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123")
        peer.wait_closed()

    with RawServer(script) as server:
        fault = await read_failure(server, patience_s=0.2)
    assert (type(fault), fault.code) == (Transient, "Timeout")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("403 No", "InvalidAccessKeyId", Fatal),
        ("400 No", "ExpiredToken", Fatal),
        ("403 No", "AccessDenied", Permanent),
        ("403 No", "InvalidObjectState", Permanent),
    ],
)
async def test_why_a_head_is_refused_a_get_says(status: str, code: str, kind: type) -> None:
    with answering(error(status, code)) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        with pytest.raises(StorageError) as caught:
            await source.stat("key")
        await source.close()
    assert [asked.method for asked in requests] == ["HEAD", "GET"]
    assert requests[1].headers["range"] == "bytes=0-0"
    fault = caught.value
    assert (type(fault), fault.code, fault.op, fault.key) == (kind, code, "stat", "key")


async def test_a_head_that_is_refused_where_a_get_is_not_stays_refused() -> None:
    def reply(asked: Asked) -> bytes:
        return error("403 No", "x") if asked.method == "HEAD" else answer("200 OK", b"0")

    with answering(reply) as (server, _):
        source = S3Source(access(server.endpoint), "")
        with pytest.raises(Permanent) as caught:
            await source.stat("key")
        await source.close()
    assert caught.value.code == "AccessDenied"


async def test_a_head_may_say_in_a_header_what_is_wrong() -> None:
    reply = answer("404 No", b"", "x-minio-error-code: NoSuchBucket")
    with answering(reply) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        with pytest.raises(Fatal, match="srcBucket"):
            await source.stat("key")
        await source.close()
    assert len(requests) == 1


# -- regions


def in_region(region: str, wrong: Callable[[Asked], bytes]) -> Answer:
    """One object in a bucket of a region; `wrong` answers who signs for another."""

    def reply(asked: Asked) -> bytes:
        if asked.region != region:
            return wrong(asked)
        if "list-type" in asked.query:
            return page("key", truncated=False)
        return answer("200 OK", BODY, f'ETag: "{MD5}"')

    return reply


MALFORMED = error("400 No", "AuthorizationHeaderMalformed", "<Region>eu-west-7</Region>")
ELSEWHERE = "x-amz-bucket-region: eu-west-7"


@pytest.mark.parametrize(
    "wrong",
    [
        MALFORMED,
        answer(
            "400 No",
            b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region &apos;us-east-1"
            b"&apos; is wrong; expecting &apos;eu-west-7&apos;</Message></Error>",
        ),
        error("301 No", "PermanentRedirect", "", ELSEWHERE),
        error("307 No", "TemporaryRedirect", "", ELSEWHERE),
        error("403 No", "SignatureDoesNotMatch", "", ELSEWHERE),
    ],
)
async def test_a_region_that_no_name_says_is_learnt_from_the_first_answer(wrong: bytes) -> None:
    with answering(in_region("eu-west-7", lambda _: wrong)) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        assert [e.info for e in source.scan(Lane())][0].key == "key"
        assert [asked.region for asked in requests] == ["us-east-1", "eu-west-7"]
        del requests[:]
        for _ in range(2):  # by a service of its own
            assert (await source.read(INFO, 0, 10)).body == BODY
            assert (await source.stat("key")).size == 10
        await source.close()
    assert [asked.region for asked in requests] == ["us-east-1", *["eu-west-7"] * 4]


@pytest.mark.parametrize("wrong", [MALFORMED, answer("400 No", b"", ELSEWHERE)])
async def test_a_worker_that_begins_with_a_head_learns_it_too(wrong: bytes) -> None:
    with answering(in_region("eu-west-7", lambda _: wrong)) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        assert (await source.stat("key")).size == 10
        await source.close()
    assert len(requests) <= 4


async def test_many_requests_learn_it_together() -> None:
    with answering(in_region("eu-west-7", lambda _: MALFORMED)) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        payloads = await asyncio.gather(*[source.read(INFO, 0, 10) for _ in range(20)])
        assert {bytes(payload.body) for payload in payloads} == {BODY}
        await source.close()
    assert len(requests) <= 40


@pytest.mark.parametrize(
    "more", ["", "<Region>us-east-1</Region>", "<Region>a\nb</Region>", "<Region>../x</Region>"]
)
def test_who_names_no_other_region_is_not_asked_again(more: str) -> None:
    with answering(error("400 No", "AuthorizationHeaderMalformed", more)) as (server, requests):
        fault = scan_failure(server)
    assert (type(fault), fault.code) == (Fatal, "AuthorizationHeaderMalformed")
    assert "srcDomain" in str(fault)
    assert len(requests) == 1


def test_a_store_that_names_ever_other_regions_is_not_followed() -> None:
    def reply(asked: Asked) -> bytes:
        return error("400 No", "AuthorizationHeaderMalformed", f"<Region>{asked.region}x</Region>")

    with answering(reply) as (server, requests):
        fault = scan_failure(server)
    assert (type(fault), fault.code) == (Fatal, "AuthorizationHeaderMalformed")
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("domain", "hosts"),
    [
        ("s3.amazonaws.com", ["bkt.s3.amazonaws.com", "bkt.s3.eu-west-7.amazonaws.com"]),
        (
            "s3.us-east-1.amazonaws.com",
            ["bkt.s3.us-east-1.amazonaws.com", "bkt.s3.eu-west-7.amazonaws.com"],
        ),
        ("s3.example.com", ["bkt.s3.example.com"] * 2),
    ],
)
def test_the_host_follows_the_region_where_it_names_one(
    domain: str, hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy, so that no name is looked up."""
    with answering(in_region("eu-west-7", lambda _: MALFORMED)) as (server, requests):
        monkeypatch.setenv("http_proxy", str(server.endpoint))
        source = S3Source(access(domain, "bkt"), "")
        assert [entry.info.key for entry in source.scan(Lane())] == ["key"]
        asyncio.run(source.close())
    assert [asked.headers["host"] for asked in requests] == hosts
    for asked, host in zip(requests, hosts, strict=True):
        assert asked.target.startswith(f"http://{host}/?")


async def test_a_store_without_names_for_its_buckets_is_told_of() -> None:
    async def resolve(name: str, port: int) -> Sequence[str]:
        assert name == "bucket.s3.example.com"
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    transport = Transport(resolve=resolve)
    source = S3Source(access("https://s3.example.com"), "", transport)
    with pytest.raises(Transient, match=r"Cure: .* https://s3\.example\.com:443: ") as caught:
        await source.stat("key")
    assert caught.value.code == "DnsFailure"
    await source.close()
    source = S3Source(access("https://bucket.s3.example.com:443"), "", transport)
    with pytest.raises(Transient, match="cannot be resolved") as caught:
        await source.stat("key")
    assert "Cure" not in str(caught.value)
    await source.close()
    await transport.close()


# -- objects


async def test_a_read_is_signed_ranged_and_pinned() -> None:
    part = answer("206 Partial", b"234", "Content-Range: bytes 2-4/10", f'ETag: "{MD5}"')
    with answering(part) as (server, requests):
        source = S3Source(access(server.endpoint), "")
        assert (await source.read(INFO, 2, 3)).body == b"234"
        await source.close()
    (asked,) = requests
    assert (asked.method, asked.target) == ("GET", "/bucket/key")
    assert asked.headers["range"] == "bytes=2-4"
    assert asked.headers["if-match"] == f'"{MD5}"'
    assert re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=access/\d{8}/us-east-1/s3/aws4_request, SignedHeaders=host;"
        r"x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}",
        asked.headers["authorization"],
    )


@pytest.mark.parametrize(
    ("headers", "checksum"),
    [
        ([f'ETag: "{MD5}"'], Checksum("md5", MD5)),
        ([f'ETag: "{MD5.upper()}"'], Checksum("md5", MD5)),
        ([f'ETag: "{MD5}"', "x-amz-server-side-encryption: AES256"], Checksum("md5", MD5)),
        ([f'ETag: "{MD5}"', "x-amz-server-side-encryption: aws:kms"], None),
        ([f'ETag: "{MD5}"', "x-amz-server-side-encryption: aws:kms:dsse"], None),
        ([f'ETag: "{MD5}"', "x-amz-server-side-encryption-customer-algorithm: AES256"], None),
        ([f'ETag: "{MD5}-2"'], None),
        (['ETag: "FjOrVjm_2Oe5XrHY0Lh3gdT_6k1d"'], None),
        ([], None),
    ],
)
async def test_an_etag_is_a_checksum_only_where_it_is_the_md5_of_the_bytes(
    headers: list[str], checksum: Checksum | None
) -> None:
    etag = headers[0].split('"')[1] if headers else ""
    with answering(answer("200 OK", BODY, *headers)) as (server, _):
        assert await read(server, INFO._replace(etag=etag)) == checksum


@pytest.mark.parametrize(
    ("key", "target"),
    [
        (".", "/bucket/."),
        ("..", "/bucket/.."),
        ("/a", "/bucket//a"),
        ("//", "/bucket///"),
        ("a/../b", "/bucket/a/../b"),
        ("a/b c+d%", "/bucket/a/b%20c%2Bd%25"),
        ("a\r\nb?c#d", "/bucket/a%0D%0Ab%3Fc%23d"),
        ("not-utf8-\udcff", "/bucket/not-utf8-%FF"),
    ],
)
async def test_a_key_is_sent_as_it_is_signed(key: str, target: str) -> None:
    with answering(answer("200 OK", BODY)) as (server, requests):
        await read(server, INFO._replace(key=key))
    assert requests[0].target == target


@pytest.mark.parametrize("key", [".", "..", "/a", "a//b", "a/../b", "a/.", "./a"])
@pytest.mark.parametrize(
    "reply",
    [
        error("403 No", "SignatureDoesNotMatch"),
        error("404 No", "NoSuchBucket"),
        answer("301 Moved", b"", "Location: /bucket/b"),
    ],
)
async def test_a_name_that_is_tidied_up_on_the_way_does_not_stop_the_job(
    key: str, reply: bytes
) -> None:
    with answering(reply) as (server, _):
        fault = await read_failure(server, INFO._replace(key=key))
        assert isinstance(fault, Permanent)
        assert "rename the object" in str(fault)
        for plain in ("a", "a.b/..c/d", "dir/"):
            assert isinstance(await read_failure(server, INFO._replace(key=plain)), Fatal)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDenied", Permanent), ("ExpiredToken", Fatal), ("SlowDown", Transient)],
)
async def test_a_name_is_not_blamed_for_what_it_cannot_have_caused(
    code: str, kind: type[StorageError]
) -> None:
    with answering(error("503 No" if kind is Transient else "403 No", code)) as (server, _):
        fault = await read_failure(server, INFO._replace(key="a//b"))
    assert (type(fault), fault.code) == (kind, code)
    assert "rename" not in str(fault)


async def test_a_body_that_is_far_too_long_is_not_waited_for() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n0123456789")
        peer.wait_closed()

    with RawServer(script) as server:
        fault = await read_failure(server)
    assert (type(fault), fault.code) == (Permanent, "SourceChanged")


async def test_a_closed_source_leaves_the_workers_transport_open() -> None:
    transport = Transport()
    with answering(answer("200 OK", BODY)) as (server, _):
        for _ in range(2):
            source = S3Source(access(server.endpoint), "", transport)
            await source.read(INFO, 0, 10)
            await source.close()
            await source.close()
        assert server.connections == 1
    await transport.close()


def test_who_asks_is_not_shown() -> None:
    assert SECRET not in repr(access("s3.example.com"))
    assert TOKEN not in repr(access("s3.example.com"))
