"""Make steps of what the scan of one job finds, and record them: journal first, then ledger."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ossimport import manifest, planner
from ossimport.errors import LedgerBehind, StorageError, Waiting
from ossimport.journal import Journal, rebuild
from ossimport.ledger.base import Job, Ledger, PlannedTask, PlanStep, ScanFailure, Snapshot
from ossimport.model import JobState, Lane, ObjectInfo, Scanned, Tally, Task, TaskState, Upload
from ossimport.planner import TaskLimits
from ossimport.pruning import Fate, Gone
from ossimport.scanning import Ended, Found, Move, ScanThreads, Select, Split, take_all
from ossimport.sources.base import Source

log = logging.getLogger(__name__)

PENDING_CAP = 1000  # planned tasks that wait in Redis; the scan pauses above it
MOVES_PER_STEP = 16

Prune = Callable[[Sequence[Gone], Callable[[Sequence[str]], None]], list[Fate]]


Abort = Callable[[Sequence[Upload]], list[Upload]]


def delete_nothing(gone: Sequence[Gone], begin: Callable[[Sequence[str]], None]) -> list[Fate]:
    """What a job does about objects that are gone from its source, unless it says otherwise."""
    return []


def abort_nothing(uploads: Sequence[Upload]) -> list[Upload]:
    """What a job does about uploads that its failed objects have left; it returns the aborted."""
    return []


class JobPlan(NamedTuple):
    """What the master needs of a job's settings."""

    source: Source
    source_name: str  # for messages
    max_objects: int
    max_bytes: int
    scan_threads: int
    select: Select = take_all
    interval_s: int = 0  # between the beginnings of two rounds
    max_delete: int = 0  # the most objects that a round may delete at OSS
    prune: Prune = delete_nothing
    abort: Abort = abort_nothing


class ScanSteps:
    """Where the scan of one job stands, and what moves it on.

    `is_settled` says that journal and ledger are at the same place, and this object too.
    """

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        journal: Journal,
        open_job: Callable[[Job], JobPlan],
        *,
        slots: Callable[[], int],
        hold: Callable[[], bool],
    ) -> None:
        self._name = job.name
        self._job = job
        self._ledger = ledger
        self._journal = journal
        self._open_job = open_job
        self._slots = slots
        self._hold = hold
        self._plan: JobPlan | None = None
        self._threads: ScanThreads | None = None
        self._lanes: dict[int, Lane] = {}
        self._next_lane = 0
        self._planned_before = Tally()  # this scan
        self.seq = 0
        self.is_settled = False

    @property
    def source_name(self) -> str:
        """What is scanned, for messages."""
        return self._plan.source_name if self._plan else "the source"

    def settle(self, job: Job) -> None:
        """Bring journal and ledger to the same place, and take up the scan there."""
        self.stop()
        self._job = job
        self._journal.open(job)
        if self._journal.scan_state().seq != self._ledger.scan_state(self._name).seq:
            log.warning("job %s: the ledger lacks steps of its journal: replayed", self._name)
            rebuild(self._journal, self._ledger)
        state = self._ledger.scan_state(self._name)
        if state.finished:
            self._journal.finish_scan()
        self.seq = state.seq
        self._lanes = dict(state.lanes)
        if not state.seq:
            self._lanes = {0: Lane()}
        self._next_lane = max(self._lanes, default=-1) + 1
        self.is_settled = True

    def step(self, snapshot: Snapshot) -> bool:
        """Record what was found; True if there was anything.

        Raises LedgerBehind when the ledger, or another master, is not where we thought: nothing of
        the step counts then.
        """
        if snapshot.job.scan_finished:
            return False
        if snapshot.tasks[TaskState.PENDING] >= PENDING_CAP:
            return False
        if self._threads is None:
            self._start(snapshot)
        threads = self._threads
        moves = list(threads.moves(MOVES_PER_STEP, 0.0)) if threads is not None else []
        if moves:
            self._record(moves)
        if not self._lanes:
            self._finish()
            return True
        return bool(moves)

    def stop(self) -> None:
        """Stop the threads; the lanes of the next scan are the recorded ones."""
        if self._threads is not None:
            self._threads.close()
            self._threads = None
            self.is_settled = False

    def rescan_failures(self) -> None:
        """List again what could not be listed."""
        self.stop()
        self._ledger.rescan_failures(self._name)
        self._journal.rescanned(self._ledger.scan_state(self._name))
        self.is_settled = False

    def _finish(self) -> None:
        self.stop()
        self._ledger.finish_scan(self._name, self.seq)
        self._journal.finish_scan()

    def _start(self, snapshot: Snapshot) -> None:
        if not self._lanes:
            return
        try:
            self._plan = plan = self._open_job(snapshot.job)
        except Waiting:
            raise
        except StorageError as exc:
            self._abort(exc)
            return
        self._planned_before = snapshot.counts.listed
        self._threads = ScanThreads(
            plan.source,
            threads=plan.scan_threads,
            limits=self._limits,
            select=self._select(plan),
            name=f"scan-{self._name}",
        )
        self._threads.walk(self._lanes)

    def _select(self, plan: JobPlan) -> Select:
        """What the job's filters say; then, after the first round, what the catalog says."""
        catalog = self._journal.catalog
        if catalog is None or self._job.round == 1:
            return plan.select
        return lambda entries: catalog.compare(plan.select(entries))

    def _limits(self, found_objects: int, found_bytes: int) -> TaskLimits:
        plan = self._plan
        assert plan is not None  # noqa: S101 -- set before the threads that call this are started
        return planner.limits_for(
            self._planned_before.objects + found_objects,
            self._planned_before.bytes + found_bytes,
            self._slots(),
            plan.max_objects,
            plan.max_bytes,
        )

    def _record(self, moves: list[Move]) -> None:
        """Make one step of some moves: journal first, then ledger, then go on with new lanes."""
        changed: dict[int, Lane | None] = {}
        fresh: dict[int, Lane] = {}
        tasks: list[tuple[Task, PlannedTask]] = []
        excluded: list[Scanned] = []
        failures: list[ScanFailure] = []
        unchanged: list[ObjectInfo] = []
        waiting: Waiting | None = None
        for move in moves:
            match move:
                case Found(lane, batch):
                    if batch.objects:
                        tasks.append(self._make_task(batch))
                    excluded.extend(batch.excluded)
                    unchanged.extend(batch.unchanged)
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
                    changed[lane] = self._lanes[lane]  # who goes on after a first step walks it
                    if isinstance(error, Waiting):
                        waiting = error
                    else:
                        self._abort(error)
        step = PlanStep(
            seq=self.seq + 1,
            lanes=changed,
            tasks=[planned for _, planned in tasks],
            excluded=len(excluded),
            excluded_bytes=sum(entry.info.size for entry in excluded),
            failures=failures,
            unchanged=Tally(len(unchanged), sum(info.size for info in unchanged)),
        )
        if not self._hold():
            raise LedgerBehind(f"another master drives job {self._name} now")
        self._remember([task for task, _ in tasks], excluded, unchanged)
        self._journal.plan(step, [task for task, _ in tasks], self._lanes, excluded)
        self._ledger.plan(self._name, step)
        self.seq = step.seq
        if waiting is not None:
            raise waiting  # what was found before is recorded, and the lane is still there
        if self._threads is not None:
            self._threads.walk(fresh)

    def _remember(
        self, tasks: list[Task], excluded: list[Scanned], unchanged: list[ObjectInfo]
    ) -> None:
        """Keep of an incremental job what its next rounds have to know of this step."""
        catalog, plan, number = self._journal.catalog, self._plan, self._job.round
        if catalog is None or plan is None:
            return
        if number == 1:
            catalog.excluded(excluded, number)
        elif plan.max_delete:
            catalog.seen((info for task in tasks for info in task.objects), number)
            catalog.seen((entry.info for entry in excluded), number)
            catalog.seen(unchanged, number)

    def _make_task(self, batch: planner.Batch) -> tuple[Task, PlannedTask]:
        packed = manifest.pack(batch.objects)
        task_id = planner.task_id(self._name, self._job.created_ms, packed)
        planned = PlannedTask(task_id, packed, len(batch.objects), batch.size)
        return Task(self._name, task_id, batch.objects), planned

    def _abort(self, error: StorageError) -> None:
        log.error("job %s stopped: %s", self._name, error)
        reason = f"{error.code}: {error}"
        self._ledger.set_state(self._name, JobState.ABORT, reason, only_if=JobState.RUNNING)


def _failure(entry: Scanned) -> ScanFailure:
    return ScanFailure(entry.info.key, entry.code, entry.message, entry.rescan or Lane())
