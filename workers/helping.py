"""Make parts of a large object whose task another worker holds, some at a time, for a while.

The helper decides nothing: it reads the version that the upload is of, sends, and reports. What it
cannot do it gives back to the holder, who meets the reason by himself.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from ossimport.errors import LedgerUnavailable, StaleClaim, StorageError
from ossimport.ledger.base import Loan, Repayment, WorkerLedger
from ossimport.part_making import PartsLeft
from ossimport.parts import PartsCopy
from workers import shares
from workers.lending import wait_for

log = logging.getLogger(__name__)

# A helper that is lost costs its parts once more, so it may be missed sooner than a holder.
LOAN_LEASE_S = 10.0
REPORT_S = 1.0
HELP_S = 30.0  # then tasks that wait have this worker; the master calls again if there are none
DRAIN_S = 8.0  # how long parts in flight may still take after the order to stop


class Help:
    """One loan's work, from the first part to the last report."""

    def __init__(
        self,
        loan: Loan,
        parts: PartsCopy,
        ledger: WorkerLedger,
        *,
        stopping: Callable[[], bool],
        progress: Callable[[str], None],
    ) -> None:
        self._loan = loan
        self._parts = parts
        self._ledger = ledger
        self._stopping = stopping
        self._progress = progress
        self._left = PartsLeft(loan.upload, loan.numbers)
        self._left.shared = True
        self._told: set[int] = set()  # parts that the ledger knows of
        self._started = self._renewed = time.monotonic()

    async def run(self) -> None:
        """Help until there is nothing left to help with, or somebody else needs this worker."""
        making = asyncio.create_task(self._parts.help_with(self._left))
        making.add_done_callback(lambda _: self._left.running_low.set())
        telling = asyncio.create_task(self._keep_telling())
        try:
            await self._keep_reporting(making)
        except StaleClaim as exc:
            log.info("%s", exc)  # the object is done, or the holder is gone
        finally:
            making.cancel()
            telling.cancel()
            await asyncio.gather(making, telling, return_exceptions=True)
        log.info("task %s: %s", self._loan.task_id, self.describe())

    async def _keep_reporting(self, making: asyncio.Task[None]) -> None:
        left, in_flight = self._left, self._parts.in_flight
        pace, leaving_since = shares.Pace(0, self._started), None
        while True:
            await wait_for(left.running_low, REPORT_S)
            now = time.monotonic()
            if leaving_since is None and (self._stopping() or now - self._started > HELP_S):
                leaving_since = now
                left.wind_up()
            kept, refused = left.in_hand, []
            if making.done():
                kept, refused = [], kept
                self._tell_why(making)
            elif self._stopping() and leaving_since and now - leaving_since > DRAIN_S:
                kept = []
            ahead = in_flight + pace.ahead(len(left.upload.parts), now)
            count = 0 if leaving_since or making.done() else max(0, ahead - len(kept))
            more = await self._report(kept, refused, count)
            if more is None:
                if now - self._renewed > LOAN_LEASE_S:
                    return
                continue
            left.add(more)
            if not kept and not more:
                return

    async def _report(
        self, kept: Sequence[int], refused: Sequence[int], count: int
    ) -> list[int] | None:
        """Report; return which parts there are to be made besides those kept. None: no answer."""
        made = {n: part for n, part in self._left.upload.parts.items() if n not in self._told}
        repayment = Repayment(made, kept, refused)
        try:
            more = await asyncio.to_thread(
                self._ledger.repay, self._loan, repayment, LOAN_LEASE_S, count
            )
        except LedgerUnavailable as exc:
            log.warning("task %s: %s", self._loan.task_id, exc)
            return None
        self._told.update(made)
        self._renewed = time.monotonic()
        return more

    def _tell_why(self, making: asyncio.Task[None]) -> None:
        if (exc := making.exception()) is not None:
            is_ours = not isinstance(exc, StorageError)
            text = "task %s: its holder has to make parts that this worker cannot: %s"
            log.warning(text, self._loan.task_id, exc, exc_info=exc if is_ours else None)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(2.0)
            await asyncio.to_thread(self._progress, self.describe())

    def describe(self) -> str:
        """What was done, in one line, for the tracker: `helped: 12 parts 41.2MB/s`."""
        speed = self._left.bytes_made / max(time.monotonic() - self._started, 0.001) / 1e6
        return f"helped: {len(self._left.upload.parts)} parts {speed:.1f}MB/s"
