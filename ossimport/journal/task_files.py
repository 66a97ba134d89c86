"""The files of one task, read back."""

from pathlib import Path

from ossimport.journal import files, places, texts
from ossimport.journal.places import Place
from ossimport.journal.replay import Replay, StoredTask
from ossimport.journal.texts import TaskNote, TaskText


def note(root: Path, place: Place) -> TaskNote:
    """Where a task comes from."""
    path = root / place.path / "TASK"
    return texts.note_of(path, files.read_start(path) or b"")


def text(root: Path, place: Place) -> TaskText:
    """One task as it was planned."""
    path = root / place.path / "TASK"
    found = TaskText(path, files.read(path) or b"")
    if found.task_id != place.task_id:
        raise files.damaged(path, f"it describes the task {found.task_id}")
    return found


def stored(root: Path, place: Place) -> StoredTask:
    """One task with what has become of its objects, by its audit.log.

    An object belongs to a task that was cut off another as long as the log of that one says so:
    the ledger may have lost the cut, and its holder gone on with the object.
    """
    found = text(root, place)
    replay = Replay(found, files.read(root / place.path / "audit.log") or b"")
    if found.note.cut_from:
        whole = places.find(root, found.note.cut_from)
        given = stored(root, whole).given if whole else {}
        replay.disown(range(len(found.sizes)), but=given.get(found.task_id, ()))
    return StoredTask(
        text=found,
        state=place.state,
        worker_host=place.host,
        marks=bytes(replay.marks),
        totals=replay.totals(),
        failures=replay.failures,
        uploads=replay.uploads,
        slowest=replay.slowest(),
        log_size=replay.log_size,
        given=replay.given(),
    )
