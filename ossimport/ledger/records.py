"""What the ledger in memory keeps of a job and of its tasks. The caller holds the lock."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ossimport.errors import LedgerBehind, StaleClaim
from ossimport.ledger.arithmetic import add_returned, count_marked
from ossimport.ledger.base import (
    SHOWN_RUNNING,
    Claim,
    Cut,
    Event,
    EventKind,
    Flush,
    Job,
    PlannedTask,
    PlanStep,
    RunningTask,
    Snapshot,
)
from ossimport.model import Counts, Lane, Outcome, Part, Proof, Tally, TaskState, Upload

LISTED = "listed"
UNCHANGED = "unchanged"


@dataclass
class LoanRecord:
    """Parts that a worker has borrowed."""

    worker: str
    deadline_ms: int
    numbers: Sequence[int]


@dataclass
class Lent:
    """The parts of a large object that others may make; see `keys.py` for the scores."""

    claim: int
    index: int
    upload: Upload
    offer: dict[int, int]  # part number -> score
    loans: dict[int, LoanRecord] = field(default_factory=dict)  # by fence
    returned: list[tuple[int, Part]] = field(default_factory=list)

    def end_loans(self, now_ms: int, worker: str = "") -> None:
        """End those whose lease has run out, and the one that this worker has."""
        for fence, loan in list(self.loans.items()):
            if loan.deadline_ms <= now_ms or loan.worker == worker:
                self.offer |= {number: number for number in self.loans.pop(fence).numbers}

    def take(self, count: int, lowest: float = -math.inf) -> list[int]:
        """Take parts off the offer, those of the lowest scores first."""
        free = sorted((score, n) for n, score in self.offer.items() if score >= lowest)
        numbers = [number for _, number in free[:count]]
        for number in numbers:
            del self.offer[number]
        return numbers


@dataclass
class TaskRecord:
    """A task that has not ended."""

    planned: PlannedTask
    order: int
    marks: bytes
    state: TaskState = TaskState.PENDING
    sent_ms: int = 0
    deadline_ms: int = 0
    fence: int = 0
    freed: int = 0  # the last fence whose holder handed the task back of its own will
    worker: str = ""
    marked_bytes: int = 0
    moving: int = 0
    flushes: int = 0
    log: int = 0
    claims: int = 0
    share: int = 0  # how many workers would take a share of it
    share_until_ms: int = 0
    lent: Lent | None = None

    @property
    def live_lent(self) -> Lent | None:
        """What its live claim offers."""
        lent = self.lent
        is_live = self.state is TaskState.RUNNING and lent and lent.claim == self.fence
        return lent if is_live else None


@dataclass
class JobRecord:
    """All that is known of a job."""

    job: Job
    objects: Counter[str] = field(default_factory=Counter)
    bytes_: Counter[str] = field(default_factory=Counter)
    proof: Counter[Proof] = field(default_factory=Counter)
    unkept: int = 0
    ended_tasks: Counter[TaskState] = field(default_factory=Counter)
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    ended: dict[str, tuple[int, TaskState, int]] = field(default_factory=dict)  # fence, state, log
    uploads: dict[str, dict[int, Upload]] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    lanes: dict[int, Lane] = field(default_factory=dict)
    unlisted: list[Lane] = field(default_factory=list)
    next_lane: int = 0
    seq: int = 0
    order: int = 0
    fence: int = 0
    event_number: int = 0
    ended_ms: int = 0
    outage_ms: int = 0  # since when `reason` is that an end refuses everything
    speed: tuple[float, float] = (0.0, 0.0)
    holder: str = ""
    held_until_ms: int = 0

    def next_round(self, job: Job) -> "JobRecord":
        """The record of this job's next round."""
        kept = replace(
            self.job,
            created_ms=job.created_ms,
            round=job.round,
            next_round_ms=0,
            reason="",
            scan_finished=False,
            retries=0,
            retries_done=0,
        )
        return JobRecord(
            kept,
            uploads=self.uploads,
            fence=self.fence,
            order=self.order,
            event_number=self.event_number,
            holder=self.holder,
            held_until_ms=self.held_until_ms,
        )

    def count(
        self,
        objects: Mapping[Outcome, int],
        bytes_: Mapping[Outcome, int],
        proof: Mapping[Proof, int],
        unkept: int,
    ) -> None:
        for outcome, number in objects.items():
            self.objects[outcome] += number
        for outcome, number in bytes_.items():
            self.bytes_[outcome] += number
        for level, number in proof.items():
            self.proof[level] += number
        self.unkept += unkept

    def list_objects(self, objects: int, bytes_: int) -> None:
        self.objects[LISTED] += objects
        self.bytes_[LISTED] += bytes_

    def counts(self) -> Counts:
        kinds = {kind: Tally(self.objects[kind], self.bytes_[kind]) for kind in (LISTED, *Outcome)}
        return Counts(**kinds)

    def enqueue(
        self, planned: PlannedTask, marks: bytes, marked_bytes: int, log: int, claims: int
    ) -> None:
        self.order += 1
        self.tasks[planned.task_id] = TaskRecord(
            planned, self.order, marks, marked_bytes=marked_bytes, log=log, claims=claims
        )

    def uploads_of(self, task_id: str) -> dict[int, Upload]:
        """A task's uploads, with what others have returned of the parts of one."""
        found = self.uploads.get(task_id, {})
        uploads = {index: own_copy(upload) for index, upload in found.items()}
        if lent := self.tasks[task_id].lent:
            add_returned(uploads, lent.index, lent.upload._replace(parts=dict(lent.returned)))
        return uploads

    def in_state(self, state: TaskState) -> list[tuple[str, TaskRecord]]:
        """The tasks of a state, in plan order."""
        found = [(task_id, task) for task_id, task in self.tasks.items() if task.state is state]
        return sorted(found, key=lambda item: (item[1].order, item[0]))

    def running(self, now_ms: int) -> list[RunningTask]:
        """The running tasks, those first whose lease ends first."""
        found = self.in_state(TaskState.RUNNING)
        found.sort(key=lambda item: (item[1].deadline_ms, item[0]))
        return [
            RunningTask(
                task_id=task_id,
                worker=task.worker,
                fence=task.fence,
                expired=task.deadline_ms <= now_ms,
                objects_done=count_marked(task.marks),
                objects_total=task.planned.objects,
                bytes_done=task.marked_bytes + task.moving,
                bytes_total=task.planned.bytes,
                offered=len(lent.offer) if (lent := task.live_lent) else 0,
                helpers=len(lent.loans) if lent else 0,
            )
            for task_id, task in found
        ]

    def snapshot(self, now_ms: int) -> Snapshot:
        waiting = Counter(task.state for task in self.tasks.values())
        end_ms = self.ended_ms or now_ms
        return Snapshot(
            job=self.job,
            counts=self.counts(),
            proof={level: self.proof[level] for level in Proof},
            tasks={state: waiting[state] + self.ended_tasks[state] for state in TaskState},
            running=tuple(self.running(now_ms)[:SHOWN_RUNNING]),
            objects_per_second=self.speed[0],
            bytes_per_second=self.speed[1],
            elapsed=max(0, end_ms - self.job.created_ms) / 1000,
            seq=self.seq,
            unkept=self.unkept,
            unchanged=Tally(self.objects[UNCHANGED], self.bytes_[UNCHANGED]),
        )

    def tell(self, kind: str, task_id: str, **more: Any) -> None:
        self.event_number += 1
        self.events.append(Event(str(self.event_number), kind, task_id, **more))

    def hand_back(self, task_id: str, task: TaskRecord) -> None:
        task.state = TaskState.PENDING
        self.tell(EventKind.RELEASED, task_id, worker=task.worker)

    def add_flush(self, task_id: str, flush: Flush) -> None:
        task = self.tasks[task_id]
        task.flushes, task.marks, task.moving = flush.number, flush.marks, flush.moving
        task.marked_bytes += sum(flush.bytes_.values())
        self.count(flush.objects, flush.bytes_, flush.proof, flush.unkept)
        if flush.log_size:
            self.tell(EventKind.LOG, task_id, offset=task.log, log=flush.log)
            task.log += flush.log_size

    def cut_off(self, task_id: str, cut: Cut) -> None:
        """Make a part of a task a task of its own; the flush that says so is to follow."""
        task, part = self.tasks[task_id], cut.task
        task.planned = task.planned._replace(
            objects=task.planned.objects - part.objects, bytes=task.planned.bytes - part.bytes
        )
        task.share = 0
        self.tasks[part.task_id] = TaskRecord(
            part, task.order, bytes(part.objects), claims=task.claims - 1
        )
        uploads = self.uploads.get(task_id, {})
        moved = {there: uploads.pop(here) for here, there in cut.uploads.items() if here in uploads}
        if moved:
            self.uploads[part.task_id] = moved
        if not uploads:
            self.uploads.pop(task_id, None)
        self.tell(EventKind.CUT, task_id, part=part.task_id, manifest=part.manifest)

    def apply_scan(self, step: PlanStep, lanes: Mapping[int, Lane | None]) -> None:
        for number, lane in lanes.items():
            self.set_lane(number, lane)
        for kind in (UNCHANGED, Outcome.SKIPPED, LISTED):
            self.objects[kind] += step.unchanged.objects
            self.bytes_[kind] += step.unchanged.bytes
        failures = len(step.failures)
        self.unlisted += [failure.rescan for failure in step.failures]
        self.objects[Outcome.EXCLUDED] += step.excluded
        self.bytes_[Outcome.EXCLUDED] += step.excluded_bytes
        self.objects[Outcome.FAILED] += failures
        self.list_objects(step.excluded + failures, step.excluded_bytes)

    def set_lane(self, number: int, lane: Lane | None) -> None:
        if lane is None:
            self.lanes.pop(number, None)
        else:
            self.lanes[number] = lane
            self.job = replace(self.job, scan_finished=False)
        self.next_lane = max(self.next_lane, number + 1)


def stale(claim: Claim) -> StaleClaim:
    return StaleClaim(
        f"The claim on task {claim.task_id} of job {claim.job} is not live any more; "
        "somebody else may have it."
    )


def behind(name: str) -> LedgerBehind:
    return LedgerBehind(f"The ledger has lost steps of job {name}.")


def own_copy(upload: Upload) -> Upload:
    """The upload with parts of its own: a worker goes on to fill those it has."""
    return upload._replace(parts=dict(upload.parts))


def contradiction(claim: Claim) -> ValueError:
    return ValueError(
        f"the numbers given for task {claim.task_id} of job {claim.job} contradict its marks"
    )
