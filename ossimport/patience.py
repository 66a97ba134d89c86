"""Try a request again: the only place that does, for sources and destinations alike."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from ossimport.errors import Fatal, Transient

log = logging.getLogger(__name__)

T = TypeVar("T")

# How long an end may refuse everything before the job stops.
OUTAGE_S = 300.0
LONGEST_RETRY_AFTER_S = 300.0


class End:
    """How one of the two ends does, over all requests to it."""

    def __init__(self, name: str, probe: Callable[[], Awaitable[object]]) -> None:
        """`probe` asks the end something that has nothing to do with any one object."""
        self.name = name
        self.successes = 0
        self._probe = probe

    async def answers(self) -> bool:
        """False if the end does not do what it should do at any time."""
        try:
            await self._probe()
        except Transient as exc:
            log.warning("the %s does not answer: %s", self.name, exc)
            return False
        return True


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


class Patience:
    """How often, and after which waits, a request is made again."""

    def __init__(
        self,
        attempts: int,
        *,
        jitter: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._attempts = attempts
        self._jitter = jitter
        self._sleep = sleep

    async def ask(
        self,
        end: End,
        request: Callable[[], Awaitable[T]],
        it: Counting | None = None,
        attempts: int = 0,
    ) -> T:
        """Make a request until it succeeds, fails for good, or has failed often enough.

        Often enough means that it is this request's fault: others to the same end succeeded
        meanwhile, or the end answers when it is probed. Else it is an outage, and nobody fails; we
        wait for the end to come back, up to OUTAGE_S, and then raise Fatal. `attempts` is an own,
        exact limit.
        """
        successes, attempt, waited = end.successes, 0, 0.0
        while True:
            try:
                result = await request()
            except Transient as exc:
                attempt += 1
                if attempts and attempt >= attempts:
                    raise
                if attempt >= self._attempts:
                    at_fault = end.successes != successes or exc.code == "ChecksumMismatch"
                    if at_fault or await end.answers():
                        raise
                    if waited >= OUTAGE_S:
                        raise _outage(end, exc) from exc
                wait = backoff(attempt, self._jitter())
                wait = max(wait, min(exc.retry_after, LONGEST_RETRY_AFTER_S))
                log.debug("%s %s: %s; again in %.1f s", exc.op, exc.key, exc.code, wait)
                waited += wait
                if it is not None:
                    it.retries += 1
                await self._sleep(wait)
            else:
                end.successes += 1
                return result


def _outage(end: End, last: Transient) -> Fatal:
    return Fatal(
        f"the {end.name} has refused every request for {OUTAGE_S:.0f} s; the last answer was:"
        f" {last}. Cure: see to it, then retry the job; nothing has failed because of it",
        code="Outage",
        op=last.op,
        key=last.key,
        request_id=last.request_id,
    )
