"""What every ledger must do for an operator who steers jobs that go on."""

import time
from dataclasses import replace

import pytest

from ossimport.errors import JobNotFound, StaleClaim
from ossimport.ledger.base import USUAL_PRIORITY, Ledger, Orders
from ossimport.model import JobState, TaskState
from tests.contract.ledger_material import (
    COPIED,
    JOB,
    LEASE,
    carry_out,
    flush,
    objects,
    planned,
    step,
    take,
    tasks,
)


class SteeringContract:
    def test_a_paused_job_gives_nothing_away_and_takes_what_was_done(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, *map(planned, (1, 2, 3))))
        assert ledger.dispatch(JOB.name, 2) == ["T1", "T2"]
        claim = take(ledger, "T1")
        ledger.set_speed(JOB.name, 7, 8)
        assert ledger.pause(JOB.name)
        assert ledger.job(JOB.name) == replace(JOB, state=JobState.PAUSED)
        snapshot = ledger.snapshot(JOB.name)
        assert tasks(snapshot) == {TaskState.PENDING: 2, TaskState.RUNNING: 1}
        assert (snapshot.objects_per_second, snapshot.bytes_per_second) == (0, 0)
        assert ledger.claim(JOB.name, "T2", "w2", LEASE) is None
        assert ledger.dispatch(JOB.name, 9) == []
        assert ledger.orders(claim) == Orders(JobState.PAUSED)
        ledger.renew(claim, LEASE)
        ledger.record(claim, flush(1, claim.marks, (COPIED, 0, 0)))
        ledger.release(claim)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 9, "copied": 1, "left": 8}
        ledger.plan(JOB.name, step(2, planned(4)))
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 4}

    def test_a_paused_job_goes_on_in_plan_order(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, *map(planned, (1, 2, 3))))
        ledger.dispatch(JOB.name, 2)
        ledger.pause(JOB.name)
        assert ledger.set_state(JOB.name, JobState.RUNNING, only_if=JobState.PAUSED)
        assert ledger.dispatch(JOB.name, 9) == ["T1", "T2", "T3"]
        for task_id in ("T1", "T2", "T3"):
            carry_out(ledger, task_id, COPIED, COPIED, COPIED)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 9, "copied": 9}

    def test_a_pause_does_not_end_the_time_of_a_job(self, ledger: Ledger) -> None:
        ledger.pause(JOB.name)
        first, second = (ledger.snapshot(JOB.name).elapsed for _ in range(2))
        while second <= first:
            second = ledger.snapshot(JOB.name).elapsed

    @pytest.mark.parametrize("state", [JobState.ABORT, JobState.FAILED, JobState.SUCCEED])
    def test_only_a_running_job_is_paused(self, ledger: Ledger, state: JobState) -> None:
        ledger.set_state(JOB.name, state, "why")
        assert not ledger.pause(JOB.name)
        assert ledger.job(JOB.name) == replace(JOB, state=state, reason="why")

    def test_a_pause_between_two_rounds_changes_neither_reason_nor_time(
        self, ledger: Ledger
    ) -> None:
        ledger.set_state(JOB.name, JobState.RUNNING, "round 2: why", only_if=JobState.RUNNING)
        ledger.end_round(JOB.name, JOB.created_ms + 10**9)
        before = ledger.snapshot(JOB.name)
        assert ledger.pause(JOB.name)
        assert ledger.job(JOB.name).reason == "round 2: why"
        time.sleep(0.05)
        ledger.set_state(JOB.name, JobState.RUNNING, "round 2: why", only_if=JobState.PAUSED)
        after = ledger.snapshot(JOB.name)
        assert (after.job, after.elapsed) == (before.job, before.elapsed)

    def test_pausing_again_changes_nothing_and_a_retry_neither(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.pause(JOB.name)
        assert not ledger.pause(JOB.name)
        assert ledger.request_retry(JOB.name) == 0
        assert ledger.job(JOB.name) == replace(JOB, state=JobState.PAUSED)

    def test_a_fatal_error_leaves_a_paused_job_paused(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        ledger.pause(JOB.name)
        ledger.stop_job(claim, "NoSuchBucket")
        assert ledger.job(JOB.name) == replace(JOB, state=JobState.PAUSED)
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 1}

    def test_a_job_has_the_usual_priority_until_it_is_given_another(self, ledger: Ledger) -> None:
        assert ledger.job(JOB.name).priority == USUAL_PRIORITY
        ledger.set_priority(JOB.name, 0)
        assert ledger.snapshot(JOB.name).job == replace(JOB, priority=0)

    def test_nobody_steers_an_unknown_job(self, ledger: Ledger) -> None:
        with pytest.raises(JobNotFound):
            ledger.pause("nobody")
        with pytest.raises(JobNotFound):
            ledger.set_priority("nobody", 1)
        assert ledger.jobs() == [JOB.name]

    def test_orders_are_for_the_holder_only(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        first = take(ledger, "T1", lease_s=0)
        assert ledger.orders(first) == Orders(JobState.RUNNING)
        second = take(ledger, "T1", "w2")
        with pytest.raises(StaleClaim):
            ledger.orders(first)
        ledger.set_state(JOB.name, JobState.ABORT, "why")
        assert ledger.orders(second) == Orders(JobState.ABORT)
        ledger.release(second)
        with pytest.raises(StaleClaim):
            ledger.orders(second)

    def test_slots_are_those_of_the_workers_that_are_there(self, empty: Ledger) -> None:
        assert empty.slots() == 0
        empty.enlist("w1", 4, LEASE)
        empty.enlist("w 2", 8, LEASE)
        empty.enlist("w1", 4, LEASE)
        assert empty.slots() == 12
        empty.enlist("w1", 4, 0)
        assert empty.slots() == 8
        empty.enlist("w3", 1, 0.001)
        while empty.slots() != 8:
            pass
