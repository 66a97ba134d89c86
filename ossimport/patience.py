"""Try a request again: the only place that does, for sources and destinations alike."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar, TypeVarTuple

from ossimport.errors import Fatal, Permanent, Transient, Waiting

log = logging.getLogger(__name__)

T = TypeVar("T")
Args = TypeVarTuple("Args")

# How long an end may refuse everything before the job stops.
OUTAGE_S = 300.0
LONGEST_RETRY_AFTER_S = 300.0
# A request that has failed for so long, or shall wait for so long, makes us ask the end whether it
# is there at all. Requests to an end that takes connections and says nothing last a minute each.
SUSPECT_S = 15.0
PROBE_S = 20.0  # an end that needs longer to answer a probe, limits included, does not answer
BELIEVED_S = 5.0  # an end that did not answer a probe is not asked again for so long


class Counting(Protocol):
    """Something that counts how often we had to ask again for it."""

    retries: int


def backoff(attempt: int, jitter: float) -> float:
    """Seconds to wait after failed attempt `attempt` (from 1): 0.2 s doubling to 30 s.

    `jitter` in [0, 1) spreads the waits over half to all of that, so that sixty requests that
    failed together do not come back together.
    """
    ceiling: float = min(30.0, 0.2 * 2 ** min(attempt - 1, 10))
    return ceiling * (0.5 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often, and after which waits, a request is made again."""

    attempts: int
    jitter: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    outlast_s: float = 0.0  # that an outage is waited out. A worker's process is wanted elsewhere
    clock: Callable[[], float] = time.monotonic


class End:
    """One of the two ends: who asks it has patience. How it does, over all requests to it."""

    def __init__(
        self, name: str, probe: Callable[[], Awaitable[object]], patience: Patience
    ) -> None:
        """`probe` asks the end something that has nothing to do with any one object."""
        self.name = name
        self._patience = patience
        self.successes = 0
        self._probe = probe
        self._asking: asyncio.Task[Transient | None] | None = None
        self._asked = 0.0
        self._trouble: Transient | None = None

    async def ask(
        self,
        request: Callable[[*Args], Awaitable[T]],
        *args: *Args,
        it: Counting | None = None,
        attempts: int = 0,
    ) -> T:
        """Make a request until it succeeds, fails for good, or has failed often enough.

        Often enough means that it is this request's fault: others to the same end succeeded
        since it failed the last time, or the end answers when it is probed. Else it is an outage,
        and nobody fails: Waiting is raised, with the code Outage. `it` counts how often it was
        made again; `attempts` is an own, exact limit.
        """
        patience = self._patience
        successes, began = self.successes, patience.clock()
        attempt, waited = 0, 0.0
        while True:
            try:
                result = await request(*args)
            except Transient as exc:
                attempt += 1
                if attempts and attempt >= attempts:
                    raise
                enough = attempt >= patience.attempts
                if enough or max(patience.clock() - began, exc.retry_after) >= SUSPECT_S:
                    at_fault = self.successes != successes or exc.code == "ChecksumMismatch"
                    if not at_fault and await self.trouble():
                        if waited >= patience.outlast_s:
                            raise outage(self, exc) from exc
                    elif enough:
                        raise
                # What succeeded before says nothing: it may have been before the outage.
                successes = self.successes
                wait = backoff(attempt, patience.jitter())
                wait = max(wait, min(exc.retry_after, LONGEST_RETRY_AFTER_S))
                log.debug("%s %s: %s; again in %.1f s", exc.op, exc.key, exc.code, wait)
                waited += wait
                if it is not None:
                    it.retries += 1
                await patience.sleep(wait)
            else:
                self.successes += 1
                return result

    async def trouble(self) -> Transient | None:
        """Why the end does not do what it should do at any time; None if it does.

        All that want to know it at about the same time ask once.
        """
        if self._trouble is None or _now() - self._asked >= BELIEVED_S:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            self._trouble = await asyncio.shield(self._asking)
        return self._trouble

    async def _ask(self) -> Transient | None:
        try:
            async with asyncio.timeout(PROBE_S):
                await self._probe()
        except Transient as exc:
            log.warning("the %s does not answer: %s", self.name, exc)
            return exc
        except TimeoutError:
            log.warning("the %s has not answered for %.0f s", self.name, PROBE_S)
            return Transient(f"no answer for {PROBE_S:.0f} s", code="Timeout", op="probe")
        finally:
            self._asked, self._asking = _now(), None
        return None

    async def must_answer(self) -> None:
        """Raise Waiting if the end does not do what it should do at any time.

        A refusal is an answer: whether it stops the job, who works finds out by what he needs.
        """
        try:
            trouble = await self.trouble()
        except Waiting:
            raise
        except (Permanent, Fatal) as exc:
            log.warning("the %s answers: %s", self.name, exc)
            return
        if trouble is not None:
            raise outage(self, trouble)


def _now() -> float:
    return asyncio.get_running_loop().time()


def outage(end: End, last: Transient) -> Waiting:
    """What to raise when an end refuses everything."""
    return Waiting(
        f"the {end.name} refuses every request; the last answer was: {last}",
        code="Outage",
        op=last.op,
        key=last.key,
        request_id=last.request_id,
    )
