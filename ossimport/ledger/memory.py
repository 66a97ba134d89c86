"""The ledger in memory: the reference that the Redis ledger is held to, and enough for one process.

`base.py` says what each method promises. One lock makes every method one step. Rules that the Lua
scripts explain (why a claim outlives its lease, why a gap is refused) are not explained again here.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ossimport.errors import JobExists, JobNotFound
from ossimport.ledger.arithmetic import count_marked, earlier_claims, milliseconds
from ossimport.ledger.base import (
    Claim,
    Event,
    EventKind,
    Flush,
    Held,
    Job,
    Ledger,
    PlannedTask,
    PlanStep,
    RunningTask,
    ScanState,
    Snapshot,
)
from ossimport.ledger.records import (
    JobRecord,
    TaskRecord,
    behind,
    contradiction,
    own_copy,
    stale,
)
from ossimport.model import JobState, Outcome, Proof, TaskState, Upload


class MemoryLedger:
    """The ledger of one process; its threads may share it. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[str, JobRecord] = {}

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    @contextmanager
    def _record(self, name: str) -> Iterator[JobRecord]:
        """A job's record, for as long as nobody else looks at it."""
        with self._lock:
            if name not in self._records:
                raise JobNotFound(f"There is no job of the name {name}.")
            yield self._records[name]

    @contextmanager
    def _claimed(self, claim: Claim) -> Iterator[tuple[JobRecord, TaskRecord | None]]:
        """The record and, while the claim is live, its task."""
        with self._lock:
            record = self._records.get(claim.job)
            if record is None:
                raise stale(claim)
            task = record.tasks.get(claim.task_id)
            live = task and task.state is TaskState.RUNNING and task.fence == claim.fence
            yield record, task if live else None

    # -- console ---------------------------------------------------------------------------------

    def create_job(self, job: Job) -> None:
        with self._lock:
            known = self._records.get(job.name)
            if known is not None and known.job.created_ms != job.created_ms:
                raise JobExists(
                    f"A job of the name {job.name} is there already, please clean it first."
                )
            if known is None:
                self._records[job.name] = JobRecord(job)

    def jobs(self) -> list[str]:
        with self._lock:
            return sorted(self._records, key=lambda name: self._records[name].job.created_ms)

    def job(self, name: str) -> Job:
        with self._record(name) as record:
            return record.job

    def snapshot(self, name: str) -> Snapshot:
        with self._record(name) as record:
            return record.snapshot(self._now_ms())

    def request_retry(self, name: str) -> int:
        with self._record(name) as record:
            job, counts = record.job, record.counts()
            redo = counts.failed.objects + counts.left.objects
            if job.state is JobState.RUNNING:
                return redo if job.retries > job.retries_done else 0
            if not redo and not record.tasks and job.scan_finished:
                return 0
            retries = job.retries + 1
            record.job = replace(job, state=JobState.RUNNING, reason="", retries=retries)
            record.ended_ms = 0
            return redo

    def reseal(self, name: str, settings: bytes) -> None:
        with self._record(name) as record:
            record.job = replace(record.job, settings=settings)

    def uploads(self, name: str) -> list[Upload]:
        with self._record(name) as record:
            return [upload for of_task in record.uploads.values() for upload in of_task.values()]

    def forget_job(self, name: str) -> None:
        with self._lock:
            self._records.pop(name, None)

    # -- master ----------------------------------------------------------------------------------

    def hold_job(self, name: str, holder: str, lease_s: float) -> bool:
        with self._record(name) as record:
            now_ms = self._now_ms()
            if record.holder not in ("", holder) and record.held_until_ms > now_ms:
                return False
            record.holder = holder
            record.held_until_ms = now_ms + max(1, milliseconds(lease_s))
            return True

    def drop_job(self, name: str, holder: str) -> None:
        with self._record(name) as record:
            if record.holder == holder:
                record.holder = ""

    def scan_state(self, name: str) -> ScanState:
        with self._record(name) as record:
            return ScanState(record.seq, dict(record.lanes), record.job.scan_finished)

    def plan(self, name: str, step: PlanStep) -> None:
        with self._record(name) as record:
            if step.seq <= record.seq:
                return
            if step.seq > record.seq + 1:
                raise behind(name)
            record.seq = step.seq
            record.apply_scan(step, step.lanes)
            for task in step.tasks:
                if task.task_id not in record.tasks and task.task_id not in record.ended:
                    record.enqueue(task, bytes(task.objects), 0, 0, 0)
                    record.list_objects(task.objects, task.bytes)

    def finish_scan(self, name: str, seq: int) -> None:
        with self._record(name) as record:
            if record.seq != seq:
                raise behind(name)
            record.job = replace(record.job, scan_finished=True)
            record.lanes.clear()

    def dispatch(self, name: str, limit: int) -> list[str]:
        with self._record(name) as record:
            if record.job.state is not JobState.RUNNING:
                return []
            found = record.in_state(TaskState.PENDING)[:limit]
            for _, task in found:
                task.state = TaskState.DISPATCHED
                task.sent_ms = self._now_ms()
            return [task_id for task_id, _ in found]

    def overdue(self, name: str, older_s: float) -> list[str]:
        with self._record(name) as record:
            before_ms = self._now_ms() - milliseconds(older_s)
            found = [
                (task.sent_ms, task_id)
                for task_id, task in record.in_state(TaskState.DISPATCHED)
                if task.sent_ms <= before_ms
            ]
            return [task_id for _, task_id in sorted(found)]

    def sent_again(self, name: str, task_ids: Sequence[str]) -> None:
        with self._record(name) as record:
            for task_id in task_ids:
                task = record.tasks.get(task_id)
                if task is not None and task.state is TaskState.DISPATCHED:
                    task.sent_ms = self._now_ms()

    def running(self, name: str) -> list[RunningTask]:
        with self._record(name) as record:
            return record.running(self._now_ms())

    def take_back(self, name: str, task_id: str, fence: int) -> bool:
        with self._record(name) as record:
            task = record.tasks.get(task_id)
            if task is None or task.state is not TaskState.RUNNING or task.fence != fence:
                return False
            record.hand_back(task_id, task)
            return True

    def outbox(self, name: str, limit: int) -> list[Event]:
        with self._record(name) as record:
            return record.events[:limit]

    def acknowledge(self, name: str, last_id: str, ended: Sequence[str]) -> None:
        with self._record(name) as record:
            last = int(last_id or 0)
            record.events = [event for event in record.events if int(event.id) > last]
            for task_id in ended:
                record.ended.pop(task_id, None)

    def restore(
        self,
        name: str,
        task: PlannedTask,
        state: TaskState,
        *,
        marks: bytes,
        log_size: int,
        objects: Mapping[Outcome, int],
        bytes_: Mapping[Outcome, int],
        proof: Mapping[Proof, int],
        unkept: int,
    ) -> None:
        with self._record(name) as record:
            if record.seq > 0 or task.task_id in record.restored:
                return
            record.restored.add(task.task_id)
            record.list_objects(task.objects, task.bytes)
            record.count(objects, bytes_, proof, unkept)
            if state in (TaskState.SUCCEED, TaskState.FAILED):
                record.ended_tasks[state] += 1
            else:
                claims = earlier_claims(state, marks, log_size)
                record.enqueue(task, marks, sum(bytes_.values()), log_size, claims)

    def resume_at(self, name: str, scan: ScanState, step: PlanStep) -> None:
        with self._record(name) as record:
            if record.seq > 0:
                return
            record.seq = scan.seq
            record.job = replace(record.job, scan_finished=scan.finished)
            record.apply_scan(step, scan.lanes)
            record.restored.clear()

    def requeue(
        self,
        name: str,
        task: PlannedTask,
        *,
        marks: bytes,
        log_size: int,
        objects: int,
        bytes_: int,
    ) -> None:
        with self._record(name) as record:
            _, state, log = record.ended.get(task.task_id, (0, TaskState.FAILED, 0))
            if task.task_id in record.tasks or state is TaskState.SUCCEED:
                return
            record.ended.pop(task.task_id, None)
            record.enqueue(task, marks, task.bytes - bytes_, max(log, log_size), 1)
            record.count({Outcome.FAILED: -objects}, {Outcome.FAILED: -bytes_}, {}, 0)
            record.ended_tasks[TaskState.FAILED] -= 1

    def rescan_failures(self, name: str) -> None:
        with self._record(name) as record:
            if not record.unlisted:
                return
            for lane in record.unlisted:
                record.set_lane(record.next_lane, lane)
            record.list_objects(-len(record.unlisted), 0)
            record.objects[Outcome.FAILED] -= len(record.unlisted)
            record.unlisted.clear()

    def retried(self, name: str, retries: int) -> None:
        with self._record(name) as record:
            retries = max(retries, record.job.retries_done)
            record.job = replace(record.job, retries_done=retries)

    def set_state(
        self, name: str, state: JobState, reason: str = "", *, only_if: JobState | None = None
    ) -> bool:
        with self._record(name) as record:
            if only_if not in (None, record.job.state):
                return False
            record.job = replace(record.job, state=state, reason=reason)
            record.ended_ms = 0 if state is JobState.RUNNING else record.ended_ms or self._now_ms()
            return True

    def set_speed(self, name: str, objects_per_second: float, bytes_per_second: float) -> None:
        with self._record(name) as record:
            record.speed = (objects_per_second, bytes_per_second)

    # -- worker ----------------------------------------------------------------------------------

    def settings(self, name: str) -> Job:
        return self.job(name)

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

    def record(self, claim: Claim, flush: Flush) -> None:
        with self._claimed(claim) as (record, task):
            if task is None:
                raise stale(claim)
            if flush.number <= task.flushes:
                return
            if flush.number > task.flushes + 1:
                raise stale(claim)
            added = sum(flush.objects.values())
            if count_marked(task.marks) + added != count_marked(flush.marks):
                raise contradiction(claim)
            task.flushes, task.marks, task.moving = flush.number, flush.marks, flush.moving
            task.marked_bytes += sum(flush.bytes_.values())
            record.count(flush.objects, flush.bytes_, flush.proof, flush.unkept)
            if flush.log_size:
                record.tell(EventKind.LOG, claim.task_id, offset=task.log, log=flush.log)
                task.log += flush.log_size

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

    def release(self, claim: Claim) -> None:
        with self._claimed(claim) as (record, task):
            self._let_go(record, task, claim)

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


_check: type[Ledger] = MemoryLedger
