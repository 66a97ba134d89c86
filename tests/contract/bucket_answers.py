"""What every source that is a bucket must make of answers that no healthy service gives.

class TestMyAnswers(BucketAnswers):
    def source(self, endpoint, prefix, transport) -> Source: ...
    def page(self, *keys, truncated, marker) -> bytes: ...
    def error(self, code) -> bytes: ...
    ...
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.sources.base import Source
from ossimport.transport import Endpoint, Transport
from tests.servers.raw_http import DEADLINE, Peer, RawServer

SECRET, TOKEN = "the-secret-key", "the-security-token"
ETAG = "0123456789abcdef0123456789abcdef-2"
INFO = ObjectInfo("key", 10, 0, ETAG)
BODY = b"0123456789"

Answer = Callable[[dict[str, str]], bytes]  # from a request's query


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


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


class BucketAnswers(ABC):
    """The suite. A service's listing begins behind `marker`."""

    target_of_listing: str  # of all keys below a/
    target_of_next: str  # behind the key `a/b c`
    signature: str  # what the Authorization header begins with
    token: str  # the header with the security token
    request_id: str  # the header with the request's id
    list_permission: str
    read_permission: str
    no_code_to_mend = ("srcDomain", "srcBucket")

    @abstractmethod
    def source(self, endpoint: Endpoint, prefix: str, transport: Transport | None) -> Source:
        """The source of the bucket `bucket-1` at the endpoint, with SECRET and TOKEN."""

    @abstractmethod
    def page(self, *keys: str, truncated: bool = True, marker: str = "") -> bytes:
        """A page of objects of 10 bytes whose ETag is ETAG."""

    @abstractmethod
    def error(self, code: str) -> bytes:
        """The body of a refusal with the message `Words`."""

    def refusal(self, status: str, code: str, *headers: str) -> bytes:
        return answer(status, self.error(code), *headers)

    def scan(self, endpoint: Endpoint, prefix: str = "", lane: Lane = Lane()) -> list[str]:  # noqa: B008
        source = self.source(endpoint, prefix, None)
        try:
            return [entry.info.key for entry in source.scan(lane)]
        finally:
            asyncio.run(source.close())

    def scan_failure(self, endpoint: Endpoint) -> StorageError:
        with pytest.raises(StorageError) as caught:
            self.scan(endpoint)
        return self.discreet(caught.value)

    async def read(
        self, endpoint: Endpoint, offset: int = 0, length: int = 10, patience_s: float = DEADLINE
    ) -> bytes:
        transport = Transport(idle_timeout=patience_s)
        source = self.source(endpoint, "", transport)
        try:
            return bytes((await source.read(INFO, offset, length)).body)
        finally:
            await source.close()
            await transport.close()

    async def read_failure(self, endpoint: Endpoint, patience_s: float = DEADLINE) -> StorageError:
        with pytest.raises(StorageError) as caught:
            await self.read(endpoint, patience_s=patience_s)
        assert (caught.value.op, caught.value.key) == ("read", "key")
        return self.discreet(caught.value)

    def discreet(self, fault: StorageError) -> StorageError:
        assert SECRET not in repr(fault) + str(fault)
        assert TOKEN not in repr(fault) + str(fault)
        assert str(fault).isprintable()
        return fault

    # -- listings

    def test_a_listing_goes_on_behind_the_last_key(self) -> None:
        pages = {"": self.page("a/a", "a/b c"), "a/b c": self.page("a/c", truncated=False)}
        with answering(lambda query: pages[query.get("marker", "")]) as (server, heads):
            assert self.scan(server.endpoint, "a/") == ["a", "b c", "c"]
            assert server.connections == 1
        assert heads[0].startswith(f"GET {self.target_of_listing} HTTP/1.1\r\n")
        assert heads[1].startswith(f"GET {self.target_of_next} HTTP/1.1\r\n")
        assert f"\r\n{self.token}: {TOKEN}\r\n" in heads[0]
        assert f"\r\nauthorization: {self.signature}" in heads[0]

    @pytest.mark.parametrize(
        ("keys", "truncated"),
        [
            (("a", "b"), True),
            (("b", "c"), True),
            (("a",), True),
            (("d", "c"), True),
            (("c", "c"), True),
            ((), True),
            (("a", "b"), False),
        ],
    )
    def test_pages_that_go_in_circles_stop_the_job(
        self, keys: tuple[str, ...], truncated: bool
    ) -> None:
        def reply(query: dict[str, str]) -> bytes:
            first = not query.get("marker")
            return self.page("a", "b") if first else self.page(*keys, truncated=truncated)

        with answering(reply) as (server, heads):
            fault = self.scan_failure(server.endpoint)
            assert (type(fault), fault.code) == (Fatal, "ListingLoops")
            assert "Cure: " in str(fault)
            assert len(heads) <= 3

    def test_empty_pages_are_followed_while_the_marker_moves(self) -> None:
        pages = {
            "": self.page(marker="a"),
            "a": self.page(marker="b"),
            "b": self.page("c", truncated=False),
        }
        with answering(lambda query: pages[query.get("marker", "")]) as (server, _):
            assert self.scan(server.endpoint) == ["c"]
        with answering(lambda query: self.page(marker=query.get("marker") or "a")) as (server, _):
            fault = self.scan_failure(server.endpoint)
            assert (type(fault), fault.code) == (Fatal, "ListingLoops")

    @pytest.mark.parametrize(
        "body", [b"", b"<html>Welcome</html>", b"hello", b"<ListBucketResult/>", b"{}", b"[1]"]
    )
    def test_a_listing_by_somebody_else_is_asked_for_again(self, body: bytes) -> None:
        with answering(answer("200 OK", body)) as (server, _):
            fault = self.scan_failure(server.endpoint)
        assert (type(fault), fault.op, fault.code) == (Transient, "scan", "BadResponse")
        assert "check srcDomain" in str(fault)

    def test_a_refusal_of_the_bucket_stops_the_job_and_says_which_key_to_mend(self) -> None:
        for reply, code, cures in (
            (self.refusal("403 No", "AccessDenied"), "AccessDenied", (self.list_permission,)),
            (self.refusal("404 No", "NoSuchBucket"), "NoSuchBucket", ("srcBucket",)),
            (answer("301 Moved", b"", "Location: http://elsewhere/"), "HTTP301", ("srcDomain",)),
            (answer("404 No", b"<html>nothing here</html>"), "HTTP404", self.no_code_to_mend),
            (answer("403 No", b'{"code": 1}'), "AccessDenied", (self.list_permission,)),
        ):
            with answering(reply) as (server, heads):
                fault = self.scan_failure(server.endpoint)
                source = self.source(server.endpoint, "", None)
                with pytest.raises(Fatal, match="Cure: "):
                    source.check()
                asyncio.run(source.close())
            assert (type(fault), fault.op, fault.code) == (Fatal, "scan", code)
            assert all(cure in str(fault) for cure in cures)
            assert len(heads) == 2

    @pytest.mark.parametrize("status", ["503 Slow", "429 Slow"])
    def test_a_busy_service_says_when_to_come_back(self, status: str) -> None:
        headers = ("Retry-After: 9", f"{self.request_id}: R")
        with answering(self.refusal(status, "SlowDown", *headers)) as (server, heads):
            fault = self.scan_failure(server.endpoint)
        assert isinstance(fault, Transient)
        assert (fault.code, fault.request_id, fault.retry_after) == ("SlowDown", "R", 9.0)
        assert "workerTaskThreadNum" in str(fault)
        assert len(heads) == 1

    def test_a_lane_goes_on_where_a_storm_has_ended_it(self) -> None:
        storm = iter([True, True, False, True, False])

        def reply(query: dict[str, str]) -> bytes:
            if next(storm, False):
                return self.refusal("503 Slow", "ServiceUnavailable")
            after = query.get("marker", "")
            return self.page("c", truncated=after < "b") if after else self.page("a", "b")

        with answering(reply) as (server, _):
            source = self.source(server.endpoint, "", None)
            seen: list[str] = []
            while seen[-1:] != ["c"]:
                try:
                    for entry in source.scan(Lane(seen[-1] if seen else "")):
                        seen.append(entry.cursor)
                except Transient:
                    continue
            asyncio.run(source.close())
        assert seen == ["a", "b", "c"]

    def test_a_check_sees_that_nothing_can_be_read(self) -> None:
        heads: list[str] = []

        def script(peer: Peer) -> None:
            while head := peer.read_request()[0]:
                heads.append(head.decode().lower())
                is_listing = "?" in heads[-1].split("\r\n")[0]
                page = self.page("key", truncated=False)
                peer.send(page if is_listing else self.refusal("403 No", "AccessDenied"))

        with RawServer(script) as server:
            source = self.source(server.endpoint, "", None)
            with pytest.raises(Fatal, match=self.read_permission) as caught:
                source.check()
            asyncio.run(source.close())
        assert (caught.value.op, caught.value.code) == ("check", "AccessDenied")
        assert "\r\nrange: bytes=0-0\r\n" in heads[1]

    # -- objects

    async def test_a_read_is_signed_ranged_and_pinned(self) -> None:
        part = answer("206 Partial", b"234", "Content-Range: bytes 2-4/10", f'ETag: "{ETAG}"')
        with answering(part) as (server, heads):
            assert await self.read(server.endpoint, 2, 3) == b"234"
        assert heads[0].startswith("GET /bucket-1/key HTTP/1.1\r\n")
        assert "\r\nrange: bytes=2-4\r\n" in heads[0]
        assert f'\r\nif-match: "{ETAG}"\r\n' in heads[0]
        assert f"\r\nauthorization: {self.signature}" in heads[0]

    async def test_a_body_that_ends_early_is_no_body(self) -> None:
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"
        unframed = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n01234"
        for text, code in ((cut, "ConnectionReset"), (unframed, "BadResponse")):

            def script(peer: Peer, text: bytes = text) -> None:
                peer.read_request()
                peer.send(text)

            with RawServer(script) as server:
                fault = await self.read_failure(server.endpoint)
            assert (type(fault), fault.code) == (Transient, code)

    async def test_a_body_that_does_not_come_is_not_waited_for(self) -> None:
        def script(peer: Peer) -> None:
            peer.read_request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123")
            peer.wait_closed()

        with RawServer(script) as server:
            fault = await self.read_failure(server.endpoint, patience_s=0.2)
        assert (type(fault), fault.code) == (Transient, "Timeout")

    async def test_what_a_refused_read_means(self) -> None:
        for reply, kind, code in (
            (self.refusal("412 Changed", "PreconditionFailed"), Permanent, "SourceChanged"),
            (answer("200 OK", BODY, 'ETag: "other"'), Permanent, "SourceChanged"),
            (answer("200 OK", BODY + b"+"), Permanent, "SourceChanged"),
            (self.refusal("404 No", "NoSuchKey"), Permanent, "NotFound"),
            (answer("404 No"), Permanent, "NotFound"),
            (self.refusal("404 No", "NoSuchBucket"), Fatal, "NoSuchBucket"),
            (self.refusal("403 No", "AccessDenied"), Permanent, "AccessDenied"),
            (answer("403 No"), Permanent, "AccessDenied"),
            (self.refusal("403 No", "InvalidObjectState"), Permanent, "InvalidObjectState"),
            (self.refusal("403 No", "RequestTimeTooSkewed"), Transient, "RequestTimeTooSkewed"),
            (self.refusal("403 No", "InvalidAccessKeyId"), Fatal, "InvalidAccessKeyId"),
            (self.refusal("503 Slow", "ServiceUnavailable"), Transient, "ServiceUnavailable"),
            (answer("502 Bad", b"<html>"), Transient, "ServerError"),
        ):
            with answering(reply) as (server, heads):
                fault = await self.read_failure(server.endpoint)
                assert (type(fault), fault.code) == (kind, code)
                assert len(heads) == 1

    async def test_a_refusal_names_the_whole_key(self) -> None:
        with answering(self.refusal("403 No", "AccessDenied")) as (server, _):
            source = self.source(server.endpoint, "a/", None)
            with pytest.raises(Permanent, match=r"read of a/key in bucket bucket-1: ") as caught:
                await source.read(INFO, 0, 10)
            await source.close()
        assert caught.value.key == "key"

    async def test_a_closed_source_leaves_the_workers_transport_open(self) -> None:
        transport = Transport()
        with answering(answer("200 OK", BODY)) as (server, _):
            for _ in range(2):
                source = self.source(server.endpoint, "", transport)
                await source.read(INFO, 0, 10)
                await source.close()
                await source.close()
            assert server.connections == 1
        await transport.close()
