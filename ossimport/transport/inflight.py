"""How many requests to have in flight to one endpoint: found by trying, never above a cap.

Time is cut into epochs, each under one limit. An epoch says how long requests took, by size, so
that two limits are compared like with like: what happens to be small or large in an epoch does not
pass for a faster or slower service. By Little's law, throughput is the number in flight divided by
that time.
"""

import logging
from collections import Counter, defaultdict
from math import hypot, inf

log = logging.getLogger(__name__)

_FLOOR = 2

# Epochs. A request at 20 ms is made a dozen times in the shortest.
_EPOCH_S = 0.25
_LONGEST_EPOCH_S = 30.0  # unless single requests take as long
_ENOUGH = 30  # answers, to be worth a comparison
_BUSY = 0.9  # share of the limit that is in flight; if less is, it is the supply that is short

# Tries. If nothing queues, throughput follows the number in flight: that is a yield of 1.
_STEP = 4 / 3
_FEWER = 0.8
_WORTH_IT = 0.15  # yield from which more in flight are kept
_NEARLY_ALL = 0.7  # yield from which twice as many are tried next
_NOT_MISSED = 0.07  # yield up to which fewer in flight are kept: 1.4 % of throughput per step
_PAUSE, _LONGEST_PAUSE = 16, 64  # epochs between tries that find nothing better
_CHANGED = 1.2  # requests take so much longer or shorter than before: the pause is short again

# Refusals.
_STORM = 0.2  # share of the requests from which they are obeyed at once
_TOLERATED = 0.02  # share up to which they are nobody's business but of who tries again
_FEW_REFUSED, _ENOUGH_REFUSED = 3, 8
_REST_S = 2.0
_HOLD_S, _LONGEST_HOLD_S = 4.0, 32.0  # what was refused is not tried again for so long
_BELIEVED_S = 60.0  # how long we believe that it is not because of how many we are
_TELL_S = 10.0  # between two lines in the log


class InFlight:
    """Moves `limit` between a floor and `cap` by what it is told of each request.

    More are tried as long as that brings more throughput, at first twice as many each time. Fewer
    are tried too, and kept if throughput stays: a queue at the service helps nobody. When the
    service refuses, the limit falls, rests, and comes back in ever smaller steps to what is just
    not refused. While fewer requests come than might be in flight, nothing is learned.
    """

    def __init__(
        self, cap: int, start: int, now: float, name: str = "", *, modest: int = _FLOOR
    ) -> None:
        """Begin with `start` in flight. Times are seconds of one monotonic clock, `name` is for
        the log. Fewer than `modest` are never tried, only obeyed."""
        self.limit = self._base = min(start, cap)  # they differ while another number is tried
        self._cap = cap
        self._floor = min(_FLOOR, cap)
        self._modest = modest
        self._name = name
        self._epoch = _Epoch(now, now, self.limit)
        self._look_at = now + _EPOCH_S
        self._known: _Epoch | None = None  # the latest at the base that tries are compared with
        self._factor = 2.0  # of the next try of more
        self._pause = _PAUSE
        self._up_at, self._down_at = now, now + _PAUSE * _EPOCH_S
        self._refused, self._refused_until = inf, now  # not to be reached until then
        self._hold = _HOLD_S
        self._tolerated, self._tolerated_until = _TOLERATED, now
        self._suspect = 0.0  # share refused at the base, while half of it is tried
        self._told = -inf

    def answered(self, began: float, now: float, moved: int, in_flight: int) -> None:
        """A request was answered, with `moved` bytes of body both ways.

        `in_flight` is how many there were in this moment, with this one.
        """
        epoch = self._epoch
        epoch.ended += 1
        if in_flight >= epoch.busy and now >= epoch.start:
            epoch.fresh[moved.bit_length()].append(now - began)
            epoch.crowd += in_flight
        if now >= self._look_at:
            self._look(now)

    def refused(self, began: float, now: float) -> None:
        """The service would not or could not take a request: 429, 5xx, a timeout, a reset."""
        epoch = self._epoch
        if began <= epoch.changed:
            return  # it says nothing about the limit as it is now
        epoch.ended += 1
        epoch.refused += 1
        if epoch.refused > 3 + epoch.ended * max(_STORM, self._tolerated):
            epoch.sum_up()
            self._refuse(now, storm=True)

    def is_wary(self, now: float) -> bool:
        """Whether the service refused something not long ago."""
        return now < self._refused_until

    # -- epochs ----------------------------------------------------------------------------------

    def _set(self, now: float, limit: int) -> None:
        """Begin an epoch under another limit, when what was begun before has ended."""
        stay = self._epoch.stay() or (self._known.stay() if self._known is not None else 0.0)
        settled = now + stay * max(1.0, limit / self.limit)
        self.limit = limit
        self._begin(now, settled)

    def _begin(self, changed: float, start: float) -> None:
        self._epoch = _Epoch(changed, start, self.limit)
        self._look_at = start + _EPOCH_S

    def _epochs(self, count: int) -> float:
        """So many epochs in seconds. Where requests take long, epochs do."""
        return count * max(_EPOCH_S, 2 * self._epoch.stay())

    def _look(self, now: float) -> None:
        """End the epoch if it has seen enough."""
        epoch = self._epoch
        epoch.sum_up()
        end = epoch.start + self._epochs(1)
        few = epoch.counts.total() < max(2 * self.limit, _ENOUGH)
        few |= 0 < epoch.ended * self._suspect < _ENOUGH_REFUSED
        if now < end or (few and now < epoch.start + _LONGEST_EPOCH_S):
            self._look_at = min(max(end, now + _EPOCH_S / 4), now + _EPOCH_S)
        elif self._suspect:
            self._acquit_or_not(now)
        elif epoch.refused >= _FEW_REFUSED and epoch.share_refused() > self._tolerated:
            self._refuse(now, storm=False)
        elif self.limit == self._base:
            self._stay(now)
        else:
            self._judge(now)

    # -- tries -----------------------------------------------------------------------------------

    def _stay(self, now: float) -> None:
        """An epoch at the base has ended."""
        epoch, known = self._epoch, self._known
        if now >= self._tolerated_until:
            self._tolerated = _TOLERATED
        if not epoch.counts:
            self._begin(epoch.changed, now)
            return
        slower = epoch.slower_than(known) if known is not None else 0.0
        if slower and not 1 / _CHANGED < slower < _CHANGED:
            self._pause = _PAUSE
            soon = now + self._epochs(_PAUSE)
            self._up_at, self._down_at = min(self._up_at, soon), min(self._down_at, soon)
        if known is None or now >= min(self._up_at, self._down_at):
            self._known = epoch
        self._try(now)

    def _try(self, now: float) -> None:
        """Try another limit, if it is time to."""
        more, fewer = self._more(now), max(self._modest, int(self._base * _FEWER))
        if now >= self._up_at and more > self._base:
            self._set(now, more)
        elif now >= self._down_at and fewer < self._base:
            self._set(now, fewer)
        else:
            self._begin(self._epoch.changed, now)

    def _more(self, now: float) -> int:
        """How many more to try: half of the way to what was refused, once something was."""
        base = self._base
        more = max(base + 1, int(base * self._factor))
        if now < self._refused_until and more > base:
            near = self._refused - base <= base * 0.05
            more = base if near else min(more, int(base + self._refused) // 2)
        return min(more, self._cap)

    def _judge(self, now: float) -> None:
        """An epoch of a try has ended: keep its limit, or go back."""
        epoch, known, up = self._epoch, self._known, self.limit > self._base
        slower = epoch.slower_than(known) if known is not None else 0.0
        pause = self._epochs(self._pause)
        if known is None or not slower:
            self._up_at = self._down_at = now + pause
            self._factor = _STEP
            self._set(now, self._base)
            return
        gain = epoch.in_flight() / known.in_flight() / slower - 1
        gained = gain / (self.limit / self._base - 1)
        if gained >= _WORTH_IT if up else gained <= _NOT_MISSED:
            self._keep(now, gained)
            return
        if up:
            self._up_at, self._down_at = now + pause, now
            self._factor = _STEP
        else:
            self._down_at = now + pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._set(now, self._base)

    def _keep(self, now: float, gained: float) -> None:
        """The limit that was tried is the new base; what its epoch saw is known of it."""
        log.debug("%s: %d requests in flight, not %d", self._name, self.limit, self._base)
        up = self.limit > self._base
        self._pause = _PAUSE
        self._base = self.limit
        self._known = self._epoch
        if up:
            self._factor = 2.0 if gained >= _NEARLY_ALL else _STEP
            self._up_at, self._down_at = now, now + self._epochs(_PAUSE)
            if self._base >= self._refused:
                self._hold = _HOLD_S
        else:
            self._factor = _STEP
            self._up_at, self._down_at = now + self._epochs(1), now
        self._try(now)

    # -- refusals --------------------------------------------------------------------------------

    def _refuse(self, now: float, *, storm: bool) -> None:
        """Too much was refused: go back, go down, or see what half as many would make of it."""
        limit = self.limit
        self._suspect = 0.0
        if limit > self._base:
            if now >= self._refused_until:  # it is still too many after all that time
                self._hold = min(2 * self._hold, _LONGEST_HOLD_S)
            self._fall(now, self._base, limit)
        elif storm or limit == self._floor:
            self._fall(now, limit // 2, limit)
        else:
            self._suspect = self._epoch.share_refused()
            self._set(now, max(limit // 2, self._floor))

    def _acquit_or_not(self, now: float) -> None:
        """An epoch with half as many has ended: are requests refused because they are so many?"""
        suspect, share = self._suspect, self._epoch.share_refused()
        self._suspect = 0.0
        if share > suspect / 2:
            self._tolerated = 1.5 * max(share, suspect)
            self._tolerated_until = now + _BELIEVED_S
            self._set(now, self._base)
        else:
            self._fall(now, int(self._base * (1 - suspect)), self._base)

    def _fall(self, now: float, base: int, refused: int) -> None:
        """Go down to `base`, rest there, and do not come near `refused` for a while."""
        base = max(base, self._floor)
        self._up_at = now + _REST_S
        self._down_at = max(self._down_at, now + self._epochs(_PAUSE))
        if base < refused:
            self._refused, self._refused_until = refused, self._up_at + self._hold
            self._factor = _STEP
            self._tell(now, base, refused)
        self._base = base
        self._known = None
        self._set(now, base)

    def _tell(self, now: float, base: int, refused: int) -> None:
        level = logging.DEBUG
        if base < self._base and now >= self._told + _TELL_S:
            level = logging.INFO
            self._told = now
        text = "%s refuses requests: %d in flight, not %d"
        log.log(level, text, self._name, base, refused)


class _Epoch:
    """What happened under one limit: durations from `start` on, refusals since `changed`.

    Durations are gathered and summed up some times a second, which costs an answer least. At the
    rates of one process some thousands of them wait for that.
    """

    __slots__ = (
        "busy",
        "changed",
        "counts",
        "crowd",
        "ended",
        "fresh",
        "refused",
        "seconds",
        "squares",
        "start",
    )

    def __init__(self, changed: float, start: float, limit: int) -> None:
        self.changed = changed
        self.start = start
        self.busy = _BUSY * limit
        self.ended = self.refused = 0
        self.crowd = 0  # sum of the numbers in flight, seen at each answer while so many were
        self.fresh: defaultdict[int, list[float]] = defaultdict(list)  # seconds, by class of size
        self.counts: Counter[int] = Counter()  # and what they have summed up to
        self.seconds: defaultdict[int, float] = defaultdict(float)
        self.squares = 0.0

    def sum_up(self) -> None:
        """Count what was gathered."""
        for size, seconds in self.fresh.items():
            self.counts[size] += len(seconds)
            self.seconds[size] += sum(seconds)
            self.squares += hypot(*seconds) ** 2
        self.fresh.clear()

    def stay(self) -> float:
        """How long requests take, weighted by how long they take.

        A few large ones among many small ones hold most of the places most of the time.
        """
        return self.squares / sum(self.seconds.values()) if self.squares else 0.0

    def in_flight(self) -> float:
        """The mean number in flight."""
        return self.crowd / self.counts.total()

    def share_refused(self) -> float:
        """Of all that ended."""
        return self.refused / self.ended if self.ended else 0.0

    def slower_than(self, other: "_Epoch") -> float:
        """How many times longer requests took than those of their size there; 0: not comparable."""
        took = would_have = 0.0
        for size in self.counts.keys() & other.counts.keys():
            took += self.seconds[size]
            would_have += self.counts[size] * other.seconds[size] / other.counts[size]
        return took / would_have if would_have else 0.0
