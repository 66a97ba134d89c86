"""Walk the lanes of a source in threads and hand what they find to the master, in bounded memory.

A scan begins as one lane. A thread without a lane makes the busy ones split: they give away the
later part of what they have left. So `scanThreadCount` threads share any tree, and lanes become
hardly more than there are threads. A rescan of many failures has more: they wait for a thread.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from ossimport import planner
from ossimport.errors import Fatal, StorageError, Transient
from ossimport.model import Lane, Scanned
from ossimport.patience import LONGEST_RETRY_AFTER_S
from ossimport.planner import Batch, TaskLimits
from ossimport.sources.base import Scan, Source

log = logging.getLogger(__name__)

# Found and not yet taken by the master. With the largest tasks (50,000 objects of about 300 bytes)
# that is 60 MB; with the usual 10,000 it is 12 MB.
WAITING_BATCHES = 4

REOPEN_ATTEMPTS = 8
REOPEN_WAIT_S = 1.0  # before the first of them, then twice as long each time
SPLIT_PAUSE = 1000  # entries, after a lane had nothing to give away
CLOSE_S = 1.0  # for all threads together; one that hangs in a mount cannot be ended


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


Select = Callable[[Iterable[Scanned]], Iterable[Scanned]]
"""Every entry, in order; some of them are excluded now."""


def take_all(entries: Iterable[Scanned]) -> Iterable[Scanned]:
    """Exclude nothing."""
    return entries


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
        limits: Callable[[int, int], TaskLimits],
        select: Select = take_all,
        name: str = "scan",
    ) -> None:
        """`limits` is told of the objects and bytes to be copied that were found so far."""
        self._source = source
        self._threads = threads
        self._limits = limits
        self._select = select
        self._name = name
        self._moves: queue.Queue[Move] = queue.Queue(WAITING_BATCHES)
        self._closing = threading.Event()
        self._split_wanted = threading.Event()
        self._waiting: deque[tuple[int, Lane]] = deque()
        self._walking: dict[int, threading.Thread] = {}
        self._counting = threading.Lock()
        self._objects = 0  # found so far, taken from `moves` or not
        self._bytes = 0

    def walk(self, lanes: Mapping[int, Lane]) -> None:
        """Walk these lanes too, each as soon as there is a thread for it."""
        self._waiting.extend(lanes.items())
        self._use_threads()

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
                self._use_threads()
            yield move

    def close(self) -> None:
        """Stop all threads. What was not taken from `moves` is found again by the next scan.

        Returns within CLOSE_S. A thread whose source does not answer stays until it does, and then
        ends; nothing of it is handed over.
        """
        self._closing.set()
        deadline = time.monotonic() + CLOSE_S
        for thread in self._walking.values():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("%s still waits for its source, left behind", thread.name)
        self._walking.clear()
        with suppress(queue.Empty):
            while True:
                self._moves.get_nowait()

    def _use_threads(self) -> None:
        """Give each idle thread a lane that waits; if none does, want one to be split."""
        while self._waiting and len(self._walking) < self._threads:
            number, lane = self._waiting.popleft()
            name = f"{self._name}-{number}"
            thread = threading.Thread(
                target=self._walk, args=(number, lane), name=name, daemon=True
            )
            self._walking[number] = thread
            thread.start()
        if 0 < len(self._walking) < self._threads:
            self._split_wanted.set()
        else:
            self._split_wanted.clear()

    # -- in a lane's own thread --------------------------------------------------------------------

    def _walk(self, number: int, lane: Lane) -> None:
        """Walk a lane. Whatever happens, its last move is `Ended`, unless the scan is closed."""
        error: StorageError | None = None
        try:
            self._walk_on(_LaneWalk(self, number, lane))
        except _Closed:
            return
        except StorageError as exc:
            error = exc
        except Exception as exc:
            # A fault of ours stops the job, it must not hang it; the log has the traceback.
            log.exception("unexpected error in %s", threading.current_thread().name)
            text = f"unexpected {type(exc).__name__} in the scan"
            error = Fatal(text, code="Uncaught", op="scan")
        with suppress(_Closed):
            self._put(Ended(number, error))

    def _walk_on(self, walk: "_LaneWalk") -> None:
        """Walk to the end of the lane; opens it again where the source gave up for a while."""
        attempt = 0
        while True:
            try:
                for batch in walk.batches():
                    self._put(Found(walk.number, batch))
                    attempt = 0
            except Transient as exc:
                attempt += 1
                wait = min(30.0, REOPEN_WAIT_S * 2 ** (attempt - 1))
                wait = max(wait, min(exc.retry_after, LONGEST_RETRY_AFTER_S))
                if attempt >= REOPEN_ATTEMPTS or self._closing.wait(wait):
                    raise
                log.warning("scan stopped at %r, opened again: %s", walk.left.cursor, exc)
            else:
                return

    def _next_limits(self) -> TaskLimits:
        return self._limits(self._objects, self._bytes)

    def _count(self, batch: Batch) -> None:
        with self._counting:
            self._objects += len(batch.objects)
            self._bytes += batch.size

    def _put(self, move: Move) -> None:
        while not self._closing.is_set():
            try:
                self._moves.put(move, timeout=0.1)
            except queue.Full:
                continue
            return
        raise _Closed


class _Closed(Exception):
    """The scan is to stop now."""


class _LaneWalk:
    """A walk over a lane, which splits when another thread has nothing to do."""

    def __init__(self, owner: ScanThreads, number: int, lane: Lane) -> None:
        self.number = number
        self.left = lane  # what of the lane has not been handed over
        self._owner = owner

    def batches(self) -> Iterator[Batch]:
        """Open the source and hand over what is left, batch by batch."""
        owner = self._owner
        scan = owner._source.scan(self.left)
        entries = owner._select(self._entries(scan))
        for batch in planner.plan(entries, limits=owner._next_limits, clock=time.monotonic):
            owner._count(batch)
            yield batch
            self.left = self.left._replace(cursor=batch.cursor)

    def _entries(self, scan: Scan) -> Iterator[Scanned]:
        is_closing, is_split_wanted = self._owner._closing.is_set, self._owner._split_wanted.is_set
        pause = 0
        for entry in scan:
            if is_closing():
                raise _Closed
            yield entry
            if pause:
                pause -= 1
            elif is_split_wanted() and not self._split(scan):
                pause = SPLIT_PAUSE

    def _split(self, scan: Scan) -> bool:
        rest = scan.split()
        if rest is None:
            return False
        self.left = self.left._replace(until=scan.until)
        self._owner._split_wanted.clear()  # one lane for one idle thread
        self._owner._put(Split(self.number, scan.until, rest))
        return True
