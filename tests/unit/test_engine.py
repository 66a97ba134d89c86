"""The engine over the in-memory ends: every way in which one copy can go."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from decimal import Context, Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.budget import Budget
from ossimport.copying import CopyPolicy, compare, seconds_text
from ossimport.crc64 import crc64
from ossimport.dest.base import OSS_LIMITS, Body, Limits, Stored, StoredPart
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Fatal, Permanent, Transient, Waiting
from ossimport.fidelity.arriving import Keep
from ossimport.listed import Listed
from ossimport.model import CopyResult, Lane, ObjectInfo, Outcome, Proof, Upload
from ossimport.parts import part_size_for
from ossimport.patience import backoff
from ossimport.qetag import qetag
from ossimport.sources.base import Checksum, Payload, Scan

SMALL = Limits(
    min_part_size=10,
    max_part_size=1000,
    max_parts=50,
    max_put_size=1000,
    max_copy_size=300,
    max_object_size=10_000,
    max_key_bytes=1023,
)
POLICY = CopyPolicy(dest_prefix="to/", multipart_threshold=100, part_size=40, attempts=3)
HOUR_NS = 3600 * 10**9


class Shelf:
    """A source whose objects change when the test says so."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.before_read: list[Callable[[], None]] = []
        self.checksum: Checksum | None = None
        self.headers: dict[str, str] = {}
        self.read_mtime_ns = 0
        self.reads = 0

    def put(self, key: str, body: bytes, mtime_ns: int = HOUR_NS) -> ObjectInfo:
        self.objects[key] = (body, mtime_ns)
        return ObjectInfo(key, len(body), mtime_ns)

    def check(self) -> None:
        """Always there."""

    def scan(self, lane: Lane) -> Scan:
        raise AssertionError("the engine does not scan")

    async def stat(self, key: str) -> ObjectInfo:
        if key not in self.objects:
            raise Permanent("gone", code="NotFound", op="stat", key=key)
        body, mtime_ns = self.objects[key]
        return ObjectInfo(key, len(body), mtime_ns)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        self.reads += 1
        if self.before_read:
            self.before_read.pop(0)()
        if await self.stat(info.key) != info:
            raise Permanent("other version", code="SourceChanged", op="read", key=info.key)
        return Payload(
            self.objects[info.key][0][offset : offset + length],
            self.headers,
            self.checksum,
            self.read_mtime_ns,
            "x-oss-meta-",
        )

    async def close(self) -> None:
        """Nothing to give back."""


class Troubled(MemoryDestination):
    """A destination that goes wrong in a given way before, or after, it does its work."""

    def __init__(self) -> None:
        super().__init__(limits=SMALL)
        self.before: dict[str, list[Exception | None]] = {}
        self.after: dict[str, list[Exception | None]] = {}
        self.flip = 0  # so many answers tell another CRC64
        self.says_crc64 = True
        self.asked: list[str] = []

    async def _ask(self, op: str, work: Awaitable[object]) -> object:
        self.asked.append(op)
        for troubles, act in ((self.before, False), (self.after, True)):
            trouble = troubles.get(op, [])
            error = trouble.pop(0) if trouble else None
            if error is not None:
                if act:
                    await work
                else:
                    asyncio.ensure_future(work).cancel()
                raise error
        return await work

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        stored = await self._ask("put", super().put(key, body, headers))
        assert isinstance(stored, Stored)
        if self.flip:
            self.flip -= 1
            return stored._replace(crc64=1)
        return stored if self.says_crc64 else stored._replace(crc64=None)

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        part = await self._ask("part", super().upload_part(key, upload_id, number, body))
        assert isinstance(part, StoredPart)
        return part

    async def finish_upload(
        self, key: str, upload_id: str, parts: Mapping[int, str], *, acl: str = ""
    ) -> Stored:
        stored = await self._ask("finish", super().finish_upload(key, upload_id, parts, acl=acl))
        assert isinstance(stored, Stored)
        return stored

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        listed = await self._ask("list", super().list(prefix, after, limit))
        assert isinstance(listed, list)
        return listed

    async def abort_upload(self, key: str, upload_id: str) -> None:
        await self._ask("abort", super().abort_upload(key, upload_id))


class Bench:
    """An engine with both ends, and what it asked to be written down."""

    def __init__(self, policy: CopyPolicy = POLICY) -> None:
        self.source = Shelf()
        self.dest = Troubled()
        self.waits: list[float] = []
        self.saved: list[Upload | None] = []
        self.engine = CopyEngine(
            self.source, self.dest, policy, Budget(10_000), jitter=lambda: 0.0, sleep=self._sleep
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def _save(self, upload: Upload | None) -> None:
        self.saved.append(upload._replace(parts=dict(upload.parts)) if upload else None)

    async def copy(self, info: ObjectInfo, upload: Upload | None = None) -> CopyResult:
        return await self.engine.copy(info, upload=upload, save=self._save)

    def stored(self, key: str) -> bytes:
        return self.dest.objects["to/" + key].body


@pytest.fixture
def bench() -> Bench:
    return Bench()


def throttled(retry_after: float = 0.0) -> Transient:
    return Transient("slow down", code="Throttled", op="put", retry_after=retry_after)


# -- one request -----------------------------------------------------------------------------------


async def test_a_copied_object_is_there_and_proved_by_crc64(bench: Bench) -> None:
    result = await bench.copy(bench.source.put("a/b.txt", b"hello"))
    assert (result.outcome, result.proof, result.crc64) == (
        Outcome.COPIED,
        Proof.CRC64,
        crc64(b"hello"),
    )
    assert bench.stored("a/b.txt") == b"hello"
    assert bench.dest.objects["to/a/b.txt"].headers["content-type"] == "text/plain"


async def test_an_empty_object_is_an_object(bench: Bench) -> None:
    assert (await bench.copy(bench.source.put("empty", b""))).outcome is Outcome.COPIED
    assert bench.stored("empty") == b""


async def test_one_small_object_costs_one_request(bench: Bench) -> None:
    await bench.copy(bench.source.put("a", b"x"))
    assert bench.dest.asked == ["put"]
    assert bench.source.reads == 1


async def test_a_transient_refusal_is_tried_again_without_a_second_read(bench: Bench) -> None:
    bench.dest.before["put"] = [throttled(), throttled(retry_after=7)]
    result = await bench.copy(bench.source.put("a", b"x"))
    assert (result.outcome, result.attempts) == (Outcome.COPIED, 3)
    assert bench.waits == [backoff(1, 0), 7]
    assert bench.source.reads == 1


async def test_an_object_fails_when_it_was_refused_often_enough_and_others_were_not(
    bench: Bench,
) -> None:
    bench.dest.before["put"] = [*[throttled()] * 3, None, throttled()]
    refused, taken = await asyncio.gather(
        bench.copy(bench.source.put("a", b"x")), bench.copy(bench.source.put("b", b"y"))
    )
    assert (refused.outcome, refused.code, refused.attempts) == (Outcome.FAILED, "Throttled", 3)
    assert taken.outcome is Outcome.COPIED
    assert "to/a" not in bench.dest.objects
    assert "list" not in bench.dest.asked, "a success elsewhere says enough"


async def test_nothing_fails_while_the_destination_refuses_everything(bench: Bench) -> None:
    bench.dest.before["put"] = [throttled()] * 6
    bench.dest.before["list"] = [throttled()]
    infos = [bench.source.put(key, b"x") for key in "ab"]
    both = await asyncio.gather(*map(bench.copy, infos), return_exceptions=True)
    for told in both:
        assert isinstance(told, Waiting)
        assert told.code == "Outage"
    assert bench.dest.asked == ["put"] * 6 + ["list"]
    assert [(await bench.copy(info)).outcome for info in infos] == [Outcome.COPIED] * 2


async def test_an_object_fails_alone_when_the_destination_answers_otherwise(bench: Bench) -> None:
    bench.dest.before["put"] = [throttled()] * 1000
    result = await bench.copy(bench.source.put("a", b"x"))
    assert (result.outcome, result.code, result.attempts) == (Outcome.FAILED, "Throttled", 3)
    assert bench.dest.asked == ["put", "put", "put", "list"]


async def test_a_source_that_answers_does_not_hide_that_the_destination_is_gone(
    bench: Bench,
) -> None:
    bench.dest.before["put"] = [throttled()] * 18
    bench.dest.before["list"] = [throttled()] * 6
    infos = [bench.source.put(key, b"x") for key in "abcdef"]
    told = await asyncio.gather(*map(bench.copy, infos), return_exceptions=True)
    assert {type(each) for each in told} == {Waiting}


async def test_a_permanent_refusal_is_not_tried_again(bench: Bench) -> None:
    bench.dest.before["put"] = [Permanent("no", code="AccessDenied", request_id="R1")]
    result = await bench.copy(bench.source.put("a", b"x"))
    assert (result.outcome, result.code, result.request_id) == (
        Outcome.FAILED,
        "AccessDenied",
        "R1",
    )
    assert bench.dest.asked == ["put"]


async def test_a_fatal_error_leaves_the_engine(bench: Bench) -> None:
    bench.dest.before["put"] = [Fatal("no such bucket", code="NoSuchBucket")]
    info = bench.source.put("a", b"x")
    with pytest.raises(Fatal):
        await bench.copy(info)


async def test_another_crc64_in_the_answer_means_sending_again(bench: Bench) -> None:
    bench.dest.flip = 1
    result = await bench.copy(bench.source.put("a", b"x"))
    assert (result.outcome, result.attempts) == (Outcome.COPIED, 2)


async def test_bytes_that_never_arrive_whole_are_a_failure(bench: Bench) -> None:
    bench.dest.flip = 9
    result = await bench.copy(bench.source.put("a", b"x"))
    assert (result.outcome, result.code) == (Outcome.FAILED, "ChecksumMismatch")


async def test_a_service_that_says_no_crc64_proves_the_size_alone(bench: Bench) -> None:
    bench.dest.says_crc64 = False
    bench.source.checksum = Checksum("crc64", str(crc64(b"hello")))
    result = await bench.copy(bench.source.put("a", b"hello"))
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.SIZE)


async def test_a_checksum_of_the_source_is_the_best_proof(bench: Bench) -> None:
    bench.source.checksum = Checksum("md5", "5d41402abc4b2a76b9719d911017c592")
    result = await bench.copy(bench.source.put("a", b"hello"))
    assert result.proof is Proof.SOURCE


async def test_a_hash_by_qiniu_is_the_best_proof_too(bench: Bench) -> None:
    bench.source.checksum = Checksum("qetag", qetag(b"hello"))
    assert (await bench.copy(bench.source.put("a", b"hello"))).proof is Proof.SOURCE
    result = await bench.copy(bench.source.put("b", b"other"))
    assert (result.outcome, result.code) == (Outcome.FAILED, "ChecksumMismatch")
    large = bytes(range(256)) * 20_000  # more than is hashed in the loop, and than one block
    await compare(Checksum("qetag", qetag(large)), large, 0, "key")
    with pytest.raises(Transient, match="the qetag l"):
        await compare(Checksum("qetag", qetag(b"hello")), large, 0, "key")


async def test_bytes_that_contradict_the_source_are_not_sent(bench: Bench) -> None:
    bench.source.checksum = Checksum("crc64", "1")
    result = await bench.copy(bench.source.put("a", b"hello"))
    assert (result.outcome, result.code) == (Outcome.FAILED, "ChecksumMismatch")
    assert bench.dest.asked == []
    assert bench.source.reads == 3


async def test_a_key_that_oss_cannot_hold_fails_alone(bench: Bench) -> None:
    result = await bench.copy(bench.source.put("line\nbreak", b"x"))
    assert (result.outcome, result.code) == (Outcome.FAILED, "InvalidKey")


async def test_an_object_beyond_the_limit_of_oss_fails(bench: Bench) -> None:
    result = await bench.copy(ObjectInfo("a", SMALL.max_object_size + 1, HOUR_NS))
    assert (result.outcome, result.code) == (Outcome.FAILED, "EntityTooLarge")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (1_700_000_000_000_000_000, "1700000000"),
        (1_700_000_000_123_456_789, "1700000000.123456789"),
        (1_700_000_000_120_000_000, "1700000000.12"),
        (1_700_000_000_000_000_001, "1700000000.000000001"),
        (1, "0.000000001"),
        (10**9, "1"),
        (-1_500_000_000, "-1.5"),
        (-5, "-0.000000005"),
    ],
)
async def test_the_time_of_change_travels_with_the_object(bench: Bench, ns: int, text: str) -> None:
    await bench.copy(bench.source.put("a", b"hello", ns))
    assert bench.dest.objects["to/a"].headers["x-oss-meta-mtime"] == text


@given(st.integers(-(2**70), 2**70))
def test_no_nanosecond_is_lost_as_text(ns: int) -> None:
    assert Decimal(seconds_text(ns)) == Decimal(ns).scaleb(-9, context=Context(prec=40))


async def test_a_time_of_its_own_or_of_the_answer_counts_and_none_is_made_up(bench: Bench) -> None:
    name = "x-oss-meta-mtime"
    await bench.copy(bench.source.put("unknown", b"hello", 0))
    assert name not in bench.dest.objects["to/unknown"].headers
    bench.source.read_mtime_ns = 5 * 10**9
    for key, body in (("answer", b"hello"), ("big", BIG)):
        await bench.copy(bench.source.put(key, body, 0))
        assert bench.dest.objects["to/" + key].headers[name] == "5"
    await bench.copy(bench.source.put("listed", b"hello"))
    assert bench.dest.objects["to/listed"].headers[name] == "3600"
    bench.source.headers = {name: "of rclone"}
    await bench.copy(bench.source.put("own", b"hello"))
    assert bench.dest.objects["to/own"].headers[name] == "of rclone"


async def test_what_does_not_travel_with_an_object_is_named(bench: Bench) -> None:
    bench.source.headers = {"x-amz-tagging-count": "2", "x-oss-meta-a.b": "c"}
    for key, body in (("a", b"hello"), ("big", BIG)):
        result = await bench.copy(bench.source.put(key, body))
        assert (result.outcome, result.unkept) == (Outcome.COPIED, tuple(bench.source.headers))
    bench.source.checksum = Checksum("crc64", "1")
    result = await bench.copy(bench.source.put("b", b"hello"))
    assert (result.outcome, result.unkept) == (Outcome.FAILED, ())


async def test_md5_and_encryption_travel_with_the_object() -> None:
    bench = Bench(POLICY._replace(record_md5=True, encrypt=True))
    await bench.copy(bench.source.put("a", b"hello"))
    headers = bench.dest.objects["to/a"].headers
    assert headers["x-oss-meta-md5"] == "5d41402abc4b2a76b9719d911017c592"
    assert headers["x-oss-server-side-encryption"] == "AES256"


# -- a source that moves ---------------------------------------------------------------------------


async def test_an_object_that_is_gone_has_vanished(bench: Bench) -> None:
    info = bench.source.put("a", b"x")
    bench.source.objects.clear()
    assert (await bench.copy(info)).outcome is Outcome.VANISHED


async def test_a_changed_object_is_copied_as_it_is_now(bench: Bench) -> None:
    info = bench.source.put("a", b"old")
    bench.source.put("a", b"newer", HOUR_NS + 1)
    result = await bench.copy(info)
    assert (result.outcome, result.size) == (Outcome.COPIED, 5)
    assert bench.stored("a") == b"newer"


async def test_an_object_that_never_holds_still_fails_with_size_not_match(bench: Bench) -> None:
    info = bench.source.put("a", b"v0")
    ticks = count(1)

    def change() -> None:
        tick = next(ticks)
        bench.source.put("a", b"v%d" % tick, HOUR_NS + tick)

    bench.source.before_read = [change] * 10
    result = await bench.copy(info)
    assert (result.outcome, result.code) == (Outcome.FAILED, "SIZE_NOT_MATCH")
    assert result.message == "the object changed 3 times while it was read: other version"


async def test_an_object_that_changes_and_then_goes_has_vanished(bench: Bench) -> None:
    info = bench.source.put("a", b"old")
    bench.source.before_read = [bench.source.objects.clear]
    assert (await bench.copy(info)).outcome is Outcome.VANISHED


# -- what is there already -------------------------------------------------------------------------


async def test_what_an_attempt_left_unverified_is_never_skipped() -> None:
    bench = Bench(POLICY._replace(skip_existing=True))
    bench.dest._clock = lambda: 7200.5
    await MemoryDestination.put(bench.dest, "to/a", b"wrong", {})
    info = bench.source.put("a", b"right")
    assert (await bench.copy(info)).outcome is Outcome.SKIPPED
    result = await bench.engine.copy(info, save=bench._save, begun_before=True)
    assert result.outcome is Outcome.COPIED
    assert bench.stored("a") == b"right"


async def test_what_was_listed_is_not_asked_for_again() -> None:
    bench = Bench(POLICY._replace(skip_existing=True))
    bench.dest._clock = lambda: 7200.5
    listed = Listed({"to/a": ObjectInfo("to/a", 5, 7200 * 10**9)}, {"to/a", "to/b"})
    await MemoryDestination.put(bench.dest, "to/b", b"right", {})  # after it was listed
    await MemoryDestination.put(bench.dest, "to/c", b"right", {})  # nothing is known of it
    outcomes = []
    for key in ("a", "b", "c"):
        info = bench.source.put(key, b"right", HOUR_NS)
        result = await bench.engine.copy(info, save=bench._save, listed=listed)
        outcomes.append(result.outcome)
    assert outcomes == [Outcome.SKIPPED, Outcome.COPIED, Outcome.SKIPPED]


@pytest.mark.parametrize(
    ("size", "mtime_ns", "skipped"),
    [
        (5, HOUR_NS, True),
        (6, HOUR_NS, False),  # another size
        (5, 7200 * 10**9, False),  # changed in the second in which it was stored
        (5, 7201 * 10**9, False),  # changed after it was stored
        (5, 7199 * 10**9 + 999_999_999, True),
        (5, 0, False),  # the source does not say when it was changed
    ],
)
async def test_skipping_goes_by_size_and_time(size: int, mtime_ns: int, skipped: bool) -> None:
    bench = Bench(POLICY._replace(skip_existing=True))
    bench.dest._clock = lambda: 7200.5
    await MemoryDestination.put(bench.dest, "to/a", b"12345", {})
    info = bench.source.put("a", b"x" * size, mtime_ns)
    result = await bench.copy(info)
    assert (result.outcome is Outcome.SKIPPED) == skipped
    assert ("put" in bench.dest.asked) == (not skipped)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(
    ("written_down", "skipped"),
    [
        ("3600.5", True),
        ("3600", None),  # it was copied from another version, and later than this one was made
        ("of another meaning", None),
    ],
)
async def test_the_time_that_is_written_down_tells_versions_apart(
    written_down: str, skipped: bool | None, tells: bool
) -> None:
    policy = POLICY._replace(skip_existing=True, keep=Keep(mtime_tells=tells))
    bench = Bench(policy)
    bench.dest._clock = lambda: 3600.9  # not later than the second of the change
    mtime_ns = 3600 * 10**9 + 500_000_000
    await MemoryDestination.put(bench.dest, "to/a", b"12345", {"x-oss-meta-mtime": written_down})
    result = await bench.copy(bench.source.put("a", b"12345", mtime_ns))
    assert (result.outcome is Outcome.SKIPPED) == bool(skipped)
    bench.dest._clock = lambda: 7200.0
    await MemoryDestination.put(bench.dest, "to/b", b"12345", {"x-oss-meta-mtime": written_down})
    result = await bench.copy(bench.source.put("b", b"12345", mtime_ns))
    assert (result.outcome is Outcome.SKIPPED) == (bool(skipped) or not tells)


# -- in parts --------------------------------------------------------------------------------------

BIG = bytes(range(256)) * 2  # 512 bytes: 13 parts of 40


async def test_a_large_object_arrives_in_parts(bench: Bench) -> None:
    result = await bench.copy(bench.source.put("big", BIG))
    assert (result.outcome, result.proof, result.crc64) == (
        Outcome.COPIED,
        Proof.CRC64,
        crc64(BIG),
    )
    assert bench.stored("big") == BIG
    assert bench.dest.asked.count("part") == 13
    assert bench.saved[-1] is None
    assert bench.engine.moving == 0


async def test_what_travels_with_a_large_object_arrives_too(bench: Bench) -> None:
    bench.source.headers = {"content-type": "text/x-own", "x-oss-meta-a": "b"}
    await bench.copy(bench.source.put("big", BIG))
    wanted = {"content-type": "text/x-own", "x-oss-meta-a": "b", "x-oss-meta-mtime": "3600"}
    assert bench.dest.objects["to/big"].headers == wanted


async def test_a_large_object_is_held_against_the_checksum_of_its_source(bench: Bench) -> None:
    bench.source.checksum = Checksum("crc64", str(crc64(BIG)))
    assert (await bench.copy(bench.source.put("big", BIG))).proof is Proof.SOURCE
    bench.source.checksum = Checksum("crc64", str(crc64(BIG) ^ 1))
    result = await bench.copy(bench.source.put("other", BIG))
    assert (result.outcome, result.code) == (Outcome.FAILED, "ChecksumMismatch")
    assert "to/other" not in bench.dest.objects
    assert not bench.dest._uploads
    bench.source.checksum = Checksum("md5", "0" * 32)  # parts cannot be held against it
    assert (await bench.copy(bench.source.put("third", BIG))).proof is Proof.CRC64


async def test_the_threshold_itself_still_goes_in_one_request(bench: Bench) -> None:
    await bench.copy(bench.source.put("a", b"x" * 100))
    await bench.copy(bench.source.put("b", b"x" * 101))
    assert bench.dest.asked == ["put", "part", "part", "part", "finish"]


async def test_an_upload_goes_on_where_it_stopped(bench: Bench) -> None:
    info = bench.source.put("big", BIG)
    bench.dest.before["part"] = [None] * 5 + [throttled()] * 1000
    result = await bench.copy(info)
    assert result.outcome is Outcome.FAILED
    kept = bench.saved[-1]
    assert kept is not None
    assert 0 < len(kept.parts) < 13

    bench.dest.before.clear()
    bench.dest.asked.clear()
    result = await bench.copy(info, kept)
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)
    assert bench.dest.asked.count("part") == 13 - len(kept.parts)


async def test_parts_of_another_version_are_dropped(bench: Bench) -> None:
    old = bench.source.put("big", bytes(512))
    bench.dest.before["part"] = [None] * 5 + [throttled()] * 1000
    await bench.copy(old)
    kept = bench.saved[-1]
    bench.dest.before.clear()
    bench.dest.asked.clear()
    result = await bench.copy(bench.source.put("big", BIG, HOUR_NS + 1), kept)
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)
    assert bench.dest.asked.count("part") == 13
    assert bench.dest.asked[0] == "abort"


async def test_a_part_that_the_service_lost_is_sent_again(bench: Bench) -> None:
    info = bench.source.put("big", BIG)
    bench.dest.before["part"] = [None] * 5 + [throttled()] * 1000
    await bench.copy(info)
    kept = bench.saved[-1]
    assert kept is not None
    lost = min(kept.parts)
    del bench.dest._uploads[kept.upload_id].parts[lost]
    bench.dest.before.clear()
    result = await bench.copy(info, kept)
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)


async def test_a_part_that_somebody_replaced_is_sent_again(bench: Bench) -> None:
    info = bench.source.put("big", BIG)
    bench.dest.before["part"] = [None] * 5 + [throttled()] * 1000
    await bench.copy(info)
    kept = bench.saved[-1]
    assert kept is not None
    bench.dest._uploads[kept.upload_id].parts[min(kept.parts)] = bytes(40)
    bench.dest.before.clear()
    result = await bench.copy(info, kept)
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)


async def test_an_older_object_is_not_taken_for_a_finished_upload(bench: Bench) -> None:
    await bench.copy(bench.source.put("big", bytes(512)))
    bench.dest.before["finish"] = [Permanent("gone", code="NoSuchUpload")]
    result = await bench.copy(bench.source.put("big", BIG, HOUR_NS + 1))
    assert (result.outcome, result.code) == (Outcome.FAILED, "NoSuchUpload")


async def test_an_upload_that_the_service_forgot_begins_anew(bench: Bench) -> None:
    info = bench.source.put("big", BIG)
    result = await bench.copy(info, Upload("to/big", "gone", 40, info, {1: ("E", 1)}))
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)


async def test_a_lost_answer_to_the_last_request_is_not_a_failure(bench: Bench) -> None:
    bench.dest.after["finish"] = [Transient("reset", code="ConnectionReset")]
    result = await bench.copy(bench.source.put("big", BIG))
    assert (result.outcome, result.proof) == (Outcome.COPIED, Proof.CRC64)
    assert bench.dest.asked.count("finish") == 2


async def test_a_large_object_that_changes_midway_is_never_mixed(bench: Bench) -> None:
    info = bench.source.put("big", bytes(512))

    def change() -> None:
        bench.source.put("big", BIG, HOUR_NS + 1)

    bench.source.before_read = [lambda: None] * 5 + [change]
    result = await bench.copy(info)
    assert (result.outcome, bench.stored("big")) == (Outcome.COPIED, BIG)
    assert not bench.dest._uploads


async def test_a_cancelled_upload_is_written_down(bench: Bench) -> None:
    info = bench.source.put("big", BIG)
    forever = asyncio.Event()
    original = bench.source.read
    reads = count()

    async def slow(info: ObjectInfo, offset: int, length: int) -> Payload:
        if next(reads) > 5:  # the first is for the headers alone
            await forever.wait()
        return await original(info, offset, length)

    bench.source.read = slow  # type: ignore[method-assign]  # the wait is the point of the test
    work = asyncio.create_task(bench.copy(info))
    while len(bench.dest.asked) < 5:
        await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    kept = bench.saved[-1]
    assert kept is not None
    assert len(kept.parts) == 5
    assert bench.engine.moving == 0


async def test_no_bytes_stay_reserved_whatever_happens(bench: Bench) -> None:
    bench.dest.before["put"] = [Permanent("no", code="AccessDenied")]
    bench.dest.before["part"] = [throttled()] * 1000
    await bench.copy(bench.source.put("a", b"x"))
    await bench.copy(bench.source.put("big", BIG))
    assert bench.engine.ends.budget._held == 0


# -- arithmetic ------------------------------------------------------------------------------------


@given(size=st.integers(0, OSS_LIMITS.max_object_size), wished=st.integers(1, 2**50))
def test_part_sizes_are_always_legal(size: int, wished: int) -> None:
    part = part_size_for(size, wished, OSS_LIMITS)
    assert OSS_LIMITS.min_part_size <= part <= OSS_LIMITS.max_part_size
    assert -(-size // part) <= OSS_LIMITS.max_parts


@given(attempt=st.integers(1, 1000), jitter=st.floats(0, 1, exclude_max=True))
def test_waits_grow_and_stay_bounded(attempt: int, jitter: float) -> None:
    assert 0.1 <= backoff(attempt, jitter) <= 30
    assert backoff(attempt, jitter) <= backoff(attempt + 1, jitter)


@given(st.lists(st.integers(0, 150), max_size=40), st.integers(0, 2**32))
def test_the_budget_is_kept_and_everyone_gets_a_turn(amounts: list[int], seed: int) -> None:
    async def main() -> None:
        budget = Budget(100)
        held: dict[int, int] = {}
        choices = random.Random(seed)

        async def use(number: int, amount: int) -> None:
            await budget.take(amount)
            held[number] = amount
            try:
                assert sum(held.values()) <= 100 or len([v for v in held.values() if v]) == 1
                for _ in range(choices.randrange(3)):
                    await asyncio.sleep(0)
            finally:
                del held[number]
                budget.give(amount)

        tasks = [asyncio.create_task(use(i, a)) for i, a in enumerate(amounts)]
        for task in tasks:
            if choices.random() < 0.2:
                await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(r is None or isinstance(r, asyncio.CancelledError) for r in results)
        assert budget._held == 0

    asyncio.run(main())


async def test_little_does_not_overtake_much_that_waits_for_the_budget() -> None:
    budget = Budget(100)
    assert budget.takes(60)
    much = asyncio.create_task(budget.take(60))
    await asyncio.sleep(0)
    assert not budget.takes(10)
    little = asyncio.create_task(budget.take(10))
    budget.give(60)
    await asyncio.gather(much, little)
    assert budget._held == 70


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b.JPG", "image/jpeg"),
        ("a.b/c", "application/octet-stream"),
        ("noext", "application/octet-stream"),
        ("x.html", "text/html"),
    ],
)
def test_content_type_goes_by_the_suffix(key: str, expected: str) -> None:
    from ossimport.content_type import content_type

    assert content_type(key) == expected
