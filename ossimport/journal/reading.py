"""What is read back from the tree of a job: tasks, their fate, and what of it is worth telling."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ossimport.auditlog import Highlights, Slow
from ossimport.journal import digest, files, places, task_files
from ossimport.journal.places import Place
from ossimport.journal.replay import StoredTask
from ossimport.journal.scan import ScanRecord
from ossimport.ledger.base import ScanFailure, ScanState
from ossimport.model import Outcome, Tally, Task, TaskState, Upload
from ossimport.naming import display

# Enough to see what is wrong; reading on would keep the operator of a hopeless job waiting.
_MOST_FAILURES = 200_000
ROUNDS_FOLDER = "rounds"  # with a tree for each round that is over


class TreeReader:
    """Reads what `Journal` writes. Every method may raise ServiceError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._scan = ScanRecord(root, root.name)
        self._slowest: tuple[Slow, ...] | None = None

    # -- the scan --------------------------------------------------------------------------------

    def scan_state(self) -> ScanState:
        """Where the scan stands; step 0 and no lanes when it has not begun."""
        point = self._scan.point
        return ScanState(point.seq, dict(point.lanes), point.finished)

    def excluded(self) -> Tally:
        """What the scan excluded in all steps."""
        return self._scan.point.excluded

    def unchanged(self) -> Tally:
        """What the scan found unchanged in all steps."""
        return self._scan.point.unchanged

    def scan_failures(self) -> list[tuple[int, ScanFailure]]:
        """What could not be listed and was not scanned again since, with the step's number."""
        return self._scan.failures()

    def rescanned_after(self) -> int:
        """The step after which scan failures became lanes the last time; 0 if they never did."""
        return self._scan.point.rescanned_after

    # -- the tasks -------------------------------------------------------------------------------

    def places(self) -> Iterator[Place]:
        """Where every task stands. Call `remove_strays` first."""
        failed, succeeded = (places.ended(self.root, state) for state in places.ENDED_FOLDERS)
        return chain(places.unfinished(self.root), failed, succeeded)

    def step_of(self, place: Place) -> int | None:
        """The number of the step that planned a task; None for one that was cut off another."""
        note = task_files.note(self.root, place)
        return None if note.cut_from else note.seq

    def task(self, place: Place) -> Task:
        """One task as it was planned."""
        return task_files.text(self.root, place).task()

    def stored(self, place: Place) -> StoredTask:
        """One task with what has become of its objects, by its audit.log."""
        return task_files.stored(self.root, place)

    def summary(self, place: Place) -> digest.Summary | None:
        """What DONE says of a task; None unless it succeeded, or if others have a say in it."""
        if place.state is not TaskState.SUCCEED or task_files.note(self.root, place).cut_from:
            return None
        return digest.parse_done(files.read(self.root / place.path / "DONE") or b"")

    def tasks(self) -> Iterator[StoredTask]:
        """Every task of the steps that count. Reads all of the tree."""
        seq = self._scan.point.seq
        return (stored for stored in map(self.stored, self.places()) if stored.seq <= seq)

    def failed_tasks(self) -> Iterator[StoredTask]:
        """The tasks in failed_tasks/, and unfinished ones whose log has them ended with failures.

        The latter were requeued, which the ledger may have forgotten. All that stand there at the
        call: the caller may move them meanwhile, none comes twice.
        """
        failed = places.ended(self.root, TaskState.FAILED)
        unfinished = places.unfinished(self.root)
        begun = (p for p in unfinished if files.is_file(self.root / p.path / "audit.log"))
        return chain(
            filter(_has_any_failed, map(self.stored, failed)),
            filter(_has_failed, map(self.stored, begun)),
        )

    def uploads(self) -> Iterator[Upload]:
        """Multipart uploads that began and did not end, by the logs, which do not know parts.

        Those of earlier rounds are among them.
        """
        for place in self.places():
            yield from (self.summary(place) or self.stored(place)).uploads
        for name in files.names(self.root / ROUNDS_FOLDER):
            yield from TreeReader(self.root / ROUNDS_FOLDER / name).uploads()

    def highlights(self, names: int = 10) -> Highlights:
        """The slowest objects, and what failed by code, with up to `names` names of each."""
        groups = digest.FailureGroups(names)
        for _, failure in self._scan.failures():
            groups.add(display(failure.key), display(failure.code), failure.message)
        complete = True
        for place in places.ended(self.root, TaskState.FAILED):
            if groups.objects >= _MOST_FAILURES:
                complete = False
                break
            groups.add_list(files.read(self.root / place.path / "error.list") or b"")
        return Highlights(self._known_slowest(), groups.by_code, complete)

    def _known_slowest(self) -> tuple[Slow, ...]:
        if self._slowest is None:
            self._slowest = digest.parse_slowest(files.read(self.root / "slowest.list") or b"")
        return self._slowest


def _has_any_failed(stored: StoredTask) -> bool:
    """True unless the task has nothing to be done again: then it lost its objects to another."""
    return Outcome.FAILED in stored.totals.objects


def _has_failed(stored: StoredTask) -> bool:
    """True if the log tells of a whole run in which some object failed."""
    return _has_any_failed(stored) and not stored.totals.left
