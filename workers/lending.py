"""Lend parts of a large object that is under way to workers that have nothing to do.

All parts that are not begun go into one offer in the ledger, from which everybody takes some at a
time, the holder too; so nobody waits for a slow one for longer than the parts that it has in hand.
What others have made is merged into the holder's upload. Whatever the ledger loses of an offer, the
holder makes by itself in the end.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from ossimport.ledger.base import Claim, WorkerLedger
from ossimport.model import Upload
from ossimport.part_making import PartsLeft
from ossimport.parts import PartsCopy
from workers import shares

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_S = 0.5  # between two looks at what others have made


class Call(Protocol):
    """Makes a ledger call until Redis answers."""

    def __call__(self, step: Callable[[], T], /) -> Awaitable[T]: ...


class Lending:
    """Lends the parts of one task's objects, of one at a time."""

    def __init__(self, claim: Claim, ledger: WorkerLedger, parts: PartsCopy, call: Call) -> None:
        self._claim = claim
        self._ledger = ledger
        self._parts = parts
        self._call = call
        self._offers: asyncio.Queue[tuple[int, PartsLeft]] = asyncio.Queue()

    def offer(self, index: int, upload: Upload | None) -> None:
        """Let others have parts of the upload of object `index`, if any are not begun yet."""
        left = self._parts.left_of(upload) if upload is not None else None
        if left is not None and not left.shared and left.not_begun > self._parts.in_flight:
            left.shared = True
            self._offers.put_nowait((index, left))

    async def keep(self) -> None:
        """Lend what is offered, one object after another, for ever."""
        while True:
            index, left = await self._offers.get()
            await self._lend(index, left)

    async def _lend(self, index: int, left: PartsLeft) -> None:
        claim, ledger, in_flight = self._claim, self._ledger, self._parts.in_flight
        numbers = left.give_up(kept=in_flight)
        await self._call(partial(ledger.lend, claim, index, left.upload, numbers))
        log.info("task %s: offers %d parts of an object", claim.task_id, len(numbers))
        pace, seen, others = shares.Pace(len(left.upload.parts), time.monotonic()), 0, 0
        while not left.ended:
            await wait_for(left.running_low, LOOK_S)
            ahead = in_flight + pace.ahead(len(left.upload.parts) - others, time.monotonic())
            count = max(0, ahead - len(left.in_hand))
            found = await self._call(partial(ledger.collect, claim, count, seen))
            if found is None:
                break  # Redis has lost the offer
            seen = found.seen
            others += left.merge(found.made)
            left.add(found.numbers)
            if not found.offered and not found.loans:
                break
        left.end_sharing()
        await self._call(partial(ledger.lend, claim, index, None))
        log.info("task %s: others made %d parts of an object", claim.task_id, others)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, or the time has passed; clear it."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    event.clear()
