"""The worker's third of the ledger in memory."""

from dataclasses import replace

from ossimport.ledger.arithmetic import count_marked, milliseconds
from ossimport.ledger.base import Claim, Cut, EventKind, Flush, Held, Job, Orders
from ossimport.ledger.memory_shelf import Shelf
from ossimport.ledger.records import JobRecord, TaskRecord, contradiction, own_copy, stale
from ossimport.model import JobState, TaskState, Upload


class MemoryWorkerPart(Shelf):
    def enlist(self, worker: str, slots: int, lease_s: float) -> None:
        with self._lock:
            self._workers[worker] = (slots, self._now_ms() + milliseconds(lease_s))

    def settings(self, name: str) -> Job:
        with self._record(name) as record:
            return record.job

    def outage(self, name: str, reason: str) -> float:
        with self._record(name) as record:
            if record.job.state is not JobState.RUNNING:
                return 0.0
            now_ms = self._now_ms()
            if not (record.job.reason and record.outage_ms):
                record.outage_ms = now_ms
            record.job = replace(record.job, reason=reason)
            return max(0, now_ms - record.outage_ms) / 1000

    def claim(
        self, name: str, task_id: str, worker: str, lease_s: float, *, dead: int = 0
    ) -> Claim | Held | None:
        with self._lock:
            record = self._records.get(name)
            task = None if record is None else record.tasks.get(task_id)
            if record is None or task is None or record.job.state is not JobState.RUNNING:
                return None
            now_ms = self._now_ms()
            held = task.state is TaskState.RUNNING and task.deadline_ms > now_ms
            if held and task.fence != dead and task.worker != worker:
                return Held(task.worker, task.fence)
            record.fence = max(record.fence + 1, now_ms)
            task.state = TaskState.RUNNING
            task.fence, task.worker = record.fence, worker
            task.deadline_ms = now_ms + milliseconds(lease_s)
            task.claims += 1
            record.tell(EventKind.CLAIMED, task_id, worker=worker)
            return Claim(
                job=name,
                task_id=task_id,
                fence=task.fence,
                worker=worker,
                manifest=task.planned.manifest,
                marks=task.marks,
                uploads=record.uploads_of(task_id),
                flushes=task.flushes,
                claims=task.claims,
            )

    def renew(self, claim: Claim, lease_s: float) -> None:
        with self._claimed(claim) as (record, task):
            if task is None or record.job.state is JobState.ABORT:
                raise stale(claim)
            task.deadline_ms = self._now_ms() + milliseconds(lease_s)

    def orders(self, claim: Claim) -> Orders:
        with self._claimed(claim) as (record, task):
            if task is None:
                raise stale(claim)
            wanted = task.share_until_ms > self._now_ms()
            return Orders(record.job.state, task.share if wanted else 0)

    def record(self, claim: Claim, flush: Flush) -> None:
        with self._claimed(claim) as (record, task):
            if self._is_new(task, claim, flush):
                record.add_flush(claim.task_id, flush)

    def cut(self, claim: Claim, flush: Flush, cut: Cut) -> None:
        part = cut.task
        with self._claimed(claim) as (record, task):
            if not self._is_new(task, claim, flush):
                return
            if part.task_id in record.tasks:
                raise stale(claim)
            if not 0 < part.objects < record.tasks[claim.task_id].planned.objects:
                raise contradiction(claim)
            record.cut_off(claim.task_id, cut)
            record.add_flush(claim.task_id, flush)

    @staticmethod
    def _is_new(task: TaskRecord | None, claim: Claim, flush: Flush) -> bool:
        """False for a flush that was seen before; raises if it cannot be added."""
        if task is None or flush.number > task.flushes + 1:
            raise stale(claim)
        if flush.number <= task.flushes:
            return False
        added = sum(flush.objects.values())
        if count_marked(task.marks) + added != count_marked(flush.marks):
            raise contradiction(claim)
        return True

    def save_upload(self, claim: Claim, index: int, upload: Upload | None) -> None:
        with self._claimed(claim) as (record, task):
            if task is None:
                raise stale(claim)
            of_task = record.uploads.pop(claim.task_id, {})
            of_task.pop(index, None)
            if upload is not None:
                of_task[index] = own_copy(upload)
            if of_task:
                record.uploads[claim.task_id] = of_task

    def finish(self, claim: Claim, state: TaskState) -> None:
        with self._claimed(claim) as (record, task):
            if task is None:
                if record.ended.get(claim.task_id, ())[:2] == (claim.fence, state):
                    return
                raise stale(claim)
            if count_marked(task.marks) != task.planned.objects:
                raise stale(claim)
            record.tell(
                EventKind.ENDED, claim.task_id, worker=task.worker, offset=task.log, state=state
            )
            del record.tasks[claim.task_id]
            record.ended[claim.task_id] = (claim.fence, state, task.log)
            record.ended_tasks[state] += 1

    def release(self, claim: Claim, *, counts: bool = True) -> None:
        with self._claimed(claim) as (record, task):
            if self._let_go(record, task, claim) and task is not None and not counts:
                task.claims = max(1, task.claims - 1)

    def stop_job(self, claim: Claim, reason: str) -> None:
        with self._claimed(claim) as (record, task):
            if self._let_go(record, task, claim) and record.job.state is JobState.RUNNING:
                record.job = replace(record.job, state=JobState.ABORT, reason=reason)
                record.ended_ms = self._now_ms()

    @staticmethod
    def _let_go(record: JobRecord, task: TaskRecord | None, claim: Claim) -> bool:
        """Hand a task back at its holder's will; False if that was done before."""
        if task is None:
            known = record.tasks.get(claim.task_id)
            if known is not None and known.freed == claim.fence:
                return False
            raise stale(claim)
        record.hand_back(claim.task_id, task)
        task.freed = claim.fence
        return True
