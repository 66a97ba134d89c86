"""The master's third of the ledger in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ossimport.ledger.arithmetic import earlier_claims, milliseconds
from ossimport.ledger.base import Event, Job, PlannedTask, PlanStep, RunningTask, ScanState
from ossimport.ledger.memory_shelf import Shelf
from ossimport.ledger.records import behind
from ossimport.model import JobState, Outcome, Proof, TaskState, Upload


class MemoryMasterPart(Shelf):
    def slots(self) -> int:
        with self._lock:
            now_ms = self._now_ms()
            return sum(slots for slots, until_ms in self._workers.values() if until_ms > now_ms)

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

    def ask_share(self, name: str, task_id: str, fence: int, takers: int, for_s: float) -> None:
        with self._record(name) as record:
            task = record.tasks.get(task_id)
            if task is not None and task.state is TaskState.RUNNING and task.fence == fence:
                task.share = takers
                task.share_until_ms = self._now_ms() + milliseconds(for_s)

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
            record.outage_ms = 0
            if state is not JobState.RUNNING:
                record.ended_ms = record.ended_ms or self._now_ms()
            elif not record.job.next_round_ms:
                record.ended_ms = 0
            return True

    def set_speed(self, name: str, objects_per_second: float, bytes_per_second: float) -> None:
        with self._record(name) as record:
            record.speed = (objects_per_second, bytes_per_second)

    def end_round(self, name: str, next_round_ms: int) -> None:
        with self._record(name) as record:
            record.job = replace(record.job, next_round_ms=next_round_ms)
            record.ended_ms = record.ended_ms or self._now_ms()

    def forget_upload(self, name: str, upload: Upload) -> None:
        with self._record(name) as record:
            for task_id, of_task in list(record.uploads.items()):
                left = {index: each for index, each in of_task.items() if each != upload}
                record.uploads[task_id] = left
                if not left:
                    del record.uploads[task_id]

    def begin_round(self, job: Job) -> None:
        with self._record(job.name) as record:
            if record.job.created_ms != job.created_ms:
                self._records[job.name] = record.next_round(job)
