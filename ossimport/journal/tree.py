"""The tree of one job on disk: written as the job goes on, and read back.

    <workingDir>/master/
      jobqueue/<job>                          there while the job is not yet completely split
      jobs/<job>/
        job.json                              the job, its settings sealed; whether it is paused
        checkpoints/0/<MD5 of the name>.cpt   where the scan stands
        excluded.list  scan_failures.list     what the scan left out, what it could not list
        slowest.list                          the objects that took longest
        pending_tasks/<task>/                 cut, not held by a worker
        dispatched/<workerhost>/<task>/       held by a worker there
        failed_tasks/<task>@<workerhost>/     ended; some object failed
        succeed_tasks/<task>@<workerhost>/    ended
          TASK  audit.log  error.list  STATUS  DONE
        catalog.db                            which versions are at OSS (incremental jobs)
        rounds/<number>/                      all of the above of a round that is over
          report.json  deleted.list  deleting.list (until it is known what was deleted)
      history/<job>/<created>/                all of the above of a job that was cleaned

Files that are not named here are left alone.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ossimport.auditlog import Slow
from ossimport.errors import JobExists, ServiceError
from ossimport.journal import digest, files, places, task_files, texts
from ossimport.journal.catalog import Catalog
from ossimport.journal.deletions import Deletions
from ossimport.journal.job_file import JobFile
from ossimport.journal.places import Place, worker_host
from ossimport.journal.reading import ROUNDS_FOLDER, TreeReader
from ossimport.ledger.base import Job, PlanStep, ScanState
from ossimport.model import Lane, Scanned, Task, TaskState

_STATUS = {TaskState.SUCCEED: b"Completed", TaskState.FAILED: b"Failed"}
# What a round leaves behind, beside the folders of tasks.
_OF_A_ROUND = ("checkpoints", "excluded.list", "scan_failures.list", "slowest.list")
_FOLDERS = (places.PENDING_FOLDER, places.DISPATCHED_FOLDER, *places.ENDED_FOLDERS.values())


class Journal(TreeReader):
    """One job's tree. Every method may raise ServiceError, with the cure, when the disk refuses.

    `open`, `plan`, `rescanned`, `finish_scan`, `remove` and those of rounds are durable when they
    return. What the others did, a power failure may take back until `sync`; a killed process loses
    nothing. One thread may plan while another one follows the tasks. `catalog` is there after
    `open`, for an incremental job.
    """

    def __init__(self, master_dir: Path, job: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", job):
            raise ServiceError(
                f"{job!r} cannot be the name of a job. Cure: use letters, digits, _ and - only."
            )
        super().__init__(master_dir / "jobs" / job)
        self._queued = master_dir / "jobqueue" / job
        self._history = master_dir / "history" / job
        self._job = JobFile(self.root)
        self._round = 1
        self.catalog: Catalog | None = None
        self._strays_gone = False
        self._places: dict[str, Place] = {}  # of tasks that have not ended, as far as known
        self._unsynced_dirs: set[Path] = set()
        self._unsynced_logs: set[str] = set()
        self._named_logs: set[str] = set()  # whose names in their directories are durable

    @staticmethod
    def jobs(master_dir: Path) -> list[str]:
        """Names of the jobs that have a tree."""
        jobs_dir = master_dir / "jobs"
        return [
            name
            for name in files.names(jobs_dir)
            if not name.startswith(".") and files.is_file(jobs_dir / name / "job.json")
        ]

    # -- the job ---------------------------------------------------------------------------------

    def open(self, job: Job) -> None:
        """Begin the tree of a job. Idempotent; JobExists when another job of the name has one."""
        stored = self.stored_job()
        if stored is not None and stored.created_ms != job.created_ms:
            raise JobExists(f"job {job.name} is there already, please clean it first")
        for path in (
            self._scan.path.parent,
            self._queued.parent,
            *map(self.root.joinpath, _FOLDERS),
        ):
            files.make_dir(path)
        files.sync_dir(self.root)
        self._job.keep(job)
        self._queue(wanted=not self._scan.point.finished)
        self._round = job.round
        if job.incremental and self.catalog is None:
            self.catalog = Catalog(self.root / "catalog.db")

    def keep(self, job: Job) -> None:
        """Write down what the operator has decided of the job. Durable, idempotent."""
        self._job.keep(job)

    def stored_job(self) -> Job | None:
        """The job as the operator wants it, Running or Paused; None if there is none."""
        return self._job.read()

    def remove(self) -> None:
        """Remove the whole tree. Idempotent; what a crash leaves over does not count as a job."""
        gone = self.root.with_name(f".{self.root.name}.removed")
        files.remove_tree(gone)
        self._move_away(gone)
        files.remove_tree(gone)

    def archive(self) -> Path | None:
        """Move the whole tree to `history`, without its catalog; return where it is then.

        None if there is no tree; idempotent therefore.
        """
        job = self.stored_job()
        if job is None:
            return None
        target = self._history / str(job.created_ms)
        files.make_dir(self._history)
        files.remove_tree(target)
        self._move_away(target)
        for name in files.names(target):
            if name.startswith("catalog.db"):
                files.remove(target / name)
        return target

    def _move_away(self, target: Path) -> None:
        if self.catalog is not None:
            self.catalog.close()
            self.catalog = None
        if self.root.exists():
            files.move(self.root, target)
            files.sync_dir(target.parent)
            files.sync_dir(self.root.parent)
        self._queue(wanted=False)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._scan.forget()
        self._job.forget()
        self._slowest, self._strays_gone = None, False
        self._places.clear()
        self._unsynced_dirs.clear()
        self._unsynced_logs.clear()

    # -- rounds ----------------------------------------------------------------------------------

    def end_round(self, job: Job, report: bytes) -> None:
        """Write down that a round is over; `job` says when the next one begins. Idempotent."""
        files.make_dir(self._round_dir(job.round))
        files.write(self._round_dir(job.round) / "report.json", report)
        files.sync_dir(self._round_dir(job.round))
        self._job.keep(job)

    def deletions(self, number: int) -> Deletions:
        """The record of what round `number` deletes at OSS."""
        return Deletions(self._round_dir(number))

    def begin_round(self, job: Job) -> None:
        """Put away the tree of the round before, and begin that of `job`. Idempotent.

        A round without tasks leaves its report only. Until job.json is written, as the last step,
        the round before counts: it is over, so nothing of it is missed while it is half put away.
        """
        before = self._round_dir(job.round - 1)
        files.make_dir(before)
        for name in (*_FOLDERS, *_OF_A_ROUND):
            here, there = self.root / name, before / name
            if there.exists():
                # Put away before a crash; what `open` made anew since is empty.
                files.remove_tree(here)  # (its lists are not)
            elif here.exists():
                files.move(here, there)
        if not any(place.ended for place in TreeReader(before).places()):
            for name in (*_FOLDERS, "checkpoints"):
                files.remove_tree(before / name)
        files.sync_dir(before)
        self._begin_anew()
        self._job.keep(job)
        self.open(job)

    def _round_dir(self, number: int) -> Path:
        return self.root / ROUNDS_FOLDER / str(number)

    def _queue(self, *, wanted: bool) -> None:
        if wanted == self._queued.exists():
            return
        if wanted:
            files.write(self._queued, b"")
        else:
            files.remove(self._queued)
        files.sync_dir(self._queued.parent)

    # -- the scan --------------------------------------------------------------------------------

    def plan(
        self,
        step: PlanStep,
        tasks: Sequence[Task],
        lanes: Mapping[int, Lane],
        excluded: Sequence[Scanned],
    ) -> None:
        """Write down one step of the scan: its tasks, and `lanes`, all that are unfinished now.

        The checkpoint comes last: without it nothing of the step counts. A step already written
        changes nothing; a gap raises ServiceError.
        """
        seq = self._scan.point.seq
        if step.seq <= seq:
            return
        if step.seq != seq + 1:
            raise ServiceError(
                f"{self.root} ends with step {seq} of the scan, and step {step.seq} is to follow: "
                "steps are missing. Cure: stop the service, put the directory back as it was, or "
                "clean the job and submit it again."
            )
        if not self._strays_gone:
            self.remove_strays()
        self._strays_gone = False
        for task in tasks:
            self._write_task(task, texts.TaskNote(step.seq))
        if tasks:
            files.sync_dir(self.root / places.PENDING_FOLDER)
        self._scan.advance(step, lanes, excluded)
        self._strays_gone = True

    def finish_scan(self) -> None:
        """Write down that no lane is left; the job leaves the jobqueue. Idempotent."""
        self._scan.finish()
        self._queue(wanted=False)

    def rescanned(self, scan: ScanState) -> None:
        """Write down that the scan failures so far have become lanes, as `scan` has them.

        To be called after the ledger's `rescan_failures`, before the next step. Idempotent.
        """
        self._scan.rescan(scan)
        self._queue(wanted=not scan.finished)

    def remove_strays(self) -> None:
        """Remove the tasks of a step whose checkpoint was never written."""
        pending = self.root / places.PENDING_FOLDER
        for name in files.names(pending):
            path = pending / name / "TASK"
            start = files.read_start(path)
            if start is None:
                inside = set(files.names(path.parent))
                stray = path.parent.is_dir() and inside <= {"TASK.new"}
            else:
                stray = texts.note_of(path, start).seq > self._scan.point.seq
            if stray:
                files.remove_tree(path.parent)
                self._places.pop(name, None)
        self._strays_gone = True

    def _write_task(self, task: Task, note: texts.TaskNote) -> None:
        if places.find(self.root, task.task_id) is not None:
            return  # planned by an earlier step: one listing gives one task
        place = Place(task.task_id)
        path = self.root / place.path
        files.add_dir(path)
        files.write(path / "TASK", texts.task_text(task, note))
        files.sync_dir(path)
        self._places[task.task_id] = place

    # -- the tasks -------------------------------------------------------------------------------

    def claimed(self, task_id: str, worker: str) -> None:
        """A worker holds the task. Changes nothing if the task has ended."""
        place = self._find(task_id)
        if not place.ended:
            self._move(place, Place(task_id, TaskState.RUNNING, worker_host(worker)))

    def released(self, task_id: str) -> None:
        """No worker holds the task. Changes nothing if it has ended."""
        place = self._find(task_id)
        if not place.ended:
            self._move(place, Place(task_id))

    def append(self, task_id: str, offset: int, text: bytes) -> None:
        """Put `text` at `offset` of the task's audit.log. Idempotent.

        Call `sync` before the text is dropped elsewhere.
        """
        files.write_at(self.root / self._find(task_id).path / "audit.log", offset, text)
        self._unsynced_logs.add(task_id)

    def ended(self, task_id: str, worker: str, state: TaskState, log_size: int) -> None:
        """The task ended as SUCCEED or FAILED with an audit.log of `log_size` bytes.

        Writes error.list, STATUS and DONE, then moves the directory. Idempotent.
        """
        place = self._find(task_id)
        path = self.root / place.path
        files.end_at(path / "audit.log", log_size)
        stored = self.stored(place)
        failed = (
            (stored.text.object(index), result) for index, result in sorted(stored.failures.items())
        )
        succeeded = state is TaskState.SUCCEED
        files.write(path / "error.list", texts.errors_text(failed))
        files.write(path / "STATUS", _STATUS[state])
        files.write(path / "DONE", digest.done_text(stored) if succeeded else b"")
        files.sync_dir(path)
        self._keep_slowest(stored.slowest)
        if self.catalog is not None:
            self.catalog.ended(stored.task.objects, stored.marks, self._round)
        self._move(place, Place(task_id, state, worker_host(worker or place.host)))
        self._unsynced_logs.discard(task_id)
        self._named_logs.discard(task_id)
        self._places.pop(task_id, None)

    def cut(self, task_id: str, part: Task) -> None:
        """A part of the task's objects has become a task. Durable, idempotent.

        It counts as soon as the audit.log of the task says so too, which has to be appended next.
        """
        seq = task_files.note(self.root, self._find(task_id)).seq
        self._write_task(part, texts.TaskNote(seq, task_id))
        files.sync_dir(self.root / places.PENDING_FOLDER)

    def requeued(self, task_id: str) -> None:
        """An ended task is pending again; its audit.log goes on. Idempotent.

        To be called after the ledger's `requeue`: a crash in between leaves the task among
        `failed_tasks`, to be requeued again.
        """
        place = self._find(task_id)
        if place.ended:
            for name in ("error.list", "STATUS", "DONE"):
                files.remove(self.root / place.path / name)
            self._move(place, Place(task_id))

    def sync(self) -> None:
        """Make all that was done to tasks durable. Call it before events are acknowledged."""
        folders = {task_id: self.root / self._find(task_id).path for task_id in self._unsynced_logs}
        files.sync_all([path / "audit.log" for path in folders.values()])
        for task_id in folders.keys() - self._named_logs:  # the file may be new
            files.sync_dir(folders[task_id])
        self._named_logs |= folders.keys()
        self._unsynced_logs.clear()
        while self._unsynced_dirs:
            files.sync_dir(self._unsynced_dirs.pop())

    def _find(self, task_id: str) -> Place:
        place = self._places.get(task_id) or places.find(self.root, task_id)
        if place is None:
            raise ServiceError(
                f"{self.root} holds no task {task_id}. Cure: stop the service, put the directory "
                "back as it was, or clean the job and submit it again."
            )
        if not place.ended:
            self._places[task_id] = place
        return place

    def _move(self, place: Place, target: Place) -> None:
        if place == target:
            return
        old, new = self.root / place.path, self.root / target.path
        if target.host:
            files.make_dir(self.root / places.DISPATCHED_FOLDER / target.host)
        files.move(old, new)
        self._places[place.task_id] = target
        self._unsynced_dirs.update((old.parent, new.parent))

    def _keep_slowest(self, new: Sequence[Slow]) -> None:
        known = self._known_slowest()
        merged = digest.merge_slowest(known, new)
        if merged != known:
            files.write(self.root / "slowest.list", digest.slowest_text(merged))
            self._slowest = merged
