"""What every ledger must do for the operator."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from ossimport.errors import JobExists, JobNotFound, StaleClaim
from ossimport.ledger.base import (
    SHOWN_RUNNING,
    Ledger,
    ScanFailure,
    ScanState,
)
from ossimport.model import (
    JobState,
    Lane,
    Mark,
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
    SKIPPED,
    UPLOAD,
    carry_out,
    flush,
    objects,
    planned,
    step,
    take,
    tasks,
    until,
)


class ConsoleContract:
    def test_a_job_reads_back_as_it_was_created(self, empty: Ledger) -> None:
        job = replace(JOB, state=JobState.ABORT, reason="caf\udce9", scan_finished=True, retries=3)
        empty.create_job(job)
        assert empty.job(JOB.name) == empty.settings(JOB.name) == job

    def test_settings_sealed_anew_change_nothing_else(self, ledger: Ledger) -> None:
        ledger.reseal(JOB.name, b"\x00other\xff")
        assert ledger.job(JOB.name) == replace(JOB, settings=b"\x00other\xff")
        with pytest.raises(JobNotFound):
            ledger.reseal("nobody", b"")
        assert ledger.jobs() == [JOB.name]

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
            lambda ledger: ledger.finish_scan("none", 0),
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
        assert row[4:8] == (1, 3, 14, 30)
        assert (snapshot.objects_per_second, snapshot.bytes_per_second) == (2.5, 1e9)
        assert snapshot.seq == ledger.scan_state(JOB.name).seq == 1

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

    def test_a_job_is_closed_only_if_it_is_in_the_state_that_is_asked_for(
        self, ledger: Ledger
    ) -> None:
        assert not ledger.set_state(JOB.name, JobState.RUNNING, "x", only_if=JobState.ABORT)
        assert ledger.set_state(JOB.name, JobState.RUNNING, "waiting", only_if=JobState.RUNNING)
        assert ledger.job(JOB.name) == replace(JOB, reason="waiting")
        assert ledger.set_state(JOB.name, JobState.ABORT, "by hand", only_if=JobState.RUNNING)
        closed = ledger.snapshot(JOB.name)
        for state in (JobState.SUCCEED, JobState.RUNNING):
            assert not ledger.set_state(JOB.name, state, "late", only_if=JobState.RUNNING)
        assert ledger.snapshot(JOB.name) == closed
        assert (closed.job.state, closed.job.reason) == (JobState.ABORT, "by hand")
        assert ledger.set_state(JOB.name, JobState.FAILED)
        assert ledger.job(JOB.name).state is JobState.FAILED
        with pytest.raises(JobNotFound):
            ledger.set_state("none", JobState.FAILED, only_if=JobState.RUNNING)

    def test_a_retry_reopens_a_failed_job_once(self, ledger: Ledger) -> None:
        ledger.plan(JOB.name, step(1, planned(1)))
        ledger.finish_scan(JOB.name, 1)
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
        ledger.finish_scan(JOB.name, 1)
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
        ledger.finish_scan(JOB.name, 1)
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
