"""How many requests to have in flight to one endpoint: found by trying, never above a cap.

Time is cut into epochs, each under one limit. An epoch says how long requests took, by size: fewer
or more in flight are compared with like for like, so that what happens to be small or large in an
epoch does not look like a faster or slower service. By Little's law, throughput is the number in
flight divided by that time.
"""

import logging
import math

log = logging.getLogger(__name__)

_FLOOR = 2
_EPOCH_S = 0.25  # a request at 20 ms is made a dozen times in it
_LONGEST_EPOCH_S = 30.0  # unless single requests take longer
_FEW_REFUSED, _ENOUGH_REFUSED = 3, 8
_ENOUGH = 30  # answers in an epoch, to be worth a comparison
_BUSY = 0.9  # of the limit is in flight; else it is the supply that is short
_WORTH = 0.15  # more in flight must give this share of what it would give if nothing queued
_GIVEN = 0.1  # fewer in flight may take this share of what it would take if nothing queued
_STEP = 4 / 3
_NEARLY_ALL = 0.7  # a gain like this asks for twice as many next
_PAUSE, _LONGEST_PAUSE = 16.0, 256.0  # epochs between tries that find nothing better
_REST_S = 2.0  # after a refusal
_HOLD_S, _LONGEST_HOLD_S = 4.0, 32.0  # what was refused is not tried again for so long after it
_CHANGED = 1.3  # requests take so much longer or shorter than before: try again at once
_TOLERATED = 0.02  # of the requests may be refused
_STORM = 0.2  # a service that refuses more than this is obeyed at once
_TOLERATED_S = 60.0  # how long we believe that refusals are not because of us
_TELL_S = 10.0  # between two lines in the log about refusals
_CLASSES = 64  # sizes by powers of two


class _Epoch:
    """What happened under one limit. Requests count from `start`, refusals from `changed`."""

    __slots__ = (
        "answered",
        "area",
        "changed",
        "counts",
        "ended",
        "last",
        "refused",
        "seconds",
        "squares",
        "start",
    )

    def __init__(self, changed: float, start: float) -> None:
        self.changed = changed
        self.start = self.last = start
        self.ended = self.refused = self.answered = 0
        self.area = 0.0  # of the number in flight over time
        self.squares = 0.0
        self.counts = [0] * _CLASSES
        self.seconds = [0.0] * _CLASSES

    def stay(self) -> float:
        """How long the request takes that one finds in a place taken at random."""
        return self.squares / sum(self.seconds) if self.squares else 0.0

    def in_flight(self) -> float:
        """Mean number in flight."""
        return self.area / (self.last - self.start) if self.area else 0.0

    def share_refused(self) -> float:
        return self.refused / self.ended if self.ended else 0.0

    def slower_than(self, other: "_Epoch") -> float:
        """How many times longer requests of the same sizes took; 0 if there are none."""
        took = would_have = 0.0
        for count, seconds, n, s in zip(
            self.counts, self.seconds, other.counts, other.seconds, strict=True
        ):
            if count and n:
                took += seconds
                would_have += count * s / n
        return took / would_have if would_have else 0.0


class InFlight:
    """Moves `limit` between a floor and a cap by what is told of each request.

    More are tried as long as that gives more throughput, at first twice as many each time. Fewer
    are tried too, and kept if throughput stays: a queue at the service helps nobody. When the
    service refuses, the limit falls at once, rests, and comes back in ever smaller steps to what is
    just not refused. While the supply of requests is short, nothing is learned.
    """

    def __init__(self, cap: int, start: int, now: float, name: str = "") -> None:
        """`name` is for the log."""
        self.limit = self._base = min(start, cap)
        self._cap = cap
        self._floor = min(_FLOOR, cap)
        self._name = name
        self._factor = 2.0
        self._known: _Epoch | None = None  # the last one at the base
        self._pause = _PAUSE
        self._up_at, self._down_at = now, now + _PAUSE * _EPOCH_S
        self._ceiling, self._ceiling_until = cap + 1, now  # refused not long ago
        self._hold = _HOLD_S
        self._tolerated = _TOLERATED
        self._tolerated_until = now
        self._suspect = 0.0  # the share refused at the base, while half of it is tried
        self._told = -math.inf
        self._begin(now, now)

    def answered(self, began: float, now: float, moved: int, in_flight: int) -> None:
        """A request was answered, with `moved` bytes of body both ways.

        `in_flight` includes it.
        """
        epoch = self._epoch
        epoch.ended += 1
        if now >= epoch.start:
            seconds = now - began
            size = moved.bit_length()
            epoch.counts[size] += 1
            epoch.seconds[size] += seconds
            epoch.squares += seconds * seconds
            epoch.area += in_flight * (now - epoch.last)
            epoch.last = now
            epoch.answered += 1
            if now >= self._look_at:
                self._look(now)

    def refused(self, began: float, now: float) -> None:
        """The service would not or could not take a request: 429, 5xx, a timeout, a reset."""
        epoch = self._epoch
        if began <= epoch.changed:
            return  # it says nothing about the limit of now
        epoch.ended += 1
        epoch.refused += 1
        if epoch.refused > 3 + epoch.ended * max(_STORM, self._tolerated):
            self._brake(now, storm=True)

    def is_wary(self, now: float) -> bool:
        """Whether the service refused something not long ago."""
        return now < self._ceiling_until

    # -- at the end of an epoch ------------------------------------------------------------------

    def _begin(self, changed: float, start: float) -> None:
        self._epoch = _Epoch(changed, start)
        self._look_at = start + _EPOCH_S

    def _set(self, now: float, limit: int) -> None:
        """What was begun under the old limit may end before the new one is judged."""
        stay = self._epoch.stay() or (self._known.stay() if self._known else 0.0)
        settled = now + stay * max(1.0, limit / self.limit)
        self.limit = limit
        self._begin(now, settled)

    def _look(self, now: float) -> None:
        epoch = self._epoch
        needed = epoch.start + self._epochs(1)
        few = (
            epoch.answered < max(2 * self.limit, _ENOUGH)
            or 0 < self._suspect * max(1, epoch.ended) < _ENOUGH_REFUSED
        )
        if now < needed or (few and now < epoch.start + _LONGEST_EPOCH_S):
            self._look_at = max(needed, now + _EPOCH_S / 4)
            return
        if self._suspect:
            self._acquit_or_convict(now)
        elif epoch.refused >= _FEW_REFUSED and epoch.share_refused() > self._tolerated:
            self._brake(now, storm=False)
        elif self.limit == self._base:
            self._rest(now)
        else:
            self._judge(now)

    def _epochs(self, count: float) -> float:
        """So many epochs in seconds; where requests take long, epochs do."""
        return count * max(_EPOCH_S, 2 * self._epoch.stay())

    def _rest(self, now: float) -> None:
        """An epoch at the base has ended: what next?"""
        epoch, known = self._epoch, self._known
        if now >= self._tolerated_until:
            self._tolerated = _TOLERATED
        if epoch.in_flight() < _BUSY * self.limit:
            self._begin(epoch.changed, now)
            return
        if known is not None:
            slower = epoch.slower_than(known)
            if slower and not 1 / _CHANGED < slower < _CHANGED:
                self._up_at = self._down_at = now
                self._pause = _PAUSE
        if known is None or now >= min(self._up_at, self._down_at):
            self._known = epoch
        self._try(now)

    def _try(self, now: float) -> None:
        more, fewer = self._more(now), self._fewer()
        if now >= self._up_at and more > self._base:
            self._set(now, more)
        elif now >= self._down_at and fewer < self._base:
            self._set(now, fewer)
        else:
            self._begin(self._epoch.changed, now)

    def _more(self, now: float) -> int:
        more = max(self._base + 1, int(self._base * self._factor))
        if now < self._ceiling_until:
            if self._ceiling - self._base <= self._base * 0.05:
                return self._base
            more = min(more, (self._base + self._ceiling) // 2)
        return min(more, self._cap)

    def _fewer(self) -> int:
        return max(self._floor, min(self._base - 1, int(self._base * 0.8)))

    def _judge(self, now: float) -> None:
        """An epoch of a try has ended: keep the new limit, or go back."""
        epoch, known = self._epoch, self._known
        ratio = self.limit / self._base
        slower = epoch.slower_than(known) if known is not None else 0.0
        up = ratio > 1
        if known is None or not slower or epoch.in_flight() < _BUSY * self.limit:
            self._up_at = self._down_at = now + self._epochs(self._pause)
            self._factor = _STEP
            self._set(now, self._base)
            return
        gain = epoch.in_flight() / known.in_flight() / slower
        share = (gain - 1) / (ratio - 1)  # 1: nothing queues; 0: all that is more queues
        if share >= _WORTH if up else share <= _GIVEN:
            self._base = self.limit
            self._known = epoch
            self._pause = _PAUSE
            if up:
                self._factor = 2.0 if share >= _NEARLY_ALL else _STEP
                self._up_at, self._down_at = now, now + self._epochs(_PAUSE)
                if self._base >= self._ceiling:
                    self._hold = _HOLD_S
            else:
                self._factor = _STEP
                self._up_at, self._down_at = now + self._epochs(_PAUSE), now
            self._try(now)
            return
        if up:
            self._factor = _STEP
            self._up_at, self._down_at = now + self._epochs(self._pause), now
        else:
            self._down_at = now + self._epochs(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._set(now, self._base)

    # -- refusals --------------------------------------------------------------------------------

    def _brake(self, now: float, *, storm: bool) -> None:
        limit = self.limit
        self._suspect = 0.0
        if limit > self._base:  # it was a try
            if now >= self._ceiling_until:
                self._hold = min(2 * self._hold, _LONGEST_HOLD_S)
            self._fall(now, self._base)
        elif storm or limit <= self._floor:
            self._fall(now, limit // 2)
        else:
            self._suspect = self._epoch.share_refused()
            self._set(now, max(limit // 2, self._floor))

    def _acquit_or_convict(self, now: float) -> None:
        """An epoch with half as many has ended: are requests refused because they are so many?"""
        suspect, share = self._suspect, self._epoch.share_refused()
        self._suspect = 0.0
        if share > suspect / 2:
            self._tolerated = 1.5 * max(share, suspect)
            self._tolerated_until = now + _TOLERATED_S
            self._set(now, self._base)
        else:
            self.limit = self._base
            self._fall(now, min(self._base - 1, int(self._base * (1 - suspect))))

    def _fall(self, now: float, base: int) -> None:
        """Go down, rest there, and do not come near for a while."""
        base = max(base, self._floor)
        self._up_at = now + _REST_S
        self._down_at = max(self._down_at, now + self._epochs(_PAUSE))
        if base < self.limit:
            self._ceiling, self._ceiling_until = self.limit, self._up_at + self._hold
            self._factor = _STEP
        self._base = base
        self._known = None
        self._set(now, base)
