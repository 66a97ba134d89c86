"""Rates: how long to wait before sending, so that no window of time sees more than its share.

The arithmetic is GCRA: one number, the time at which everything taken so far has been earned at
the rate, says all there is to know. `Throttle` does the sums, a `Cell` keeps the number: in this
process, or shared by the processes of one worker host.
"""

import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Protocol

_BURST_SECONDS = 0.05  # 2.5 % of a window of two seconds
_SMALLEST_SLICE = 1 << 10
LARGEST_SLICE = 256 << 10


class Cell(Protocol):
    """Where a throttle keeps its time: one number, one atomic step."""

    def advance(self, now: float, seconds: float) -> float:
        """Set the time to `max(time, now) + seconds` and return it. Never blocks for long."""


class Throttle:
    """At most `rate` units per second, over every window of time.

    Whatever the callers do, as long as they wait as told, a window of T seconds sees no more than
    `rate * T + max(burst, largest amount)` units. A caller that wakes late loses nothing as long as
    it is late by less than `burst / rate` seconds, so the rate is also reached.
    """

    def __init__(
        self,
        rate: float,
        *,
        burst: float,
        cell: Cell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limit to `rate` units per second with up to `burst` units saved up while idle.

        `clock` must be the same for all who share `cell`; the monotonic clock is system-wide on
        Linux and macOS.
        """
        if not rate > 0 or burst < 0:
            raise ValueError(f"a throttle needs rate > 0 and burst >= 0, not {rate} and {burst}")
        self.rate = rate
        self._ahead = burst / rate
        self._cell = cell
        self._clock = clock

    def take(self, amount: float) -> float:
        """Reserve `amount` units; return the seconds to wait before sending them, never negative.

        What is reserved counts as sent, even if the caller gives up while it waits.
        """
        now = self._clock()
        earned = self._cell.advance(now, amount / self.rate)
        return max(0.0, earned - now - self._ahead)


def bandwidth(rate: float, cell: Cell) -> Throttle:
    """A throttle for bytes whose error in any window of two seconds is under 5 %.

    That holds for bodies sent in slices of up to `slice_size(rate)` bytes.
    """
    return Throttle(rate, burst=rate * _BURST_SECONDS, cell=cell)


def slice_size(rate: float) -> int:
    """How many bytes to send at once at `rate` bytes per second, between 1 and 256 KiB."""
    return int(min(max(rate * _BURST_SECONDS, _SMALLEST_SLICE), LARGEST_SLICE))


class LocalCell:
    """The time of one process. Safe for threads."""

    def __init__(self) -> None:
        self._time = 0.0
        self._lock = threading.Lock()

    def advance(self, now: float, seconds: float) -> float:
        """See Cell."""
        with self._lock:
            self._time = max(self._time, now) + seconds
            return self._time


if sys.platform != "win32":
    import fcntl
    import mmap

    _ATTEMPTS = 2500
    _PATIENCE = 0.0001  # seconds between attempts: a quarter of a second in all

    class SharedCell:
        """The time of all processes forked from the one that made it.

        The number lies in a shared page of an unlinked file, and a record lock on that file guards
        it. The kernel drops a process's record locks when the process ends, however it ends, so a
        child that is killed while it holds the lock blocks nobody; a semaphore in shared memory
        (`multiprocessing.Value`) would stay taken for ever. A child that is *stopped* while it
        holds the lock, for the few microseconds that it does, costs the others a quarter of a
        second per step: then they go on without it, because a limit that is exceeded by some slices
        is better than a worker that hangs. A half-written number cannot be: it is one aligned word.

        Record locks belong to the process, so one thread per process takes from it: two that
        meet could lose a slice.
        """

        def __init__(self) -> None:
            with tempfile.TemporaryFile() as file:
                self._lock = os.dup(file.fileno())
            os.truncate(self._lock, mmap.PAGESIZE)
            self._page = mmap.mmap(self._lock, mmap.PAGESIZE)

        def advance(self, now: float, seconds: float) -> float:
            """See Cell."""
            locked = self._acquire()
            try:
                earned: float = max(struct.unpack_from("d", self._page)[0], now) + seconds
                struct.pack_into("d", self._page, 0, earned)
            finally:
                if locked:
                    fcntl.lockf(self._lock, fcntl.LOCK_UN)
            return earned

        def _acquire(self) -> bool:
            for _ in range(_ATTEMPTS):
                try:
                    fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    time.sleep(_PATIENCE)
                else:
                    return True
            return False


def shared_cell() -> Cell:
    """A cell for this process and those it forks; on Windows, which forks none, for its threads."""
    return LocalCell() if sys.platform == "win32" else SharedCell()
