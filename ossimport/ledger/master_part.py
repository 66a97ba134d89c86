"""The master's third of the Redis ledger. `base.MasterLedger` says what each method promises."""

from collections.abc import Mapping, Sequence

from ossimport.ledger import packing
from ossimport.ledger.arithmetic import count_marked, earlier_claims, milliseconds
from ossimport.ledger.base import Event, Job, PlannedTask, PlanStep, RunningTask, ScanState
from ossimport.ledger.keys import WORKERS, JobKeys
from ossimport.ledger.scripted import Argument, Scripted
from ossimport.model import JobState, Lane, Outcome, Proof, TaskState, Upload


class MasterPart(Scripted):
    def slots(self) -> int:
        return int(self._run("slots", "", [WORKERS]))

    def hold_job(self, name: str, holder: str, lease_s: float) -> bool:
        at = JobKeys(name)
        args: list[Argument] = [holder, max(1, milliseconds(lease_s))]
        return bool(self._run("hold_job", name, [at.job, at.hold], args))

    def drop_job(self, name: str, holder: str) -> None:
        at = JobKeys(name)
        self._run("drop_job", name, [at.job, at.hold], [holder])

    def scan_state(self, name: str) -> ScanState:
        at = JobKeys(name)
        seq, finished, lanes = self._run("scan_state", name, [at.job, at.lanes])
        numbered = packing.to_fields(lanes)
        return ScanState(
            seq=seq,
            lanes={int(number): packing.unpack_lane(lane) for number, lane in numbered.items()},
            finished=finished == 1,
        )

    def plan(self, name: str, step: PlanStep) -> None:
        at = JobKeys(name)
        keys = [at.job, at.lanes, at.unlisted, at.pending, at.ended]
        args: list[Argument] = [step.seq, *_scan_arguments(step, step.lanes)]
        for task in step.tasks:
            keys.append(at.task(task.task_id))
            args += [task.task_id, task.manifest, task.objects, task.bytes]
        self._run("plan", name, keys, args)

    def finish_scan(self, name: str, seq: int) -> None:
        at = JobKeys(name)
        self._run("finish_scan", name, [at.job, at.lanes], [seq])

    def dispatch(self, name: str, limit: int) -> list[str]:
        at = JobKeys(name)
        ids = self._run("dispatch", name, [at.job, at.pending, at.dispatched], [limit])
        return [packing.to_text(task_id) for task_id in ids]

    def overdue(self, name: str, older_s: float) -> list[str]:
        at = JobKeys(name)
        ids = self._run("overdue", name, [at.job, at.dispatched], [milliseconds(older_s)])
        return [packing.to_text(task_id) for task_id in ids]

    def sent_again(self, name: str, task_ids: Sequence[str]) -> None:
        at = JobKeys(name)
        self._run("sent_again", name, [at.job, at.dispatched], task_ids)

    def running(self, name: str) -> list[RunningTask]:
        at = JobKeys(name)
        rows = self._run("running", name, [at.job, at.running], [at.task_prefix])
        return [packing.running_from(row) for row in rows]

    def ask_share(self, name: str, task_id: str, fence: int, takers: int, for_s: float) -> None:
        at = JobKeys(name)
        args: list[Argument] = [task_id, fence, takers, milliseconds(for_s)]
        self._run("ask_share", name, [at.job, at.running, at.task(task_id)], args)

    def take_back(self, name: str, task_id: str, fence: int) -> bool:
        at = JobKeys(name)
        keys = [at.job, at.pending, at.running, at.task(task_id), at.outbox]
        return bool(self._run("take_back", name, keys, [task_id, fence]))

    def outbox(self, name: str, limit: int) -> list[Event]:
        at = JobKeys(name)
        entries = self._run("outbox", name, [at.job, at.outbox], [limit])
        return [packing.event_from(event_id, flat) for event_id, flat in entries]

    def acknowledge(self, name: str, last_id: str, ended: Sequence[str]) -> None:
        at = JobKeys(name)
        args: list[Argument] = [_next_id(last_id) if last_id else "", *ended]
        self._run("acknowledge", name, [at.job, at.outbox, at.ended], args)

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
        at = JobKeys(name)
        keys = [at.job, at.pending, at.restored, at.task(task.task_id)]
        counters: list[Argument] = [*packing.tally_fields(objects, bytes_, proof, unkept)]
        is_open = state not in (TaskState.SUCCEED, TaskState.FAILED)
        if not is_open:
            counters += [f"tasks_{state}", 1]
        args: list[Argument] = [
            *(task.task_id, int(is_open), task.manifest, task.objects, task.bytes),
            *(marks, count_marked(marks), sum(bytes_.values()), log_size),
            earlier_claims(state, marks, log_size),
            *counters,
        ]
        self._run("restore", name, keys, args)

    def resume_at(self, name: str, scan: ScanState, step: PlanStep) -> None:
        at = JobKeys(name)
        keys = [at.job, at.lanes, at.unlisted, at.restored]
        args: list[Argument] = [scan.seq, int(scan.finished), *_scan_arguments(step, scan.lanes)]
        self._run("resume_at", name, keys, args)

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
        at = JobKeys(name)
        keys = [at.job, at.pending, at.ended, at.task(task.task_id)]
        args: list[Argument] = [
            *(task.task_id, task.manifest, task.objects, task.bytes),
            *(marks, count_marked(marks), objects, bytes_, log_size),
        ]
        self._run("requeue", name, keys, args)

    def rescan_failures(self, name: str) -> None:
        at = JobKeys(name)
        self._run("rescan_failures", name, [at.job, at.lanes, at.unlisted])

    def retried(self, name: str, retries: int) -> None:
        self._run("retried", name, [JobKeys(name).job], [retries])

    def set_state(
        self, name: str, state: JobState, reason: str = "", *, only_if: JobState | None = None
    ) -> bool:
        args: list[Argument] = [state, reason, only_if or ""]
        return bool(self._run("set_state", name, [JobKeys(name).job], args))

    def set_speed(self, name: str, objects_per_second: float, bytes_per_second: float) -> None:
        args: list[Argument] = [objects_per_second, bytes_per_second]
        self._run("set_speed", name, [JobKeys(name).job], args)

    def end_round(self, name: str, next_round_ms: int) -> None:
        self._run("end_round", name, [JobKeys(name).job], [next_round_ms])

    def forget_upload(self, name: str, upload: Upload) -> None:
        at = JobKeys(name)
        args: list[Argument] = [at.uploads_prefix, packing.pack_upload(upload)]
        self._run("forget_upload", name, [at.job, at.uploading], args)

    def begin_round(self, job: Job) -> None:
        at = JobKeys(job.name)
        queues = [at.pending, at.dispatched, at.running]
        keys = [at.job, *queues, at.lanes, at.unlisted, at.ended, at.outbox, at.restored]
        args: list[Argument] = [job.created_ms, job.round, at.task_prefix, *at.lending_prefixes]
        self._run("begin_round", job.name, keys, args)


def _scan_arguments(step: PlanStep, lanes: Mapping[int, Lane | None]) -> list[Argument]:
    """What `apply_scan` in prelude.lua takes."""
    moved: list[Argument] = [
        item for n, lane in lanes.items() for item in (n, packing.pack_lane(lane))
    ]
    failures: list[Argument] = [packing.pack_lane(failure.rescan) for failure in step.failures]
    return [
        *(step.excluded, step.excluded_bytes),
        *(step.unchanged.objects, step.unchanged.bytes),
        *(len(lanes), *moved),
        *(len(failures), *failures),
    ]


def _next_id(event_id: str) -> str:
    """The smallest stream id behind this one: XTRIM keeps the id that it is given."""
    ms, number = event_id.split("-")
    return f"{ms}-{int(number) + 1}"
