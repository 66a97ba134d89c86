"""Carry out one claimed task: copy what is left, write it down, verify, finish. No Celery here.

A fixed set of runner coroutines takes one object after another. Beside them one coroutine flushes
what happened, one renews the lease, one watches for the order to stop. Whatever ends the run, what
was copied is written down first; only a claim that is lost is dropped as it is, because then
another worker owns the task.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

import zstandard

from ossimport import audit, auditlog, manifest, naming
from ossimport.engine import CopyEngine
from ossimport.errors import Fatal, LedgerUnavailable, Permanent, StaleClaim, Transient
from ossimport.ledger.base import Claim, Flush, WorkerLedger
from ossimport.listed import NOTHING_LISTED, PAGE, list_range
from ossimport.model import (
    CopyResult,
    Mark,
    ObjectInfo,
    Outcome,
    TaskState,
    Upload,
    mark_of,
    sums_of_marks,
)

log = logging.getLogger(__name__)

LEASE_S = 30.0
FLUSH_INTERVAL_S = 0.5
FLUSH_OBJECTS = 1000
AHEAD_S = 0.2  # between two looks at what may be verified
DRAIN_S = 8.0  # how long objects in flight may still finish after the order to stop


def _raise_first(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        task.result()


class TaskRun:
    """One claim's work, from the first object to the last flush."""

    def __init__(
        self,
        claim: Claim,
        engine: CopyEngine,
        ledger: WorkerLedger,
        *,
        runners: int,
        verify: bool,
        abort_on_uncaught: bool,
        stopping: Callable[[], bool],
        progress: Callable[[str], None],
        lease_s: float = LEASE_S,
    ) -> None:
        self._claim = claim
        self._engine = engine
        self._ledger = ledger
        self._runners = runners
        self._verify_wanted = verify
        self._abort_on_uncaught = abort_on_uncaught
        self._stopping = stopping
        self._progress = progress
        self._lease_s = lease_s
        self._objects = manifest.unpack(claim.manifest)
        self._marks = bytearray(claim.marks.ljust(len(self._objects), b"\0"))
        self._uploads = dict(claim.uploads)
        self._sizes: dict[int, int] = {}  # of objects that changed since they were listed
        self._begun_before = claim.claims > 1
        self._listed = NOTHING_LISTED
        self._verified = 0  # up to this object
        self._flushes = claim.flushes
        self._flush_lock = asyncio.Lock()
        self._flush_wanted = asyncio.Event()
        self._lost = False  # the claim is another worker's, or may be
        self._reset_notes()
        self._todo = iter([i for i, mark in enumerate(self._marks) if mark == Mark.LEFT])
        self._bytes_done = sum(
            info.size for info, mark in zip(self._objects, self._marks, strict=True) if mark
        )
        self._started = time.monotonic()
        self._bytes_before = self._bytes_done
        self._bytes_total = sum(info.size for info in self._objects)

    async def run(self) -> TaskState | None:
        """Work until the task has ended, and return how; None when it was handed back.

        Raises StaleClaim when the task is somebody else's now, Fatal when the job must stop.
        """
        beside = [
            asyncio.create_task(self._keep_flushing()),
            asyncio.create_task(self._keep_lease()),
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
            await self._look_ahead()
            if self._verify_wanted:
                await self._copy_and_verify()
            else:
                await self._copy_all()
            ended = Mark.LEFT not in self._marks
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
            await self._call(lambda: self._ledger.release(self._claim))
            return None
        state = TaskState.FAILED if Mark.FAILED in self._marks else TaskState.SUCCEED
        await self._call(lambda: self._ledger.finish(self._claim, state))
        return state

    async def _look_ahead(self) -> None:
        """Where objects may be skipped, list what is there instead of asking for each of them."""
        if self._engine.policy.skip_existing and not self._begun_before:
            prefix, ends = self._engine.policy.dest_prefix, self._engine.ends
            keys = []
            for info in self._objects:
                with suppress(Permanent):  # that it has no name there is said when it is copied
                    keys.append(naming.dest_key(prefix, info.key))
            self._listed = await list_range(ends.dest, prefix, keys, ask=ends.ask_dest)

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
                done, _ = await asyncio.wait(running, timeout=DRAIN_S)
                _raise_first(done)
        finally:
            for each in (watch, *runners):
                each.cancel()
            await asyncio.gather(watch, *runners, return_exceptions=True)

    async def _runner(self) -> None:
        for index in self._todo:
            if self._stopping():
                return
            self._note(index, await self._copy(index))

    async def _copy(self, index: int) -> CopyResult:
        info = self._objects[index]

        async def save(upload: Upload | None) -> None:
            await self._save_upload(index, info, upload)

        try:
            return await self._engine.copy(
                info,
                upload=self._uploads.get(index),
                save=save,
                begun_before=self._begun_before,
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

    def _reset_notes(self) -> None:
        self._objects_of = [0] * len(Mark)  # by mark
        self._bytes_of = [0] * len(Mark)
        self._lines: list[str] = []

    def _note(self, index: int, result: CopyResult) -> None:
        info = self._objects[index]
        mark = mark_of(result.outcome, result.proof, is_less=bool(result.unkept))
        self._marks[index] = mark
        self._count(mark, info.size, 1)
        if result.size != info.size:
            self._sizes[index] = result.size
        self._lines.append(auditlog.format_line(index, info.key, result, time.time()))
        if len(self._lines) >= FLUSH_OBJECTS:
            self._flush_wanted.set()

    def _count(self, mark: int, size: int, sign: int) -> None:
        self._objects_of[mark] += sign
        self._bytes_of[mark] += sign * size
        self._bytes_done += sign * size

    async def _keep_flushing(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._flush_wanted.wait(), FLUSH_INTERVAL_S)
            self._flush_wanted.clear()
            await self._flush()

    async def _flush(self) -> None:
        async with self._flush_lock:
            if not self._lines and not self._engine.moving:
                return
            text = "".join(self._lines).encode()
            objects, bytes_, proof, unkept = sums_of_marks(self._objects_of, self._bytes_of)
            flush = Flush(
                number=self._flushes + 1,
                marks=bytes(self._marks),
                objects=objects,
                bytes_=bytes_,
                proof=proof,
                log=zstandard.compress(text, 1),
                log_size=len(text),
                moving=self._engine.moving,
                unkept=unkept,
            )
            self._reset_notes()
            await self._call(lambda: self._ledger.record(self._claim, flush))
            self._flushes = flush.number

    async def _save_upload(self, index: int, info: ObjectInfo, upload: Upload | None) -> None:
        known = self._uploads.pop(index, None)
        if upload is not None:
            self._uploads[index] = upload
            if known is None or known.upload_id != upload.upload_id:
                # Without a word about `known`: it could not be aborted, so `clean` has to.
                self._lines.append(auditlog.format_upload(index, info.key, upload, time.time()))
        elif known is not None:
            word = auditlog.UPLOAD_ENDED
            line = auditlog.format_upload(index, info.key, known, time.time(), word=word)
            self._lines.append(line)
        await self._call(lambda: self._ledger.save_upload(self._claim, index, upload))

    async def _call(self, step: Callable[[], None]) -> None:
        """Make a ledger call off the loop, again and again while Redis does not answer.

        Each is idempotent. It ends at the latest when the lease is lost (`_keep_lease`).
        """
        while not self._lost:
            try:
                await asyncio.to_thread(step)
            except LedgerUnavailable as exc:
                log.warning("task %s: %s", self._claim.task_id, exc)
                await asyncio.sleep(0.5)
            else:
                return
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
                # The job may only be stopped: then the claim still takes what was copied.
                with suppress(LedgerUnavailable):
                    await self._flush()
                    await asyncio.to_thread(self._ledger.release, self._claim)
                raise
            except LedgerUnavailable as exc:
                log.warning("task %s: cannot renew the lease: %s", self._claim.task_id, exc)
            if time.monotonic() - renewed > self._lease_s:
                self._lost = True
                raise StaleClaim("the lease ran out while Redis did not answer")

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(2.0)
            await asyncio.to_thread(self._progress, self.describe())

    async def _until_stopping(self) -> None:
        while not self._stopping():
            await asyncio.sleep(0.1)

    # -- verifying -------------------------------------------------------------------------------

    async def _copy_and_verify(self) -> None:
        """Copy, and verify what has been copied while the rest still is: nobody waits for it."""
        verifying = asyncio.Lock()
        ahead = asyncio.create_task(self._verify_ahead(verifying))
        try:
            await self._copy_all()
            if Mark.LEFT in self._marks and self._stopping():
                return
            async with verifying:
                ahead.cancel()
        finally:
            ahead.cancel()
            # If it gave up, for whatever reason, what follows meets that reason again.
            await asyncio.gather(ahead, return_exceptions=True)
        await self._verify(range(self._verified, len(self._marks)))

    async def _verify_ahead(self, verifying: asyncio.Lock) -> None:
        """Verify stretches of a page each, as far as they are sorted: others take many pages."""
        while True:
            await asyncio.sleep(AHEAD_S)
            stretch = range(self._verified, self._verified + PAGE)
            while self._marks.find(Mark.LEFT, stretch.start) >= stretch.stop:
                keys = [self._objects[index].key for index in stretch]
                if keys != sorted(keys):
                    return
                async with verifying:
                    await self._verify(stretch)
                    self._verified = stretch.stop
                stretch = range(stretch.stop, stretch.stop + PAGE)

    async def _verify(self, indexes: range) -> None:
        """See by the destination's own listing that it holds what was copied.

        An object that is not there is copied once more; if it is still not there then, it has
        failed.
        """
        there = [i for i in indexes if self._marks[i] not in (Mark.FAILED, Mark.VANISHED)]
        for index in await self._absent(there):
            shown = naming.display(self._objects[index].key)
            log.warning("task %s: %s is not there", self._claim.task_id, shown)
            self._take_back(index)
            result = await self._copy(index)
            self._note(index, result)
            if result.outcome is Outcome.COPIED and await self._absent([index]):
                self._take_back(index)
                text = "OSS answered that it stored the object, but does not list it"
                code = "NotAtDestination"
                self._note(index, CopyResult(Outcome.FAILED, result.size, code=code, message=text))

    async def _absent(self, indexes: list[int]) -> list[int]:
        prefix, ends = self._engine.policy.dest_prefix, self._engine.ends
        by_key = {naming.dest_key(prefix, self._objects[i].key): i for i in indexes}
        expected = [(key, self._sizes.get(i, self._objects[i].size)) for key, i in by_key.items()]
        missing = await audit.absent(ends.dest, prefix, expected, ask=ends.ask_dest)
        return [by_key[key] for key in missing]

    def _take_back(self, index: int) -> None:
        """Undo an outcome that turned out not to be true."""
        info = self._objects[index]
        self._count(self._marks[index], info.size, -1)
        self._marks[index] = Mark.LEFT
        self._lines.append(auditlog.format_check_failed(index, info.key, time.time()))

    # -- telling ---------------------------------------------------------------------------------

    def describe(self) -> str:
        """The task in one line, for the tracker: `33% 2/6 obj 41.2MB/s`."""
        total = len(self._objects)
        objects = total - self._marks.count(Mark.LEFT)
        moved = self._bytes_done + self._engine.moving
        speed = (moved - self._bytes_before) / max(time.monotonic() - self._started, 0.001) / 1e6
        share = moved / self._bytes_total if self._bytes_total else objects / max(total, 1)
        return f"{share:.0%} {objects}/{total} obj {speed:.1f}MB/s"
