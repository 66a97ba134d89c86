"""How one rate is divided among those who hold a share of it.

A holder says what it wants. Who wants less than an even share gets that; what is left is divided
evenly among the others. Nobody is ever given what another one still holds, so that the shares that
live never sum up to more than the rate; it takes two rounds of renewals until all have theirs.
`lua/lease_shares.lua` does the same. Rates are in thousandths of units per second, as integers.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from ossimport.limits.slowdown import Slowdown

ALL_THERE_IS = -1  # as a want


class Holder(NamedTuple):
    """One who holds a share, until a moment of the server's time."""

    share: int
    want: int  # ALL_THERE_IS also if it wants more than an even share
    used: int
    refused: int
    until_ms: int


@dataclass
class Sharing:
    """Who holds what of one rate."""

    holders: dict[str, Holder] = field(default_factory=dict)
    slowdown: Slowdown = Slowdown()

    def expire(self, now_ms: int) -> None:
        """Forget those whose lease has ended."""
        self.holders = {n: h for n, h in self.holders.items() if h.until_ms > now_ms}

    def lease(self, name: str, rate: int, want: int) -> tuple[int, int]:
        """The share of a holder that wants so much of `rate`, and its want as it is noted."""
        others = [holder for n, holder in self.holders.items() if n != name]
        hungry = sum(holder.want < 0 for holder in others)
        modest = sum(holder.want for holder in others if holder.want >= 0)
        even = max(0, (rate - modest) // (hungry + 1))
        if not 0 <= want <= even:
            want = ALL_THERE_IS
        share = even
        if want >= 0:
            # While nobody is short of anything, there is no reason to be short of a reserve.
            share = want if hungry else min(even, max(want, rate // (len(others) + 1)))
        return max(0, min(share, rate - sum(holder.share for holder in others))), want

    def hear(self, now_ms: int, name: str, used: int, refused: int) -> None:
        """Take into account what a holder was refused, together with what the others were."""
        others = [holder for n, holder in self.holders.items() if n != name]
        used += sum(holder.used for holder in others)
        refused += sum(holder.refused for holder in others)
        self.slowdown = self.slowdown.told(now_ms, used, refused)
