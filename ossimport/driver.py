"""Drive one job: scan, write down, retry, reconcile, close.

Each step is recorded in the journal, then in the ledger, then sent. The driver may be killed
between any two of these: the next one goes on there.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from ossimport.dispatch import Demand, Dispatch, Queue
from ossimport.errors import LedgerBehind
from ossimport.journal import Journal, StoredTask
from ossimport.ledger.base import Job, Ledger, RunningTask, Snapshot
from ossimport.model import JobState, Mark, TaskState
from ossimport.outbox import write_down
from ossimport.rounds import Rounds
from ossimport.scan_steps import PENDING_CAP, JobPlan, ScanSteps

log = logging.getLogger(__name__)

# So few that a step takes less than the master's lease, on a slow disk too.
REQUEUES_PER_STEP = 16
SPEED_WINDOW_S = 10
LOGS_S = 0.5  # between two looks for lines of logs alone: for these nobody waits


class JobDriver:
    """One job, from the first listing to the last state."""

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        journal: Journal,
        queue: Queue,
        open_job: Callable[[Job], JobPlan],
        *,
        host: str,
        slots: Callable[[], int],
        hold: Callable[[], bool],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.name = job.name
        self.demand: Demand | None = None  # as of the last step
        self.running: Sequence[RunningTask] = ()  # tasks that others may have a share of
        self.has_ended = False  # as of the last step
        self._ledger = ledger
        self._journal = journal
        self._scan = ScanSteps(job, ledger, journal, open_job, slots=slots, hold=hold)
        self._dispatch = Dispatch(job.name, ledger, queue, host=host)
        self._rounds = Rounds(ledger, journal, open_job, clock=wall_clock)
        self._clock = clock
        self._retrying: Iterator[StoredTask] | None = None
        self._looked = 0.0
        self._tasks_then: Mapping[TaskState, int] = {}  # when events were written down, and when
        self._wrote_at = 0.0
        self._is_new = True
        self._done_then: dict[str, int] | None = None  # while there is a reason to wait
        self._speeds: deque[tuple[float, int, int]] = deque(maxlen=SPEED_WINDOW_S + 1)

    def step(self) -> bool:
        """Do a little of everything; True if anything happened."""
        snapshot = self._ledger.snapshot(self.name)
        if not self._scan.is_settled or snapshot.seq != self._scan.seq:
            if self._rounds.catch_up(snapshot.job):
                snapshot = self._ledger.snapshot(self.name)
            self._scan.settle(snapshot.job)
            snapshot = self._ledger.snapshot(self.name)
        self._journal.keep(snapshot.job)
        busy = self._write_down(snapshot)
        running = snapshot.job.state is JobState.RUNNING
        self.has_ended = not running and snapshot.job.state is not JobState.PAUSED
        if running and snapshot.job.next_round_ms:
            return self._wait_for_round(snapshot.job)
        if running:
            if self._waited_enough(snapshot):
                self._set_state(JobState.RUNNING)
            busy |= self._keep_scanning(snapshot)
            busy |= self._keep_retrying(snapshot)
        else:
            self.close()
        if self._clock() - self._looked >= 1.0:
            self._looked = self._clock()
            self._dispatch.take_back_lost()
            if running:
                self._dispatch.send_lost(snapshot)
                self._measure(snapshot)
        self.demand = self._dispatch.demand(snapshot)
        self.running = snapshot.running if running else ()
        if running and not busy:
            self._close_job(snapshot)
        return busy

    def dispatch(self, number: int) -> None:
        """Tell the workers of so many pending tasks."""
        self._dispatch.send(number)

    def call_helpers(self, task_id: str, number: int) -> None:
        """Tell so many workers of parts that the holder of a task offers."""
        self._dispatch.call_helpers(task_id, number)

    def _write_down(self, snapshot: Snapshot) -> bool:
        """Write down what workers said, at once if tasks have moved; True if there may be more."""
        now = self._clock()
        if snapshot.tasks == self._tasks_then and now - self._wrote_at < LOGS_S:
            return False
        self._wrote_at = now
        busy = write_down(self.name, self._ledger, self._journal)
        self._tasks_then = {} if busy else snapshot.tasks
        return busy

    def _wait_for_round(self, job: Job) -> bool:
        begun = self._rounds.begin_if_due(job)
        if begun:
            self.distrust()
        return begun

    def distrust(self) -> None:
        """Compare journal and ledger again before the next step."""
        self._scan.is_settled = False
        self._retrying = None

    def close(self) -> None:
        """Stop scanning, and deleting."""
        self._scan.stop()
        self._rounds.stop()

    def _waited_enough(self, snapshot: Snapshot) -> bool:
        """The job has a reason to wait, and what it names is over.

        One that was there before this driver is the master's, who has made it to try again; one
        that came up since is a worker's, and is over when something has been done again.
        """
        is_new, self._is_new = self._is_new, False
        if not snapshot.job.reason:
            self._done_then = None
            return False
        done = _done(snapshot)
        then, self._done_then = self._done_then or done, done
        return is_new or any(then.get(of, amount) < amount for of, amount in done.items())

    def _keep_scanning(self, snapshot: Snapshot) -> bool:
        try:
            return self._scan.step(snapshot)
        except LedgerBehind as exc:
            log.warning("%s", exc)
            self.distrust()
            return True

    def _keep_retrying(self, snapshot: Snapshot) -> bool:
        """Put failed objects back into their tasks, a few tasks at a time."""
        job = snapshot.job
        if job.retries == job.retries_done or snapshot.tasks[TaskState.PENDING] >= PENDING_CAP:
            return False
        if self._retrying is None:
            if self._ledger.outbox(self.name, 1):
                return False  # what a task's log says must not be older than what the ledger says
            self._retrying = self._journal.failed_tasks()
            self._scan.rescan_failures()
        for _ in range(REQUEUES_PER_STEP):
            stored = next(self._retrying, None)
            if stored is None:
                self._retrying = None
                self._ledger.retried(self.name, job.retries)
                break
            self._requeue(stored)
        return True

    def _requeue(self, stored: StoredTask) -> None:
        pairs = zip(stored.text.sizes, stored.marks, strict=True)
        redo = [size for size, mark in pairs if mark == Mark.FAILED]
        planned = stored.planned
        self._ledger.requeue(
            self.name,
            planned,
            marks=stored.retry_marks,
            log_size=stored.log_size,
            objects=len(redo),
            bytes_=sum(redo),
        )
        self._journal.requeued(planned.task_id)

    def _measure(self, snapshot: Snapshot) -> None:
        counts = snapshot.counts
        objects = counts.copied.objects + counts.skipped.objects
        volume = counts.copied.bytes + counts.skipped.bytes
        self._speeds.append((self._clock(), objects, volume))
        since, objects_then, volume_then = self._speeds[0]
        seconds = self._clock() - since
        if seconds > 0:
            per_second = (objects - objects_then) / seconds, (volume - volume_then) / seconds
            self._ledger.set_speed(self.name, *per_second)

    def _close_job(self, snapshot: Snapshot) -> None:
        """Say how the job ended, once nothing is left to do."""
        job, counts, tasks = snapshot.job, snapshot.counts, snapshot.tasks
        live = (TaskState.PENDING, TaskState.DISPATCHED, TaskState.RUNNING)
        if not job.scan_finished or any(tasks[state] for state in live):
            return
        if job.retries != job.retries_done or self._ledger.outbox(self.name, 1):
            return
        if job.incremental:
            self._rounds.end(snapshot)
        elif not counts.listed.objects:
            self._set_state(
                JobState.ABORT,
                f"NothingFound: no object was found in {self._scan.source_name}. Cure: check"
                " srcPrefix, srcBucket and importSince, then clean the job and submit it again",
            )
        elif counts.failed.objects or counts.left.objects:
            self._set_state(JobState.FAILED)
        else:
            self._set_state(JobState.SUCCEED)

    def _set_state(self, state: JobState, reason: str = "") -> None:
        """Only a running job changes here: somebody may have stopped it meanwhile."""
        self._ledger.set_state(self.name, state, reason, only_if=JobState.RUNNING)


def _done(snapshot: Snapshot) -> dict[str, int]:
    """What workers have done: objects of the whole job, and bytes of each claim, since an object
    may take hours. What the scan finds meanwhile is not in it."""
    counts = snapshot.counts
    found = counts.left.objects + counts.excluded.objects + snapshot.unchanged.objects
    claims = {f"{task.task_id} {task.fence}": task.bytes_done for task in snapshot.running}
    return {"objects": counts.listed.objects - found, **claims}
