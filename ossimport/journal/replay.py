"""What a task's audit.log says of its objects: the last word about each counts."""

import heapq
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple

from ossimport import manifest
from ossimport.auditlog import (
    CHECK_FAILED,
    UPLOAD_ENDED,
    UPLOAD_STARTED,
    AuditLine,
    Slow,
    parse_given,
    parse_line,
    read_log,
)
from ossimport.journal.texts import TaskText
from ossimport.ledger.base import PlannedTask
from ossimport.model import (
    CopyResult,
    Mark,
    Outcome,
    Proof,
    Task,
    TaskState,
    Upload,
    mark_of,
    sums_of_marks,
)

SLOWEST = 10

_ONLY_GIVEN = bytes(mark == Mark.GIVEN for mark in range(256))


class Totals(NamedTuple):
    """Sums over a task's objects. Bytes are listed bytes."""

    objects: Mapping[Outcome, int]
    bytes: Mapping[Outcome, int]
    proof: Mapping[Proof, int]
    unkept: int  # copied objects that lost something on the way
    left: int  # objects without an outcome


@dataclass(frozen=True, slots=True)
class StoredTask:
    """A task as the journal holds it, and what has become of its objects."""

    text: TaskText
    state: TaskState  # PENDING, RUNNING (given to a worker), SUCCEED or FAILED
    worker_host: str  # "" while pending
    marks: bytes  # model.Mark, one for each object
    totals: Totals
    failures: Mapping[int, CopyResult]  # failed and vanished objects by index
    uploads: tuple[Upload, ...]  # began and did not end; their `parts` are not known here
    slowest: tuple[Slow, ...]
    log_size: int  # bytes of audit.log up to its last whole line
    # of each task that was cut off this one: which of its objects it has from here
    given: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        """The number of the step that planned it."""
        return self.text.note.seq

    @property
    def task(self) -> Task:
        """The task as it was planned."""
        return self.text.task()

    @property
    def own_objects(self) -> int:
        """How many objects the task has, without those that it gave away."""
        return len(self.marks) - self.marks.count(Mark.GIVEN)

    @property
    def own_bytes(self) -> int:
        """The sum of their sizes."""
        given = self.marks.translate(_ONLY_GIVEN)
        return sum(self.text.sizes) - sum(compress(self.text.sizes, given))

    @property
    def planned(self) -> PlannedTask:
        """The task for a ledger that does not know it."""
        packed = manifest.pack(self.task.objects)
        return PlannedTask(self.text.task_id, packed, self.own_objects, self.own_bytes)

    @property
    def retry_marks(self) -> bytes:
        """The marks with every failed object left again."""
        return self.marks.replace(bytes([Mark.FAILED]), bytes([Mark.LEFT]))


class Replay:
    """Reads one log, then holds what it says."""

    def __init__(self, text: TaskText, log: bytes) -> None:
        self._text = text
        self._times = [0] * len(text.sizes)  # milliseconds
        self._uploads: dict[int, list[Upload]] = {}
        self._given: dict[str, Sequence[int]] = {}  # what each task got, by our numbers
        self._given_to: dict[int, str] = {}  # the last word of each object that was given
        self.marks = bytearray(len(text.sizes))
        self.failures: dict[int, CopyResult] = {}
        self.log_size = log.rfind(b"\n") + 1  # a torn last line does not count
        marks, times, failures = self.marks, self._times, self.failures
        # A hole, where text was lost, reads as NULs in front of the next line.
        for read in read_log(log[: self.log_size].replace(b"\0", b"")):
            if isinstance(read, str):
                self._read(read)
            elif (index := read[0]) < len(marks):  # as `_settle`, for nearly all of a log
                _, marks[index], times[index] = read
                failures.pop(index, None)

    def _read(self, line: str) -> None:
        if part := parse_given(line, len(self.marks)):
            self._give(*part)
        elif (parsed := parse_line(line)) and parsed.number < len(self.marks):
            self._take(parsed)

    def _settle(self, index: int, mark: Mark, ms: int) -> None:
        self.marks[index] = mark
        self._times[index] = ms
        if index in self.failures:
            del self.failures[index]

    def _give(self, task_id: str, numbers: Sequence[int]) -> None:
        self._given[task_id] = numbers
        for index in numbers:
            self._settle(index, Mark.GIVEN, 0)
            self._given_to[index] = task_id

    def disown(self, numbers: Iterable[int], *, but: Container[int]) -> None:
        """Say that these objects, but for some, are not the task's."""
        for index in numbers:
            if index not in but:
                self._settle(index, Mark.GIVEN, 0)
                self._given_to.pop(index, None)

    def given(self) -> dict[str, frozenset[int]]:
        """Of each task that was cut off this one, the objects that it has, by its own numbers."""
        return {
            task_id: frozenset(
                there
                for there, here in enumerate(numbers)
                if self.marks[here] == Mark.GIVEN and self._given_to.get(here) == task_id
            )
            for task_id, numbers in self._given.items()
        }

    def _take(self, line: AuditLine) -> None:
        index, result, upload = line.number, line.result, line.upload
        if line.word == CHECK_FAILED:
            self.marks[index] = Mark.LEFT
            self.failures.pop(index, None)
        elif result is not None and result.outcome is not Outcome.EXCLUDED:
            mark = mark_of(result.outcome, result.proof, is_less=bool(result.unkept))
            self._settle(index, mark, round(result.seconds * 1000))
            if result.outcome in (Outcome.FAILED, Outcome.VANISHED):
                self.failures[index] = result
        elif upload is not None:
            others = self._uploads.pop(index, [])
            begun = [each for each in others if each.upload_id != upload.upload_id]
            if line.word == UPLOAD_STARTED:
                source = self._text.object(index)
                begun.append(Upload(upload.key, upload.upload_id, upload.part_size, source, {}))
            elif line.word != UPLOAD_ENDED:
                begun = others
            if begun:
                self._uploads[index] = begun

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """Those that began and did not end."""
        return tuple(upload for begun in self._uploads.values() for upload in begun)

    def slowest(self) -> tuple[Slow, ...]:
        """The objects that took longest, slowest first."""
        times = self._times
        longest = heapq.nlargest(SLOWEST, range(len(times)), key=times.__getitem__)
        objects = ((times[index], self._text.object(index)) for index in longest if times[index])
        return tuple(Slow(ms / 1000, info.size, info.key) for ms, info in objects)

    def totals(self) -> Totals:
        """Objects and listed bytes by outcome, and the proof of what was copied."""
        sizes = [0] * len(Mark)
        for size, mark in zip(self._text.sizes, self.marks, strict=True):
            sizes[mark] += size
        sums = sums_of_marks([self.marks.count(m) for m in Mark], sizes)
        return Totals(*sums, self.marks.count(Mark.LEFT))
