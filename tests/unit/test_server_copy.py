"""Copies inside the service, over in-memory ends: when they are made, and what happens if not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import pytest

from ossimport.budget import Budget
from ossimport.config.job import DestConfig, JobConfig, SourceConfig
from ossimport.config.secret import Secret
from ossimport.copying import CopyPolicy
from ossimport.crc64 import crc64
from ossimport.dest.base import Body, Described, Limits, Stored, StoredPart
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Fatal, Permanent, Transient
from ossimport.model import CopyResult, Lane, ObjectInfo, Origin, Outcome, Proof, Upload
from ossimport.server_copy import ENOUGH_REFUSALS, may_copy_inside
from ossimport.sources.base import Checksum, Payload, Scan

T = TypeVar("T")

LIMITS = Limits(
    min_part_size=10,
    max_part_size=1000,
    max_parts=50,
    max_put_size=5000,
    max_copy_size=3000,
    max_object_size=10_000,
    max_key_bytes=1023,
)
# The parts that are read are as large as those that are copied: one way meets the other's uploads.
POLICY = CopyPolicy(dest_prefix="to/", multipart_threshold=2000, part_size=1000, attempts=3)
SENT = {"content-type": "text/x-own", "x-oss-meta-a": "b"}
KEPT = {"content-type": "text/x-own", "x-oss-meta-a": "b", "x-oss-meta-mtime": "3600"}
BIG = bytes(range(256)) * 18  # 4,608 bytes: 5 parts


class Bucket:
    """A source that is a bucket of the destination's own service."""

    def __init__(self) -> None:
        self.held = MemoryDestination(limits=LIMITS, clock=lambda: 3600.0)
        self.read_bytes = 0
        self.described = 0
        self.said: dict[str, str] = {}
        self.links: set[str] = set()  # what the service would copy as something else
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []  # behind the next descriptions

    async def put(self, key: str, body: bytes) -> ObjectInfo:
        stored = await self.held.put(key, body, SENT)
        return ObjectInfo(key, len(body), 3600 * 10**9, stored.etag)

    def check(self) -> None:
        """Always there."""

    def scan(self, lane: Lane) -> Scan:
        raise AssertionError("the engine does not scan")

    async def stat(self, key: str) -> ObjectInfo:
        found = await self.held.stat(key)
        if found is None:
            raise Permanent("gone", code="NotFound", op="stat", key=key)
        return found._replace(crc64=None)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        if await self.stat(info.key) != info:
            raise Permanent("other version", code="SourceChanged", op="read", key=info.key)
        self.read_bytes += length
        held = self.held.objects[info.key]
        body = held.body[offset : offset + length]
        return Payload(body, SENT, Checksum("crc64", str(held.info.crc64)))

    async def origin(self, info: ObjectInfo) -> Origin | None:
        self.described += 1
        about = await self.read(info, 0, 0)
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        if info.key in self.links or about.checksum is None:
            return None
        crc = int(about.checksum.value)
        return Origin("from", info.key, info.etag, crc, {**about.headers, **self.said})

    async def close(self) -> None:
        """Nothing to give back."""


class Service(MemoryDestination):
    """A destination that says what it was asked, and goes wrong as the test wants."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(limits=LIMITS, clock=lambda: 7200.0)
        self.buckets["from"] = bucket.held
        self.asked: list[str] = []
        self.troubles: dict[str, list[Exception | None]] = {}  # before the work is done
        self.lost: dict[str, list[Exception | None]] = {}  # after it was done
        self.states_crc64 = True
        self.flipped = False  # copies come out wrong

    async def _ask(self, op: str, work: Callable[[], Awaitable[T]]) -> T:
        self.asked.append(op)
        await asyncio.sleep(0)
        for troubles, is_done in ((self.troubles, False), (self.lost, True)):
            trouble = troubles[op].pop(0) if troubles.get(op) else None
            if trouble is not None:
                if is_done:
                    await work()
                raise trouble
        return await work()

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        return await self._ask("put", lambda: MemoryDestination.put(self, key, body, headers))

    async def describe(self, key: str) -> Described | None:
        return await self._ask("stat", lambda: MemoryDestination.describe(self, key))

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        return await self._ask("list", lambda: MemoryDestination.list(self, prefix, after, limit))

    async def copy_from(self, key: str, origin: Origin, headers: Mapping[str, str]) -> Stored:
        stored = await self._ask(
            "copy", lambda: MemoryDestination.copy_from(self, key, origin, headers)
        )
        if self.flipped:
            stored = await MemoryDestination.put(self, key, b"", headers)
        return stored if self.states_crc64 else stored._replace(crc64=None)

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        return await self._ask(
            "part", lambda: MemoryDestination.upload_part(self, key, upload_id, number, body)
        )

    async def copy_part_from(
        self, key: str, upload_id: str, number: int, origin: Origin, span: range
    ) -> StoredPart:
        part = await self._ask(
            "copy_part",
            lambda: MemoryDestination.copy_part_from(self, key, upload_id, number, origin, span),
        )
        if self.flipped:
            part = await MemoryDestination.upload_part(self, key, upload_id, number, b"x" * 100)
        return part if self.states_crc64 else part._replace(crc64=None)

    async def finish_upload(
        self, key: str, upload_id: str, parts: Mapping[int, str], *, acl: str = ""
    ) -> Stored:
        return await self._ask(
            "finish", lambda: MemoryDestination.finish_upload(self, key, upload_id, parts, acl=acl)
        )

    async def abort_upload(self, key: str, upload_id: str) -> None:
        await self._ask("abort", lambda: MemoryDestination.abort_upload(self, key, upload_id))


class Bench:
    """An engine with both ends, and what it asked to be written down."""

    def __init__(self, policy: CopyPolicy = POLICY) -> None:
        self.source = Bucket()
        self.dest = Service(self.source)
        self.saved: list[Upload | None] = []
        self.engine = CopyEngine(
            self.source,
            self.dest,
            policy,
            Budget(10_000),
            jitter=lambda: 0.0,
            sleep=lambda _: asyncio.sleep(0),
            origins=self.source,
        )

    async def _save(self, upload: Upload | None) -> None:
        self.saved.append(upload._replace(parts=dict(upload.parts)) if upload else None)

    async def copy(self, info: ObjectInfo, upload: Upload | None = None) -> CopyResult:
        return await self.engine.copy(info, upload=upload, save=self._save)

    def stored(self, key: str) -> bytes:
        return self.dest.objects["to/" + key].body


@pytest.fixture
def bench() -> Bench:
    return Bench()


def denied() -> Permanent:
    return Permanent("other region", code="AccessDenied", op="copy_from", request_id="R")


def throttled() -> Transient:
    return Transient("slow down", code="Throttled", op="copy_from")


# -- in one request --------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"hello", b"x" * 2001, b"x" * 3000])
async def test_an_object_is_copied_and_none_of_its_bytes_read(bench: Bench, body: bytes) -> None:
    result = await bench.copy(await bench.source.put("a", body))
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.SOURCE)
    assert (result.size, result.crc64, result.attempts) == (len(body), crc64(body), 1)
    assert result.request_id
    assert (bench.dest.asked, bench.source.described) == (["copy"], 1)
    assert bench.source.read_bytes == 0
    assert bench.stored("a") == body
    assert bench.dest.objects["to/a"].headers == KEPT


async def test_a_copy_is_encrypted_if_the_job_says_so() -> None:
    bench = Bench(POLICY._replace(encrypt=True))
    for key, body in (("a", b"hello"), ("big", BIG)):
        await bench.copy(await bench.source.put(key, body))
        wanted = KEPT | {"x-oss-server-side-encryption": "AES256"}
        assert bench.dest.objects["to/" + key].headers == wanted
    assert bench.source.read_bytes == 0


async def test_what_does_not_go_with_a_copy_is_named(bench: Bench) -> None:
    bench.source.said = {"x-oss-tagging-count": "1"}
    for key, body in (("a", b"hello"), ("big", BIG)):
        result = await bench.copy(await bench.source.put(key, body))
        assert (result.outcome, result.unkept) == (Outcome.COPIED, ("x-oss-tagging-count",))
    assert bench.source.read_bytes == 0


async def test_what_is_there_is_skipped_and_not_copied() -> None:
    bench = Bench(POLICY._replace(skip_existing=True))
    await MemoryDestination.put(bench.dest, "to/a", b"there", {})
    assert (await bench.copy(await bench.source.put("a", b"hello"))).outcome is Outcome.SKIPPED
    assert (bench.dest.asked, bench.source.described) == (["stat"], 0)


async def test_a_transient_refusal_is_tried_again(bench: Bench) -> None:
    bench.dest.troubles["copy"] = [throttled(), throttled()]
    result = await bench.copy(await bench.source.put("a", b"hello"))
    assert (result.outcome, result.attempts) == (Outcome.COPIED, 3)
    assert bench.dest.asked == ["copy"] * 3


async def test_the_copy_is_looked_at_where_its_answer_states_no_crc64(bench: Bench) -> None:
    bench.dest.states_crc64 = False
    result = await bench.copy(await bench.source.put("a", b"hello"))
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.SOURCE)
    assert (bench.dest.asked, bench.source.read_bytes) == (["copy", "stat"], 0)


@pytest.mark.parametrize("states_crc64", [True, False])
async def test_a_copy_that_is_none_is_made_good_through_the_worker(
    bench: Bench, states_crc64: bool
) -> None:
    bench.dest.flipped, bench.dest.states_crc64 = True, states_crc64
    result = await bench.copy(await bench.source.put("a", b"hello"))
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.SOURCE)
    assert bench.dest.asked[-1] == "put"
    assert bench.stored("a") == b"hello"


async def test_a_copy_of_another_size_is_none_whatever_crc64_is_stated(bench: Bench) -> None:
    bench.dest.states_crc64 = False
    info = await bench.source.put("a", b"hello")

    async def stat(key: str) -> ObjectInfo:
        return ObjectInfo(key, 4, 7200 * 10**9, "E", crc64(b"hello"))

    bench.dest.stat = stat  # type: ignore[method-assign]  # no bytes have these two
    assert (await bench.copy(info)).outcome is Outcome.COPIED
    assert bench.dest.asked == ["copy", "put"]


# -- a source that moves ---------------------------------------------------------------------------


async def test_a_version_that_came_since_the_listing_is_copied(bench: Bench) -> None:
    listed = await bench.source.put("a", b"old")
    await bench.source.put("a", b"newer")
    result = await bench.copy(listed)
    assert (result.outcome, result.size, bench.stored("a")) == (Outcome.COPIED, 5, b"newer")
    assert (bench.dest.asked, bench.source.read_bytes) == (["copy"], 0)


@pytest.mark.parametrize("size", [10, 4000])
async def test_a_version_that_comes_before_the_copy_is_copied(bench: Bench, size: int) -> None:
    listed = await bench.source.put("a", b"o" * size)
    bench.source.meanwhile = [lambda: bench.source.put("a", b"n" * (size + 1))]
    result = await bench.copy(listed)
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.SOURCE)
    assert bench.stored("a") == b"n" * (size + 1)
    assert (bench.source.read_bytes, bench.dest._uploads) == (0, {})


async def test_an_object_that_never_holds_still_fails(bench: Bench) -> None:
    listed = await bench.source.put("a", b"0")
    bench.source.meanwhile = [
        lambda size=size: bench.source.put("a", b"x" * size)  # type: ignore[misc]
        for size in range(2, 9)
    ]
    result = await bench.copy(listed)
    assert (result.outcome, result.code) == (Outcome.FAILED, "SIZE_NOT_MATCH")


@pytest.mark.parametrize("is_late", [False, True])
async def test_an_object_that_is_gone_has_vanished(bench: Bench, is_late: bool) -> None:
    listed = await bench.source.put("a", b"hello")

    async def remove() -> None:
        bench.source.held.objects.clear()

    if is_late:
        bench.source.meanwhile = [remove]
    else:
        await remove()
    assert (await bench.copy(listed)).outcome is Outcome.VANISHED
    assert "put" not in bench.dest.asked


# -- through the worker after all ------------------------------------------------------------------


async def test_what_is_no_plain_object_is_read(bench: Bench) -> None:
    bench.source.links = {str(number) for number in range(2 * ENOUGH_REFUSALS)}
    for key in sorted(bench.source.links):
        assert (await bench.copy(await bench.source.put(key, b"link"))).outcome is Outcome.COPIED
    assert set(bench.dest.asked) == {"put"}
    await bench.copy(await bench.source.put("plain", b"hello"))
    assert bench.dest.asked[-1] == "copy"


@pytest.mark.parametrize(
    "refusal", [denied(), Fatal("no such bucket", code="NoSuchBucket")], ids=lambda e: e.code
)
@pytest.mark.parametrize("body", [b"hello", BIG])
async def test_what_is_refused_is_read(bench: Bench, refusal: Exception, body: bytes) -> None:
    bench.dest.troubles = {"copy": [refusal], "copy_part": [refusal] * 5}
    result = await bench.copy(await bench.source.put("a", body))
    assert (result.outcome, result.proof, bench.stored("a")) == (
        Outcome.COPIED,
        Proof.SOURCE,
        body,
    )
    assert bench.source.read_bytes == len(body)
    assert bench.dest._uploads == {}
    assert bench.engine.ends.budget._held == 0


async def test_a_copy_that_never_succeeds_is_not_waited_for_for_ever(bench: Bench) -> None:
    bench.dest.troubles["copy"] = [throttled()] * 100
    result = await bench.copy(await bench.source.put("a", b"hello"))
    assert (result.outcome, bench.stored("a")) == (Outcome.COPIED, b"hello")
    assert bench.dest.asked == ["copy"] * 3 + ["list", "put"]


async def test_a_destination_that_does_not_come_back_stops_the_job(bench: Bench) -> None:
    bench.dest.troubles = {"copy": [throttled()] * 1000, "list": [throttled()] * 1000}
    info = await bench.source.put("a", b"hello")
    with pytest.raises(Fatal) as caught:
        await bench.copy(info)
    assert caught.value.code == "Outage"
    assert "put" not in bench.dest.asked


async def test_after_enough_refusals_nobody_asks_again_and_one_line_says_so(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ossimport")
    bench.dest.troubles["copy"] = [denied() for _ in range(100)]
    infos = [await bench.source.put(str(number), b"x") for number in range(30)]
    for info in infos:
        assert (await bench.copy(info)).outcome is Outcome.COPIED
    assert bench.dest.asked.count("copy") == bench.source.described == ENOUGH_REFUSALS
    assert bench.dest.asked.count("put") == 30
    (record,) = caplog.records
    assert "through this worker" in record.getMessage()
    assert "other region" in record.getMessage()


async def test_refusals_at_once_are_told_in_one_line(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ossimport")
    late = asyncio.Event()

    async def wait() -> None:
        await late.wait()

    slow = await bench.source.put("slow", b"x")
    bench.source.meanwhile = [wait]  # what is in flight may still succeed
    copied = asyncio.create_task(bench.copy(slow))
    await asyncio.sleep(0)
    bench.dest.troubles["copy"] = [denied() for _ in range(30)]
    infos = [await bench.source.put(str(number), b"x") for number in range(30)]
    await asyncio.gather(*map(bench.copy, infos))
    late.set()
    assert (await copied).outcome is Outcome.COPIED
    await bench.copy(await bench.source.put("later", b"x"))
    assert bench.dest.asked[-2:] == ["copy", "put"]
    assert len(caplog.records) == 1


async def test_refusals_of_some_objects_do_not_stop_the_others(bench: Bench) -> None:
    few: list[Exception | None] = [denied() for _ in range(ENOUGH_REFUSALS - 1)]
    bench.dest.troubles["copy"] = [*few, None, *few, None]
    for number in range(2 * ENOUGH_REFUSALS):
        await bench.copy(await bench.source.put(str(number), b"x"))
    assert bench.dest.asked.count("copy") == 2 * ENOUGH_REFUSALS
    assert bench.dest.asked[-1] == "copy"


async def test_what_goes_neither_way_says_nothing_of_copying(bench: Bench) -> None:
    bench.dest.troubles = {"copy": [denied()] * 20, "put": [denied()] * 20}
    for number in range(20):
        result = await bench.copy(await bench.source.put(str(number), b"x"))
        assert (result.outcome, result.code) == (Outcome.FAILED, "AccessDenied")
    assert (await bench.copy(await bench.source.put("a", b"x"))).outcome is Outcome.COPIED
    assert bench.dest.asked[-1] == "copy"


async def test_an_origin_that_is_taken_for_another_version_is_read(bench: Bench) -> None:
    bench.dest.troubles["copy"] = [Permanent("no", code="PreconditionFailed")] * 2
    result = await bench.copy(await bench.source.put("a", b"hello"))
    assert (result.outcome, bench.stored("a")) == (Outcome.COPIED, b"hello")
    assert bench.dest.asked == ["copy", "put"]


async def test_a_key_that_oss_cannot_hold_fails_without_being_read(bench: Bench) -> None:
    bench.source.held.limits = LIMITS._replace(max_key_bytes=2000)
    result = await bench.copy(await bench.source.put("x" * 1500, b"x"))
    assert (result.outcome, result.code) == (Outcome.FAILED, "InvalidKey")
    assert bench.source.read_bytes == 0


# -- in parts --------------------------------------------------------------------------------------


async def test_a_large_object_is_copied_in_parts_and_none_read(bench: Bench) -> None:
    result = await bench.copy(await bench.source.put("big", BIG))
    assert (result.outcome, result.proof, result.crc64) == (
        Outcome.COPIED,
        Proof.SOURCE,
        crc64(BIG),
    )
    assert bench.stored("big") == BIG
    assert bench.dest.objects["to/big"].headers == KEPT
    assert bench.dest.asked == ["copy_part"] * 5 + ["finish"]
    assert bench.source.read_bytes == 0
    assert bench.saved[-1] is None
    assert bench.engine.moving == 0


async def test_copied_parts_are_not_sized_for_a_workers_memory() -> None:
    bench = Bench(POLICY._replace(part_size=100))
    await bench.copy(await bench.source.put("big", BIG))
    assert bench.dest.asked == ["copy_part"] * 5 + ["finish"]


async def test_one_byte_more_than_oss_copies_at_once_goes_in_parts(bench: Bench) -> None:
    await bench.copy(await bench.source.put("a", b"x" * 3000))
    await bench.copy(await bench.source.put("b", b"x" * 3001))
    assert bench.dest.asked == ["copy", *["copy_part"] * 4, "finish"]


@pytest.mark.parametrize("states_crc64", [True, False])
async def test_a_large_copy_goes_on_where_it_stopped(bench: Bench, states_crc64: bool) -> None:
    bench.dest.states_crc64 = states_crc64
    info = await bench.source.put("big", BIG)
    forever = asyncio.Event()
    copy_part = bench.dest.copy_part_from

    async def stuck(
        key: str, upload_id: str, number: int, origin: Origin, span: range
    ) -> StoredPart:
        if number > 3:
            await forever.wait()
        return await copy_part(key, upload_id, number, origin, span)

    bench.dest.copy_part_from = stuck  # type: ignore[method-assign]  # the wait is the point
    work = asyncio.create_task(bench.copy(info))
    while bench.dest.asked != ["copy_part"] * 3:
        await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    kept = bench.saved[-1]
    assert kept is not None
    assert sorted(kept.parts) == [1, 2, 3]
    assert bench.engine.moving == 0

    bench.dest.copy_part_from = copy_part  # type: ignore[method-assign]
    bench.dest.asked.clear()
    result = await bench.copy(info, kept)
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.SOURCE)
    assert bench.stored("big") == BIG
    assert bench.dest.asked == ["copy_part"] * 2 + ["finish"]


async def test_the_worker_sends_again_what_was_copied_without_a_crc64(bench: Bench) -> None:
    info = await bench.source.put("big", BIG)
    upload_id = await bench.dest.start_upload("to/big", SENT)
    origin = await bench.source.origin(info)
    assert origin is not None
    part = await MemoryDestination.copy_part_from(
        bench.dest, "to/big", upload_id, 1, origin, range(1000)
    )
    upload = Upload("to/big", upload_id, 1000, info, {1: (part.etag, None)})
    bench.source.links = {"big"}  # so that it is not copied
    result = await bench.copy(info, upload)
    assert (result.outcome, result.proof, bench.stored("big")) == (
        Outcome.COPIED,
        Proof.SOURCE,
        BIG,
    )
    assert bench.dest.asked == ["part"] * 5 + ["finish"]


async def test_what_the_worker_has_sent_need_not_be_copied(bench: Bench) -> None:
    info = await bench.source.put("big", BIG)
    upload_id = await bench.dest.start_upload("to/big", SENT)
    part = await MemoryDestination.upload_part(bench.dest, "to/big", upload_id, 1, BIG[:1000])
    upload = Upload("to/big", upload_id, 1000, info, {1: (part.etag, crc64(BIG[:1000]))})
    result = await bench.copy(info, upload)
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)
    assert bench.dest.asked == ["copy_part"] * 4 + ["finish"]


async def test_parts_of_another_size_are_dropped(bench: Bench) -> None:
    info = await bench.source.put("big", BIG)
    upload_id = await bench.dest.start_upload("to/big", SENT)
    part = await MemoryDestination.upload_part(bench.dest, "to/big", upload_id, 1, BIG[:500])
    upload = Upload("to/big", upload_id, 500, info, {1: (part.etag, crc64(BIG[:500]))})
    result = await bench.copy(info, upload)
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)
    assert bench.dest.asked == ["abort", *["copy_part"] * 5, "finish"]
    assert bench.dest._uploads == {}


async def test_an_upload_of_what_is_copied_at_once_is_aborted_when_it_is_there(
    bench: Bench,
) -> None:
    body = b"x" * 2500  # in parts through the worker, at once inside
    info = await bench.source.put("a", body)
    upload_id = await bench.dest.start_upload("to/a", SENT)
    part = await MemoryDestination.upload_part(bench.dest, "to/a", upload_id, 1, body[:1000])
    upload = Upload("to/a", upload_id, 1000, info, {1: (part.etag, crc64(body[:1000]))})
    bench.dest.troubles["copy"] = [denied()]
    result = await bench.copy(info, upload)
    assert (result.outcome, bench.stored("a")) == (Outcome.COPIED, body)
    assert bench.dest.asked == ["copy", "part", "part", "finish"], "nothing was lost by trying"

    bench.dest.asked.clear()
    upload_id = await bench.dest.start_upload("to/a", SENT)
    assert (await bench.copy(info, Upload("to/a", upload_id, 1000, info, {}))).code == ""
    assert bench.dest.asked == ["copy", "abort"]
    assert bench.saved[-1] is None


async def test_a_lost_answer_to_the_last_request_is_not_a_failure(bench: Bench) -> None:
    bench.dest.lost["finish"] = [Transient("reset", code="ConnectionReset")]
    result = await bench.copy(await bench.source.put("big", BIG))
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.SOURCE)
    assert (bench.dest.asked.count("finish"), bench.source.read_bytes) == (2, 0)


@pytest.mark.parametrize("states_crc64", [True, False])
async def test_a_large_copy_that_is_none_is_made_good_through_the_worker(
    bench: Bench, states_crc64: bool
) -> None:
    bench.dest.flipped, bench.dest.states_crc64 = True, states_crc64
    result = await bench.copy(await bench.source.put("big", BIG))
    assert (result.outcome, result.proof, bench.stored("big")) == (
        Outcome.COPIED,
        Proof.SOURCE,
        BIG,
    )
    assert ("finish" in bench.dest.asked[:6]) == (not states_crc64), "parts are proved first"


# -- when it is tried ------------------------------------------------------------------------------

PUBLIC = "oss-cn-hangzhou.aliyuncs.com"
JOB = JobConfig(
    name="job",
    source=SourceConfig(
        type="oss",
        access_key="ak",
        domain=f"http://{PUBLIC}",
        region="cn-hangzhou",
        bucket="one",
    ),
    dest=DestConfig(access_key="ak", host=PUBLIC, secret_key=Secret("sk"), bucket="two"),
)


@pytest.mark.parametrize(
    ("source", "dest", "tried"),
    [
        ({}, {}, True),
        ({"domain": "https://oss-cn-hangzhou-internal.aliyuncs.com"}, {}, True),
        ({"domain": "vpc100-oss-cn-hangzhou.aliyuncs.com"}, {"scheme": "https", "port": 443}, True),
        ({"domain": "cn-hangzhou.oss.aliyuncs.com"}, {}, True),
        ({"prefix": "a/"}, {"prefix": "b/", "bucket": "one"}, True),
        ({"prefix": "a/"}, {"prefix": "a/", "bucket": "one"}, False),
        ({"domain": "oss-cn-beijing.aliyuncs.com"}, {}, False),
        ({}, {"host": "oss-cn-beijing.aliyuncs.com"}, False),
        ({}, {"host": "127.0.0.1", "port": 9000}, False),
        ({"domain": "oss-accelerate.aliyuncs.com"}, {}, False),
        ({"access_key": "other"}, {}, False),
        ({"credentials": "ecs:a"}, {"credentials": "ecs:b"}, False),
        ({"credentials": "ecs:a"}, {"credentials": "ecs:a"}, True),
        ({"type": "s3"}, {}, False),
        ({"domain": "127.0.0.1:9000"}, {"host": "127.0.0.1", "port": 9000}, True),
        ({"domain": "127.0.0.1:9000"}, {"host": "127.0.0.1", "port": 9001}, False),
        ({"domain": "localhost:9000"}, {"host": "127.0.0.1", "port": 9000}, False),
        (
            {"domain": "oss-accelerate.aliyuncs.com", "region": "cn-beijing"},
            {"host": "oss-accelerate.aliyuncs.com"},
            False,
        ),
        (
            {"domain": "oss-accelerate.aliyuncs.com"},
            {"host": "oss-accelerate.aliyuncs.com"},
            True,
        ),
    ],
)
def test_it_is_tried_where_both_ends_are_one_region_of_one_account(
    source: dict[str, str], dest: dict[str, object], tried: bool
) -> None:
    job = replace(
        JOB,
        source=replace(JOB.source, **source),  # type: ignore[arg-type]
        dest=replace(JOB.dest, **dest),  # type: ignore[arg-type]
    )
    assert may_copy_inside(job) == tried
