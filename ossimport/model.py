"""The frozen values that travel between modules. No I/O, no clock.

One word per thing: a *job* is cut into *tasks*, a task holds *objects*, a large object is sent in
*parts*. `Lane` and `Scanned` are the scan, `Task` the plan, `Outcome` and `CopyResult` the copy,
`Counts` and `Snapshot` the report.

Keys are relative to `srcPrefix`. A file name that is not UTF-8 keeps its bytes as lone surrogates
(`os.fsdecode`), so that every name can be listed, recorded and reported.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple


class ObjectInfo(NamedTuple):
    """One version of one object, as its store describes it."""

    key: str
    size: int  # bytes
    mtime_ns: int = 0  # nanoseconds since 1970; 0 = the store does not say
    etag: str = ""  # the store's version tag, without quotes; "" = it has none
    crc64: int | None = None  # of the whole object, where the store says it (a `stat`, no listing)


class Origin(NamedTuple):
    """One version of an object that the destination's own service holds and can copy by itself."""

    bucket: str
    key: str  # whole, whatever the source's keys are relative to
    etag: str  # without quotes
    crc64: int  # of the whole object, as the service states it
    headers: Mapping[str, str]  # what the service says of it


class Lane(NamedTuple):
    """A part of a scan that one thread walks: what comes after `cursor`, up to and with `until`.

    Both are opaque to everything but the source that made them. `until=""` means to the end.
    """

    cursor: str = ""
    until: str = ""


class Verdict(StrEnum):
    """What a scan says of an entry."""

    COPY = "copy"
    EXCLUDED = "excluded"  # not an object (socket, device, symbolic link when not allowed)
    FAILED = "failed"  # the entry could not be listed; `Scanned.rescan` is the lane to walk again
    UNCHANGED = "unchanged"  # an earlier round brought this version to OSS: skipped


class Scanned(NamedTuple):
    """One entry of a scan, with the cursor that resumes the lane right behind it."""

    info: ObjectInfo
    cursor: str
    verdict: Verdict = Verdict.COPY
    code: str = ""  # why it is excluded or failed
    message: str = ""
    rescan: Lane | None = None
    archived: str = ""  # its storage class, where the listing says one that must be restored first


class Task(NamedTuple):
    """A batch of objects: the unit of dispatch, claim and retry.

    `task_id` derives from the content, so that planning the same listing twice gives the same id.
    """

    job: str
    task_id: str  # 32 upper-case hex digits, "_", 13-digit epoch milliseconds of the job
    objects: tuple[ObjectInfo, ...]

    @property
    def size(self) -> int:
        """Sum of the objects' sizes, in bytes."""
        return sum(info.size for info in self.objects)


class JobState(StrEnum):
    """Where a job stands. The values are the original tool's words."""

    RUNNING = "Running"
    PAUSED = "Paused"  # held by the operator, until `resume`; not one of the original's words
    SUCCEED = "Succeed"
    FAILED = "Failed"
    ABORT = "Abort"  # stopped by a fatal error; `reason` says which


class TaskState(StrEnum):
    """pending -> dispatched -> running -> succeed | failed."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    SUCCEED = "succeed"
    FAILED = "failed"


class Outcome(StrEnum):
    """What became of an object."""

    # An enum's own is in Python, and millions of objects are looked up by this.
    __hash__ = str.__hash__

    COPIED = "copied"
    SKIPPED = "skipped"  # the destination has it already
    FAILED = "failed"
    VANISHED = "vanished"  # gone from the source between scan and copy
    EXCLUDED = "excluded"


class Proof(StrEnum):
    """How well we know that the destination holds the source's bytes."""

    __hash__ = str.__hash__  # as for Outcome

    NONE = "0"
    SIZE = "1"
    CRC64 = (
        "2"  # CRC64 of the bytes as read equals what OSS returned, and the source did not change
    )
    SOURCE = "3"  # the same, and the source's own checksum agrees


class Mark(IntEnum):
    """What became of one object of a task, in one byte: a task's marks are `bytes`, one for each.

    It says all that is counted of an object, so that one outcome can be taken back exactly.
    LESS: copied, but for something that travels with the bytes (`CopyResult.unkept`).
    """

    LEFT = 0
    COPIED_NO_PROOF = 1
    COPIED_SIZE = 2
    COPIED_CRC64 = 3
    COPIED_SOURCE = 4
    SKIPPED = 5
    FAILED = 6
    VANISHED = 7
    COPIED_LESS_NO_PROOF = 8
    COPIED_LESS_SIZE = 9
    COPIED_LESS_CRC64 = 10
    COPIED_LESS_SOURCE = 11
    GIVEN = 12  # not this task's object any more: another one, cut off this one, has it

    @property
    def outcome(self) -> Outcome | None:
        """None while the object is left, and when another task has it."""
        return _MEANING[self][0]

    @property
    def proof(self) -> Proof | None:
        """None unless the object was copied."""
        return _MEANING[self][1]

    @property
    def is_less(self) -> bool:
        """Copied, but for something that could not be kept."""
        return _MEANING[self][2]


_MEANING: dict[Mark, tuple[Outcome | None, Proof | None, bool]] = {
    Mark.LEFT: (None, None, False),
    Mark.COPIED_NO_PROOF: (Outcome.COPIED, Proof.NONE, False),
    Mark.COPIED_SIZE: (Outcome.COPIED, Proof.SIZE, False),
    Mark.COPIED_CRC64: (Outcome.COPIED, Proof.CRC64, False),
    Mark.COPIED_SOURCE: (Outcome.COPIED, Proof.SOURCE, False),
    Mark.SKIPPED: (Outcome.SKIPPED, None, False),
    Mark.FAILED: (Outcome.FAILED, None, False),
    Mark.VANISHED: (Outcome.VANISHED, None, False),
    Mark.COPIED_LESS_NO_PROOF: (Outcome.COPIED, Proof.NONE, True),
    Mark.COPIED_LESS_SIZE: (Outcome.COPIED, Proof.SIZE, True),
    Mark.COPIED_LESS_CRC64: (Outcome.COPIED, Proof.CRC64, True),
    Mark.COPIED_LESS_SOURCE: (Outcome.COPIED, Proof.SOURCE, True),
    Mark.GIVEN: (None, None, False),
}
_MARKS = {meaning: mark for mark, meaning in _MEANING.items() if mark.outcome is not None}


def mark_of(outcome: Outcome, proof: Proof, *, is_less: bool = False) -> Mark:
    """The mark for an outcome; `proof` and `is_less` count for COPIED only."""
    return _MARKS.get((outcome, proof, is_less)) or _MARKS[outcome, None, False]


class MarkSums(NamedTuple):
    """What marks add up to. Outcomes and proofs that did not occur are left out."""

    objects: Counter[Outcome]
    bytes: Counter[Outcome]
    proof: Counter[Proof]
    unkept: int  # objects that lost something on the way


def sums_of_marks(objects_of: Sequence[int], bytes_of: Sequence[int]) -> MarkSums:
    """Sum up objects and bytes that were counted by mark."""
    objects: Counter[Outcome] = Counter()
    bytes_: Counter[Outcome] = Counter()
    proof: Counter[Proof] = Counter()
    unkept = 0
    for mark in Mark:
        if not objects_of[mark] and not bytes_of[mark]:
            continue
        if mark.outcome is not None:
            objects[mark.outcome] += objects_of[mark]
            bytes_[mark.outcome] += bytes_of[mark]
        if mark.proof is not None:
            proof[mark.proof] += objects_of[mark]
        if mark.is_less:
            unkept += objects_of[mark]
    return MarkSums(objects, bytes_, proof, unkept)


class CopyResult(NamedTuple):
    """How the copy of one object ended."""

    outcome: Outcome
    size: int = 0  # bytes of the version that was copied; may differ from the listed size
    proof: Proof = Proof.NONE
    crc64: int | None = None
    code: str = ""  # for FAILED, VANISHED and EXCLUDED: why
    message: str = ""
    request_id: str = ""
    attempts: int = 1
    seconds: float = 0.0
    unkept: tuple[str, ...] = ()  # for COPIED: what of the source's headers OSS did not get
    etag: str = ""  # for COPIED: of what this copy wrote, as the destination calls it


# A part that is made: its etag, and the CRC64 of its bytes, None if the service copied it and did
# not say.
Part = tuple[str, int | None]


class Upload(NamedTuple):
    """A multipart upload that has begun: enough to go on with it, or to abort it."""

    key: str  # at the destination
    upload_id: str
    part_size: int
    source: ObjectInfo  # the version whose bytes the parts hold
    parts: dict[int, Part]  # by part number, from 1


@dataclass(frozen=True, slots=True)
class Tally:
    """Objects and bytes of one kind of outcome. Bytes are listed bytes, so that sums close."""

    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """The law: listed = copied + skipped + failed + vanished + excluded + left, always."""

    listed: Tally = field(default_factory=Tally)
    copied: Tally = field(default_factory=Tally)
    skipped: Tally = field(default_factory=Tally)
    failed: Tally = field(default_factory=Tally)
    vanished: Tally = field(default_factory=Tally)
    excluded: Tally = field(default_factory=Tally)

    @property
    def left(self) -> Tally:
        """What has no outcome yet."""
        done = (self.copied, self.skipped, self.failed, self.vanished, self.excluded)
        return Tally(
            self.listed.objects - sum(t.objects for t in done),
            self.listed.bytes - sum(t.bytes for t in done),
        )
