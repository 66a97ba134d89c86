"""What every ledger must do for the master."""

from dataclasses import replace

import pytest

from ossimport.errors import JobNotFound, LedgerBehind, StaleClaim
from ossimport.ledger.base import (
    EventKind,
    Ledger,
    PlanStep,
    ScanFailure,
    ScanState,
)
from ossimport.model import (
    Counts,
    JobState,
    Lane,
    Outcome,
    Proof,
    Tally,
    TaskState,
)
from tests.contract.ledger_material import (
    COPIED,
    FAILED,
    JOB,
    LEASE,
    LEFT,
    LESS,
    SIZE,
    SKIPPED,
    UPLOAD,
    carry_out,
    flush,
    kinds,
    objects,
    planned,
    step,
    take,
    tasks,
    until,
)


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
        ledger.finish_scan(JOB.name, 1)
        ledger.finish_scan(JOB.name, 1)
        assert ledger.scan_state(JOB.name) == ScanState(1, {}, True)
        assert ledger.job(JOB.name).scan_finished

    @pytest.mark.parametrize("last", [1, 3])
    def test_a_scan_whose_last_step_is_another_one_is_not_finished(
        self, ledger: Ledger, last: int
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1), lanes={0: Lane("a")}))
        ledger.plan(JOB.name, step(2))
        with pytest.raises(LedgerBehind, match="photos"):
            ledger.finish_scan(JOB.name, last)
        assert ledger.scan_state(JOB.name) == ScanState(2, {0: Lane("a")}, False)

    def test_a_step_with_an_unfinished_lane_takes_the_end_of_the_scan_back(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, lanes={0: Lane("a")}))
        ledger.finish_scan(JOB.name, 1)
        ledger.plan(JOB.name, step(2, planned(2), lanes={0: None}))
        assert ledger.scan_state(JOB.name) == ScanState(2, {}, True)
        ledger.plan(JOB.name, step(3, lanes={1: Lane("d/", "d0"), 2: None}))
        assert ledger.scan_state(JOB.name) == ScanState(3, {1: Lane("d/", "d0")}, False)
        ledger.finish_scan(JOB.name, 3)
        assert ledger.scan_state(JOB.name) == ScanState(3, {}, True)

    def test_scan_failures_become_new_lanes_once(self, ledger: Ledger) -> None:
        bad = ScanFailure("d/", "AccessDenied", "no", Lane("d/\udce9", "d0"))
        worse = ScanFailure("e/", "Timeout", "no", Lane("e/", "e0"))
        ledger.plan(JOB.name, step(1, lanes={0: Lane("a"), 4: Lane("b")}, failures=[bad, worse]))
        ledger.finish_scan(JOB.name, 1)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 2, "failed": 2}
        for _ in range(2):
            ledger.rescan_failures(JOB.name)
        assert objects(ledger.snapshot(JOB.name)) == {}
        assert ledger.scan_state(JOB.name) == ScanState(1, {5: bad.rescan, 6: worse.rescan}, False)
        ledger.plan(JOB.name, step(2, lanes={5: None, 6: None}))
        ledger.finish_scan(JOB.name, 2)
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
        assert (again.uploads, again.flushes, again.claims) == ({2: UPLOAD}, 0, 2)
        assert again.fence > claim.fence
        [row] = ledger.running(JOB.name)
        assert row[4:8] == (1, 3, 10, 30)
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
        marks = bytes([LESS, LEFT, FAILED])
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
                unkept=min(had.get(Outcome.COPIED, 0), 2),
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
        assert (snapshot.proof[Proof.CRC64], snapshot.unkept) == (6, 5)
        assert tasks(snapshot) == {
            TaskState.PENDING: 2,
            TaskState.SUCCEED: 1,
            TaskState.FAILED: 1,
        }
        assert ledger.scan_state(JOB.name) == scan
        assert ledger.dispatch(JOB.name, 9) == ["T3", "T4"]
        claim = take(ledger, "T3")
        assert (claim.marks, claim.flushes) == (marks, 0)
        assert (claim.claims, take(ledger, "T3").claims) == (2, 3)
        claim = take(ledger, "T3")
        ledger.record(claim, flush(1, marks, [LESS, COPIED, COPIED], "x"))
        assert ledger.snapshot(JOB.name).unkept == 5
        assert ledger.outbox(JOB.name, 9)[-1].offset == 11
        ledger.plan(JOB.name, step(8, planned(5)))
        ledger.rescan_failures(JOB.name)
        assert set(ledger.scan_state(JOB.name).lanes) == {2, 3, 4}

    @pytest.mark.parametrize(
        ("state", "marks", "log_size", "claims"),
        [
            (TaskState.PENDING, bytes(3), 0, 1),
            (TaskState.DISPATCHED, bytes(3), 0, 1),
            (TaskState.RUNNING, bytes(3), 0, 2),
            (TaskState.PENDING, bytes([LEFT, LEFT, COPIED]), 0, 2),
            (TaskState.PENDING, bytes(3), 1, 2),
        ],
    )
    def test_a_restored_task_that_had_begun_counts_as_claimed_once(
        self, ledger: Ledger, state: TaskState, marks: bytes, log_size: int, claims: int
    ) -> None:
        had = {Outcome.COPIED: marks.count(COPIED)}
        ledger.restore(
            JOB.name,
            planned(1),
            state,
            marks=marks,
            log_size=log_size,
            objects=had,
            bytes_={outcome: count * SIZE for outcome, count in had.items()},
            proof={},
            unkept=0,
        )
        assert take(ledger, "T1").claims == claims

    def test_what_the_scan_found_unchanged_is_listed_and_skipped(self, ledger: Ledger) -> None:
        first = PlanStep(1, {0: None}, [planned(1)], unchanged=Tally(4, 40))
        for _ in range(2):
            ledger.plan(JOB.name, first)
        snapshot = ledger.snapshot(JOB.name)
        assert objects(snapshot) == {"listed": 7, "skipped": 4, "left": 3}
        assert snapshot.counts.skipped == snapshot.unchanged == Tally(4, 40)
        assert snapshot.counts.listed.bytes == 3 * SIZE + 40

    def test_an_upload_that_was_aborted_is_forgotten(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        other = UPLOAD._replace(upload_id="U2")
        for task_id, uploads in {"T1": [UPLOAD, other], "T2": [UPLOAD._replace(key="b")]}.items():
            claim = take(ledger, task_id)
            for index, upload in enumerate(uploads):
                ledger.save_upload(claim, index, upload)
            ledger.record(claim, flush(1, [LEFT] * 3, [FAILED] * 3))
            ledger.finish(claim, TaskState.FAILED)
        for told in ledger.uploads(JOB.name):
            if told != other:
                for _ in range(2):
                    ledger.forget_upload(JOB.name, told)
        assert ledger.uploads(JOB.name) == [other]
        ledger.forget_upload(JOB.name, other)
        assert ledger.uploads(JOB.name) == []
        with pytest.raises(JobNotFound):
            ledger.forget_upload("no_such_job", other)

    def test_a_round_begins_with_nothing_but_what_was_set_for_the_job(self, ledger: Ledger) -> None:
        failure = ScanFailure("k", "AccessDenied", "no", Lane("a", "b"))
        ledger.plan(
            JOB.name,
            PlanStep(1, {3: Lane("x")}, [planned(1), planned(2)], 2, 20, [failure], Tally(1, 10)),
        )
        claim = take(ledger, "T1")
        ledger.save_upload(claim, 0, UPLOAD)
        ledger.record(claim, flush(1, [LEFT] * 3, [LESS, FAILED, LEFT]))
        ledger.reseal(JOB.name, b"other")
        ledger.end_round(JOB.name, 4_000)
        assert ledger.job(JOB.name).next_round_ms == 4_000
        fresh = replace(JOB, created_ms=JOB.created_ms + 1, round=2)
        for _ in range(2):
            ledger.begin_round(fresh)
        snapshot = ledger.snapshot(JOB.name)
        assert snapshot.job == replace(fresh, settings=b"other")
        assert snapshot.counts == Counts()
        assert (snapshot.unchanged, snapshot.unkept, snapshot.seq) == (Tally(), 0, 0)
        assert not any(snapshot.proof.values())
        assert not any(snapshot.tasks.values())
        assert ledger.scan_state(JOB.name) == ScanState(0, {}, False)
        assert ledger.outbox(JOB.name, 9) == []
        assert ledger.uploads(JOB.name) == [UPLOAD]
        with pytest.raises(StaleClaim):
            ledger.record(claim, flush(2, [LESS, FAILED, LEFT], [COPIED] * 3))
        ledger.plan(JOB.name, step(1, planned(1)))
        again = take(ledger, "T1")
        assert again.fence > claim.fence
        assert again.flushes == 0
        assert not any(again.marks)
