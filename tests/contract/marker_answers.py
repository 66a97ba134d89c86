"""What every source with opaque markers must make of answers that no healthy service gives.

class TestMyAnswers(MarkerAnswers):
    def source(self, endpoint, prefix, transport) -> Source: ...
    def page(self, *keys, marker) -> bytes: ...
    def refusal(self, status, code, *headers) -> bytes: ...
    ...
"""

import asyncio
from abc import ABC, abstractmethod

import pytest

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.sources.base import Source
from ossimport.transport import Endpoint, Transport
from tests.contract.bucket_answers import SECRET, Answer, answer, answering
from tests.servers.raw_http import DEADLINE, Peer, RawServer

BODY = b"0123456789"


class MarkerAnswers(ABC):
    """The suite. A refusal's row is (status, code of the service, our class, our code, the cure)"""

    info: ObjectInfo  # of the object `key` with BODY
    request_id: str  # the header with the request's id
    busy: str  # the service's code when it has too much to do
    scan_refusals: list[tuple[str, str, type[StorageError], str, str]]
    read_refusals: list[tuple[str, str, type[StorageError], str, str]]
    read_permission: str
    what_came = ("srcDomain",)  # what to look at when somebody else answers

    @abstractmethod
    def source(self, endpoint: Endpoint, prefix: str, transport: Transport | None) -> Source:
        """The source of the bucket `bucket-1` at the endpoint, with SECRET."""

    @abstractmethod
    def page(self, *keys: str, marker: str = "") -> bytes:
        """An answer with a page of objects of 10 bytes."""

    @abstractmethod
    def refusal(self, status: str, code: str, *headers: str) -> bytes:
        """A refusal with the message `Words`."""

    @abstractmethod
    def served(self, status: str, body: bytes, *headers: str) -> bytes:
        """An answer with bytes of `info`."""

    # -- to use it -----------------------------------------------------------------------------

    def scan(self, endpoint: Endpoint, prefix: str = "") -> list[str]:
        source = self.source(endpoint, prefix, None)
        try:
            return [entry.info.key for entry in source.scan(Lane())]
        finally:
            asyncio.run(source.close())

    def scan_failure(self, reply: bytes | Answer) -> StorageError:
        with answering(reply) as (server, _), pytest.raises(StorageError) as caught:
            self.scan(server.endpoint)
        return self.discreet(caught.value)

    async def read(
        self, endpoint: Endpoint, offset: int = 0, length: int = 10, patience_s: float = DEADLINE
    ) -> bytes:
        transport = Transport(idle_timeout=patience_s)
        source = self.source(endpoint, "", transport)
        try:
            return bytes((await source.read(self.info, offset, length)).body)
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
        assert str(fault).isprintable()
        return fault

    # -- listings

    @pytest.mark.parametrize(
        ("keys", "marker"),
        [("ab", "m2"), ("bc", "m2"), ("a", ""), ("dc", ""), ("cc", ""), ("c", "m1"), ("", "m1")],
    )
    def test_pages_that_go_in_circles_stop_the_job(self, keys: str, marker: str) -> None:
        def reply(query: dict[str, str]) -> bytes:
            page = self.page(*keys, marker=marker)
            return page if query.get("marker") else self.page("a", "b", marker="m1")

        fault = self.scan_failure(reply)
        assert (type(fault), fault.code) == (Fatal, "ListingLoops")
        assert "Cure: " in str(fault)

    def test_keys_that_are_not_below_the_prefix_stop_the_job(self) -> None:
        with answering(self.page("a/b", "b/c")) as (server, _), pytest.raises(Fatal) as caught:
            self.scan(server.endpoint, "a/")
        assert caught.value.code == "ListingLoops"

    def test_empty_pages_are_followed_while_the_marker_moves(self) -> None:
        pages = {
            "": self.page(marker="m1"),
            "m1": self.page("a", marker="m2"),
            "m2": self.page(marker="m3"),
            "m3": self.page("c"),
        }
        with answering(lambda query: pages[query.get("marker", "")]) as (server, _):
            assert self.scan(server.endpoint) == ["a", "c"]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>Welcome</html>",
            b"hello",
            b"<Other/>",
            b"[1]",
            b"[" * 60_000,
            b"<a>" * 9_999,
        ],
        ids=lambda body: repr(body[:9]),
    )
    def test_a_listing_by_somebody_else_is_asked_for_again(self, body: bytes) -> None:
        fault = self.scan_failure(answer("200 OK", body))
        assert (type(fault), fault.code) == (Transient, "BadResponse")
        assert "check srcDomain" in str(fault)

    def test_a_refusal_of_the_bucket_stops_the_job_and_says_which_key_to_mend(self) -> None:
        for status, code, kind, ours, cure in self.scan_refusals:
            reply = self.refusal(status, code) if code else answer(status, b"<html>no</html>")
            fault = self.scan_failure(reply)
            assert (type(fault), fault.op, fault.code) == (kind, "scan", ours)
            assert "Cure: " in str(fault)
            assert cure in str(fault)
            with answering(reply) as (server, _):
                source = self.source(server.endpoint, "", None)
                with pytest.raises(kind, match="Cure: "):
                    source.check()
                asyncio.run(source.close())

    @pytest.mark.parametrize("status", ["503 Slow", "429 Slow"])
    def test_a_busy_service_says_when_to_come_back(self, status: str) -> None:
        headers = ("Retry-After: 9", f"{self.request_id}: R")
        fault = self.scan_failure(self.refusal(status, self.busy, *headers))
        assert isinstance(fault, Transient)
        assert (fault.request_id, fault.retry_after) == ("R", 9.0)
        assert "workerTaskThreadNum" in str(fault)

    def test_a_refusal_may_be_anything(self) -> None:
        for body in (b"[" * 60_000, b'{"error": 1e999}', b'{"msg": []}', b"\xff<Code>"):
            fault = self.scan_failure(answer("503 Slow", body))
            assert isinstance(fault, Transient)

    def test_what_a_terminal_would_obey_is_not_repeated(self) -> None:
        headers = (f"{self.request_id}: \x9b31mR", "x-ms-error-code: \x9bJ" + "A" * 900)
        fault = self.scan_failure(self.refusal("400 No", "", *headers))  # printable, as all are
        assert fault.request_id == "\xc231mR"  # the first byte of what the test has sent in UTF-8
        assert len(fault.code) < 400

    def test_a_lane_goes_on_where_a_storm_has_ended_it(self) -> None:
        storm = iter([True, True, False, True, False, True, False])
        pages = {
            "": self.page("a", "b", marker="m1"),
            "m1": self.page("c", "d", marker="m2"),
            "m2": self.page("e"),
        }

        def reply(query: dict[str, str]) -> bytes:
            if next(storm, False):
                return self.refusal("503 Slow", self.busy)
            return pages[query.get("marker", "")]

        with answering(reply) as (server, _):
            source = self.source(server.endpoint, "", None)
            seen: list[str] = []
            cursor = ""
            while seen[-1:] != ["e"]:
                try:
                    for entry in source.scan(Lane(cursor)):
                        seen.append(entry.info.key)
                        cursor = entry.cursor
                except Transient:
                    continue
            asyncio.run(source.close())
        assert seen == ["a", "b", "c", "d", "e"]

    def test_a_check_sees_that_nothing_can_be_read(self) -> None:
        refusal = next(row for row in self.read_refusals if row[3] == "AccessDenied")

        def reply(query: dict[str, str]) -> bytes:
            if self.is_listing(query):
                return self.page("key")
            return self.refusal(refusal[0], refusal[1])

        with answering(reply) as (server, heads):
            source = self.source(server.endpoint, "", None)
            with pytest.raises(Fatal, match=self.read_permission) as caught:
                source.check()
            asyncio.run(source.close())
        assert (caught.value.op, caught.value.code) == ("check", "AccessDenied")
        assert "\r\nrange: bytes=0-0\r\n" in heads[-1].lower()

    def is_listing(self, query: dict[str, str]) -> bool:
        return "comp" in query or "bucket" in query

    # -- objects

    async def test_a_body_that_ends_early_is_no_body(self) -> None:
        cut = self.served("200 OK", BODY)[:-5]
        unframed = cut.replace(b"Content-Length: 10", b"Connection: close")
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
            peer.send(self.served("200 OK", BODY)[:-5])
            peer.wait_closed()

        with RawServer(script) as server:
            fault = await self.read_failure(server.endpoint, patience_s=0.2)
        assert (type(fault), fault.code) == (Transient, "Timeout")

    async def test_a_part_must_be_the_one_that_was_asked_for(self) -> None:
        good = self.served("206 Part", b"234", "Content-Range: bytes 2-4/10")
        with answering(good) as (server, heads):
            assert await self.read(server.endpoint, 2, 3) == b"234"
        assert "\r\nrange: bytes=2-4\r\n" in heads[0].lower()
        for reply, kind in (
            (self.served("206 Part", b"234", "Content-Range: bytes 3-5/10"), Transient),
            (self.served("206 Part", b"234"), Transient),
            (self.served("206 Part", b"23", "Content-Range: bytes 2-4/10"), Transient),
            (self.served("206 Part", b"234", "Content-Range: bytes 2-4/11"), Permanent),
        ):
            with answering(reply) as (server, _), pytest.raises(kind):
                await self.read(server.endpoint, 2, 3)

    async def test_what_a_refused_read_means(self) -> None:
        rows = [
            *[
                (self.refusal(s, c), kind, ours, cure)
                for s, c, kind, ours, cure in self.read_refusals
            ],
            (answer("502 Bad", b"<html>"), Transient, "ServerError", ""),
            (self.served("200 OK", BODY + b"+"), Permanent, "SourceChanged", ""),
            (self.served("200 OK", BODY[:-1]), Permanent, "SourceChanged", ""),
        ]
        for reply, kind, code, cure in rows:
            with answering(reply) as (server, heads):
                fault = await self.read_failure(server.endpoint)
                assert (type(fault), fault.code) == (kind, code)
                assert cure in str(fault)
                assert len(heads) == 1

    async def test_a_closed_source_leaves_the_workers_transport_open(self) -> None:
        transport = Transport()
        with answering(self.served("200 OK", BODY)) as (server, _):
            for _ in range(2):
                source = self.source(server.endpoint, "", transport)
                await source.read(self.info, 0, 10)
                await source.close()
                await source.close()
            assert server.connections == 1
        await transport.close()
