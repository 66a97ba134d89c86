"""What a process asks of the ledger about limits, and what it is told. Values only."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Ask(NamedTuple):
    """A share of one rate that a process wants. All rates are in units per second.

    `limit` None: it is the requests to an endpoint, and what refusals say of it is the limit. Only
    there `used` and `refused` count.
    """

    rate: str  # its name, the same for all who share it
    limit: float | None
    want: float  # infinity: all there is
    used: float = 0.0
    refused: float = 0.0


class Shares(NamedTuple):
    """What was leased: one share for each Ask; None: as much as one likes.

    If the caller does not know the present `version` of the limits, nothing is leased: `texts` has
    them then, of all, of endpoints and of the job, by scope.
    """

    version: int
    now_ms: int  # the server's time
    shares: Sequence[float | None] = ()
    texts: Mapping[str, str] | None = None


class LimitTable(NamedTuple):
    """All limits that are set. The version grows with every change; 0: there never was one."""

    version: int
    texts: Mapping[str, str]  # scope -> Limit.to_json


class InForce(NamedTuple):
    """A rate that is shared now: how much of it is leased, to how many."""

    rate: str
    leased: float
    holders: int
    obeyed: float | None = None  # what refusals allow, of the requests to an endpoint
