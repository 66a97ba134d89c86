"""Carry out one claimed task: copy what is left, write it down, verify, finish. No Celery here.

A fixed set of runner coroutines takes one object after another. Beside them one coroutine flushes
what happened, one renews the lease, one watches for the order to stop. Whatever ends the run, what
was copied is written down first; only a claim that is lost is dropped as it is, because then
another worker owns the task.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ossimport import manifest, naming, planner
from ossimport.copying import Engine
from ossimport.errors import Fatal, LedgerUnavailable, StaleClaim, Transient, Waiting
from ossimport.ledger.base import Claim, Cut, PlannedTask, WorkerLedger
from ossimport.listed import NOTHING_LISTED
from ossimport.model import CopyResult, JobState, Mark, Outcome, TaskState, Upload
from workers import shares
from workers.headway import Headway
from workers.lending import Lending
from workers.notes import Notes
from workers.verification import Checks, Verification

log = logging.getLogger(__name__)

T = TypeVar("T")

LEASE_S = 30.0
FLUSH_INTERVAL_S = 0.5
FLUSH_OBJECTS = 1000
ORDERS_S = 1.0  # between two looks at whether the job goes on
DRAIN_S = 8.0  # how long objects in flight may still finish after the order to stop


def _raise_first(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        task.result()


class TaskRun:
    """One claim's work, from the first object to the last flush."""

    def __init__(
        self,
        claim: Claim,
        engine: Engine,
        ledger: WorkerLedger,
        *,
        runners: int,
        verify: Checks | None,
        abort_on_uncaught: bool,
        stopping: Callable[[], bool],
        progress: Callable[[str], None],
        lease_s: float = LEASE_S,
    ) -> None:
        self._claim = claim
        self._engine = engine
        self._ledger = ledger
        self._runners = runners
        self._checks = verify
        self._abort_on_uncaught = abort_on_uncaught
        self._process_stopping = stopping
        self._paused = False
        self._progress = progress
        self._lease_s = lease_s
        self._notes = Notes(claim)
        self._uploads = dict(claim.uploads)
        self._begun_before = claim.claims > 1
        self._listed = NOTHING_LISTED
        self._flushes = claim.flushes
        self._flush_lock = asyncio.Lock()
        self._flush_wanted = asyncio.Event()
        self._lost = False  # the claim is another worker's, or may be
        left = [i for i, mark in enumerate(self._notes.marks) if not mark]  # 0 is LEFT
        self._waiting = deque(left)  # objects that nobody has begun
        self._begun: dict[int, asyncio.Task[CopyResult]] = {}  # large ones that are under way
        self._sharing = asyncio.Lock()
        self._headway = Headway(self._notes, lambda: engine.moving)
        self._lending = Lending(claim, ledger, engine.parts, self._call)

    async def run(self) -> TaskState | None:
        """Work until the task has ended, and return how; None when it was handed back.

        Raises StaleClaim when the task is somebody else's now, Fatal when the job must stop,
        Waiting when the task was handed back because the job has to wait.
        """
        beside = [
            asyncio.create_task(self._keep_flushing()),
            asyncio.create_task(self._keep_lease()),
            asyncio.create_task(self._keep_orders()),
            asyncio.create_task(self._lending.keep()),
        ]
        telling = asyncio.create_task(self._keep_telling())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait([work, *beside], return_when=asyncio.FIRST_COMPLETED)
            for loop in beside:
                if loop.done():
                    await loop  # raises why it gave up
            return await work
        except StaleClaim:
            self._lost = True
            raise
        finally:
            for each in (work, telling, *beside):
                each.cancel()
            await asyncio.gather(work, telling, *beside, return_exceptions=True)

    async def _work(self) -> TaskState | None:
        try:
            self._listed = await self._engine.look_ahead(
                self._notes.objects, begun_before=self._begun_before
            )
            if self._checks is not None:
                verification = Verification(
                    self._claim.task_id, self._notes, self._engine, self._checks, self._copy_again
                )
                await verification.of(self._copy_all(), stopping=self._stopping)
            else:
                await self._copy_all()
            ended = Mark.LEFT not in self._notes.marks
        except Waiting as exc:
            log.warning("task %s is handed back: %s", self._claim.task_id, exc)
            await self._flush()
            await self._call(lambda: self._ledger.release(self._claim, counts=False))
            raise
        except Fatal as exc:
            reason = f"{exc.code}: {exc}"
            await self._flush()
            await self._call(lambda: self._ledger.stop_job(self._claim, reason))
            raise
        except Transient as exc:
            # The listing alone is refused, for minutes. The task is handed back and tried again.
            log.warning("task %s: cannot list: %s", self._claim.task_id, exc)
            ended = False
        await self._flush()
        if not ended:
            ordered = self._stopping()
            await self._call(lambda: self._ledger.release(self._claim, counts=not ordered))
            return None
        state = TaskState.FAILED if Mark.FAILED in self._notes.marks else TaskState.SUCCEED
        await self._call(lambda: self._ledger.finish(self._claim, state))
        return state

    async def _copy_all(self) -> None:
        """Copy until nothing is left, or until the order to stop."""
        runners = [asyncio.create_task(self._runner()) for _ in range(self._runners)]
        watch = asyncio.create_task(self._until_stopping())
        try:
            running = set(runners)
            while running and not watch.done():
                done, _ = await asyncio.wait({watch, *running}, return_when=asyncio.FIRST_COMPLETED)
                running -= done
                _raise_first(done)
            if running:
                log.info("task %s: stopping, objects in flight may finish", self._claim.task_id)
                giving = asyncio.create_task(self._give_waiting())
                done, _ = await asyncio.wait(running, timeout=DRAIN_S)
                await giving
                _raise_first(done)
            async with self._sharing:  # what is being given away is left no more, then
                pass
        finally:
            for each in (watch, *runners):
                each.cancel()
            await asyncio.gather(watch, *runners, return_exceptions=True)

    async def _runner(self) -> None:
        notes, threshold = self._notes, self._engine.policy.multipart_threshold
        while self._waiting and not self._stopping():
            index = self._waiting.popleft()
            if notes.objects[index].size <= threshold:
                notes.note(index, await self._copy(index))
            else:
                await self._copy_large(index)
            if len(notes.lines) >= FLUSH_OBJECTS:
                self._flush_wanted.set()

    async def _copy_large(self, index: int) -> None:
        """Copy an object that may be taken from us meanwhile."""
        copying = self._begun[index] = asyncio.create_task(self._copy(index))
        try:
            await asyncio.wait({copying})
        except asyncio.CancelledError:
            copying.cancel()
            # It writes down how far it has come.
            await asyncio.gather(copying, return_exceptions=True)
            raise
        finally:
            del self._begun[index]
        if not copying.cancelled():
            self._notes.note(index, copying.result())

    # -- giving away -----------------------------------------------------------------------------

    async def _share(self, takers: int) -> None:
        """Give idle workers their share of what is left, if that is worth it."""
        async with self._sharing:
            left = (*self._waiting, *self._begun)
            weights = {i: shares.weight(self._bytes_left(i)) for i in left}
            if sum(weights.values()) < shares.WORTH_S * self._headway.pace:
                return
            parts = shares.shares(self._waiting, weights, list(self._begun), takers)
            if not parts:  # one large object is all that is left
                for index in self._begun:
                    self._lending.offer(index, self._uploads.get(index))
            given = set(itertools.chain(*parts))
            self._waiting = deque(i for i in self._waiting if i not in given)
            begun = given.intersection(self._begun)
            ended = begun.difference(await self._stop_copying(begun))
            await self._give([[i for i in part if i not in ended] for part in parts])

    async def _give_waiting(self) -> None:
        """Give away all that nobody has begun, when this process is to end, and large objects that
        would not end before it does."""
        async with self._sharing:
            if not self._process_stopping():
                return
            lefts = {i: self._bytes_left(i) for i in self._begun}
            late = await self._stop_copying(shares.late(lefts, self._headway.pace, DRAIN_S))
            part = [*self._waiting, *late]
            if part and len(part) < self._headway.objects_total:  # else it is handed back as it is
                self._waiting.clear()
                await self._give([part])

    async def _stop_copying(self, these: Collection[int]) -> list[int]:
        """Stop copying these large objects; return which of them have not ended all the same."""
        stopped = {i: self._begun[i] for i in these}
        for copying in stopped.values():
            copying.cancel()
        if stopped:
            await asyncio.wait(stopped.values())
        return [i for i, copying in stopped.items() if copying.cancelled()]

    async def _give(self, parts: list[list[int]]) -> None:
        """Make tasks of these objects, for others."""
        async with self._flush_lock:
            for part in filter(None, parts):
                objects = [self._notes.objects[i] for i in part]
                packed = manifest.pack(objects)
                size = sum(info.size for info in objects)
                task_id = planner.part_id(self._claim.task_id, packed)
                uploads = {here: there for there, here in enumerate(part) if here in self._uploads}
                cut = Cut(PlannedTask(task_id, packed, len(part), size), uploads)
                self._notes.give(part, task_id)
                flush = self._notes.take(self._flushes + 1, self._engine.moving)
                await self._call(partial(self._ledger.cut, self._claim, flush, cut))
                self._flushes = flush.number
                for index in uploads:
                    del self._uploads[index]
                log.info("task %s: gave %d objects away", self._claim.task_id, len(part))

    def _bytes_left(self, index: int) -> int:
        size, upload = self._notes.objects[index].size, self._uploads.get(index)
        return max(0, size - len(upload.parts) * upload.part_size) if upload else size

    async def _copy_again(self, index: int) -> CopyResult:
        return await self._copy(index, begun_before=True)

    async def _copy(self, index: int, *, begun_before: bool = False) -> CopyResult:
        info = self._notes.objects[index]
        try:
            return await self._engine.copy(
                info,
                upload=self._uploads.get(index),
                save=partial(self._save_upload, index),
                begun_before=begun_before or self._begun_before,
                listed=self._listed,
            )
        except (Fatal, StaleClaim, LedgerUnavailable):
            raise
        except Exception as exc:
            # workerAbortWhenUncatchedException: a fault of ours costs one object or, if so
            # configured, the job; the log has the traceback in either case.
            shown = naming.display(info.key)
            log.exception("task %s: unexpected error at %s", self._claim.task_id, shown)
            if self._abort_on_uncaught:
                raise Fatal(f"unexpected {type(exc).__name__}", code="Uncaught") from exc
            text = f"unexpected {type(exc).__name__}, see logs/import.log"
            return CopyResult(Outcome.FAILED, info.size, code="Uncaught", message=text)

    # -- writing down ----------------------------------------------------------------------------

    async def _keep_flushing(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._flush_wanted.wait(), FLUSH_INTERVAL_S)
            self._flush_wanted.clear()
            await self._flush()

    async def _flush(self) -> None:
        async with self._flush_lock:
            if not self._notes.lines and not self._engine.moving:
                return
            flush = self._notes.take(self._flushes + 1, self._engine.moving)
            await self._call(lambda: self._ledger.record(self._claim, flush))
            self._flushes = flush.number

    async def _save_upload(self, index: int, upload: Upload | None) -> None:
        known = self._uploads.pop(index, None)
        if upload is not None:
            self._uploads[index] = upload
        self._notes.note_upload(index, known, upload)
        await self._call(lambda: self._ledger.save_upload(self._claim, index, upload))

    async def _call(self, step: Callable[[], T]) -> T:
        """Make a ledger call off the loop, again and again while Redis does not answer.

        Each is idempotent. It ends at the latest when the lease is lost (`_keep_lease`).
        """
        while not self._lost:
            try:
                return await asyncio.to_thread(step)
            except LedgerUnavailable as exc:
                log.warning("task %s: %s", self._claim.task_id, exc)
                await asyncio.sleep(0.5)
        raise StaleClaim("the lease ran out while Redis did not answer")

    async def _keep_lease(self) -> None:
        """Renew the claim. Raises StaleClaim when a whole lease has passed without success."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self._lease_s / 4)
            asked = time.monotonic()
            try:
                await asyncio.to_thread(self._ledger.renew, self._claim, self._lease_s)
                renewed = asked
            except StaleClaim:
                await self._let_go()
                raise
            except LedgerUnavailable as exc:
                log.warning("task %s: cannot renew the lease: %s", self._claim.task_id, exc)
            if time.monotonic() - renewed > self._lease_s:
                self._lost = True
                raise StaleClaim("the lease ran out while Redis did not answer")

    async def _keep_orders(self) -> None:
        """See whether the task is to go on. Raises StaleClaim when the job was stopped."""
        while True:
            await asyncio.sleep(ORDERS_S)
            with suppress(LedgerUnavailable):  # `_keep_lease` says how long that may last
                orders = await asyncio.to_thread(self._ledger.orders, self._claim)
                self._paused = orders.state is JobState.PAUSED
                if orders.state is JobState.ABORT:
                    await self._let_go()
                    raise StaleClaim("the job was stopped")
                if orders.share and not self._stopping():
                    await self._share(orders.share)

    async def _let_go(self) -> None:
        """Hand back what may still be ours: then the claim still takes what was copied."""
        with suppress(LedgerUnavailable):
            await self._flush()
            await asyncio.to_thread(self._ledger.release, self._claim)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(2.0)
            await asyncio.to_thread(self._progress, self.describe())

    def _stopping(self) -> bool:
        """The order to stop: of this process, or of the job."""
        return self._paused or self._process_stopping()

    async def _until_stopping(self) -> None:
        while not self._stopping():
            await asyncio.sleep(0.1)

    def describe(self) -> str:
        """The task in one line, for the tracker."""
        return self._headway.describe()
