"""What keeps one worker process to its share of all limits.

While it works on a job it leases, twice a second, a share of every rate that binds it, in one call
to the ledger; its gates let through no more than that. A share ends with its lease: a process that
cannot reach the ledger moves what it may for LEASE_S seconds and then waits, and goes on when the
ledger is back. What nothing limits passes no gate at all.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple
from weakref import WeakValueDictionary

from ossimport.errors import LedgerUnavailable
from ossimport.ledger.base import LimitsLedger
from ossimport.limits.gate import SHORTEST_LOOK_S, Gate
from ossimport.limits.leases import Ask, Shares
from ossimport.limits.limit import ALL, Limit, covers, host_of, job_scope
from ossimport.limits.timetable import Rates
from ossimport.limits.way import Way
from ossimport.throttle import Throttle
from ossimport.transport import Endpoint

log = logging.getLogger(__name__)

LEASE_S = 2.0
RENEW_S = 0.5  # while something is limited
LOOK_S = 1.0  # while nothing is: a limit that is set is in force everywhere after that
_MOST_ENDPOINTS = 32  # of those it talks to, that a process tells of: the busiest
_HUNGRY = 0.95  # share of the time in which somebody waits, from which one more share is asked for
_RESERVE = 1.1  # times what was used is wanted
_LEAST = {"requests": 1.0, "bytes": float(64 << 10)}  # per second, wanted in any case
_STOPPED = Limit(Rates(0.0, 0.0))


class _Used(NamedTuple):
    """A way that was used since the last look, and the requests on it."""

    endpoint: Endpoint
    way: Way
    asked: float  # per second
    refused: float


class Limiter:
    """Leases shares, and opens and closes gates accordingly, on one event loop."""

    def __init__(
        self,
        ledger: LimitsLedger,
        holder: str,
        *,
        cap: Throttle | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`holder` names this process; `cap` bounds what it and the others of its host send."""
        self._ledger = ledger
        self._holder = holder
        self._cap = cap
        self._clock = clock
        self._job = ""
        self._version = -1  # of the limits that are known; none
        self._limits: dict[str, Limit] = {}  # by scope
        self._gates: dict[str, Gate] = {}  # by the name of the rate
        self._closed = Gate()
        self._closed.set(0.0)
        self._ways: WeakValueDictionary[Endpoint, Way] = WeakValueDictionary()
        self._ahead = 0.0  # what the ledger's clock is ahead of ours
        self._looked_at = clock()
        self._used: list[_Used] = []  # then
        self._knows = False  # what is limited; until then nothing passes
        self._wanted = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")

    def way_to(self, endpoint: Endpoint) -> Way:
        """What bounds the traffic with an endpoint, now and later."""
        way = self._ways.get(endpoint)
        if way is None:
            way = self._ways[endpoint] = Way(self._cap)
            self._lead(endpoint, way)
            if not way.free:
                self._wanted.set()
        return way

    @asynccontextmanager
    async def working(self, job: str) -> AsyncIterator[None]:
        """Keep to the limits of a job, for the length of the block."""
        self._job = job
        # Whatever was known may have changed, or have been lost by a ledger that was restored.
        self._version, self._knows = -1, False
        self._lead_all()
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    async def _keep(self) -> None:
        while True:
            began = self._clock()
            self._wanted.clear()
            try:
                again = await self._renew()
            except LedgerUnavailable as exc:
                log.warning("limits are not renewed: %s", exc)
                again = False
            if again:
                continue
            every = RENEW_S if self._gates or not self._knows else LOOK_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), max(0.0, began + every - self._clock()))

    async def _renew(self) -> bool:
        """Ask for shares and take what is given; True if there is more to be asked for at once."""
        now = self._clock()
        used = self._look(now)
        asks = self._asks(now + self._ahead, used)
        loop = asyncio.get_running_loop()
        given: Shares = await loop.run_in_executor(
            self._thread,
            lambda: self._ledger.lease_shares(
                self._job, self._version, self._holder, LEASE_S, asks
            ),
        )
        self._ahead = given.now_ms / 1000 - self._clock()
        if given.texts is None:
            self._take(asks, given, now + LEASE_S)
            return False
        if not given.version and self._version > 0:
            log.warning("the limits are lost: waiting for the master to restore them")
            return False
        self._version = given.version
        self._limits = {scope: _read(scope, text) for scope, text in given.texts.items()}
        return True

    # -- asking ----------------------------------------------------------------------------------

    def _look(self, now: float) -> list[_Used]:
        """Which ways were used since the last look; the busiest come first."""
        span = now - self._looked_at
        if span < SHORTEST_LOOK_S:
            return self._used
        self._looked_at = now
        found = []
        for endpoint, way in list(self._ways.items()):
            if way.asked or _slow(endpoint) in self._gates:
                found.append(_Used(endpoint, way, way.asked / span, way.refused / span))
            way.asked = way.refused = 0
        found.sort(key=lambda each: each.asked, reverse=True)
        self._used = found[:_MOST_ENDPOINTS]
        return self._used

    def _asks(self, moment: float, used: Iterable[_Used]) -> list[Ask]:
        """What binds this process at a moment of the ledger's time."""
        asks = []
        for scope in self._binding():
            for unit, rate in self._limits[scope].at(moment)._asdict().items():
                if rate < math.inf:
                    name = _rate(scope, unit)
                    asks.append(Ask(name, rate, self._want(name, _LEAST[unit])))
        for each in used:
            name = _slow(each.endpoint)
            want = self._want(name, _LEAST["requests"])
            asks.append(Ask(name, None, want, each.asked, each.refused))
        return asks

    def _binding(self) -> list[str]:
        """The scopes of limits that bind what this process does now."""
        hosts = {host_of(scope) for endpoint in self._ways for scope in self._covering(endpoint)}
        return [
            scope
            for scope in self._limits
            if scope in {ALL, job_scope(self._job)} or host_of(scope) in hosts - {""}
        ]

    def _covering(self, endpoint: Endpoint) -> list[str]:
        """The scopes that bind traffic with an endpoint, the narrowest first."""
        covering = [job_scope(self._job)]
        covering += [
            scope
            for scope in self._limits
            if host_of(scope) and covers(host_of(scope), endpoint.host, endpoint.authority)
        ]
        return [scope for scope in (*covering, ALL) if scope in self._limits]

    def _want(self, name: str, least: float) -> float:
        """How much of a rate this process could do with."""
        gate = self._gates.get(name)
        if gate is None:
            return math.inf
        used, waited = gate.look()
        return math.inf if waited > _HUNGRY else max(used * _RESERVE, least)

    # -- taking ----------------------------------------------------------------------------------

    def _take(self, asks: list[Ask], given: Shares, until: float) -> None:
        """Set the gates to what was given; those that are not needed any more open for good."""
        gates: dict[str, Gate] = {}
        for ask, share in zip(asks, given.shares, strict=True):
            if share is not None:
                gate = gates[ask.rate] = self._gates.get(ask.rate) or Gate(self._clock)
                gate.set(share, until)
        gone = [gate for name, gate in self._gates.items() if name not in gates]
        changed = gates.keys() != self._gates.keys() or not self._knows
        self._gates, self._knows = gates, True
        if changed:
            self._lead_all()
        for gate in gone:
            gate.set(math.inf)
        self._closed.set(math.inf)
        self._closed = Gate(self._clock)
        self._closed.set(0.0)

    def _lead_all(self) -> None:
        for endpoint, way in list(self._ways.items()):
            self._lead(endpoint, way)

    def _lead(self, endpoint: Endpoint, way: Way) -> None:
        if not self._knows:
            way.lead([self._closed], [self._closed], [self._closed])
            return
        scopes = self._covering(endpoint)
        hosts = [scope for scope in scopes if host_of(scope)]
        way.lead(
            self._gates_of("requests", scopes, _slow(endpoint)),
            self._gates_of("bytes", scopes),
            self._gates_of("bytes", hosts),
        )

    def _gates_of(self, unit: str, scopes: Iterable[str], slow: str = "") -> list[Gate]:
        names = [_rate(scope, unit) for scope in scopes]
        gates = [self._gates[name] for name in (*names, slow) if name in self._gates]
        moment = self._clock() + self._ahead
        if any(
            name not in self._gates and self._limits[scope].at(moment)._asdict()[unit] < math.inf
            for name, scope in zip(names, scopes, strict=True)
        ):
            gates.append(self._closed)  # until a share of it is leased
        return gates


def _rate(scope: str, unit: str) -> str:
    return f"{scope} {unit}"


def _slow(endpoint: Endpoint) -> str:
    return f"slow {endpoint.authority}"


def _read(scope: str, text: str) -> Limit:
    try:
        return Limit.from_json(text)
    except ValueError as exc:
        log.error("the limit of %s cannot be read here, so nothing moves: %s", scope, exc)
        return _STOPPED
