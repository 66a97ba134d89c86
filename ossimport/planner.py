"""Cut a scan into tasks. Pure: time, and how far the job is, are passed in."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ossimport.model import ObjectInfo, Scanned, Verdict

FIRST_OBJECTS = 32
FIRST_BYTES = 16 << 20
MAX_ODD = 10_000  # entries of a batch that are not copied; about 10 MB when their keys are long
MAX_WAIT_S = 2.0


class TaskLimits(NamedTuple):
    """What one task may hold."""

    objects: int
    bytes: int


class Batch(NamedTuple):
    """A stretch of one lane: the objects of one task, and whatever else the scan said in between.

    Recording all of it and moving the lane to `cursor` are one step. Without objects (then `size`
    is 0) there is no task.
    """

    objects: tuple[ObjectInfo, ...]
    size: int  # bytes of `objects`
    excluded: tuple[Scanned, ...]
    failed: tuple[Scanned, ...]
    unchanged: tuple[ObjectInfo, ...]
    cursor: str  # the last entry's
    archived: tuple[Scanned, ...] = ()  # those of `objects` that must be restored first


def limits_for(
    planned_objects: int, planned_bytes: int, slots: int, max_objects: int, max_bytes: int
) -> TaskLimits:
    """Say how large the next task may be when so many objects and bytes have been planned.

    The first tasks hold FIRST_OBJECTS objects or FIRST_BYTES, so that copying starts at once and a
    small job uses every worker. From then on a task is as large as what each of the `slots` (tasks
    that run at the same time, on all workers) has been given so far. So there soon are few ends of
    tasks, each of which costs a worker two round trips; and of a task that ends long after the
    others, idle workers get a share. The job's own limits are never exceeded.
    """
    return TaskLimits(
        min(max_objects, max(FIRST_OBJECTS, planned_objects // slots)),
        min(max_bytes, max(FIRST_BYTES, planned_bytes // slots)),
    )


def plan(
    entries: Iterable[Scanned],
    *,
    limits: Callable[[], TaskLimits],
    clock: Callable[[], float],
    max_wait_s: float = MAX_WAIT_S,
) -> Iterator[Batch]:
    """Group the entries of one lane, in scan order, into batches of one task each.

    `limits` is asked for every batch. An object larger than the limit gets a task of its own. A
    batch ends early when its oldest entry has waited for `max_wait_s` (noticed when an entry
    arrives), so that a slow listing does not hold back what it has found, and when MAX_ODD of its
    entries are no objects. Every entry is in exactly one batch; a scan resumed from a batch's
    cursor plans exactly the rest.
    """
    batch: _OpenBatch | None = None
    for entry in entries:
        if batch and not batch.has_room_for(entry):
            yield batch.close()
            batch = None
        if batch is None:
            batch = _OpenBatch(limits(), clock() + max_wait_s)
        if batch.add(entry) or clock() >= batch.due:
            yield batch.close()
            batch = None
    if batch:
        yield batch.close()


class _OpenBatch:
    """The batch that is being filled."""

    def __init__(self, limits: TaskLimits, due: float) -> None:
        self.due = due
        self._limits = limits
        self._objects: list[ObjectInfo] = []
        self._size = 0
        self._excluded: list[Scanned] = []
        self._failed: list[Scanned] = []
        self._archived: list[Scanned] = []
        self._unchanged: list[ObjectInfo] = []
        self._cursor = ""

    def has_room_for(self, entry: Scanned) -> bool:
        fits = self._size + entry.info.size <= self._limits.bytes
        return fits or entry.verdict is not Verdict.COPY

    def add(self, entry: Scanned) -> bool:
        """Take an entry; True if the batch is full now."""
        info, self._cursor, verdict = entry.info, entry.cursor, entry.verdict
        if verdict is Verdict.COPY:
            self._objects.append(info)
            self._size += info.size
            if entry.archived:
                self._archived.append(entry)
            full = self._limits
            return len(self._objects) >= full.objects or self._size >= full.bytes
        if verdict is Verdict.EXCLUDED:
            self._excluded.append(entry)
        elif verdict is Verdict.UNCHANGED:
            self._unchanged.append(info)
        else:
            self._failed.append(entry)
        return len(self._excluded) + len(self._failed) + len(self._unchanged) >= MAX_ODD

    def close(self) -> Batch:
        return Batch(
            tuple(self._objects),
            self._size,
            tuple(self._excluded),
            tuple(self._failed),
            tuple(self._unchanged),
            self._cursor,
            tuple(self._archived),
        )


def part_id(task_id: str, manifest: bytes) -> str:
    """Derive the id of a task that is cut off another, in the same way and of the same form."""
    digest = hashlib.md5(task_id.encode() + b"\0" + manifest, usedforsecurity=False)
    return f"{digest.hexdigest().upper()}_{task_id.rpartition('_')[2]}"


def task_id(job: str, created_ms: int, manifest: bytes) -> str:
    """Derive a task's id from its content: the same objects of the same job give the same id.

    32 upper-case hex digits, `_`, and the 13 digits of the job's epoch milliseconds, as the
    original names its task directories.
    """
    digest = hashlib.md5(job.encode() + b"\0" + manifest, usedforsecurity=False)
    return f"{digest.hexdigest().upper()}_{created_ms:013d}"
