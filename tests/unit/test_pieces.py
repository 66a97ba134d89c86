"""Large files that are read, hashed and sent piece by piece: what goes wrong in the middle."""

import asyncio
import os
import random
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.budget import Budget
from ossimport.copying import CopyPolicy
from ossimport.crc64 import crc64
from ossimport.dest.base import Body, Stored, StoredPart
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Permanent, StorageError, Transient
from ossimport.model import CopyResult, ObjectInfo, Outcome, Proof, Upload
from ossimport.pieces import Pieces, Unread
from ossimport.sources import local
from ossimport.sources.local import LocalSource
from ossimport.transport.wire import Flowing

MIB = 1 << 20
BYTES = random.Random(4).randbytes(5 * MIB + 7)
WHOLE = CopyPolicy(dest_prefix="to/", multipart_threshold=100 * MIB, part_size=MIB, attempts=3)
IN_PARTS = WHOLE._replace(multipart_threshold=MIB, part_size=2 * MIB)


class Watched(MemoryDestination):
    """Takes bodies as a connection does, in slices, and breaks off where the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.in_the_middle: list[Callable[[], None]] = []  # one for each time, at a third
        self.flips = 0  # so many answers tell another CRC64
        self.began = 0
        self.read = 0  # bytes

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        stored = await super().put(key, await self._taken(body), headers)
        return stored._replace(crc64=self._told(stored.crc64))

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        part = await super().upload_part(key, upload_id, number, await self._taken(body))
        return part._replace(crc64=self._told(part.crc64))

    def _told(self, crc: int | None) -> int | None:
        self.flips -= 1
        return crc if self.flips < 0 else 1

    async def _taken(self, body: Body) -> bytes:
        assert isinstance(body, Flowing)
        self.began += 1
        act = self.in_the_middle.pop(0) if self.in_the_middle else None
        found = b""
        while len(found) < len(body):
            if act is not None and len(found) > len(body) // 3:
                act()
                act = None
            found += await body.read(len(found), 300_000)
            self.read = max(self.read, len(found))
        return found


class Bench:
    """An engine between a directory and memory."""

    def __init__(self, root: Path, policy: CopyPolicy) -> None:
        self.path = root / "large"
        self.source = LocalSource(root=f"{root}/", allow_symlinks=False, split_depth=1)
        self.dest = Watched()
        self.waits: list[float] = []
        self.saved: list[Upload | None] = []
        self.engine = CopyEngine(
            self.source, self.dest, policy, Budget(64 * MIB), jitter=lambda: 0.0, sleep=self._sleep
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def _save(self, upload: Upload | None) -> None:
        self.saved.append(upload)

    def write(self, body: bytes) -> ObjectInfo:
        self.path.write_bytes(body)
        status = self.path.stat()
        return ObjectInfo("large", status.st_size, status.st_mtime_ns)

    async def copy(self, info: ObjectInfo) -> CopyResult:
        result = await self.engine.copy(info, save=self._save)
        assert self.engine.ends.budget._held == 0
        assert not any("large" in os.readlink(f"/proc/self/fd/{fd}") for fd in _open())
        return result

    @property
    def stored(self) -> bytes:
        return self.dest.objects["to/large"].body


def _open() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]


@pytest.fixture(params=[WHOLE, IN_PARTS], ids=["whole", "in parts"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(tmp_path, request.param)


async def test_it_arrives_and_is_proved_by_its_crc64(bench: Bench) -> None:
    result = await bench.copy(bench.write(BYTES))
    assert (result.outcome, result.proof, result.crc64) == (
        Outcome.COPIED,
        Proof.CRC64,
        crc64(BYTES),
    )
    assert bench.stored == BYTES
    assert result.attempts == 1


async def test_what_breaks_off_in_the_middle_is_read_and_sent_again(bench: Bench) -> None:
    def reset() -> None:
        raise Transient("reset", code="ConnectionReset")

    bench.dest.in_the_middle = [reset, reset]
    result = await bench.copy(bench.write(BYTES))
    assert (result.outcome, result.crc64, result.attempts) == (Outcome.COPIED, crc64(BYTES), 3)
    assert bench.stored == BYTES


async def test_another_crc64_in_the_answer_means_sending_again(bench: Bench) -> None:
    bench.dest.flips = 1
    result = await bench.copy(bench.write(BYTES))
    assert (result.outcome, result.attempts, bench.stored) == (Outcome.COPIED, 2, BYTES)


async def test_bytes_that_never_arrive_whole_are_a_failure(bench: Bench) -> None:
    bench.dest.flips = 100
    result = await bench.copy(bench.write(BYTES))
    assert (result.outcome, result.code) == (Outcome.FAILED, "ChecksumMismatch")


@pytest.mark.parametrize("change", ["cut", "grown", "replaced", "touched"])
async def test_a_file_that_changes_in_the_middle_never_arrives_mixed(
    bench: Bench, change: str
) -> None:
    """And it is found out before the last piece goes, so that nothing of it is stored."""
    info = bench.write(BYTES)
    after = {"cut": BYTES[: 4 * MIB], "grown": BYTES * 2, "replaced": BYTES[::-1], "touched": BYTES}

    def act() -> None:
        bench.write(after[change])
        os.utime(bench.path, ns=(info.mtime_ns, info.mtime_ns + 1000))

    bench.dest.in_the_middle = [act]
    kept = len(bench.dest.objects)
    seen: list[int] = []
    stat = bench.source.stat

    async def then(key: str) -> ObjectInfo:
        seen.append(len(bench.dest.objects) - kept)
        return await stat(key)

    bench.source.stat = then  # type: ignore[method-assign]  # called when the change is noticed
    result = await bench.copy(info)
    assert (result.outcome, bench.stored) == (Outcome.COPIED, after[change])
    assert seen == [0]
    assert bench.waits == []  # nobody took it for the destination's fault


async def test_a_file_that_goes_in_the_middle_has_vanished(bench: Bench) -> None:
    info = bench.write(BYTES)
    bench.dest.in_the_middle = [bench.path.unlink]
    result = await bench.copy(info)
    assert result.outcome is Outcome.VANISHED
    assert "large" in result.message
    assert bench.dest.began <= 3  # parts in flight; none of them twice
    assert not bench.dest.objects
    assert not bench.dest._uploads


async def test_a_disk_that_errs_is_asked_again_by_the_source_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = bench.write(BYTES)
    errors = [Transient("a disk error", code="EIO", op="read") for _ in range(2)]
    real = bench.source.read_some

    async def err(info: ObjectInfo, offset: int, most: int) -> bytes:
        if offset and errors:
            raise errors.pop()
        return await real(info, offset, most)

    monkeypatch.setattr(bench.source, "read_some", err)
    result = await bench.copy(info)
    assert (result.outcome, result.attempts, bench.stored) == (Outcome.COPIED, 3, BYTES)
    assert len(bench.waits) == 2
    bodies = 3 if bench.saved else 1  # parts, if there are any
    assert bench.dest.began == bodies  # a piece is asked for again, not the request made again


async def test_a_disk_that_errs_for_good_fails_the_object_in_its_own_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = bench.write(BYTES)
    real = bench.source.read_some
    asked = 0

    async def err(info: ObjectInfo, offset: int, most: int) -> bytes:
        nonlocal asked
        if offset >= 4 * MIB:
            asked += 1
            raise Transient("a disk error", code="EIO", op="read")
        return await real(info, offset, most)

    monkeypatch.setattr(bench.source, "read_some", err)
    result = await bench.copy(info)
    assert (result.outcome, result.code, result.message) == (Outcome.FAILED, "EIO", "a disk error")
    assert asked == 3  # and not so often for each time that it is sent


async def test_an_md5_that_goes_before_the_bytes_needs_them_all_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, WHOLE._replace(record_md5=True))
    taken: list[Body] = []

    async def put(key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        taken.append(body)
        return await MemoryDestination.put(bench.dest, key, body, headers)

    bench.dest.put = put  # type: ignore[method-assign]
    assert (await bench.copy(bench.write(BYTES))).outcome is Outcome.COPIED
    assert taken == [BYTES]
    assert len(bench.dest.objects["to/large"].headers["x-oss-meta-md5"]) == 32


async def test_small_files_go_as_they_did(tmp_path: Path) -> None:
    bench = Bench(tmp_path, WHOLE)
    taken: list[Body] = []

    async def put(key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        taken.append(body)
        return await MemoryDestination.put(bench.dest, key, body, headers)

    bench.dest.put = put  # type: ignore[method-assign]
    assert (await bench.copy(bench.write(BYTES[:MIB]))).outcome is Outcome.COPIED
    assert taken == [BYTES[:MIB]]


async def test_who_is_cancelled_in_the_middle_leaves_nothing_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = bench.write(BYTES)
    reading = asyncio.Event()
    real = bench.source.read_some

    async def endless(info: ObjectInfo, offset: int, most: int) -> bytes:
        if offset >= 4 * MIB:
            reading.set()
            await asyncio.Event().wait()
        return await real(info, offset, most)

    monkeypatch.setattr(bench.source, "read_some", endless)
    task = asyncio.ensure_future(bench.copy(info))
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.engine.ends.budget._held == 0
    assert bench.engine.moving == 0


# -- pieces and slices -----------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 70), st.data())
def test_slices_are_cut_from_pieces_and_the_crc64_is_that_of_all(
    pieces: list[int], slice_: int, data: st.DataObject
) -> None:
    body = BYTES[: sum(pieces)]
    begin = 1000  # where the part lies in its object
    asked: list[int] = []

    async def read(offset: int, most: int) -> bytes:
        asked.append(offset - begin)
        at = offset - begin
        assert most == len(body) - at
        ends = [sum(pieces[: i + 1]) for i in range(len(pieces))]
        return body[at : next(end for end in ends if end > at)]

    async def main() -> None:
        flowing = Pieces(range(begin, begin + len(body)), read)
        broken_off = data.draw(st.integers(0, len(body)))
        for end in (broken_off, len(body), len(body)):
            found = b""
            while len(found) < end:
                found += await flowing.read(len(found), slice_)
            assert found == body[: len(found)]
        assert flowing.crc64 == crc64(body)
        assert asked.count(0) == 2 + (broken_off > 0)
        assert len(asked) <= 3 * len(pieces)

    asyncio.run(main())


async def test_a_large_piece_is_hashed_beside_the_event_loop_and_after_what_went_before() -> None:
    async def read(offset: int, most: int) -> bytes:
        return BYTES[offset : offset + (3 * MIB if offset else 100)]

    flowing = Pieces(range(len(BYTES)), read)
    found = b""
    while len(found) < len(BYTES):
        found += await flowing.read(len(found), 4 * MIB)
    assert (found, flowing.crc64) == (BYTES, crc64(BYTES))


async def test_a_piece_is_given_up_before_the_next_is_read() -> None:
    class Block(bytearray):
        """Bytes that can be watched."""

    blocks: list[weakref.ref[Block]] = []

    async def read(offset: int, most: int) -> bytes:
        assert not [block for block in blocks if block() is not None]
        block = Block(10)
        blocks.append(weakref.ref(block))
        return cast(bytes, block)

    flowing = Pieces(range(30), read)
    for start in range(0, 30, 5):
        await flowing.read(start, 5)
    assert len(blocks) == 3


@pytest.mark.parametrize("kind", [Transient, Permanent])
async def test_an_error_of_the_source_is_none_of_who_sends(kind: type[StorageError]) -> None:
    error = kind("no", code="EIO")

    async def read(offset: int, most: int) -> bytes:
        raise error

    with pytest.raises(Unread) as caught:
        await Pieces(range(9), read).read(0, 9)
    assert caught.value.why is error
    assert not isinstance(caught.value, StorageError)


# -- the pieces of a local file --------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> tuple[LocalSource, ObjectInfo]:
    bench = Bench(tmp_path, WHOLE)
    return bench.source, bench.write(BYTES)


async def test_what_the_page_cache_has_is_read_at_once_and_the_rest_by_threads(
    disk: tuple[LocalSource, ObjectInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, info = disk
    here = threading.get_ident()
    threads: list[bool] = []
    real = os.read

    def read(fd: int, size: int) -> bytes:
        threads.append(threading.get_ident() != here)
        return real(fd, size)

    monkeypatch.setattr(os, "read", read)
    monkeypatch.setattr(os, "preadv", lambda *_: 1)  # not every file system can tell
    assert await source.read_some(info, 3, len(BYTES)) == BYTES[3 : 3 + local.PIECE]
    assert await source.read_some(info, 3, 10) == BYTES[3:13]
    assert threads == [False, False]

    def would_wait(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", would_wait)
    assert await source.read_some(info, 3, len(BYTES)) == BYTES[3 : 3 + local.SLOW_PIECE]
    assert await source.read_some(info, 3, 10) == BYTES[3:13]
    assert threads == [False, False, True, True]


@pytest.mark.parametrize("missing", [0, -1])
async def test_both_ends_of_a_piece_must_be_in_the_page_cache(
    disk: tuple[LocalSource, ObjectInfo], missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, info = disk
    asked: list[int] = []

    def preadv(fd: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        asked.append(offset)
        if offset == (7, 7 + local.PIECE - 1)[missing]:
            raise BlockingIOError
        return 1

    monkeypatch.setattr(os, "preadv", preadv)
    assert len(await source.read_some(info, 7, len(BYTES))) == local.SLOW_PIECE
    assert asked == [7, 7 + local.PIECE - 1][: len(asked)]


async def test_an_evicted_file_is_read_too(disk: tuple[LocalSource, ObjectInfo]) -> None:
    source, info = disk
    with open(f"{source._root}large", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found = b""
    while len(found) < len(BYTES):
        found += await source.read_some(info, len(found), len(BYTES) - len(found))
    assert found == BYTES


async def test_a_slow_disk_is_not_asked_on_the_event_loop(
    disk: tuple[LocalSource, ObjectInfo],
) -> None:
    source, info = disk
    source._try_again = float("inf")
    assert len(await source.read_some(info, 0, len(BYTES))) == local.SLOW_PIECE


async def test_the_page_cache_says_nothing_of_the_disk(
    disk: tuple[LocalSource, ObjectInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long there is the machine's doing; to open a file may be the disk's."""
    source, info = disk
    now = 0.0

    def late(fd: int, size: int) -> bytes:
        nonlocal now
        now += 1.0
        return b"x" * size

    monkeypatch.setattr(os, "read", late)
    monkeypatch.setattr(local, "time", SimpleNamespace(perf_counter=lambda: now))
    for has_it in (True, False):

        def preadv(*_: object, has_it: bool = has_it) -> int:
            nonlocal now
            if not has_it:
                now += 1.0
                raise BlockingIOError
            return 1

        monkeypatch.setattr(os, "preadv", preadv)
        for _ in range(20):
            await source.read_some(info, 0, 100)
        assert (source._try_again > now) is not has_it


@pytest.mark.parametrize("cached", [True, False])
async def test_each_piece_is_of_the_listed_version_or_says_how_it_is_not(
    disk: tuple[LocalSource, ObjectInfo], cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, info = disk
    if not cached:
        source._try_again = float("inf")
    with pytest.raises(Permanent, match="ended at byte 5242887") as caught:
        await source.read_some(info, len(BYTES) - 2, 3)
    assert caught.value.code == "SourceChanged"
    os.truncate(f"{source._root}large", 100)
    with pytest.raises(Permanent, match="it had 5242887 bytes and has 100") as caught:
        await source.read_some(info, 50, 1000)
    assert (caught.value.code, caught.value.op, caught.value.key) == (
        "SourceChanged",
        "read",
        "large",
    )
