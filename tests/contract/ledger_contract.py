"""What every ledger must do. A test file subclasses LedgerContract and gives a `ledger` fixture.

All objects of the tasks here have ten bytes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from ossimport.errors import JobExists, JobNotFound, LedgerBehind, StaleClaim
from ossimport.ledger.base import (
    SHOWN_RUNNING,
    Claim,
    EventKind,
    Flush,
    Held,
    Job,
    Ledger,
    PlannedTask,
    PlanStep,
    ScanFailure,
    ScanState,
    Snapshot,
)
from ossimport.model import (
    JobState,
    Lane,
    Mark,
    ObjectInfo,
    Outcome,
    Proof,
    Tally,
    TaskState,
    Upload,
)

SIZE = 10
LEASE = 60.0
DOWN = 5.0
JOB = Job("photos", 1_700_000_000_000, "fingerprint", b"\x00sealed\xff")
LEFT, COPIED, SKIPPED, FAILED = Mark.LEFT, Mark.COPIED_CRC64, Mark.SKIPPED, Mark.FAILED
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


class ConsoleContract:
    def test_a_job_reads_back_as_it_was_created(self, empty: Ledger) -> None:
        job = replace(JOB, state=JobState.ABORT, reason="caf\udce9", scan_finished=True, retries=3)
        empty.create_job(job)
        assert empty.job(JOB.name) == empty.settings(JOB.name) == job

    def test_the_same_job_may_be_created_again_but_not_another_of_its_name(
        self, ledger: Ledger
    ) -> None:
        ledger.set_state(JOB.name, JobState.ABORT, "stopped")
        ledger.create_job(JOB)
        assert ledger.job(JOB.name).state is JobState.ABORT
        with pytest.raises(JobExists, match="photos"):
            ledger.create_job(replace(JOB, created_ms=JOB.created_ms + 1))

    def test_jobs_are_listed_oldest_first_until_they_are_forgotten(self, ledger: Ledger) -> None:
        ledger.create_job(replace(JOB, name="newer", created_ms=JOB.created_ms + 1))
        ledger.create_job(replace(JOB, name="older", created_ms=JOB.created_ms - 1))
        assert ledger.jobs() == ["older", "photos", "newer"]
        ledger.forget_job("photos")
        ledger.forget_job("photos")
        assert ledger.jobs() == ["older", "newer"]

    @pytest.mark.parametrize(
        "ask",
        [
            lambda ledger: ledger.job("none"),
            lambda ledger: ledger.settings("none"),
            lambda ledger: ledger.snapshot("none"),
            lambda ledger: ledger.request_retry("none"),
            lambda ledger: ledger.uploads("none"),
            lambda ledger: ledger.hold_job("none", "m", 1),
            lambda ledger: ledger.drop_job("none", "m"),
            lambda ledger: ledger.scan_state("none"),
            lambda ledger: ledger.plan("none", step(1)),
            lambda ledger: ledger.finish_scan("none"),
            lambda ledger: ledger.dispatch("none", 1),
            lambda ledger: ledger.overdue("none", 0),
            lambda ledger: ledger.sent_again("none", ["T1"]),
            lambda ledger: ledger.running("none"),
            lambda ledger: ledger.take_back("none", "T1", 1),
            lambda ledger: ledger.outbox("none", 1),
            lambda ledger: ledger.acknowledge("none", "", []),
            lambda ledger: ledger.rescan_failures("none"),
            lambda ledger: ledger.retried("none", 1),
            lambda ledger: ledger.set_state("none", JobState.FAILED),
            lambda ledger: ledger.set_speed("none", 1, 1),
            lambda ledger: ledger.resume_at("none", ScanState(1, {}, False), step(1)),
        ],
    )
    def test_an_unknown_job_is_not_found(
        self, ledger: Ledger, ask: Callable[[Ledger], object]
    ) -> None:
        with pytest.raises(JobNotFound, match="none"):
            ask(ledger)
        assert ledger.jobs() == [JOB.name]

    def test_a_snapshot_adds_up(self, ledger: Ledger) -> None:
        failure = ScanFailure("dir/", "AccessDenied", "", Lane("dir/"))
        more = step(1, *map(planned, range(1, 6)), excluded=2, excluded_bytes=7, failures=[failure])
        ledger.plan(JOB.name, more)
        ledger.dispatch(JOB.name, 1)
        carry_out(ledger, "T2", COPIED, SKIPPED, Mark.VANISHED)
        carry_out(ledger, "T3", Mark.COPIED_SOURCE, FAILED, COPIED)
        claim = take(ledger, "T4")
        ledger.record(claim, flush(1, claim.marks, [SKIPPED, LEFT, LEFT], moving=4))
        ledger.set_speed(JOB.name, 2.5, 1e9)
        snapshot = ledger.snapshot(JOB.name)
        assert objects(snapshot) == {
            "listed": 18,
            "copied": 3,
            "skipped": 2,
            "failed": 2,
            "vanished": 1,
            "excluded": 2,
            "left": 8,
        }
        assert snapshot.counts.listed.bytes == 157
        assert snapshot.counts.left == Tally(8, 80)
        assert snapshot.counts.failed == Tally(2, 10)
        assert snapshot.counts.excluded == Tally(2, 7)
        assert snapshot.proof == {
            Proof.NONE: 0,
            Proof.SIZE: 0,
            Proof.CRC64: 2,
            Proof.SOURCE: 1,
        }
        assert tasks(snapshot) == {
            TaskState.PENDING: 1,
            TaskState.DISPATCHED: 1,
            TaskState.RUNNING: 1,
            TaskState.SUCCEED: 1,
            TaskState.FAILED: 1,
        }
        [row] = snapshot.running
        assert row[:4] == ("T4", "w1", claim.fence, False)
        assert row[4:] == (1, 3, 14, 30)
        assert (snapshot.objects_per_second, snapshot.bytes_per_second) == (2.5, 1e9)

    def test_a_snapshot_tells_of_some_running_tasks_and_running_of_all(
        self, ledger: Ledger
    ) -> None:
        count = SHOWN_RUNNING + 1
        ledger.plan(JOB.name, step(1, *(planned(n) for n in range(count))))
        for number in range(count):
            take(ledger, f"T{number}", f"w{number}", lease_s=LEASE - number % 7)
        shown = [row.task_id for row in ledger.snapshot(JOB.name).running]
        everything = [row.task_id for row in ledger.running(JOB.name)]
        assert len(everything) == count
        assert shown == everything[:SHOWN_RUNNING]
        assert int(everything[0].removeprefix("T")) % 7 == 6

    def test_elapsed_stops_when_the_job_closes_and_goes_on_when_it_reopens(
        self, ledger: Ledger
    ) -> None:
        ledger.set_state(JOB.name, JobState.FAILED, "2 tasks failed")
        closed = ledger.snapshot(JOB.name).elapsed
        assert closed > 0
        time.sleep(0.002)
        ledger.set_state(JOB.name, JobState.FAILED, "2 tasks failed")
        assert ledger.snapshot(JOB.name).elapsed == closed
        assert ledger.job(JOB.name).reason == "2 tasks failed"
        ledger.set_state(JOB.name, JobState.RUNNING)
        assert ledger.job(JOB.name).reason == ""
        until(lambda: ledger.snapshot(JOB.name).elapsed > closed)

    def test_a_retry_reopens_a_failed_job_once(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.finish_scan(JOB.name)
        assert ledger.request_retry(JOB.name) == 0
        carry_out(ledger, "T1", COPIED, FAILED, FAILED)
        ledger.set_state(JOB.name, JobState.FAILED, "why")
        assert ledger.request_retry(JOB.name) == 2
        assert ledger.request_retry(JOB.name) == 2
        job = ledger.job(JOB.name)
        assert (job.state, job.reason) == (JobState.RUNNING, "")
        assert (job.retries, job.retries_done) == (1, 0)
        ledger.retried(JOB.name, 1)
        ledger.retried(JOB.name, 0)
        assert ledger.job(JOB.name).retries_done == 1
        assert ledger.request_retry(JOB.name) == 0

    def test_a_retry_of_an_aborted_job_counts_what_is_left_too(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        carry_out(ledger, "T1", COPIED, COPIED, FAILED)
        ledger.stop_job(take(ledger, "T2"), "no such bucket")
        assert ledger.request_retry(JOB.name) == 4
        assert ledger.job(JOB.name).state is JobState.RUNNING

    def test_a_job_aborted_before_it_listed_anything_can_be_reopened(self, ledger: Ledger) -> None:
        ledger.set_state(JOB.name, JobState.ABORT, "access denied")
        assert ledger.request_retry(JOB.name) == 0
        assert ledger.job(JOB.name).state is JobState.RUNNING

    def test_a_job_aborted_after_its_last_object_can_be_reopened(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.finish_scan(JOB.name)
        claim = take(ledger, "T1")
        ledger.record(claim, flush(1, claim.marks, [COPIED] * 3))
        ledger.stop_job(claim, "cannot verify")
        assert ledger.request_retry(JOB.name) == 0
        assert ledger.dispatch(JOB.name, 9) == ["T1"]

    @pytest.mark.parametrize("state", [JobState.SUCCEED, JobState.ABORT])
    def test_a_retry_changes_nothing_when_nothing_is_to_be_redone(
        self, ledger: Ledger, state: JobState
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        carry_out(ledger, "T1", COPIED, COPIED, COPIED)
        ledger.finish_scan(JOB.name)
        ledger.set_state(JOB.name, state, "why")
        assert ledger.request_retry(JOB.name) == 0
        job = ledger.job(JOB.name)
        assert (job.state, job.reason, job.retries) == (state, "why", 0)

    def test_a_forgotten_job_leaves_its_workers_with_stale_claims(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        claim = take(ledger, "T1")
        ledger.forget_job(JOB.name)
        asks: list[Callable[[], None]] = [
            lambda: ledger.renew(claim, LEASE),
            lambda: ledger.record(claim, flush(1, claim.marks, [COPIED] * 3)),
            lambda: ledger.save_upload(claim, 0, UPLOAD),
            lambda: ledger.finish(claim, TaskState.SUCCEED),
            lambda: ledger.release(claim),
            lambda: ledger.stop_job(claim, "why"),
        ]
        for ask in asks:
            with pytest.raises(StaleClaim, match="T1"):
                ask()
        assert ledger.claim(JOB.name, "T2", "w1", LEASE) is None
        ledger.create_job(replace(JOB, created_ms=JOB.created_ms + 1))
        assert objects(ledger.snapshot(JOB.name)) == {}
        assert ledger.dispatch(JOB.name, 9) == []


class MasterContract:
    def test_one_master_holds_a_job_until_it_drops_it_or_its_lease_ends(
        self, ledger: Ledger
    ) -> None:
        assert ledger.hold_job(JOB.name, "m1", LEASE)
        assert ledger.hold_job(JOB.name, "m1", LEASE)
        assert not ledger.hold_job(JOB.name, "m2", LEASE)
        ledger.drop_job(JOB.name, "m2")
        assert not ledger.hold_job(JOB.name, "m2", LEASE)
        ledger.drop_job(JOB.name, "m1")
        assert ledger.hold_job(JOB.name, "m2", 0.02)
        until(lambda: ledger.hold_job(JOB.name, "m1", LEASE))

    def test_a_step_adds_tasks_and_moves_lanes_once(self, ledger: Ledger) -> None:
        first = PlanStep(1, {0: Lane("a\udce9", "m"), 1: Lane("", "z")}, [planned(1)])
        for _ in range(2):
            ledger.plan(JOB.name, first)
        moved = {0: Lane("a\udce9", "m"), 1: Lane("", "z")}
        assert ledger.scan_state(JOB.name) == ScanState(1, moved, False)
        ledger.plan(JOB.name, PlanStep(2, {0: None}, [planned(2)]))
        ledger.plan(JOB.name, first)
        assert ledger.scan_state(JOB.name) == ScanState(2, {1: Lane("", "z")}, False)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 6, "left": 6}
        assert ledger.dispatch(JOB.name, 9) == ["T1", "T2"]

    def test_a_missing_step_is_told(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        with pytest.raises(LedgerBehind, match="photos"):
            ledger.plan(JOB.name, step(3, planned(3)))
        assert ledger.scan_state(JOB.name).seq == 1
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 3, "left": 3}

    def test_a_task_that_is_there_already_is_not_added_again(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        carry_out(ledger, "T2", COPIED, COPIED, COPIED)
        ledger.plan(JOB.name, step(2, planned(1), planned(2), planned(3)))
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 9, "copied": 3, "left": 6}
        assert ledger.dispatch(JOB.name, 9) == ["T1", "T3"]

    def test_a_finished_scan_has_no_lanes(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, lanes={0: Lane("a")}))
        ledger.finish_scan(JOB.name)
        ledger.finish_scan(JOB.name)
        assert ledger.scan_state(JOB.name) == ScanState(1, {}, True)
        assert ledger.job(JOB.name).scan_finished

    def test_scan_failures_become_new_lanes_once(self, ledger: Ledger) -> None:
        bad = ScanFailure("d/", "AccessDenied", "no", Lane("d/\udce9", "d0"))
        worse = ScanFailure("e/", "Timeout", "no", Lane("e/", "e0"))
        ledger.plan(JOB.name, step(1, lanes={0: Lane("a"), 4: Lane("b")}, failures=[bad, worse]))
        ledger.finish_scan(JOB.name)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 2, "failed": 2}
        for _ in range(2):
            ledger.rescan_failures(JOB.name)
        assert objects(ledger.snapshot(JOB.name)) == {}
        assert ledger.scan_state(JOB.name) == ScanState(1, {5: bad.rescan, 6: worse.rescan}, False)
        ledger.plan(JOB.name, step(2, lanes={5: None, 6: None}))
        ledger.finish_scan(JOB.name)
        ledger.rescan_failures(JOB.name)
        assert ledger.scan_state(JOB.name).finished

    def test_tasks_are_dispatched_in_plan_order(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, *map(planned, (30, 4, 12))))
        assert ledger.dispatch(JOB.name, 0) == []
        assert ledger.dispatch(JOB.name, 2) == ["T30", "T4"]
        assert ledger.dispatch(JOB.name, 2) == ["T12"]
        assert ledger.dispatch(JOB.name, 2) == []

    def test_nothing_is_dispatched_while_the_job_is_not_running(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.set_state(JOB.name, JobState.ABORT, "why")
        assert ledger.dispatch(JOB.name, 9) == []
        ledger.set_state(JOB.name, JobState.RUNNING)
        assert ledger.dispatch(JOB.name, 9) == ["T1"]

    def test_a_dispatched_task_is_overdue_until_it_is_claimed_or_sent_again(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2), planned(3)))
        ledger.dispatch(JOB.name, 2)
        assert ledger.overdue(JOB.name, LEASE) == []
        assert ledger.overdue(JOB.name, 0) == ["T1", "T2"]
        take(ledger, "T1")
        assert ledger.overdue(JOB.name, 0) == ["T2"]
        until(lambda: ledger.overdue(JOB.name, 0.05) == ["T2"])
        ledger.sent_again(JOB.name, ["T1", "T2", "T3", "T9"])
        assert ledger.overdue(JOB.name, 0.05) == []
        assert ledger.overdue(JOB.name, 0) == ["T2"]
        assert ledger.dispatch(JOB.name, 9) == ["T3"]

    def test_a_task_taken_back_goes_to_the_front_with_its_outcomes(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        ledger.dispatch(JOB.name, 1)
        lost = take(ledger, "T1")
        ledger.record(lost, flush(1, lost.marks, [LEFT, COPIED, LEFT], "line\n"))
        assert not ledger.take_back(JOB.name, "T1", lost.fence - 1)
        assert ledger.take_back(JOB.name, "T1", lost.fence)
        assert not ledger.take_back(JOB.name, "T1", lost.fence)
        assert not ledger.take_back(JOB.name, "T9", lost.fence)
        with pytest.raises(StaleClaim):
            ledger.renew(lost, LEASE)
        assert ledger.dispatch(JOB.name, 1) == ["T1"]
        again = take(ledger, "T1", "w2")
        assert (again.marks, again.flushes) == (bytes([LEFT, COPIED, LEFT]), 1)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 6, "copied": 1, "left": 5}

    def test_the_outbox_tells_everything_in_order(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        first = take(ledger, "T1")
        ledger.record(first, flush(1, first.marks, [COPIED, LEFT, LEFT], "twelve bytes"))
        ledger.record(first, flush(2, [COPIED, LEFT, LEFT], [COPIED, LEFT, LEFT], moving=3))
        ledger.release(first)
        second = take(ledger, "T1", "w2")
        ledger.record(second, flush(3, second.marks, [COPIED, FAILED, SKIPPED], "more"))
        ledger.finish(second, TaskState.FAILED)
        events = ledger.outbox(JOB.name, 1000)
        assert [event.kind for event in events] == [
            *(EventKind.CLAIMED, EventKind.LOG, EventKind.RELEASED),
            *(EventKind.CLAIMED, EventKind.LOG, EventKind.ENDED),
        ]
        assert {event.task_id for event in events} == {"T1"}
        claimed, log, released, claimed_again, more, ended = events
        assert (claimed.worker, released.worker, claimed_again.worker) == ("w1", "w1", "w2")
        assert (log.offset, log.log) == (0, b"twelve bytes")
        assert (more.offset, more.log) == (12, b"more")
        assert (ended.offset, ended.state, ended.worker) == (16, TaskState.FAILED, "w2")
        assert ledger.outbox(JOB.name, 2) == events[:2]
        assert ledger.outbox(JOB.name, 0) == []

    def test_acknowledged_events_are_gone_for_good(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        carry_out(ledger, "T1", COPIED, COPIED, COPIED)
        first, second, third = ledger.outbox(JOB.name, 9)
        ledger.acknowledge(JOB.name, "", [])
        assert ledger.outbox(JOB.name, 9) == [first, second, third]
        for _ in range(2):
            ledger.acknowledge(JOB.name, second.id, [])
            assert ledger.outbox(JOB.name, 9) == [third]
        ledger.acknowledge(JOB.name, first.id, [])
        assert ledger.outbox(JOB.name, 9) == [third]
        ledger.acknowledge(JOB.name, third.id, ["T1"])
        ledger.plan(JOB.name, step(2, planned(2)))
        take(ledger, "T2")
        assert kinds(ledger) == [(EventKind.CLAIMED, "T2")]

    def test_a_failed_task_is_queued_again_with_what_it_had_done(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        claim = take(ledger, "T1")
        ledger.save_upload(claim, 2, UPLOAD)
        ledger.record(claim, flush(1, claim.marks, [COPIED, FAILED, FAILED], "three"))
        ledger.finish(claim, TaskState.FAILED)
        ledger.acknowledge(JOB.name, ledger.outbox(JOB.name, 9)[-1].id, ["T1"])
        left = bytes([COPIED, LEFT, LEFT])
        for _ in range(2):
            ledger.requeue(JOB.name, planned(1), marks=left, log_size=5, objects=2, bytes_=20)
        snapshot = ledger.snapshot(JOB.name)
        assert objects(snapshot) == {"listed": 6, "copied": 1, "left": 5}
        assert snapshot.counts.left.bytes == 50
        assert tasks(snapshot) == {TaskState.PENDING: 2}
        again = take(ledger, "T1", "w2")
        ledger.requeue(JOB.name, planned(1), marks=left, log_size=5, objects=2, bytes_=20)
        assert (again.manifest, again.marks) == (planned(1).manifest, left)
        assert (again.uploads, again.flushes) == ({2: UPLOAD}, 0)
        assert again.fence > claim.fence
        [row] = ledger.running(JOB.name)
        assert row[4:] == (1, 3, 10, 30)
        ledger.record(again, flush(1, left, [COPIED, COPIED, COPIED], "four"))
        assert ledger.outbox(JOB.name, 9)[-1].offset == 5
        ledger.finish(again, TaskState.SUCCEED)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 6, "copied": 3, "left": 3}

    def test_queueing_again_before_the_end_is_acknowledged_does_not_overwrite_its_log(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = carry_out(ledger, "T1", COPIED, COPIED, FAILED)
        left = bytes([COPIED, COPIED, LEFT])
        ledger.requeue(JOB.name, planned(1), marks=left, log_size=0, objects=1, bytes_=10)
        with pytest.raises(StaleClaim):
            ledger.finish(claim, TaskState.FAILED)
        ledger.acknowledge(JOB.name, "", ["T1"])
        again = take(ledger, "T1")
        ledger.record(again, flush(1, left, [COPIED] * 3, "more"))
        assert ledger.outbox(JOB.name, 9)[-1].offset == len("T1\n")

    def test_a_task_that_succeeded_is_not_queued_again(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        carry_out(ledger, "T1", COPIED, COPIED, COPIED)
        ledger.requeue(JOB.name, planned(1), marks=bytes(3), log_size=0, objects=3, bytes_=30)
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.SUCCEED: 1}

    def test_a_job_is_rebuilt_from_its_journal_even_if_the_rebuild_is_begun_again(
        self, ledger: Ledger
    ) -> None:
        failure = ScanFailure("d/", "Timeout", "", Lane("d/"))
        scan = ScanState(7, {2: Lane("k"), 3: Lane("q", "r")}, False)
        found = step(7, excluded=4, excluded_bytes=9, failures=[failure])
        marks = bytes([COPIED, LEFT, FAILED])
        some = {Outcome.COPIED: 1, Outcome.FAILED: 1}
        every = {Outcome.COPIED: 2, Outcome.FAILED: 1}

        def restore(number: int, state: TaskState, marks: bytes, had: dict[Outcome, int]) -> None:
            ledger.restore(
                JOB.name,
                planned(number),
                state,
                marks=marks,
                log_size=11,
                objects=had,
                bytes_={outcome: count * SIZE for outcome, count in had.items()},
                proof={Proof.CRC64: had.get(Outcome.COPIED, 0)},
            )

        for attempt in range(3):
            restore(3, TaskState.RUNNING, marks, some)
            restore(1, TaskState.SUCCEED, b"", {Outcome.COPIED: 3})
            restore(2, TaskState.FAILED, b"", every)
            restore(4, TaskState.PENDING, bytes(3), {})
            if attempt > 0:
                ledger.resume_at(JOB.name, scan, found)
        snapshot = ledger.snapshot(JOB.name)
        assert objects(snapshot) == {
            "listed": 17,
            "copied": 6,
            "failed": 3,
            "excluded": 4,
            "left": 4,
        }
        assert snapshot.counts.left.bytes == 40
        assert snapshot.proof[Proof.CRC64] == 6
        assert tasks(snapshot) == {
            TaskState.PENDING: 2,
            TaskState.SUCCEED: 1,
            TaskState.FAILED: 1,
        }
        assert ledger.scan_state(JOB.name) == scan
        assert ledger.dispatch(JOB.name, 9) == ["T3", "T4"]
        claim = take(ledger, "T3")
        assert (claim.marks, claim.flushes) == (marks, 0)
        ledger.record(claim, flush(1, marks, [COPIED, COPIED, COPIED], "x"))
        assert ledger.outbox(JOB.name, 9)[-1].offset == 11
        ledger.plan(JOB.name, step(8, planned(5)))
        ledger.rescan_failures(JOB.name)
        assert set(ledger.scan_state(JOB.name).lanes) == {2, 3, 4}


class WorkerContract:
    def test_a_claim_brings_all_that_the_work_needs(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1, objects=9)))
        claim = take(ledger, "T1")
        assert claim == Claim(
            job=JOB.name,
            task_id="T1",
            fence=claim.fence,
            worker="w1",
            manifest=planned(1).manifest,
            marks=bytes(9),
            uploads={},
            flushes=0,
        )

    def test_only_one_worker_holds_a_task(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.dispatch(JOB.name, 1)
        claim = take(ledger, "T1")
        assert ledger.claim(JOB.name, "T1", "w2", LEASE) == Held("w1", claim.fence)
        assert ledger.claim(JOB.name, "T1", "w2", LEASE, dead=1) == Held("w1", claim.fence)
        ledger.renew(claim, LEASE)

    def test_a_holder_that_asks_again_gets_a_new_fence(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        first, second = take(ledger, "T1"), take(ledger, "T1")
        assert second.fence > first.fence
        ledger.renew(second, LEASE)
        with pytest.raises(StaleClaim):
            ledger.renew(first, LEASE)

    def test_fences_grow_within_a_job(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, *map(planned, range(50))))
        fences = [take(ledger, f"T{number}").fence for number in range(50)]
        assert fences == sorted(set(fences))
        assert abs(fences[0] / 1000 - time.time()) < LEASE

    def test_a_task_whose_lease_has_expired_goes_to_the_next(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        late = take(ledger, "T1", lease_s=0)
        assert [row.expired for row in ledger.running(JOB.name)] == [True]
        assert take(ledger, "T1", "w2").fence > late.fence
        assert [row.expired for row in ledger.running(JOB.name)] == [False]
        with pytest.raises(StaleClaim):
            ledger.record(late, flush(1, late.marks, [COPIED, LEFT, LEFT]))

    def test_a_late_holder_keeps_a_task_that_nobody_took(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        late = take(ledger, "T1", lease_s=0)
        ledger.record(late, flush(1, late.marks, [COPIED, LEFT, LEFT]))
        ledger.renew(late, LEASE)
        assert ledger.claim(JOB.name, "T1", "w2", LEASE) == Held("w1", late.fence)

    def test_a_holder_seen_dead_loses_the_task_at_once(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        dead = take(ledger, "T1")
        taken = ledger.claim(JOB.name, "T1", "w2", LEASE, dead=dead.fence)
        assert isinstance(taken, Claim)
        with pytest.raises(StaleClaim):
            ledger.renew(dead, LEASE)
        assert isinstance(ledger.claim(JOB.name, "T1", "w3", LEASE, dead=dead.fence), Held)

    def test_there_is_nothing_to_claim_in_a_task_that_ended_or_never_was(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        carry_out(ledger, "T1", COPIED, COPIED, COPIED)
        assert ledger.claim(JOB.name, "T1", "w2", LEASE) is None
        ledger.acknowledge(JOB.name, ledger.outbox(JOB.name, 9)[-1].id, ["T1"])
        assert ledger.claim(JOB.name, "T1", "w2", LEASE) is None
        assert ledger.claim(JOB.name, "T9", "w2", LEASE) is None
        assert ledger.claim("none", "T1", "w2", LEASE) is None

    @pytest.mark.parametrize("state", [JobState.ABORT, JobState.FAILED, JobState.SUCCEED])
    def test_nothing_can_be_claimed_in_a_job_that_is_not_running(
        self, ledger: Ledger, state: JobState
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.set_state(JOB.name, state, "why")
        assert ledger.claim(JOB.name, "T1", "w1", LEASE) is None
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 1}

    def test_an_abort_stops_those_who_renew_but_lets_them_write_down_what_they_did(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        ledger.set_state(JOB.name, JobState.ABORT, "why")
        with pytest.raises(StaleClaim):
            ledger.renew(claim, LEASE)
        ledger.record(claim, flush(1, claim.marks, [COPIED, LEFT, LEFT]))
        ledger.release(claim)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 3, "copied": 1, "left": 2}

    def test_a_flush_counts_once(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        first = flush(1, claim.marks, [COPIED, COPIED, LEFT], "ab")
        second = flush(2, first.marks, [COPIED, COPIED, FAILED], "cd")
        for each in (first, first, second, first, second):
            ledger.record(claim, each)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 3, "copied": 2, "failed": 1}
        logs = [event for event in ledger.outbox(JOB.name, 9) if event.kind == EventKind.LOG]
        assert [(event.offset, event.log) for event in logs] == [(0, b"ab"), (2, b"cd")]
        again = take(ledger, "T1")
        assert (again.marks, again.flushes) == (bytes([COPIED, COPIED, FAILED]), 2)

    def test_an_outcome_can_be_taken_back(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        ledger.record(claim, flush(1, claim.marks, [COPIED] * 3))
        ledger.record(claim, flush(2, [COPIED] * 3, [COPIED, LEFT, FAILED]))
        snapshot = ledger.snapshot(JOB.name)
        assert objects(snapshot) == {"listed": 3, "copied": 1, "failed": 1, "left": 1}
        assert snapshot.counts.copied.bytes == 10
        assert snapshot.proof[Proof.CRC64] == 1
        assert [row[4:] for row in snapshot.running] == [(2, 3, 20, 30)]

    def test_a_flush_behind_a_lost_one_is_refused(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        with pytest.raises(StaleClaim):
            ledger.record(claim, flush(2, [COPIED, LEFT, LEFT], [COPIED, COPIED, LEFT]))
        assert take(ledger, "T1").marks == bytes(3)

    def test_a_flush_whose_sums_contradict_its_marks_is_refused(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        wrong = flush(1, claim.marks, [COPIED, COPIED, LEFT])._replace(objects={Outcome.COPIED: 3})
        with pytest.raises(ValueError, match="T1"):
            ledger.record(claim, wrong)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 3, "left": 3}

    def test_uploads_are_remembered_across_claims_until_they_are_forgotten(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        claim = take(ledger, "T1")
        other = UPLOAD._replace(upload_id="U2", parts={})
        ledger.save_upload(claim, 0, UPLOAD)
        ledger.save_upload(claim, 2, other)
        ledger.save_upload(take(ledger, "T2"), 1, None)
        ledger.release(claim)
        again = take(ledger, "T1", "w2")
        assert again.uploads == {0: UPLOAD, 2: other}
        with pytest.raises(StaleClaim):
            ledger.save_upload(claim, 0, None)
        assert sorted(ledger.uploads(JOB.name)) == sorted([UPLOAD, other])
        for _ in range(2):
            ledger.save_upload(again, 0, None)
        assert ledger.uploads(JOB.name) == [other]
        ledger.record(again, flush(1, again.marks, [COPIED, COPIED, FAILED]))
        ledger.finish(again, TaskState.FAILED)
        ledger.acknowledge(JOB.name, ledger.outbox(JOB.name, 9)[-1].id, ["T1"])
        assert ledger.uploads(JOB.name) == [other]

    def test_a_task_ends_once_and_only_by_its_holder(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = carry_out(ledger, "T1", COPIED, COPIED, COPIED)
        ledger.finish(claim, TaskState.SUCCEED)
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.SUCCEED: 1}
        assert kinds(ledger).count((EventKind.ENDED, "T1")) == 1
        for wrong, state in (
            (claim, TaskState.FAILED),
            (claim._replace(fence=claim.fence - 1), TaskState.SUCCEED),
            (claim._replace(task_id="T9"), TaskState.SUCCEED),
        ):
            with pytest.raises(StaleClaim):
                ledger.finish(wrong, state)
        assert not ledger.take_back(JOB.name, "T1", claim.fence)

    def test_a_task_cannot_end_while_an_object_has_no_outcome(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        ledger.record(claim, flush(1, claim.marks, [COPIED, COPIED, LEFT]))
        with pytest.raises(ValueError, match="T1"):
            ledger.finish(claim, TaskState.SUCCEED)
        ledger.renew(claim, LEASE)

    def test_a_released_task_is_pending_in_front(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2), planned(3)))
        ledger.dispatch(JOB.name, 2)
        claim = take(ledger, "T2")
        for _ in range(2):
            ledger.release(claim)
        assert kinds(ledger).count((EventKind.RELEASED, "T2")) == 1
        with pytest.raises(StaleClaim):
            ledger.renew(claim, LEASE)
        assert ledger.dispatch(JOB.name, 9) == ["T2", "T3"]
        ledger.release(claim)
        assert ledger.dispatch(JOB.name, 9) == []

    def test_a_fatal_error_hands_the_task_back_and_aborts_the_job(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        first, second = take(ledger, "T1"), take(ledger, "T2")
        ledger.stop_job(first, "NoSuchBucket: caf\udce9")
        elapsed = ledger.snapshot(JOB.name).elapsed
        ledger.stop_job(second, "the same again")
        job = ledger.job(JOB.name)
        assert (job.state, job.reason) == (JobState.ABORT, "NoSuchBucket: caf\udce9")
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 2}
        assert ledger.snapshot(JOB.name).elapsed == elapsed
        assert ledger.request_retry(JOB.name) == 6
        ledger.stop_job(first, "a reply was lost and the call repeated")
        assert ledger.job(JOB.name).state is JobState.RUNNING
        with pytest.raises(StaleClaim):
            ledger.stop_job(first._replace(fence=1), "why")


class LedgerContract(ConsoleContract, MasterContract, WorkerContract):
    """The whole contract. `empty` has no job, `ledger` has JOB."""

    @pytest.fixture
    def ledger(self, empty: Ledger) -> Ledger:
        empty.create_job(JOB)
        return empty
