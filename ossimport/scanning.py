"""Walk the lanes of a source in threads and hand what they find to the master, in bounded memory.

A scan begins as one lane. A thread without a lane makes the busy ones split: they give away the
later part of what they have left. So `scanThreadCount` threads share any tree, and the ledger never
holds more lanes than there are threads.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ossimport import filters, planner
from ossimport.errors import StorageError, Transient
from ossimport.model import Lane, Scanned
from ossimport.planner import Batch, TaskLimits
from ossimport.sources.base import Scan, Source

log = logging.getLogger(__name__)

# Found and not yet taken by the master. With the largest tasks (50,000 objects of about 300 bytes)
# that is 60 MB; with the usual 10,000 it is 12 MB.
WAITING_BATCHES = 4

REOPEN_ATTEMPTS = 8
SPLIT_PAUSE = 1000  # entries, after a lane had nothing to give away


class Found(NamedTuple):
    """A lane came as far as `batch.cursor`."""

    lane: int
    batch: Batch


class Split(NamedTuple):
    """A lane ends at `until` now; the rest is a lane of its own, which nobody walks yet."""

    lane: int
    until: str
    rest: Lane


class Ended(NamedTuple):
    """A lane is finished, or `error` says why it is not."""

    lane: int
    error: StorageError | None = None


Move = Found | Split | Ended


class ScanThreads:
    """Up to `threads` lanes of one source at a time.

    Everything they find comes out of `moves`, in the order of each lane. The caller records a
    `Split` before it calls `walk` for the rest.
    """

    def __init__(
        self,
        source: Source,
        *,
        threads: int,
        limits: Callable[[], TaskLimits],
        import_since: int = 0,
        name: str = "scan",
    ) -> None:
        self._source = source
        self._threads = threads
        self._limits = limits
        self._import_since = import_since
        self._name = name
        self._moves: queue.Queue[Move] = queue.Queue(WAITING_BATCHES)
        self._closing = threading.Event()
        self._split_wanted = threading.Event()
        self._walking: dict[int, threading.Thread] = {}

    def walk(self, lanes: Mapping[int, Lane]) -> None:
        """Begin to walk these lanes; the first one is asked to split if threads are left over."""
        for number, lane in lanes.items():
            thread = threading.Thread(
                target=self._walk, args=(number, lane), name=f"{self._name}-{number}", daemon=True
            )
            self._walking[number] = thread
            thread.start()
        self._want_split()

    def moves(self, most: int, wait_s: float) -> Iterator[Move]:
        """What has been found since, at most `most` moves; waits `wait_s` for the first."""
        for _ in range(most):
            try:
                move = self._moves.get(timeout=wait_s) if wait_s else self._moves.get_nowait()
            except queue.Empty:
                return
            wait_s = 0
            if isinstance(move, Ended):
                self._walking.pop(move.lane, None)
                self._want_split()
            yield move

    @property
    def walking(self) -> bool:
        """A lane is not finished."""
        return bool(self._walking)

    def close(self) -> None:
        """Stop all threads. What was not taken from `moves` is found again by the next scan."""
        self._closing.set()
        while any(thread.is_alive() for thread in self._walking.values()):
            for _ in self.moves(WAITING_BATCHES, 0.05):
                pass  # makes room for a thread that waits to put

    def _want_split(self) -> None:
        if 0 < len(self._walking) < self._threads:
            self._split_wanted.set()
        else:
            self._split_wanted.clear()

    # -- in a lane's own thread --------------------------------------------------------------------

    def _walk(self, number: int, lane: Lane) -> None:
        attempt = 0
        while True:
            walk = _LaneWalk(self, number, lane)
            try:
                for batch in walk.batches():
                    self._put(Found(number, batch))
                    attempt = 0
                self._put(Ended(number))
            except _Closed:
                pass
            except Transient as exc:
                attempt += 1
                lane = walk.left
                if attempt < REOPEN_ATTEMPTS and not self._closing.wait(
                    min(30.0, 0.5 * 2**attempt)
                ):
                    log.warning("scan stopped at %r, opened again: %s", lane.cursor, exc)
                    continue
                self._put_last(Ended(number, exc))
            except StorageError as exc:
                self._put_last(Ended(number, exc))
            return

    def _put(self, move: Move) -> None:
        while not self._closing.is_set():
            try:
                self._moves.put(move, timeout=0.1)
            except queue.Full:
                continue
            return
        raise _Closed

    def _put_last(self, move: Move) -> None:
        try:
            self._put(move)
        except _Closed:
            return


class _Closed(Exception):
    """The scan is to stop now."""


class _LaneWalk:
    """One pass over a lane, which splits when another thread has nothing to do."""

    def __init__(self, owner: ScanThreads, number: int, lane: Lane) -> None:
        self._owner = owner
        self._number = number
        self._scan: Scan = owner._source.scan(lane)
        self._cursor = lane.cursor

    @property
    def left(self) -> Lane:
        """What of the lane has not been handed over."""
        return Lane(self._cursor, self._scan.until)

    def batches(self) -> Iterator[Batch]:
        owner = self._owner
        entries = filters.select(self._entries(), import_since=owner._import_since)
        for batch in planner.plan(entries, limits=owner._limits, clock=time.monotonic):
            yield batch
            self._cursor = batch.cursor

    def _entries(self) -> Iterator[Scanned]:
        wanted = self._owner._split_wanted
        pause = 0
        for entry in self._scan:
            yield entry
            if pause:
                pause -= 1
            elif wanted.is_set() and not self._split():
                pause = SPLIT_PAUSE

    def _split(self) -> bool:
        rest = self._scan.split()
        if rest is None:
            return False
        self._owner._split_wanted.clear()  # one lane for one idle thread
        self._owner._put(Split(self._number, self._scan.until, rest))
        return True
