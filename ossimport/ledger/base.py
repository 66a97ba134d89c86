"""The record of what is planned, who holds which task, and what became of every object.

Four Protocols, one for each caller and one for limits; one Redis class and one in-memory class
implement all of them.
Every method is one atomic, idempotent step: calling it twice equals calling it once, so a call
whose reply was lost is simply made again (`dispatch`, `claim` and `take_back` say what they return
then). Time is the server's. Any call may raise LedgerUnavailable; one that names an unknown job
raises JobNotFound unless it says otherwise. Calls block; an event loop hands them to a thread.

A claim is live until its task is claimed anew, taken back, released or ended, or its job is
forgotten. A lease that has run out only allows others to take the task: as long as nobody did, its
holder is merely late. Fences grow with every claim in a job, also when Redis loses its memory.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ossimport.ledger.lending import LendingLedger
from ossimport.ledger.values import (
    SHOWN_RUNNING,
    USUAL_PRIORITY,
    Claim,
    Collected,
    Cut,
    Event,
    EventKind,
    Flush,
    Held,
    Job,
    Loan,
    Orders,
    PlannedTask,
    PlanStep,
    Repayment,
    RunningTask,
    ScanFailure,
    ScanState,
    Snapshot,
)
from ossimport.limits.leases import Ask, InForce, LimitTable, Shares
from ossimport.model import JobState, Outcome, Proof, TaskState, Upload

__all__ = [
    "SHOWN_RUNNING",
    "USUAL_PRIORITY",
    "Claim",
    "Collected",
    "ConsoleLedger",
    "Cut",
    "Event",
    "EventKind",
    "Flush",
    "Held",
    "Job",
    "Ledger",
    "Loan",
    "MasterLedger",
    "Orders",
    "PlanStep",
    "PlannedTask",
    "Repayment",
    "RunningTask",
    "ScanFailure",
    "ScanState",
    "Snapshot",
    "WorkerLedger",
]


class ConsoleLedger(Protocol):
    """The operator's third."""

    def create_job(self, job: Job) -> None:
        """Add a job. Raises JobExists unless this very job (same created_ms) is there."""

    def jobs(self) -> list[str]:
        """Names of all jobs, oldest first."""

    def job(self, name: str) -> Job: ...

    def snapshot(self, name: str) -> Snapshot: ...

    def request_retry(self, name: str) -> int:
        """Set a Failed or Abort job Running again; return how many objects are failed or left.

        The master puts them back into tasks. When nothing is to be done (none failed or left, no
        task open, the scan finished) or the job is Running, nothing changes and 0 is returned. An
        Abort job whose scan has not found anything yet returns 0 too, but is Running then. A Paused
        job stays so, and 0 is returned.
        """

    def pause(self, name: str) -> bool:
        """Set a Running job Paused: nothing of it is dispatched or claimed then; holders see it in
        their `orders`. Its dispatched tasks are pending again, its reason stays. False if it was
        not Running.

        `set_state` lets it go on; a retry does not.
        """

    def set_priority(self, name: str, priority: int) -> None: ...

    def reseal(self, name: str, settings: bytes) -> None:
        """Replace the job's sealed settings: same job, other credentials or tuning."""

    def uploads(self, name: str) -> list[Upload]:
        """Multipart uploads that began and did not end."""

    def forget_job(self, name: str) -> None:
        """Remove every trace of the job. Workers that hold its tasks get StaleClaim.

        An unknown job is forgotten already: no error.
        """


class MasterLedger(Protocol):
    """The master's third."""

    def slots(self) -> int:
        """How many tasks the workers that are enlisted now can hold at a time."""

    def hold_job(self, name: str, holder: str, lease_s: float) -> bool:
        """Take or renew the lease on a job; False while another holder's lease lives."""

    def drop_job(self, name: str, holder: str) -> None:
        """Give the lease back, if `holder` has it."""

    def scan_state(self, name: str) -> ScanState: ...

    def plan(self, name: str, step: PlanStep) -> None:
        """Add the step's tasks as pending and move the lanes, at once.

        A step with a number already seen changes nothing; a gap raises LedgerBehind. A task that is
        there already is not added again. While a lane is unfinished, so is the scan.
        """

    def finish_scan(self, name: str, seq: int) -> None:
        """Say that all lanes are finished, and that step `seq` was the last.

        LedgerBehind if the ledger's last step is another one.
        """

    def dispatch(self, name: str, limit: int) -> list[str]:
        """Turn up to `limit` pending tasks, in plan order, into dispatched ones; return their ids.

        None while the job is not Running. If the reply is lost, the tasks turn up in `overdue`.
        """

    def overdue(self, name: str, older_s: float) -> list[str]:
        """Tasks that have been dispatched for longer than `older_s` and that nobody claimed."""

    def sent_again(self, name: str, task_ids: Sequence[str]) -> None:
        """Start the clock of these dispatched tasks anew."""

    def running(self, name: str) -> list[RunningTask]: ...

    def ask_share(self, name: str, task_id: str, fence: int, takers: int, for_s: float) -> None:
        """Tell the holder of a task, in its `orders`, that others would take a share of it.

        It is forgotten after `for_s` seconds, and when a part of the task is cut off. Nothing
        happens if `fence` is not the task's claim.
        """

    def take_back(self, name: str, task_id: str, fence: int) -> bool:
        """Make a running task pending again, in front, if `fence` is still its claim, else False.

        The lease may be live: the caller knows that the worker is dead, or that the lease has
        expired. The outbox tells of it as RELEASED. False too if it was taken back before.
        """

    def outbox(self, name: str, limit: int) -> list[Event]:
        """The oldest events that are not acknowledged."""

    def acknowledge(self, name: str, last_id: str, ended: Sequence[str]) -> None:
        """Drop the events up to `last_id` ("" = none), and what is kept of the tasks that `ended`.

        Uploads that did not end and the job's counters stay. A stale master that acknowledges again
        what is gone, or the end of a task that runs again, harms nothing.
        """

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
        """Rebuild from the journal: a planned task with what had become of it.

        An ended `state` adds counters only, any other makes the task pending. Call it for the steps
        up to the journal's checkpoint, before `resume_at`; once the job has planned a step it does
        nothing, so a rebuild that was cut short is begun again from its first task. A task that had
        begun (it runs, or has a mark or a log) counts as claimed once.
        """

    def resume_at(self, name: str, scan: ScanState, step: PlanStep) -> None:
        """Rebuild from the journal: set the scan's place; `step` carries excluded and failures.

        Nothing changes if the job has planned a step.
        """

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
        """Make an ended, failed task pending again; `objects` and `bytes_` go from failed to left.

        `marks` says LEFT for them. Nothing changes if the task is already pending, dispatched or
        running, else it counts as claimed once. Drain the outbox first: an ENDED event still in it
        is that of the run before.
        """

    def rescan_failures(self, name: str) -> None:
        """Turn the scan failures back into lanes: the scan is not finished then."""

    def retried(self, name: str, retries: int) -> None:
        """Say that the retries up to this number have been put back into tasks."""

    def set_state(
        self, name: str, state: JobState, reason: str = "", *, only_if: JobState | None = None
    ) -> bool:
        """Close or reopen the job. Its time ends with the first close since it was open, or with
        its round.

        With `only_if`, nothing changes unless the job is in that state. Tells whether it changed:
        False too, then, if an earlier call did it and its reply was lost.
        """

    def set_speed(self, name: str, objects_per_second: float, bytes_per_second: float) -> None: ...

    def end_round(self, name: str, next_round_ms: int) -> None:
        """Say that the round is over, and when (epoch milliseconds) the next one begins."""

    def forget_upload(self, name: str, upload: Upload) -> None:
        """Forget one of `uploads`, which has been aborted; its task has ended. Idempotent."""

    def begin_round(self, job: Job) -> None:
        """Begin a round, as a new job with what was set for the old one while it ran.

        `job` is the same job with the number and the `created_ms` of the new round. What was
        planned and counted is forgotten, so is the outbox; uploads that did not end and the fence
        stay.
        Nothing changes if the round has begun. Workers that hold a task get StaleClaim.
        """


class WorkerLedger(LendingLedger, Protocol):
    """The worker's third. Calls with a claim raise StaleClaim when the claim is not live."""

    def enlist(self, worker: str, slots: int, lease_s: float) -> None:
        """Say that a worker is there, ready to hold so many tasks; to be said again in time.

        With a lease of 0 it is not there any more.
        """

    def settings(self, name: str) -> Job: ...

    def set_state(
        self, name: str, state: JobState, reason: str = "", *, only_if: JobState | None = None
    ) -> bool:
        """See `MasterLedger.set_state`. A worker says so why a running job does not go on."""

    def outage(self, name: str, reason: str) -> float:
        """Say that a Running job waits because an end refuses everything; return for how long, in
        seconds: since the first call, if nobody has changed its state or reason in between.

        0, and nothing changes, if the job is not Running.
        """

    def claim(
        self, name: str, task_id: str, worker: str, lease_s: float, *, dead: int = 0
    ) -> Claim | Held | None:
        """Claim a pending or dispatched task, or a running one whose lease has expired.

        `dead` is the fence of a holder that the caller has seen dead. Held when another holder is
        live; None when there is no such task (ended, or its job is gone) or the job is not Running.
        `worker` names one runner of one task at a time (host, process, thread): to the holder
        itself a second claim gives a new fence, so that a lost reply costs nothing.
        """

    def renew(self, claim: Claim, lease_s: float) -> None:
        """Let the lease run anew. StaleClaim also when the job is in Abort."""

    def orders(self, claim: Claim) -> Orders:
        """What the holder is to know. Changes nothing, and the lease does not run anew."""

    def record(self, claim: Claim, flush: Flush) -> None:
        """Add a flush. A number already recorded changes nothing.

        StaleClaim also when flushes before it are missing: the server lost them, and only a new
        claim does their objects again. ValueError if `marks` and the sums contradict each other.
        """

    def cut(self, claim: Claim, flush: Flush, cut: Cut) -> None:
        """Add a flush whose marks say GIVEN for some objects that were LEFT, and make these a task
        of their own: pending, at the same place in plan order. They are listed already.

        All that is said of `record` holds. The task had been begun before if this one was begun
        before this claim. ValueError also if it gives nothing away, or everything.
        """

    def save_upload(self, claim: Claim, index: int, upload: Upload | None) -> None:
        """Remember (None: forget) how far the multipart upload of object `index` has come."""

    def finish(self, claim: Claim, state: TaskState) -> None:
        """End the task: SUCCEED or FAILED.

        StaleClaim also when an object has no outcome: the server lost the flush that told of it.
        """

    def release(self, claim: Claim, *, counts: bool = True) -> None:
        """Hand the task back: it is pending again, in front, its outcomes kept.

        Of the claims that say nothing against the task (not `counts`) all count as one.
        """

    def stop_job(self, claim: Claim, reason: str) -> None:
        """Hand the task back and set the job ABORT with `reason`, for a fatal error.

        The job keeps its state and reason unless it is Running: the first reason of several stays.
        """


class LimitsLedger(Protocol):
    """How fast all workers may go together, and who has which share of it."""

    def set_limit(self, scope: str, text: str) -> None:
        """Set the limit of a scope (see `limits.limit`); "" removes it. The ledger never looks into
        it. JobNotFound for the scope of a job that is not there."""

    def limits(self) -> LimitTable:
        """All limits, those of jobs that are gone left out."""

    def restore_limits(self, table: LimitTable) -> None:
        """Put back what the server lost; nothing if it knows this version or a later one.

        A job need not be there yet: its limit has to be, before a worker can claim its tasks.
        """

    def in_force(self) -> list[InForce]:
        """The rates that are shared now, in no order."""

    def lease_shares(
        self, job: str, version: int, holder: str, lease_s: float, asks: Sequence[Ask]
    ) -> Shares:
        """Lease a share of each rate for `lease_s`, in place of what `holder` had of it.

        The shares that live never sum up to more than the rate. `version` is that of the limits
        that the caller's rates follow. The job need not be there.
        """


class Ledger(ConsoleLedger, MasterLedger, WorkerLedger, LimitsLedger, Protocol):
    """All of them."""
