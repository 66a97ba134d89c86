"""Try a request again: the only place that does, for sources and destinations alike."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from ossimport.errors import Fatal, Transient

log = logging.getLogger(__name__)

T = TypeVar("T")

# How long an end may refuse everything before the job stops.
OUTAGE_S = 300.0
LONGEST_RETRY_AFTER_S = 300.0


class End:
    """How one of the two ends does, over all requests to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.successes = 0
        self.waiting = 0  # requests that wait to be made again

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Count as waiting."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


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

        While no other request to the same end succeeds either, it is not this object that is at
        fault: then we wait for the end to come back, up to OUTAGE_S, before anything fails. Raises
        Fatal when several requests have waited so long in vain. `attempts` is an own, exact limit.
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
                    if end.successes != successes or exc.code == "ChecksumMismatch":
                        raise
                    if waited >= OUTAGE_S:
                        raise (_outage(end, exc) if end.waiting else exc) from exc
                wait = backoff(attempt, self._jitter())
                wait = max(wait, min(exc.retry_after, LONGEST_RETRY_AFTER_S))
                log.debug("%s %s: %s; again in %.1f s", exc.op, exc.key, exc.code, wait)
                waited += wait
                if it is not None:
                    it.retries += 1
                with end.wait():
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
