"""How a service that refuses requests because they are too many is obeyed, by all who send them.

Refusals are those of the statuses in SLOW_DOWN. The rate of the requests that were not refused is
what the service takes: that is the level. All workers together fall below it at once (a
multiplicative decrease), come back to it within some seconds, feel their way beyond it, and then
ever faster (an additive increase, along the cubic curve of RFC 9438). Refusals on the way begin it
all anew; without them it is over after a minute. `lua/lease_shares.lua` does the same.
"""

from typing import NamedTuple

# Too many requests, service unavailable (OSS, S3 and their like send it with SlowDown,
# QpsLimitExceeded and the other codes of their limits), bandwidth exceeded, Qiniu's "too frequent".
SLOW_DOWN = frozenset({429, 503, 509, 573})

LASTS_S = 60.0
_DECREASE = 0.15
_BACK_S = 8.0  # until the level is reached again
_TOLERATED = 0.02  # share of requests that may be refused; `transport.inflight` has the same
_OUTAGE = 0.95  # share refused from which it says nothing of rates; `patience` waits it out
_SETTLE_MS = 1000  # everybody has been heard, or obeys, after so long
_LEAST = 1000  # thousandths: one request per second


class Slowdown(NamedTuple):
    """What is known of an endpoint. Rates are in thousandths of requests per second."""

    suspect_ms: int = (
        0  # server time of the first refusal that is not decided upon; 0: there is none
    )
    level: int = 0  # what it takes; 0: as much as we send
    since_ms: int = 0  # when that was found out

    def is_over(self, now_ms: int) -> bool:
        """Whether nothing of it needs to be known any more."""
        return not self.suspect_ms and now_ms - self.since_ms >= LASTS_S * 1000

    def rate(self, now_ms: int) -> int | None:
        """What all may send together; None: as much as they like."""
        if not self.level or now_ms - self.since_ms >= LASTS_S * 1000:
            return None
        along = (now_ms - self.since_ms) / 1000 / _BACK_S - 1
        return max(_LEAST, int(self.level * (1 + _DECREASE * along**3)))

    def told(self, now_ms: int, used: int, refused: int) -> "Slowdown":
        """With what all have sent, and were refused of it, of late."""
        if refused <= used * _TOLERATED or refused >= used * _OUTAGE:
            return self if now_ms < self.suspect_ms else self._replace(suspect_ms=0)
        if not self.suspect_ms:
            return self._replace(suspect_ms=now_ms)
        if now_ms - self.suspect_ms < _SETTLE_MS:
            return self
        return Slowdown(now_ms + _SETTLE_MS, max(_LEAST, used - refused), now_ms)
