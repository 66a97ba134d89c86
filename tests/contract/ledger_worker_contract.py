"""What every ledger must do for a worker."""

import time
from dataclasses import replace

import pytest

from ossimport.errors import StaleClaim
from ossimport.ledger.base import (
    Claim,
    EventKind,
    Held,
    Ledger,
)
from ossimport.model import (
    JobState,
    Outcome,
    Proof,
    TaskState,
)
from tests.contract.ledger_material import (
    COPIED,
    FAILED,
    JOB,
    LEASE,
    LEFT,
    LESS,
    UPLOAD,
    carry_out,
    flush,
    kinds,
    objects,
    planned,
    step,
    take,
    tasks,
)


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
            claims=1,
        )

    def test_every_claim_of_a_task_counts(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        first = take(ledger, "T1")
        assert isinstance(ledger.claim(JOB.name, "T1", "w2", LEASE), Held)
        second = take(ledger, "T1")
        ledger.release(second)
        third = take(ledger, "T1", "w2", lease_s=0)
        fourth = take(ledger, "T1", "w3")
        assert [claim.claims for claim in (first, second, third, fourth)] == [1, 2, 3, 4]
        assert take(ledger, "T2").claims == 1

    def test_claims_that_say_nothing_against_a_task_count_as_one(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        counted = []
        for _ in range(4):
            claim = take(ledger, "T1")
            counted.append(claim.claims)
            for _ in range(2):
                ledger.release(claim, counts=False)
        assert counted == [1, 2, 2, 2]

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
        assert [row[4:8] for row in snapshot.running] == [(2, 3, 20, 30)]

    def test_objects_that_lost_something_are_counted_once_and_taken_back(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        first = flush(1, claim.marks, [LESS, LESS, COPIED])
        for _ in range(2):
            ledger.record(claim, first)
        snapshot = ledger.snapshot(JOB.name)
        assert (snapshot.unkept, snapshot.proof[Proof.CRC64]) == (2, 3)
        ledger.record(claim, flush(2, first.marks, [LEFT, LESS, COPIED]))
        assert ledger.snapshot(JOB.name).unkept == 1
        assert take(ledger, "T1").marks == bytes([LEFT, LESS, COPIED])

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

    def test_a_remembered_upload_does_not_change_with_the_one_that_was_given(
        self, ledger: Ledger
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        mine = UPLOAD._replace(parts=dict(UPLOAD.parts))
        ledger.save_upload(claim, 0, mine)
        mine.parts[3] = ("etag3", 3)
        again = take(ledger, "T1")
        assert again.uploads == {0: UPLOAD}
        again.uploads[0].parts.clear()
        assert ledger.uploads(JOB.name) == [UPLOAD]

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
        with pytest.raises(StaleClaim, match="T1"):
            ledger.finish(claim, TaskState.SUCCEED)
        ledger.renew(claim, LEASE)
        assert kinds(ledger) == [(EventKind.CLAIMED, "T1")]

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

    def test_an_outage_lasts_from_its_first_word_until_something_else_is_said(
        self, ledger: Ledger
    ) -> None:
        assert ledger.outage(JOB.name, "waiting: caf\udce9") == 0
        time.sleep(0.06)
        assert ledger.outage(JOB.name, "waiting: refused") >= 0.06
        assert ledger.job(JOB.name) == replace(JOB, reason="waiting: refused")
        for said in ("", "waiting: for credentials"):
            ledger.set_state(JOB.name, JobState.RUNNING, said)
            assert ledger.outage(JOB.name, "waiting: refused") == 0
            time.sleep(0.06)
        ledger.pause(JOB.name)
        assert ledger.outage(JOB.name, "waiting: paused") == 0
        held = replace(JOB, state=JobState.PAUSED, reason="waiting: refused")
        assert ledger.job(JOB.name) == held
        ledger.set_state(JOB.name, JobState.RUNNING)
        assert ledger.outage(JOB.name, "waiting: refused") == 0
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.stop_job(take(ledger, "T1"), "NoSuchBucket")
        time.sleep(0.06)
        ledger.request_retry(JOB.name)
        assert ledger.outage(JOB.name, "waiting: refused") == 0

    @pytest.mark.parametrize("state", [JobState.ABORT, JobState.FAILED, JobState.SUCCEED])
    def test_a_fatal_error_does_not_write_over_the_reason_of_a_closed_job(
        self, ledger: Ledger, state: JobState
    ) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        ledger.set_state(JOB.name, state, "by hand")
        ledger.stop_job(claim, "NoSuchBucket")
        job = ledger.job(JOB.name)
        assert (job.state, job.reason) == (state, "by hand")
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 1}
