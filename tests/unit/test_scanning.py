"""Scan threads: every entry once, whatever is split, fails, hangs or is closed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport import scanning
from ossimport.errors import Fatal, Permanent, Transient
from ossimport.model import Lane, Scanned, Verdict
from ossimport.planner import TaskLimits
from ossimport.scanning import WAITING_BATCHES, Ended, Found, Move, ScanThreads, Split
from ossimport.sources.base import Scan
from ossimport.sources.memory import MemoryScan, MemorySource

PATIENCE_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def alive(name: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(f"{name}-")]


def source_of(number: int) -> MemorySource:
    source = MemorySource()
    for index in range(number):
        source.put(f"k{index:05d}", b"x")
    return source


def keys_of(number: int) -> list[str]:
    return [f"k{index:05d}" for index in range(number)]


class Record:
    """Keeps the lanes as the master does, and what was found in them."""

    def __init__(self, lanes: dict[int, Lane] | None = None) -> None:
        self.lanes = {0: Lane()} if lanes is None else dict(lanes)
        self.found: list[str] = []
        self.excluded: list[Scanned] = []
        self.failed: list[Scanned] = []
        self.ended: list[Ended] = []
        self.splits: list[Split] = []
        self._numbers = count(max(self.lanes) + 1)

    def note(self, move: Move) -> dict[int, Lane]:
        """Write a move down; the new lanes it makes."""
        match move:
            case Found(lane, batch):
                self.found += [info.key for info in batch.objects]
                self.excluded += batch.excluded
                self.failed += batch.failed
                assert batch.cursor > self.lanes[lane].cursor
                self.lanes[lane] = self.lanes[lane]._replace(cursor=batch.cursor)
            case Split(lane, end, rest):
                self.splits.append(move)
                self.lanes[lane] = self.lanes[lane]._replace(until=end)
                number = next(self._numbers)
                self.lanes[number] = rest
                return {number: rest}
            case Ended(lane, error):
                self.ended.append(move)
                if error is None:
                    del self.lanes[lane]
        return {}

    def follow(self, scan: ScanThreads, most: float = float("inf")) -> None:
        """Note moves until all lanes have ended, or `most` moves."""
        deadline = time.monotonic() + PATIENCE_S
        noted = 0
        while len(self.lanes) > sum(ended.error is not None for ended in self.ended):
            assert time.monotonic() < deadline, f"no end of {self.lanes}"
            for move in scan.moves(1, 0.05):
                if fresh := self.note(move):
                    scan.walk(fresh)
                noted += 1
                if noted >= most:
                    return


@contextmanager
def scanning_of(
    source: object, *, threads: int = 2, objects: int = 5, name: str = "scan"
) -> Iterator[ScanThreads]:
    scan = ScanThreads(
        source,  # type: ignore[arg-type]  # the tests' sources list, and do nothing else
        threads=threads,
        limits=lambda *_: TaskLimits(objects, 10**9),
        name=name,
    )
    try:
        yield scan
    finally:
        scan.close()


def walked(source: object, *, threads: int = 2, objects: int = 5) -> Record:
    record = Record()
    with scanning_of(source, threads=threads, objects=objects) as scan:
        scan.walk(record.lanes)
        record.follow(scan)
    return record


class Custom:
    """Lists a memory source in its own way."""

    def __init__(self, inner: MemorySource) -> None:
        self.inner = inner
        self.opened: list[Lane] = []

    def scan(self, lane: Lane) -> Scan:
        self.opened.append(lane)
        return CustomScan(self.inner.scan(lane), self.entries)

    def entries(self, scan: MemoryScan) -> Iterator[Scanned]:
        yield from scan


class CustomScan:
    def __init__(
        self, inner: MemoryScan, entries: Callable[[MemoryScan], Iterator[Scanned]]
    ) -> None:
        self._inner = inner
        self._entries = entries

    def __iter__(self) -> Iterator[Scanned]:
        return self._entries(self._inner)

    def split(self) -> Lane | None:
        return self._inner.split()

    @property
    def until(self) -> str:
        return self._inner.until


def test_limits_are_told_of_all_that_was_found_even_if_nobody_has_taken_it_yet() -> None:
    told: list[tuple[int, int]] = []

    def limits(objects: int, size: int) -> TaskLimits:
        told.append((objects, size))
        return TaskLimits(max(1, objects), 10**9)

    scan = ScanThreads(source_of(15), threads=1, limits=limits)
    try:
        scan.walk({0: Lane()})
        until(lambda: len(told) > WAITING_BATCHES)
        assert told == [(0, 0), (1, 1), (2, 2), (4, 4), (8, 8)]
    finally:
        scan.close()


# -- everything once -----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    kinds=st.dictionaries(
        st.text("ab/é", min_size=1, max_size=5),
        st.sampled_from(["put", "exclude", "fail"]),
        max_size=60,
    ),
    threads=st.integers(1, 4),
    objects=st.integers(1, 7),
)
def test_every_entry_is_found_once(kinds: dict[str, str], threads: int, objects: int) -> None:
    source = MemorySource()
    for key, kind in kinds.items():
        match kind:
            case "put":
                source.put(key, b"x")
            case "exclude":
                source.exclude(key, "Device")
            case "fail":
                source.fail(key, "EIO")
    record = walked(source, threads=threads, objects=objects)

    def of(kind: str) -> list[str]:
        return sorted(key for key in kinds if kinds[key] == kind)

    assert sorted(record.found) == of("put")
    assert sorted(entry.info.key for entry in record.excluded) == of("exclude")
    assert sorted(entry.info.key for entry in record.failed) == of("fail")
    assert {entry.verdict for entry in record.failed} <= {Verdict.FAILED}
    assert record.lanes == {}


@settings(max_examples=20, deadline=None)
@given(stops=st.lists(st.integers(1, 12), max_size=4), threads=st.integers(1, 4))
def test_a_scan_that_is_closed_anywhere_goes_on_from_the_recorded_lanes(
    stops: list[int], threads: int
) -> None:
    source = source_of(100)
    record = Record()
    for most in [*stops, float("inf")]:
        with scanning_of(source, threads=threads, objects=3) as scan:
            scan.walk(record.lanes)
            record.follow(scan, most)
    assert sorted(record.found) == keys_of(100)


def test_idle_threads_get_a_share_of_the_only_lane() -> None:
    record = walked(source_of(1000), threads=4, objects=10)
    assert len(record.splits) >= 3
    assert sorted(record.found) == keys_of(1000)


def test_one_thread_splits_nothing() -> None:
    record = walked(source_of(200), threads=1)
    assert record.splits == []
    assert record.found == keys_of(200)


def test_nothing_is_split_while_every_thread_has_a_lane() -> None:
    record = Record({0: Lane("", "k00049"), 1: Lane("k00049", "k00099"), 2: Lane("k00099", "")})
    with scanning_of(source_of(150), threads=2) as scan:
        scan.walk(record.lanes)
        while not record.ended:
            record.follow(scan, 1)
        assert record.splits == []
        record.follow(scan)
    assert sorted(record.found) == keys_of(150)


# -- bounds --------------------------------------------------------------------------------------


def test_many_lanes_share_few_threads() -> None:
    ends = ["", *keys_of(300)]
    record = Record(dict(enumerate(Lane(*pair) for pair in pairwise(ends))))
    with scanning_of(source_of(300), threads=3, name="few") as scan:
        scan.walk(record.lanes)
        while record.lanes:
            assert len(alive("few")) <= 3 + 1  # one that has said its last word may still be there
            record.follow(scan, 1)
    assert sorted(record.found) == keys_of(300)


class Counted(Custom):
    """Counts the entries it has been asked for."""

    drawn = 0

    def entries(self, scan: MemoryScan) -> Iterator[Scanned]:
        for entry in scan:
            self.drawn += 1
            yield entry


def test_what_is_found_and_not_taken_is_bounded() -> None:
    source = Counted(source_of(200))
    record = Record()
    with scanning_of(source, threads=1, objects=1) as scan:
        scan.walk(record.lanes)
        for taken in range(100):
            until(lambda least=taken + WAITING_BATCHES + 1: source.drawn >= least)  # type: ignore[misc]
            assert source.drawn <= taken + WAITING_BATCHES + 1
            record.follow(scan, 1)


# -- trouble -------------------------------------------------------------------------------------


class Shaky(Custom):
    """Its listing breaks off after every few entries, and cannot be opened the first time."""

    def __init__(self, inner: MemorySource, every: int) -> None:
        super().__init__(inner)
        self._every = every

    def scan(self, lane: Lane) -> Scan:
        scan = super().scan(lane)
        if self.opened.count(lane) == 1:
            raise Transient("no answer", code="Timeout")
        return scan

    def entries(self, scan: MemoryScan) -> Iterator[Scanned]:
        for index, entry in enumerate(scan):
            if index == self._every:
                raise Transient("broken off", code="ConnectionReset")
            yield entry


@pytest.mark.parametrize("threads", [1, 3])
def test_a_listing_that_breaks_off_goes_on_from_its_last_cursor(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "REOPEN_WAIT_S", 0.0001)
    source = Shaky(source_of(100), every=3)
    record = walked(source, threads=threads, objects=1)
    assert sorted(record.found) == keys_of(100)
    assert len(source.opened) > 2 * scanning.REOPEN_ATTEMPTS
    if threads == 1:
        cursors = [lane.cursor for lane in source.opened]
        assert cursors[:3] == ["", "", "k00002"]


class Broken(Custom):
    """Raises `error` at once: when opened, or with `after` entries behind it."""

    def __init__(self, error: Exception, after: int | None) -> None:
        super().__init__(source_of(20))
        self._error = error
        self._after = after

    def scan(self, lane: Lane) -> Scan:
        scan = super().scan(lane)
        if self._after is None:
            raise self._error
        return scan

    def entries(self, scan: MemoryScan) -> Iterator[Scanned]:
        for index, entry in enumerate(scan):
            if index == self._after:
                raise self._error
            yield entry


def test_a_listing_that_stays_broken_ends_with_the_last_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scanning, "REOPEN_WAIT_S", 0.0001)
    error = Transient("no answer", code="Timeout")
    source = Broken(error, after=None)
    record = walked(source)
    assert record.ended == [Ended(0, error)]
    assert source.opened == [Lane()] * scanning.REOPEN_ATTEMPTS


def test_a_listing_is_opened_again_when_the_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "REOPEN_WAIT_S", 0.0001)
    monkeypatch.setattr(scanning, "REOPEN_ATTEMPTS", 3)
    began = time.monotonic()
    walked(Broken(Transient("slow down", code="Throttled", retry_after=0.1), after=None))
    assert time.monotonic() - began >= 0.2, "two waits"


@pytest.mark.parametrize("after", [None, 0, 7])
@pytest.mark.parametrize(
    "error", [Fatal("no", code="AccessDenied"), Permanent("gone", code="NotFound")]
)
def test_an_error_that_stays_ends_the_lane_at_once(error: Exception, after: int | None) -> None:
    source = Broken(error, after)
    record = walked(source, threads=1, objects=2)
    assert record.ended == [Ended(0, error)]  # type: ignore[arg-type]
    assert len(source.opened) == 1
    assert record.found == keys_of((after or 0) // 2 * 2), "whole batches are handed over"


@pytest.mark.parametrize("after", [None, 0, 7])
def test_a_fault_of_ours_ends_the_lane_and_is_logged(
    after: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    record = walked(Broken(ValueError("embedded null byte"), after), threads=1)
    (ended,) = record.ended
    assert isinstance(ended.error, Fatal)
    assert (ended.error.code, ended.error.op) == ("Uncaught", "scan")
    assert "ValueError" in str(ended.error)
    assert "embedded null byte" in caplog.text, "the log has the traceback"


def test_a_lane_that_ends_badly_makes_room_for_the_next() -> None:
    source = Broken(Fatal("no", code="AccessDenied"), after=None)
    record = Record(dict.fromkeys(range(5), Lane()))
    with scanning_of(source, threads=2) as scan:
        scan.walk(record.lanes)
        record.follow(scan)
    assert sorted(ended.lane for ended in record.ended) == [0, 1, 2, 3, 4]


# -- close ---------------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that can end are waited for, however busy this machine is."""
    monkeypatch.setattr(scanning, "CLOSE_S", PATIENCE_S)


@pytest.mark.usefixtures("patient")
def test_close_ends_threads_that_wait_for_room_and_lanes_that_wait_for_threads() -> None:
    source = Counted(source_of(10_000))
    with scanning_of(source, threads=2, objects=1, name="full") as scan:
        scan.walk(dict.fromkeys(range(50), Lane()))
        until(lambda: source.drawn >= WAITING_BATCHES + 2)
        scan.close()
        assert alive("full") == []
        assert len(source.opened) == 2
        assert list(scan.moves(10, 0.0)) == []


@pytest.mark.usefixtures("patient")
def test_close_ends_a_thread_in_the_middle_of_a_batch() -> None:
    source = Counted(source_of(3))
    forever = source.inner.entry("k00000")
    assert forever is not None

    def endless(scan: MemoryScan) -> Iterator[Scanned]:
        while True:
            source.drawn += 1
            yield forever

    source.entries = endless  # type: ignore[method-assign]
    with scanning_of(source, threads=1, objects=10**9, name="endless") as scan:
        scan.walk({0: Lane()})
        until(lambda: source.drawn > 10)
        scan.close()
        assert alive("endless") == []


@pytest.mark.usefixtures("patient")
def test_close_ends_a_thread_that_waits_to_open_its_lane_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scanning, "REOPEN_WAIT_S", 30.0)
    source = Broken(Transient("no answer", code="Timeout"), after=None)
    with scanning_of(source, name="waiting") as scan:
        scan.walk({0: Lane()})
        until(lambda: bool(source.opened))
        scan.close()
        assert alive("waiting") == []
    assert len(source.opened) == 1


class Hung(Custom):
    """A mount that does not answer until it is mended."""

    def __init__(self) -> None:
        super().__init__(source_of(3))
        self.mended = threading.Event()

    def entries(self, scan: MemoryScan) -> Iterator[Scanned]:
        self.mended.wait(PATIENCE_S)
        yield from scan


def test_close_leaves_threads_behind_whose_source_does_not_answer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, now = Hung(), 0.0

    def join(thread: threading.Thread, timeout: float) -> None:
        nonlocal now
        assert thread.is_alive()
        now += timeout

    monkeypatch.setattr(scanning, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(threading.Thread, "join", join)
    try:
        with scanning_of(source, threads=3, name="hung") as scan:
            scan.walk(dict.fromkeys(range(3), Lane()))
            until(lambda: len(source.opened) == 3)
            scan.close()
            assert now == scanning.CLOSE_S, "for all together"
            assert len(alive("hung")) == 3
            assert "hung-1 still waits for its source" in caplog.text
            assert all(thread.daemon for thread in alive("hung"))
    finally:
        source.mended.set()
    until(lambda: not alive("hung"))
    assert list(scan.moves(10, 0.0)) == []
