"""What the tests of the ledger share. All objects of the tasks here have ten bytes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ossimport.ledger.base import (
    Claim,
    Flush,
    Job,
    Ledger,
    PlannedTask,
    PlanStep,
    Snapshot,
)
from ossimport.model import (
    Mark,
    ObjectInfo,
    Outcome,
    Proof,
    TaskState,
    Upload,
)

SIZE = 10
LEASE = 60.0
DOWN = 60.0
JOB = Job("photos", 1_700_000_000_000, "fingerprint", b"\x00sealed\xff", job_type="audit")
LEFT, COPIED, SKIPPED, FAILED = Mark.LEFT, Mark.COPIED_CRC64, Mark.SKIPPED, Mark.FAILED
LESS = Mark.COPIED_LESS_CRC64
UPLOAD = Upload(
    key="caf\udce9.jpg",
    upload_id="U1",
    part_size=5,
    source=ObjectInfo("caf\udce9.jpg", SIZE, 7, "etag"),
    parts={1: ("etag1", 2**64 - 1), 2: ("etag2", 0)},
)


def planned(number: int, objects: int = 3) -> PlannedTask:
    return PlannedTask(f"T{number}", b"\x28manifest %d" % number, objects, objects * SIZE)


def step(seq: int, *tasks: PlannedTask, **more: object) -> PlanStep:
    return replace(PlanStep(seq, {}, tasks), **more)  # type: ignore[arg-type]  # fields of PlanStep


def less(marks: Sequence[int]) -> int:
    """How many of the marks say that something could not be kept."""
    return sum(Mark(mark).is_less for mark in marks)


def flush(
    number: int, before: Sequence[int], after: Sequence[int], text: str = "", moving: int = 0
) -> Flush:
    """The flush that turns one row of marks into another."""
    objects: dict[Outcome, int] = {}
    proof: dict[Proof, int] = {}
    for old, new in zip(map(Mark, before), map(Mark, after), strict=True):
        for mark, sign in ((old, -1), (new, 1)):
            if mark.outcome is not None:
                objects[mark.outcome] = objects.get(mark.outcome, 0) + sign
            if mark.proof is not None:
                proof[mark.proof] = proof.get(mark.proof, 0) + sign
    return Flush(
        number=number,
        marks=bytes(after),
        objects=objects,
        bytes_={outcome: count * SIZE for outcome, count in objects.items()},
        proof=proof,
        log=text.encode(),
        log_size=len(text),
        moving=moving,
        unkept=less(after) - less(before),
    )


def take(ledger: Ledger, task_id: str, worker: str = "w1", lease_s: float = LEASE) -> Claim:
    claim = ledger.claim(JOB.name, task_id, worker, lease_s)
    assert isinstance(claim, Claim)
    return claim


def carry_out(ledger: Ledger, task_id: str, *marks: Mark) -> Claim:
    """Claim a task, record its marks, and end it as they say."""
    claim = take(ledger, task_id)
    ledger.record(claim, flush(claim.flushes + 1, claim.marks, marks, f"{task_id}\n"))
    ledger.finish(claim, TaskState.FAILED if FAILED in marks else TaskState.SUCCEED)
    return claim


def kinds(ledger: Ledger) -> list[tuple[str, str]]:
    return [(event.kind, event.task_id) for event in ledger.outbox(JOB.name, 1000)]


def objects(snapshot: Snapshot) -> dict[str, int]:
    """Objects by outcome, those that are none left out."""
    names = ("listed", "copied", "skipped", "failed", "vanished", "excluded", "left")
    found = {name: getattr(snapshot.counts, name).objects for name in names}
    return {name: count for name, count in found.items() if count}


def tasks(snapshot: Snapshot) -> dict[TaskState, int]:
    return {state: count for state, count in snapshot.tasks.items() if count}


def until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + DOWN
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.005)
