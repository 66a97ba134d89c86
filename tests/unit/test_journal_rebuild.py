"""A ledger that is lost or behind is rebuilt from the journal: random histories of a job."""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport.errors import JobExists, JobNotFound, LedgerBehind, ServiceError
from ossimport.journal import Journal, rebuild
from ossimport.ledger.base import Claim, EventKind, Flush, Job, PlanStep, Snapshot
from ossimport.ledger.memory import MemoryLedger
from ossimport.manifest import unpack
from ossimport.model import (
    JobState,
    Lane,
    Mark,
    Outcome,
    Proof,
    Scanned,
    Tally,
    Task,
    TaskState,
    mark_of,
)
from tests.unit.journal_parts import (
    JOB,
    NAME,
    WORKER,
    MortalDisk,
    excluded,
    log_text,
    make_task,
    planned,
    result,
    scan_failure,
)

OPEN = (TaskState.PENDING, TaskState.DISPATCHED, TaskState.RUNNING)
OUTCOMES = st.sampled_from([Outcome.COPIED, Outcome.SKIPPED, Outcome.FAILED, Outcome.VANISHED])


class World:
    """A job with its ledger, its journal and one worker, all moved by hand."""

    def __init__(self, master_dir: Path) -> None:
        self.journal = Journal(master_dir, NAME)
        self.ledger = MemoryLedger()
        self.ledger.create_job(JOB)
        self.journal.open(JOB)
        self.claims: list[Claim] = []
        self.planned = 0

    def plan(self, sizes: list[list[int]], odd: int, *, in_ledger: bool = True) -> None:
        state = self.journal.scan_state()
        tasks = [make_task(self.planned + i, each) for i, each in enumerate(sizes, 1)]
        self.planned += len(tasks)
        step = PlanStep(
            seq=state.seq + 1,
            lanes={0: Lane(f"after {self.planned}", "")},
            tasks=[planned(task) for task in tasks],
            excluded=odd,
            excluded_bytes=5 * odd,
            failures=[scan_failure(f"{state.seq}/{i}") for i in range(odd)],
        )
        entries: list[Scanned] = [excluded(f"{state.seq}-{i}") for i in range(odd)]
        lanes = {**state.lanes, 0: Lane(f"after {self.planned}", "")}
        self.journal.plan(step, tasks, lanes, entries)
        if in_ledger:
            self.ledger.plan(NAME, step)

    def finish_scan(self) -> None:
        self.ledger.finish_scan(NAME, self.journal.scan_state().seq)
        self.journal.finish_scan()

    def claim(self) -> None:
        for task_id in self.ledger.dispatch(NAME, 1):
            claim = self.ledger.claim(NAME, task_id, WORKER, 30)
            assert isinstance(claim, Claim)
            self.claims.append(claim)

    def copy(self, outcomes: list[Outcome]) -> None:
        """The oldest claim ends one object for each outcome, and itself if none is left."""
        if not self.claims:
            return
        claim = self.claims.pop(0)
        task = Task(NAME, claim.task_id, tuple(unpack(claim.manifest)))
        marks = bytearray(claim.marks)
        todo = [i for i, mark in enumerate(marks) if mark == Mark.LEFT][: len(outcomes)]
        objects: Counter[Outcome] = Counter()
        sizes: Counter[Outcome] = Counter()
        proof: Counter[Proof] = Counter()
        log, less = b"", 0
        for index, outcome in zip(todo, outcomes, strict=False):
            unkept = ("x-amz-tagging-count",) if index % 3 == 2 else ()
            ended = result(outcome, unkept=unkept)
            marks[index] = mark_of(outcome, ended.proof, is_less=bool(ended.unkept))
            less += Mark(marks[index]).is_less
            objects[outcome] += 1
            sizes[outcome] += task.objects[index].size
            proof.update([ended.proof] if outcome is Outcome.COPIED else [])
            log += log_text(task, [outcome], index, unkept)
        number = claim.flushes + 1
        packed = zstandard.compress(log)
        flush = Flush(number, bytes(marks), objects, sizes, proof, packed, len(log), unkept=less)
        self.ledger.record(claim, flush)
        if Mark.LEFT in marks:
            self.claims.append(claim._replace(marks=bytes(marks), flushes=number))
        else:
            failed = Mark.FAILED in marks
            self.ledger.finish(claim, TaskState.FAILED if failed else TaskState.SUCCEED)

    def release(self) -> None:
        if self.claims:
            self.ledger.release(self.claims.pop())

    def drain(self, limit: int = 10**6) -> None:
        events = self.ledger.outbox(NAME, limit)
        ended = []
        for event in events:
            if event.kind == EventKind.CLAIMED:
                self.journal.claimed(event.task_id, event.worker)
            elif event.kind == EventKind.RELEASED:
                self.journal.released(event.task_id)
            elif event.kind == EventKind.LOG:
                text = zstandard.decompress(event.log)
                self.journal.append(event.task_id, event.offset, text)
            elif event.state is not None:
                self.journal.ended(event.task_id, event.worker, event.state, event.offset)
                ended.append(event.task_id)
        self.journal.sync()
        self.ledger.acknowledge(NAME, events[-1].id if events else "", ended)

    def retry(self) -> None:
        self.drain()
        for stored in self.journal.failed_tasks():
            self.ledger.requeue(
                NAME,
                planned(stored.task),
                marks=stored.retry_marks,
                log_size=stored.log_size,
                objects=stored.totals.objects[Outcome.FAILED],
                bytes_=stored.totals.bytes[Outcome.FAILED],
            )
            self.journal.requeued(stored.task.task_id)
        self.ledger.rescan_failures(NAME)
        state = self.ledger.scan_state(NAME)
        if state.seq == self.journal.scan_state().seq:
            self.journal.rescanned(state)

    def lose_ledger(self) -> None:
        """Redis comes up empty, and a new master reads the journal."""
        self.journal = Journal(self.journal.root.parents[1], NAME)
        self.ledger = MemoryLedger()
        self.claims.clear()
        assert rebuild(self.journal, self.ledger) == (self.journal.scan_state().seq > 0)

    def assert_restored(self, before: Snapshot) -> None:
        """All is as it was, but that what failed in a task that did not end is left again."""
        after = self.look()
        ended = [each for each in self.journal.tasks() if each.state is TaskState.FAILED]
        failed = sum(each.totals.objects[Outcome.FAILED] for each in ended)
        assert after.counts.failed.objects == failed + len(self.journal.scan_failures())
        again = before.counts.failed.objects - after.counts.failed.objects
        assert again >= 0
        assert after.counts.left.objects == before.counts.left.objects + again
        assert replace(after.counts, failed=before.counts.failed) == before.counts
        assert (after.proof, after.unkept) == (before.proof, before.unkept)

    def look(self) -> Snapshot:
        snapshot = self.ledger.snapshot(NAME)
        assert snapshot.counts.left.objects >= 0
        assert snapshot.counts.left.bytes >= 0
        return snapshot


ACTIONS = st.one_of(
    st.tuples(
        st.just("plan"),
        st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=10), max_size=3),
        st.integers(0, 2),
    ),
    st.tuples(st.sampled_from(["claim", "release", "drain", "retry", "finish_scan"])),
    st.tuples(st.just("copy"), st.lists(OUTCOMES, max_size=12)),
    st.tuples(st.just("drain"), st.integers(1, 3)),
    st.tuples(st.just("lose_ledger")),
)
HISTORIES = st.lists(ACTIONS, max_size=25)


def snapshot_of(ledger: MemoryLedger) -> MemoryLedger:
    """What a Redis comes up with that has lost all that is done from now on."""
    earlier = MemoryLedger()
    earlier._records = copy.deepcopy(ledger._records)
    return earlier


@contextmanager
def a_world() -> Iterator[World]:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        MortalDisk(patch)
        yield World(Path(directory))


@settings(deadline=None, max_examples=50)
@given(HISTORIES)
def test_what_was_drained_so_far_is_in_a_rebuilt_ledger(history: list[tuple[str, ...]]) -> None:
    with a_world() as world:
        for name, *arguments in history:
            getattr(world, name)(*arguments)
        world.drain()
        before, scan = world.look(), world.ledger.scan_state(NAME)
        world.lose_ledger()
        world.assert_restored(before)
        after = world.look()
        assert sum(after.tasks[s] for s in OPEN) == sum(before.tasks[s] for s in OPEN)
        assert after.tasks[TaskState.SUCCEED] == before.tasks[TaskState.SUCCEED]
        assert after.tasks[TaskState.FAILED] == before.tasks[TaskState.FAILED]
        assert world.ledger.scan_state(NAME)[:2] == scan[:2]
        assert not rebuild(world.journal, world.ledger)
        assert world.look().counts == after.counts


@settings(deadline=None, max_examples=50)
@given(HISTORIES)
def test_a_job_whose_ledger_is_lost_still_comes_to_its_end(history: list[tuple[str, ...]]) -> None:
    with a_world() as world:
        for name, *arguments in history:
            getattr(world, name)(*arguments)
        listed = world.look().counts.listed
        world.lose_ledger()
        assert world.look().counts.listed == listed
        while world.look().counts.left.objects or any(world.look().tasks[s] for s in OPEN):
            world.claim()
            world.copy([Outcome.COPIED] * 100)
            world.drain()
        counts, unkept = world.look().counts, world.look().unkept
        world.lose_ledger()
        assert (world.look().counts, world.look().unkept) == (counts, unkept)


@settings(deadline=None, max_examples=50)
@given(HISTORIES, st.integers(1, 3), st.integers(0, 2))
def test_a_ledger_that_lacks_the_last_steps_gets_them_and_keeps_its_claims(
    history: list[tuple[str, ...]], missing: int, odd: int
) -> None:
    with a_world() as world:
        world.plan([[1, 2]], odd)
        for name, *arguments in history:
            getattr(world, name)(*arguments)
        world.claim()
        before = world.look()
        for _ in range(missing):
            world.plan([[3], [4]], odd, in_ledger=False)
        world.journal = Journal(world.journal.root.parents[1], NAME)
        assert rebuild(world.journal, world.ledger)
        after = world.look()
        assert after.counts.listed.objects == before.counts.listed.objects + missing * 2 * (1 + odd)
        assert after.counts.excluded.objects == before.counts.excluded.objects + missing * odd
        assert after.counts.failed.objects == before.counts.failed.objects + missing * odd
        assert after.running == before.running
        assert world.ledger.scan_state(NAME)[:2] == world.journal.scan_state()[:2]
        for claim in world.claims:
            world.ledger.renew(claim, 30)
        world.plan([[5]], 0)
        world.drain()
        before = world.look()
        world.lose_ledger()
        world.assert_restored(before)


def test_a_task_that_was_requeued_is_retried_also_by_a_rebuilt_ledger(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan([[1, 2, 3]], 0)
    world.claim()
    world.copy([Outcome.FAILED, Outcome.COPIED, Outcome.FAILED])
    world.retry()
    before = world.look()
    world.lose_ledger()
    assert world.look().counts == before.counts
    world.claim()
    (claim,) = world.claims
    assert list(claim.marks) == [Mark.LEFT, Mark.COPIED_CRC64, Mark.LEFT]
    assert claim.claims == 2
    world.copy([Outcome.COPIED] * 2)
    world.drain()
    assert (world.look().counts.copied, world.look().unkept) == (Tally(3, 6), 1)
    assert world.look().tasks[TaskState.SUCCEED] == 1


def test_a_task_that_a_worker_held_without_a_word_of_it_counts_as_claimed(tmp_path: Path) -> None:
    """Its worker may have begun an upload that nobody knows of."""
    world = World(tmp_path)
    world.plan([[1]], 0)
    world.claim()
    world.drain()
    world.lose_ledger()
    world.claim()
    assert [claim.claims for claim in world.claims] == [2]


def test_a_retry_that_the_ledger_forgot_is_made_good_by_the_next_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan([[1, 2, 3]], 0)
    world.claim()
    world.copy([Outcome.FAILED, Outcome.COPIED, Outcome.FAILED])
    world.drain()
    earlier = snapshot_of(world.ledger)
    world.retry()
    world.claim()
    world.drain()
    world.ledger = earlier
    world.claims.clear()
    world.retry()
    assert world.look().counts.failed.objects == 0
    assert world.look().counts.left == Tally(2, 4)
    world.claim()
    world.copy([Outcome.COPIED] * 2)
    world.drain()
    assert world.look().counts.copied == Tally(3, 6)


def test_failures_that_became_lanes_are_not_listed_again_by_a_ledger_that_forgot_it(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.plan([[1]], 2)
    world.finish_scan()
    earlier = snapshot_of(world.ledger)
    world.retry()
    lanes = world.ledger.scan_state(NAME).lanes
    assert len(lanes) == 2
    world.plan([[2]], 1)
    world.plan([[3]], 0)
    before, scan = world.look(), world.ledger.scan_state(NAME)
    world.ledger = earlier
    assert rebuild(world.journal, world.ledger)
    assert world.look().counts == before.counts
    assert world.ledger.scan_state(NAME) == world.journal.scan_state() == scan
    assert not scan.finished
    world.retry()
    assert len(world.ledger.scan_state(NAME).lanes) == len(scan.lanes) + 1 == 4


def test_failures_that_came_after_the_last_rescan_stay_failures(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan([[1]], 2)
    world.retry()
    world.plan([[2]], 1)
    earlier = snapshot_of(world.ledger)
    world.plan([[3]], 1)
    world.finish_scan()
    before = world.look()
    world.ledger = earlier
    assert rebuild(world.journal, world.ledger)
    assert world.look().counts == before.counts
    assert world.look().counts.failed.objects == 2
    assert world.look().job.scan_finished


class _Forgetful(MemoryLedger):
    """Loses each step at once, as a Redis that comes up again and again."""

    def plan(self, name: str, step: PlanStep) -> None:
        raise LedgerBehind(f"The ledger has lost steps of job {name}.")


def test_a_ledger_that_goes_on_losing_steps_is_told_of_with_a_cure(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan([[1]], 0)
    ledger = _Forgetful()
    ledger.create_job(JOB)
    step = PlanStep(1, {})
    ledger.resume_at(NAME, world.journal.scan_state(), step)
    world.plan([[2]], 0, in_ledger=False)
    with pytest.raises(ServiceError) as caught:
        rebuild(world.journal, ledger)
    assert str(world.journal.root) in str(caught.value)
    assert "Cure: " in str(caught.value)


def test_tasks_that_a_worker_held_are_pending_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan([[1, 2, 3, 4]], 0)
    world.claim()
    world.copy([Outcome.COPIED] * 3)
    world.drain()
    world.lose_ledger()
    (path,) = world.journal.root.rglob("TASK")
    assert path.parent.parent.name == "pending_tasks"
    assert world.look().unkept == 1
    world.claim()
    (claim,) = world.claims
    copied, less = Mark.COPIED_CRC64, Mark.COPIED_LESS_CRC64
    assert list(claim.marks) == [copied, copied, less, Mark.LEFT]


def test_an_ended_task_whose_log_lost_lines_is_copied_again_where_they_are_missing(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.plan([[1, 2, 3], [4]], 0)
    world.claim()
    world.copy([Outcome.COPIED, Outcome.FAILED, Outcome.COPIED])
    world.drain()
    (log,) = world.journal.root.rglob("audit.log")
    text = log.read_bytes()
    log.write_bytes(text[: text.index(b"\n") + 1] + b"\xff torn")
    world.lose_ledger()
    assert world.look().tasks[TaskState.PENDING] == 2
    assert world.look().counts.copied.objects == 1
    assert world.look().counts.left.objects == 3


def test_a_lost_done_file_costs_nothing_but_reading_the_log(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan([[1, 2, 3]], 0)
    world.claim()
    world.copy([Outcome.COPIED] * 3)
    world.drain()
    before = world.look()
    assert before.unkept == 1
    (done,) = world.journal.root.rglob("DONE")
    whole = done.read_text()
    wrong = whole.replace('"bytes": 6', '"bytes": "6"')
    assert wrong != whole
    for text in ("", "{}", '{"task": 1', "[]", "[" * 100_000, wrong):
        done.write_text(text)
        world.lose_ledger()
        assert world.look().counts == before.counts
        assert (world.look().proof, world.look().unkept) == (before.proof, 1)


def test_a_restored_ledger_has_the_job_with_its_settings(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan([[1]], 1)
    world.finish_scan()
    world.lose_ledger()
    job = world.ledger.job(NAME)
    assert job.settings == JOB.settings
    assert (job.fingerprint, job.created_ms) == (JOB.fingerprint, JOB.created_ms)
    assert job.scan_finished
    assert job.state is JobState.RUNNING


def test_an_empty_journal_and_another_job_of_the_name_are_errors(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    with pytest.raises(JobNotFound, match="holds no job"):
        rebuild(Journal(tmp_path, NAME), ledger)
    world = World(tmp_path)
    world.plan([[1]], 0)
    ledger.create_job(Job(NAME, 1, "", b""))
    with pytest.raises(JobExists):
        rebuild(world.journal, ledger)
