"""A gate: lets units through at a rate that may change at any time, first come first served.

One event loop uses it. What is let through is paid for afterwards: whoever comes may pass as soon
as all before him is paid, whatever he takes along. So nobody ever waits for a rate that is not his
any more, and a window of T seconds sees no more than `rate * T + burst + largest amount`.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

# Saved up while nobody comes, or while the event loop is late: 2.5 % of a window of two seconds.
_BURST_S = 0.05
SHORTEST_LOOK_S = 0.1  # what happened in less time says nothing
_PAID = -1e-6  # less than any unit: sums of fractions are not exact


class Gate:
    """Open without a limit until `set` says otherwise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = math.inf
        self._until = math.inf
        self._saved = 0.0  # units that may pass; below zero: that are not paid yet
        self._at = clock()  # when `_saved` was right
        self._going: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._coming: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._let_through = 0.0
        self._looked_at = self._at
        self._seen = (0.0, 0.0)  # then
        self._short_since = math.nan  # since when somebody waits
        self._short = 0.0  # seconds in which somebody waited

    @property
    def rate(self) -> float:
        """Units per second that may pass now."""
        return self._rate if self._clock() < self._until else 0.0

    def set(self, rate: float, until: float = math.inf) -> None:
        """From now on `rate` units per second, up to `until`, and nothing then."""
        self._earn()
        self._rate, self._until = rate, until
        if rate == math.inf:
            self._saved = 0.0
        self._pump()

    async def turn(self, amount: float, *, going: bool = False) -> None:
        """Wait until `amount` units may pass. Who is `going` on with what has begun comes before
        those who would begin: so few things are under way, and each of them ends soon."""
        if not (self._going if going else self._waits()) and self._may_pass():
            self.charge(amount)
            return
        turn = asyncio.get_running_loop().create_future()
        (self._going if going else self._coming).append((amount, turn))
        self._pump()
        try:
            await turn
        except asyncio.CancelledError:
            self._pump()
            raise

    def charge(self, amount: float) -> bool:
        """Let through what could not wait; True if it is paid already."""
        self._let_through += amount
        if self._rate == math.inf:
            return True
        self._earn()
        self._saved -= amount
        return self._saved >= _PAID

    def look(self) -> tuple[float, float]:
        """Units per second that were let through since the last look, and the share of that time in
        which somebody waited."""
        now = self._clock()
        span = now - self._looked_at
        if span < SHORTEST_LOOK_S:
            return self._seen
        if not math.isnan(self._short_since):
            self._short += now - self._short_since
            self._short_since = now
        self._seen = (self._let_through / span, self._short / span)
        self._let_through = self._short = 0.0
        self._looked_at = now
        return self._seen

    def _waits(self) -> bool:
        return bool(self._going or self._coming)

    def _earn(self) -> None:
        now = self._clock()
        if self._rate < math.inf:
            # Nothing is earned once the right to has ended.
            earned = (min(now, self._until) - min(self._at, self._until)) * self._rate
            self._saved = min(self._saved + earned, max(self._saved, self._rate * _BURST_S))
        self._at = now

    def _may_pass(self) -> bool:
        if self._rate == math.inf:
            return True
        self._earn()
        return self._saved >= _PAID and self._rate > 0 and self._at < self._until

    def _pump(self) -> None:
        """Let through whom it is time for, and come back for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waits():
            queue = self._going or self._coming
            amount, turn = queue[0]
            if turn.done():  # cancelled
                queue.popleft()
            elif self._may_pass():
                queue.popleft()
                self.charge(amount)
                turn.set_result(None)
            else:
                break
        now = self._clock()
        if not self._waits():
            if not math.isnan(self._short_since):
                self._short += now - self._short_since
                self._short_since = math.nan
            return
        if math.isnan(self._short_since):
            self._short_since = now
        if self._rate > 0 and now < self._until:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, -self._saved / self._rate), self._pump)
