"""What the ledger is told and tells: frozen values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ossimport.model import Counts, JobState, Lane, Outcome, Part, Proof, Tally, TaskState, Upload

USUAL_PRIORITY = 5  # of 0 to 9
NOTHING = Tally()
SHOWN_RUNNING = 200  # a person reads no more, a large cluster has more


@dataclass(frozen=True, slots=True)
class Job:
    """A submitted job. `settings` is sealed (see `seal.py`); the ledger never looks into it."""

    name: str
    created_ms: int  # epoch milliseconds of the submit, or the round's; part of every task id
    fingerprint: str  # of the settings that affect the result
    settings: bytes
    job_type: str = "import"  # import; audit; extra, which looks for the destination's objects
    state: JobState = JobState.RUNNING
    reason: str = ""  # why the state is FAILED or ABORT
    scan_finished: bool = False
    retries: int = 0  # how often a retry was asked for
    retries_done: int = 0  # how many of them the master has put back into tasks
    priority: int = USUAL_PRIORITY  # the higher one's tasks are dispatched first
    incremental: bool = False  # one round after another
    round: int = 1
    next_round_ms: int = 0  # when the next round begins; 0 while this one is not over


class PlannedTask(NamedTuple):
    """A task as the ledger takes it: the object list packed (`manifest.py`), and its sums.

    Objects that were given to another task are in the list, but not in the sums.
    """

    task_id: str
    manifest: bytes
    objects: int
    bytes: int


class ScanFailure(NamedTuple):
    """A part of the source that could not be listed; counted as one failed object."""

    key: str
    code: str
    message: str
    rescan: Lane


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One move of the scan: what it found, and where each lane now stands.

    `seq` counts the steps of a job from 1. `lanes` holds the lanes that moved: None = finished.
    """

    seq: int
    lanes: Mapping[int, Lane | None]
    tasks: Sequence[PlannedTask] = ()
    excluded: int = 0
    excluded_bytes: int = 0
    failures: Sequence[ScanFailure] = ()
    unchanged: Tally = NOTHING  # skipped already by the scan, see `Verdict.UNCHANGED`


class ScanState(NamedTuple):
    """Where the scan stands: the last step's number, and the lanes that are not finished."""

    seq: int
    lanes: dict[int, Lane]
    finished: bool


class Claim(NamedTuple):
    """A worker's right to work on a task, and all it needs to begin.

    `marks` has one byte for each object of the task (`model.Mark`): what has become of it so far.
    """

    job: str
    task_id: str
    fence: int
    worker: str
    manifest: bytes
    marks: bytes
    uploads: dict[int, Upload]
    flushes: int  # flushes recorded so far; the next one has the number `flushes + 1`
    claims: int  # how often the task has been claimed so far, with this claim


class Held(NamedTuple):
    """The task is claimed: by whom, and under which fence."""

    worker: str
    fence: int


class Orders(NamedTuple):
    """What the holder of a task is to know of it."""

    state: JobState  # of the job: the task is to be handed back unless it is RUNNING
    share: int = 0  # so many workers have nothing to do and would take a share of the task


class Flush(NamedTuple):
    """What happened to a task's objects since the flush before.

    Deltas may be negative (an outcome taken back after verification). `marks` replaces the task's
    marks. `log` is audit.log text, compressed with zstd.
    """

    number: int
    marks: bytes
    objects: Mapping[Outcome, int]
    bytes_: Mapping[Outcome, int]
    proof: Mapping[Proof, int]
    log: bytes
    log_size: int  # bytes of `log` when decompressed
    moving: int = 0  # bytes of unfinished large objects already at the destination
    unkept: int = 0  # copied objects that lost something on the way, see `model.Mark`


class Cut(NamedTuple):
    """A part of a task's objects as a task of its own. `uploads` of these objects go with them:
    of an object by its number in the old task, and its number in the new one."""

    task: PlannedTask
    uploads: Mapping[int, int]


class Loan(NamedTuple):
    """A worker's right to make some parts of a large object whose task another worker holds."""

    job: str
    task_id: str
    claim: int  # the fence of the holder's claim, with which the loan dies
    fence: int
    upload: Upload  # without parts
    numbers: tuple[int, ...]  # of the parts that were lent first


class Repayment(NamedTuple):
    """What a borrower has to say. What it names nowhere of what it had is on offer again."""

    made: Mapping[int, Part]  # since the last one
    kept: Sequence[int]  # numbers of parts that it goes on to make
    refused: Sequence[int] = ()  # that it could not make, and that only the holder shall try


class Collected(NamedTuple):
    """How it goes with the parts that the holder of a task has offered."""

    numbers: Sequence[int]  # of parts that the holder is to make itself now
    made: Mapping[int, Part]  # by others, not seen before
    seen: int  # how many have been seen with these
    offered: int  # parts that nobody has
    loans: int  # workers that have some


class EventKind:
    """What the outbox tells the master, in the order in which it happened."""

    CLAIMED = "claimed"
    CUT = "cut"
    LOG = "log"
    RELEASED = "released"
    ENDED = "ended"


class Event(NamedTuple):
    """One entry of the outbox. `offset` and `log` belong to LOG, `state` to ENDED; CUT tells of a
    `part`, whose objects are in `manifest`, and comes before the LOG that says so too.

    `offset` is where in audit.log the text begins, so that writing it twice changes nothing; of an
    ENDED event it is the file's whole length.
    """

    id: str
    kind: str
    task_id: str
    worker: str = ""
    offset: int = 0
    log: bytes = b""
    state: TaskState | None = None
    part: str = ""
    manifest: bytes = b""


class RunningTask(NamedTuple):
    """A task that a worker holds now."""

    task_id: str
    worker: str
    fence: int
    expired: bool
    objects_done: int
    objects_total: int
    bytes_done: int
    bytes_total: int
    offered: int = 0  # parts of its large object that others may make
    helpers: int = 0  # workers that have some of them


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent look at a job.

    `running` holds at most SHOWN_RUNNING tasks, those first whose lease ends first.
    """

    job: Job
    counts: Counts
    proof: Mapping[Proof, int]
    tasks: Mapping[TaskState, int]
    running: Sequence[RunningTask] = field(default_factory=tuple)
    objects_per_second: float = 0.0
    bytes_per_second: float = 0.0
    elapsed: float = 0.0  # seconds from the submit to the end, or to now
    seq: int = 0  # the last step's number, as `ScanState.seq`
    unkept: int = 0  # copied objects that lost something on the way, see `model.Mark`
    unchanged: Tally = NOTHING  # of `counts.skipped`, what the scan skipped
