"""Drive one job: scan, plan, record, dispatch, reconcile, close.

Each step is recorded in the journal, then in the ledger, then sent. The driver may be killed
between any two of these: the next one goes on there.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ossimport import identity, manifest, planner
from ossimport.errors import LedgerBehind, StorageError
from ossimport.journal import Journal, StoredTask, rebuild
from ossimport.ledger.base import (
    Job,
    Ledger,
    PlannedTask,
    PlanStep,
    ScanFailure,
    Snapshot,
)
from ossimport.model import JobState, Lane, Mark, Scanned, Task, TaskState
from ossimport.outbox import write_down
from ossimport.planner import TaskLimits
from ossimport.scanning import Ended, Found, Move, ScanThreads, Split
from ossimport.sources.base import Source

log = logging.getLogger(__name__)

PENDING_CAP = 1000  # planned tasks that wait in Redis; the scan pauses above it
IN_FLIGHT_FLOOR = 50  # messages on the queue for a small cluster
IN_FLIGHT_PER_RUNNING = 3  # and for a large one: enough that no worker waits for the next step
MOVES_PER_STEP = 16
# So few that a step takes less than the master's lease, on a slow disk too.
REQUEUES_PER_STEP = 16
LOST_AFTER_S = 10.0  # a dispatched task that nobody claimed, and whose message is gone
SPEED_WINDOW_S = 10


class JobPlan(NamedTuple):
    """What the master needs of a job's settings."""

    source: Source
    source_name: str  # for messages
    max_objects: int
    max_bytes: int
    scan_threads: int
    import_since: int


class Queue(NamedTuple):
    """The way to the workers."""

    send: Callable[[str, str], None]
    waiting: Callable[[], set[str]]


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
        slots: int,
        hold: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._journal = journal
        self._queue = queue
        self._open_job = open_job
        self._host = host
        self._slots = slots
        self._hold = hold
        self._clock = clock
        self._plan: JobPlan | None = None
        self._scan: ScanThreads | None = None
        self._seq = 0
        self._lanes: dict[int, Lane] = {}
        self._next_lane = 0
        self._trusted = False
        self._retrying: Iterator[StoredTask] | None = None
        self._planned_objects = 0
        self._planned_bytes = 0
        self._looked = 0.0
        self._missed: set[str] = set()
        self._speeds: deque[tuple[float, int, int]] = deque(maxlen=SPEED_WINDOW_S + 1)

    @property
    def name(self) -> str:
        """The job's."""
        return self._job.name

    def step(self) -> bool:
        """Do a little of everything; True if anything happened."""
        snapshot = self._ledger.snapshot(self.name)
        if not self._trusted or snapshot.seq != self._seq:
            self._settle()
            snapshot = self._ledger.snapshot(self.name)
        self._job = snapshot.job
        busy = write_down(self.name, self._ledger, self._journal)
        running = self._job.state is JobState.RUNNING
        if running:
            if self._job.reason:  # what it names is over
                self._set_state(JobState.RUNNING)
            busy |= self._keep_scanning(snapshot)
            busy |= self._keep_retrying(snapshot)
            busy |= self._dispatch(snapshot)
        else:
            self._stop_scan()
        if self._clock() - self._looked >= 1.0:
            self._looked = self._clock()
            self._take_back_lost()
            if running:
                self._send_lost(snapshot)
                self._measure(snapshot)
        if running and not busy:
            self._close_job(snapshot)
        return busy

    def distrust(self) -> None:
        """Compare journal and ledger again before the next step."""
        self._trusted = False
        self._retrying = None

    def close(self) -> None:
        """Stop scanning."""
        self._stop_scan()

    def _settle(self) -> None:
        """Bring journal and ledger to the same place, and take up the scan there."""
        self._stop_scan()
        self._journal.open(self._job)
        if self._journal.scan_state().seq != self._ledger.scan_state(self.name).seq:
            log.warning("job %s: the ledger lacks steps of its journal: replayed", self.name)
            rebuild(self._journal, self._ledger)
        state = self._ledger.scan_state(self.name)
        if state.finished:
            self._journal.finish_scan()
        self._seq = state.seq
        self._lanes = dict(state.lanes)
        if not state.seq:
            self._lanes = {0: Lane()}
        self._next_lane = max(self._lanes, default=-1) + 1
        self._trusted = True

    # -- scan and plan ---------------------------------------------------------------------------

    def _keep_scanning(self, snapshot: Snapshot) -> bool:
        if snapshot.job.scan_finished:
            return False
        if snapshot.tasks[TaskState.PENDING] >= PENDING_CAP:
            return False
        if self._scan is None:
            self._start_scan(snapshot)
        scan = self._scan
        moves = list(scan.moves(MOVES_PER_STEP, 0.0)) if scan is not None else []
        if moves and not self._record(moves):
            return True
        if not self._lanes:
            self._finish_scan()
            return True
        return bool(moves)

    def _finish_scan(self) -> None:
        self._stop_scan()
        try:
            self._ledger.finish_scan(self.name, self._seq)
        except LedgerBehind:
            self.distrust()
        else:
            self._journal.finish_scan()

    def _start_scan(self, snapshot: Snapshot) -> None:
        if not self._lanes:
            return
        try:
            self._plan = plan = self._open_job(self._job)
        except StorageError as exc:
            self._abort(exc)
            return
        self._planned_objects = snapshot.counts.listed.objects
        self._planned_bytes = snapshot.counts.listed.bytes
        self._scan = ScanThreads(
            plan.source,
            threads=plan.scan_threads,
            limits=self._limits,
            import_since=plan.import_since,
            name=f"scan-{self.name}",
        )
        self._scan.walk(self._lanes)

    def _limits(self) -> TaskLimits:
        plan = self._plan
        assert plan is not None  # noqa: S101 -- set before the threads that call this are started
        return planner.limits_for(
            self._planned_objects,
            self._planned_bytes,
            self._slots,
            plan.max_objects,
            plan.max_bytes,
        )

    def _record(self, moves: list[Move]) -> bool:
        """Make one step of some moves: journal first, then ledger, then go on with new lanes.

        False when the ledger, or another master, is not where we thought; nothing counts then.
        """
        changed: dict[int, Lane | None] = {}
        fresh: dict[int, Lane] = {}
        tasks: list[tuple[Task, PlannedTask]] = []
        excluded: list[Scanned] = []
        failures: list[ScanFailure] = []
        for move in moves:
            match move:
                case Found(lane, batch):
                    if batch.objects:
                        tasks.append(self._make_task(batch))
                    excluded.extend(batch.excluded)
                    failures.extend(_failure(entry) for entry in batch.failed)
                    self._lanes[lane] = changed[lane] = self._lanes[lane]._replace(
                        cursor=batch.cursor
                    )
                case Split(lane, until, rest):
                    self._lanes[lane] = changed[lane] = self._lanes[lane]._replace(until=until)
                    number, self._next_lane = self._next_lane, self._next_lane + 1
                    self._lanes[number] = changed[number] = fresh[number] = rest
                case Ended(lane, None):
                    del self._lanes[lane]
                    changed[lane] = None
                case Ended(lane, StorageError() as error):
                    self._abort(error)
        step = PlanStep(
            seq=self._seq + 1,
            lanes=changed,
            tasks=[planned for _, planned in tasks],
            excluded=len(excluded),
            excluded_bytes=sum(entry.info.size for entry in excluded),
            failures=failures,
        )
        if not self._hold():
            self.distrust()
            return False
        self._journal.plan(step, [task for task, _ in tasks], self._lanes, excluded)
        try:
            self._ledger.plan(self.name, step)
        except LedgerBehind:
            self.distrust()
            return False
        self._seq = step.seq
        if self._scan is not None:
            self._scan.walk(fresh)
        return True

    def _make_task(self, batch: planner.Batch) -> tuple[Task, PlannedTask]:
        packed = manifest.pack(batch.objects)
        task_id = planner.task_id(self.name, self._job.created_ms, packed)
        self._planned_objects += len(batch.objects)
        self._planned_bytes += batch.size
        planned = PlannedTask(task_id, packed, len(batch.objects), batch.size)
        return Task(self.name, task_id, batch.objects), planned

    def _stop_scan(self) -> None:
        if self._scan is not None:
            self._scan.close()
            self._scan = None
            self._trusted = False  # the lanes of the next scan are the recorded ones

    def _abort(self, error: StorageError) -> None:
        log.error("job %s stopped: %s", self.name, error)
        self._set_state(JobState.ABORT, f"{error.code}: {error}")

    def _set_state(self, state: JobState, reason: str = "") -> None:
        """Only a running job changes here: somebody may have stopped it meanwhile."""
        self._ledger.set_state(self.name, state, reason, only_if=JobState.RUNNING)

    # -- dispatch and reconcile ------------------------------------------------------------------

    def _dispatch(self, snapshot: Snapshot) -> bool:
        running = snapshot.tasks[TaskState.RUNNING]
        in_flight = running + snapshot.tasks[TaskState.DISPATCHED]
        wanted = max(IN_FLIGHT_FLOOR, IN_FLIGHT_PER_RUNNING * running) - in_flight
        if wanted <= 0 or not snapshot.tasks[TaskState.PENDING]:
            return False
        task_ids = self._ledger.dispatch(self.name, wanted)
        for task_id in task_ids:
            self._queue.send(self.name, task_id)
        return bool(task_ids)

    def _take_back_lost(self) -> None:
        """Take tasks back from workers that died."""
        for task in self._ledger.running(self.name):
            if task.expired or identity.is_dead(task.worker, self._host):
                log.warning("task %s: its worker %s is gone", task.task_id, task.worker)
                self._ledger.take_back(self.name, task.task_id, task.fence)

    def _send_lost(self, snapshot: Snapshot) -> None:
        """Send messages again that are gone: their tasks were dispatched and nobody claims them."""
        if not snapshot.tasks[TaskState.DISPATCHED]:
            return
        overdue = self._ledger.overdue(self.name, LOST_AFTER_S)
        if not overdue:
            return
        waiting = self._queue.waiting()
        missed = [task_id for task_id in overdue if task_id not in waiting]
        # A worker that has just taken a message will claim its task before we look again.
        lost = [task_id for task_id in missed if task_id in self._missed]
        self._missed = set(missed).difference(lost)
        for task_id in lost:
            log.warning("task %s: its message is gone, sent again", task_id)
            self._queue.send(self.name, task_id)
        self._ledger.sent_again(self.name, lost)

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

    # -- retry and close -------------------------------------------------------------------------

    def _keep_retrying(self, snapshot: Snapshot) -> bool:
        """Put failed objects back into their tasks, a few tasks at a time."""
        job = snapshot.job
        if job.retries == job.retries_done or snapshot.tasks[TaskState.PENDING] >= PENDING_CAP:
            return False
        if self._retrying is None:
            if self._ledger.outbox(self.name, 1):
                return False  # what a task's log says must not be older than what the ledger says
            self._retrying = self._journal.failed_tasks()
            self._rescan_failures()
        for _ in range(REQUEUES_PER_STEP):
            stored = next(self._retrying, None)
            if stored is None:
                self._retrying = None
                self._ledger.retried(self.name, job.retries)
                break
            self._requeue(stored)
        return True

    def _rescan_failures(self) -> None:
        self._stop_scan()
        self._ledger.rescan_failures(self.name)
        self._journal.rescanned(self._ledger.scan_state(self.name))
        self._trusted = False

    def _requeue(self, stored: StoredTask) -> None:
        objects = stored.task.objects
        redo = [
            info for info, mark in zip(objects, stored.marks, strict=True) if mark == Mark.FAILED
        ]
        planned = PlannedTask(
            stored.task.task_id, manifest.pack(objects), len(objects), stored.task.size
        )
        self._ledger.requeue(
            self.name,
            planned,
            marks=stored.retry_marks,
            log_size=stored.log_size,
            objects=len(redo),
            bytes_=sum(info.size for info in redo),
        )
        self._journal.requeued(planned.task_id)

    def _close_job(self, snapshot: Snapshot) -> None:
        """Say how the job ended, once nothing is left to do."""
        job, counts, tasks = snapshot.job, snapshot.counts, snapshot.tasks
        live = (TaskState.PENDING, TaskState.DISPATCHED, TaskState.RUNNING)
        if not job.scan_finished or any(tasks[state] for state in live):
            return
        if job.retries != job.retries_done or self._ledger.outbox(self.name, 1):
            return
        if not counts.listed.objects:
            name = self._plan.source_name if self._plan else "the source"
            self._set_state(
                JobState.ABORT,
                f"NothingFound: no object was found in {name}. Cure: check srcPrefix, srcBucket"
                " and importSince, then clean the job and submit it again",
            )
        elif counts.failed.objects or counts.left.objects:
            self._set_state(JobState.FAILED)
        else:
            self._set_state(JobState.SUCCEED)


def _failure(entry: Scanned) -> ScanFailure:
    return ScanFailure(entry.info.key, entry.code, entry.message, entry.rescan or Lane())
