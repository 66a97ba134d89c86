"""An audit finds what its mode promises to find, nothing more, and reads what it has to read."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport.audit.auditor import Auditor
from ossimport.audit.compare import RESULT_OF, Code, Mode
from ossimport.audit.extra import ExtraAuditor
from ossimport.budget import Budget
from ossimport.copying import CopyPolicy
from ossimport.dest.base import Described
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Permanent, Transient
from ossimport.listed import Listed
from ossimport.model import CopyResult, Lane, ObjectInfo, Outcome, Proof, Upload
from ossimport.sources.base import Payload
from ossimport.sources.memory import MemorySource

CHANGED = 1_700_000_000 * 10**9
PART = 100 << 10
POLICY = CopyPolicy(dest_prefix="to/", multipart_threshold=PART, part_size=PART, attempts=2)
BODY = random.Random(1).randbytes(250 << 10)  # three parts


class Held(MemoryDestination):
    """Counts what it is asked for, and can be read as a source is."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1_700_000_100.0)
        self.asked: list[str] = []
        self.reads: list[tuple[str, int, int]] = []

    async def describe(self, key: str) -> Described | None:
        self.asked.append(f"describe {key}")
        return await super().describe(key)

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        self.asked.append("list")
        return await super().list(prefix, after, limit)

    def change(self, key: str, *, body: bytes | None = None, **changes: Any) -> None:
        """Tamper with what is there, as nobody would do it through the service."""
        held = self.objects[key]
        if body is not None:
            asyncio.run(self.put(key, body, held.headers))
            held = self.objects[key]
        headers = {**held.headers, **changes.pop("headers", {})}
        self.objects[key] = held._replace(info=held.info._replace(**changes), headers=headers)

    # -- as a source -----------------------------------------------------------------------------

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        self.reads.append((info.key, offset, length))
        held = self.objects.get(f"to/{info.key}")
        if held is None:
            raise Permanent("gone", code="NotFound", op="read", key=info.key)
        return Payload(held.body[offset : offset + length])


class Bench:
    """Both ends, copied once by the engine, and an auditor between them."""

    def __init__(self, *, checksums: bool = False, bodies: dict[str, bytes] | None = None) -> None:
        self.source = MemorySource(checksums=checksums)
        self.dest = Held()
        self.engine = CopyEngine(
            self.source, self.dest, POLICY, Budget(8 * PART), jitter=lambda: 0.0, sleep=_no_sleep
        )
        for key, body in (bodies or {"a": b"small", "b": BODY}).items():
            self.source.put(key, body, mtime_ns=CHANGED)
        for key in bodies or ("a", "b"):
            assert self.copy(key).outcome is Outcome.COPIED
        self.source.reads.clear()
        self.dest.asked.clear()

    def copy(self, key: str) -> CopyResult:
        async def work() -> CopyResult:
            return await self.engine.copy(await self.source.stat(key), save=_save)

        return asyncio.run(work())

    def audit(
        self, key: str, mode: Mode = Mode.DETAILED, *, repair: bool = False, was: Any = None
    ) -> CopyResult:
        async def work() -> CopyResult:
            copies: Any = self.dest if mode is Mode.DEEP else None
            auditor = Auditor(self.engine, mode, repair=repair, copies=copies)
            info = was or await self.source.stat(key)
            listed = await auditor.look_ahead([info, info], begun_before=True)
            return await auditor.copy(info, save=_save, listed=listed)

        return asyncio.run(work())

    def codes(self, key: str) -> dict[str, str]:
        """What each mode says of the object; empty for a match."""
        return {mode: self.audit(key, mode).code for mode in Mode}


async def _save(upload: Upload | None) -> None: ...


async def _no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def all_modes(simple: str, general: str, detailed: str, deep: str) -> dict[str, str]:
    return dict(zip(Mode, (simple, general, detailed, deep), strict=True))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("key", ["a", "b"])
def test_what_was_copied_matches_in_every_mode(bench: Bench, key: str) -> None:
    for mode in Mode:
        result = bench.audit(key, mode)
        assert (result.outcome, result.code) == (Outcome.SKIPPED, "")
    assert bench.codes(key) == all_modes("", "", "", "")


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_missing_object_is_found_by_all(bench: Bench, key: str) -> None:
    del bench.dest.objects[f"to/{key}"]
    assert bench.codes(key) == dict.fromkeys(Mode, Code.MISSING)
    assert f"{len(BODY)} bytes" in bench.audit("b").message or key == "a"


def test_a_truncated_object_is_found_by_all(bench: Bench) -> None:
    bench.dest.change("to/b", body=BODY[:-1])
    assert bench.codes("b") == dict.fromkeys(Mode, Code.SIZE)
    message = bench.audit("b").message
    assert str(len(BODY)) in message
    assert str(len(BODY) - 1) in message


@pytest.mark.parametrize("at", [0, PART, len(BODY) - 1])
def test_a_flipped_byte_is_found_by_those_that_look_at_bytes(bench: Bench, at: int) -> None:
    flipped = bytearray(BODY)
    flipped[at] ^= 1
    bench.dest.change("to/b", body=bytes(flipped))
    assert bench.codes("b") == all_modes("", "", Code.CONTENT, Code.CONTENT)
    assert f"byte at {at} " in bench.audit("b", Mode.DEEP).message
    message = bench.audit("b").message
    assert str(bench.dest.objects["to/b"].info.crc64) in message


def test_a_wrong_header_is_found_by_all_but_simple(bench: Bench) -> None:
    bench.dest.change("to/a", headers={"content-type": "text/odd"})
    assert bench.codes("a") == all_modes("", Code.HEADER, Code.HEADER, Code.HEADER)
    message = bench.audit("a", Mode.GENERAL).message
    assert "content-type" in message
    assert "text/odd" in message
    assert "application/octet-stream" in message


def test_headers_that_the_import_would_not_set_are_left_alone(bench: Bench) -> None:
    bench.dest.change("to/a", headers={"x-oss-meta-mine": "1", "cache-control": "no-cache"})
    assert bench.codes("a") == all_modes("", "", "", "")


def test_an_older_copy_is_found_by_the_time_written_down_beside_it(bench: Bench) -> None:
    bench.source.put("a", b"small", mtime_ns=CHANGED + 1)
    assert bench.codes("a") == all_modes("", Code.OLDER, Code.OLDER, Code.OLDER)
    assert "bytes" not in bench.audit("a", Mode.GENERAL).message
    assert bench.audit("a", Mode.DETAILED).message.endswith("; the bytes are the same")


def test_a_copy_of_a_later_time_than_the_source_has_is_not_taken_for_this_one(bench: Bench) -> None:
    bench.source.put("a", b"small", mtime_ns=CHANGED - 1)
    assert bench.codes("a") == all_modes("", Code.HEADER, Code.HEADER, Code.HEADER)


@pytest.mark.parametrize(("written", "code"), [(-1, Code.OLDER), (0, ""), (1, "")])
def test_a_copy_by_another_tool_is_judged_by_when_it_was_written(
    bench: Bench, written: int, code: str
) -> None:
    bench.dest.change("to/a", mtime_ns=CHANGED + written * 10**9)
    del bench.dest.objects["to/a"].headers["x-oss-meta-mtime"]
    assert bench.audit("a", Mode.GENERAL).code == code


def test_a_clock_that_is_wrong_at_oss_does_not_matter_to_own_copies(bench: Bench) -> None:
    bench.dest.change("to/a", mtime_ns=1)
    assert bench.audit("a", Mode.GENERAL).outcome is Outcome.SKIPPED


def test_all_that_differs_is_told_and_bytes_come_first(bench: Bench) -> None:
    bench.source.put("a", b"SMALL", mtime_ns=CHANGED + 10**9)
    bench.dest.change("to/a", headers={"content-type": "text/odd"})
    result = bench.audit("a")
    assert result.code == Code.CONTENT
    assert all(word in result.message for word in ("CRC64", "x-oss-meta-mtime", "content-type"))


# -- what it costs ---------------------------------------------------------------------------------


def test_simple_asks_for_no_single_object_and_reads_nothing(bench: Bench) -> None:
    assert bench.audit("a", Mode.SIMPLE).proof is Proof.SIZE
    assert (bench.dest.asked, bench.source.reads) == (["list"], [])


def test_general_asks_once_and_reads_nothing(bench: Bench) -> None:
    bench.audit("b", Mode.GENERAL)
    assert bench.dest.asked == ["describe to/b"]
    assert [length for _, _, length in bench.source.reads] == [0]


def test_detailed_reads_the_source_once_and_never_the_destination(bench: Bench) -> None:
    assert bench.audit("b").proof is Proof.CRC64
    spans = sorted(read[1:] for read in bench.source.reads if read[2])
    assert spans == [(0, PART), (PART, PART), (2 * PART, len(BODY) - 2 * PART)]
    assert (bench.dest.asked, bench.dest.reads) == (["describe to/b"], [])


def test_detailed_reads_nothing_where_an_md5_is_the_etag() -> None:
    bench = Bench(checksums=True, bodies={"a": b"small"})
    assert bench.audit("a").proof is Proof.SOURCE
    assert [length for _, _, length in bench.source.reads] == [0]


def test_an_etag_that_is_no_md5_proves_nothing_either_way() -> None:
    bench = Bench(checksums=True)
    assert bench.dest.objects["to/b"].info.etag.endswith("-3")
    assert bench.audit("b").proof is Proof.CRC64
    assert sum(length for _, _, length in bench.source.reads) == len(BODY)


def test_without_a_checksum_at_the_destination_it_says_so_unless_it_reads(bench: Bench) -> None:
    bench.dest.change("to/b", crc64=None)
    result = bench.audit("b")
    assert (result.outcome, result.code) == (Outcome.FAILED, "NoChecksum")
    assert result.code not in RESULT_OF
    assert "--deep" in result.message
    assert bench.audit("b", Mode.DEEP).proof is Proof.SOURCE


def test_deep_reads_both_ends(bench: Bench) -> None:
    bench.audit("b", Mode.DEEP)
    assert sum(length for _, _, length in bench.source.reads) == len(BODY)
    assert sum(length for _, _, length in bench.dest.reads) == len(BODY)


@pytest.mark.parametrize("mode", ["detailed", "deep"])
def test_what_was_read_of_a_large_object_is_told_before_its_end(bench: Bench, mode: str) -> None:
    copies: Any = bench.dest if mode == "deep" else None
    told: list[int] = []

    def pace(size: int) -> float:
        told.append(auditor.moving)
        return 0.0

    one_by_one = POLICY._replace(parts_in_flight=1)
    engine = CopyEngine(
        bench.source, bench.dest, one_by_one, Budget(8 * PART), jitter=lambda: 0.0, sleep=_no_sleep
    )
    auditor = Auditor(engine, Mode(mode), copies=copies, pace=pace)

    async def work() -> CopyResult:
        return await auditor.copy(await bench.source.stat("b"), save=_save)

    assert asyncio.run(work()).outcome is Outcome.SKIPPED
    assert told == [0, PART, 2 * PART]
    assert auditor.moving == 0


@pytest.mark.parametrize(("mode", "reads"), [("general", 0), ("detailed", 1), ("deep", 2)])
def test_what_is_read_is_told_to_the_pace_first(bench: Bench, mode: str, reads: int) -> None:
    told: list[int] = []

    def pace(size: int) -> float:
        told.append(size)
        assert sum(length for _, _, length in bench.source.reads) <= sum(told)
        return 0.0

    async def work() -> CopyResult:
        copies: Any = bench.dest
        auditor = Auditor(bench.engine, Mode(mode), copies=copies, pace=pace)
        return await auditor.copy(await bench.source.stat("b"), save=_save)

    assert asyncio.run(work()).outcome is Outcome.SKIPPED
    assert sum(told) == reads * len(BODY)


# -- both ends move --------------------------------------------------------------------------------


def test_what_was_listed_long_ago_is_looked_at_again(bench: Bench) -> None:
    was = asyncio.run(bench.source.stat("a"))
    bench.source.put("a", b"changed since", mtime_ns=CHANGED + 5)
    assert bench.audit("a", Mode.SIMPLE, was=was).code == ""  # the source says it was listed so
    bench.copy("a")
    for mode in Mode:
        result = bench.audit("a", mode, was=was)
        assert (result.outcome, result.size) == (Outcome.SKIPPED, len(b"changed since"))


def test_what_a_listing_lacked_is_asked_for_before_it_is_missing(bench: Bench) -> None:
    async def work() -> CopyResult:
        auditor = Auditor(bench.engine, Mode.SIMPLE)
        stale = Listed({}, {"to/a"})
        return await auditor.copy(await bench.source.stat("a"), save=_save, listed=stale)

    assert asyncio.run(work()).outcome is Outcome.SKIPPED
    assert bench.dest.asked == ["describe to/a"]


def test_what_is_gone_from_the_source_has_vanished(bench: Bench) -> None:
    was = asyncio.run(bench.source.stat("a"))
    bench.source.remove("a")
    del bench.dest.objects["to/a"]
    for mode in Mode:
        assert bench.audit("a", mode, was=was).outcome is Outcome.VANISHED


def test_a_source_that_never_holds_still_does_not_match(bench: Bench) -> None:
    moves = iter(range(100))

    def move(info: ObjectInfo) -> None:
        bench.source.put("a", b"small", mtime_ns=CHANGED + 1 + next(moves))

    bench.source.on_read = move
    assert bench.audit("a").code == Code.CONTENT


def test_a_copy_that_goes_while_it_is_read_is_missing(bench: Bench) -> None:
    bench.source.on_read = lambda info: bench.dest.objects.pop("to/a", None) and None
    assert bench.audit("a", Mode.DEEP).code == Code.MISSING


def test_a_trouble_is_no_mismatch(bench: Bench) -> None:
    def refuse(info: ObjectInfo) -> None:
        raise Permanent("no", code="AccessDenied", op="read", key=info.key)

    bench.source.on_read = refuse
    result = bench.audit("a")
    assert (result.outcome, result.code) == (Outcome.FAILED, "AccessDenied")
    assert result.code not in RESULT_OF


def test_a_request_is_made_again_with_patience(bench: Bench) -> None:
    refusals = [Transient("later", code="ServerError")]

    def refuse(info: ObjectInfo) -> None:
        if refusals:
            raise refusals.pop()

    bench.source.on_read = refuse
    result = bench.audit("a")
    assert (result.outcome, result.attempts) == (Outcome.SKIPPED, 2)


def test_a_name_that_oss_cannot_hold_is_missing(bench: Bench) -> None:
    bench.source.put("", b"x")
    object_named = "\n"
    bench.source.put(object_named, b"x")
    assert RESULT_OF[bench.audit(object_named).code] == "missing"


# -- repair ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_repair_copies_what_does_not_match_and_says_what_it_was(bench: Bench, key: str) -> None:
    del bench.dest.objects[f"to/{key}"]
    result = bench.audit(key, repair=True)
    assert (result.outcome, result.code) == (Outcome.COPIED, Code.MISSING)
    assert result.message.startswith("before: ")
    assert bench.codes(key) == all_modes("", "", "", "")


def test_a_repair_skips_nothing_whatever_the_job_skips(bench: Bench) -> None:
    bench.engine.policy = POLICY._replace(skip_existing=True)
    bench.dest.change("to/a", body=b"SMALL", mtime_ns=CHANGED + 10**12)
    assert bench.audit("a", repair=True).outcome is Outcome.COPIED
    assert bench.dest.objects["to/a"].body == b"small"


def test_a_repair_leaves_alone_what_matches(bench: Bench) -> None:
    before = dict(bench.dest.objects)
    assert bench.audit("a", repair=True).outcome is Outcome.SKIPPED
    assert bench.dest.objects == before


def test_what_cannot_be_repaired_keeps_its_mismatch(bench: Bench) -> None:
    del bench.dest.objects["to/a"]

    def refuse(info: ObjectInfo) -> None:
        raise Permanent("no", code="AccessDenied", op="read", key=info.key)

    bench.source.on_read = refuse
    result = bench.audit("a", Mode.SIMPLE, repair=True)
    assert (result.outcome, result.code) == (Outcome.FAILED, Code.MISSING)
    assert "AccessDenied" in result.message


class Placed(MemorySource):
    """Knows of no key where its object is."""

    async def stat(self, key: str) -> ObjectInfo:
        raise AssertionError(f"nobody can find {key}")

    async def renew(self, info: ObjectInfo) -> ObjectInfo:
        return await super().stat(info.key)


@pytest.mark.parametrize("mode", Mode)
def test_where_an_object_is_need_not_be_searched_for(mode: Mode) -> None:
    bench = Bench()
    info = asyncio.run(bench.source.stat("a"))
    bench.dest.objects.clear()
    bench.source.__class__ = Placed
    assert bench.audit("a", mode, was=info).code == Code.MISSING


# -- the other way round ---------------------------------------------------------------------------


class ListedSource(MemorySource):
    """Lists keys in order, as buckets do."""

    def __init__(self) -> None:
        super().__init__()
        self.stats: list[str] = []
        self.pages = 0

    async def list(self, after: str, limit: int) -> list[ObjectInfo]:
        self.pages += 1
        keys = [key for key in self.keys(Lane()) if key > after][:limit]
        return [await super(ListedSource, self).stat(key) for key in keys]

    async def stat(self, key: str) -> ObjectInfo:
        self.stats.append(key)
        return await super().stat(key)


@settings(max_examples=50, deadline=None)
@given(
    source=st.sets(st.text("ab/é", min_size=1, max_size=4), max_size=20),
    dest=st.lists(st.text("ab/é", min_size=1, max_size=4), max_size=20, unique=True),
    is_listed=st.booleans(),
)
def test_extra_is_what_the_source_does_not_have(
    source: set[str], dest: list[str], is_listed: bool
) -> None:
    end = ListedSource() if is_listed else MemorySource()
    for key in source:
        end.put(key, b"x")
    engine = CopyEngine(
        end, MemoryDestination(), POLICY, Budget(PART), jitter=lambda: 0.0, sleep=_no_sleep
    )

    async def work() -> dict[str, str]:
        auditor = ExtraAuditor(engine)
        objects = [ObjectInfo(key, 1) for key in dest]
        listed = await auditor.look_ahead(objects, begun_before=False)
        results = {o.key: await auditor.copy(o, save=_save, listed=listed) for o in objects}
        assert all(result.outcome is not Outcome.COPIED for result in results.values())
        return {key: result.code for key, result in results.items() if result.code}

    assert asyncio.run(work()) == dict.fromkeys(set(dest) - source, Code.EXTRA)
    if isinstance(end, ListedSource) and len(dest) > 1:
        assert set(end.stats) <= set(dest) - source, "what a page tells is not asked for"
