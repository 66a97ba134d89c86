"""What a job waits for costs no object, shows in its reason, and is over by itself."""

from dataclasses import replace
from pathlib import Path

import pytest

from ossimport.errors import Fatal, LedgerUnavailable, Waiting
from ossimport.ledger.base import Flush, Job, PlannedTask, PlanStep
from ossimport.master import OUTAGE_PAUSE_S, TROUBLE_S
from ossimport.model import JobState, Lane, Mark, ObjectInfo, Outcome
from ossimport.patience import OUTAGE_S
from ossimport.sources.memory import MemoryScan
from tests.unit.cluster import JOB, Cluster
from workers.runtime import let_wait

ENDED = Waiting("the credentials expired", code="CredentialsExpired")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    made = Cluster(tmp_path)
    for number in range(40):
        made.source.put(f"k{number:02d}", b"x")
    return made


def test_an_outage_of_redis_is_told_once_and_so_is_its_end(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_answer() -> list[str]:
        raise LedgerUnavailable("Redis does not answer")

    cluster.submit()
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(cluster.ledger, "jobs", no_answer)
            for _ in range(5):
                assert not cluster.master.step()
                cluster.now += OUTAGE_PAUSE_S
        cluster.master.step()
    told = [record.message for record in caplog.records if "Redis" in record.message]
    assert told == ["Redis does not answer", "Redis answers again"] * 2
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_scan_that_has_to_wait_goes_on_where_it_was(cluster: Cluster) -> None:
    scan, waits = cluster.source.scan, True

    def held_up(lane: Lane) -> MemoryScan:
        if waits:
            raise ENDED
        return scan(lane)

    cluster.source.scan = held_up  # type: ignore[method-assign]
    cluster.submit()
    for _ in range(200):
        cluster.master.step()
    job = cluster.ledger.job(JOB.name)
    assert (job.state, job.reason) == (JobState.RUNNING, "waiting: the credentials expired")
    waits = False
    cluster.now += TROUBLE_S
    snapshot = cluster.work()
    assert (snapshot.job.state, snapshot.job.reason) == (JobState.SUCCEED, "")
    assert snapshot.counts.copied.objects == 40


def test_a_scan_that_was_stopped_before_it_found_anything_goes_on_after_a_retry(
    cluster: Cluster,
) -> None:
    scan = cluster.source.scan

    def refuse(lane: Lane) -> MemoryScan:
        raise Fatal("the token expired", code="SecurityTokenExpired")

    cluster.source.scan = refuse  # type: ignore[method-assign]
    cluster.submit()
    assert cluster.work().job.state is JobState.ABORT
    cluster.source.scan = scan  # type: ignore[method-assign]
    cluster.ledger.request_retry(JOB.name)
    snapshot = cluster.work()
    assert (snapshot.job.state, snapshot.counts.copied.objects) == (JobState.SUCCEED, 40)


def test_a_task_that_has_to_wait_is_handed_back_with_what_it_has_done(cluster: Cluster) -> None:
    def end(info: ObjectInfo) -> None:
        if info.key >= "k05":
            raise ENDED

    cluster.source.on_read = end
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    cluster.deliver()
    before = cluster.snapshot()
    assert before.counts.failed.objects == 0
    assert 0 < before.counts.copied.objects < 10
    cluster.source.on_read = None
    snapshot = cluster.work()
    assert (snapshot.job.state, snapshot.counts.copied.objects) == (JobState.SUCCEED, 40)


@pytest.mark.parametrize("why", ["the job waits", "the worker stops"])
def test_a_task_that_is_handed_back_again_and_again_is_not_taken_for_one_that_never_ends(
    cluster: Cluster, why: str
) -> None:
    def end(info: ObjectInfo) -> None:
        raise ENDED

    cluster.source.on_read = end if why == "the job waits" else None
    cluster.stopping = lambda: why == "the worker stops"
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    task_id = cluster.messages.pop(0)
    for _ in range(5):
        claim = cluster.claim(task_id)
        assert claim is not None
        assert claim.claims <= 2
        cluster.run(claim)
    cluster.source.on_read, cluster.stopping = None, lambda: False
    assert cluster.work().counts.copied.objects == 40


def test_a_worker_s_reason_stays_until_something_is_done(cluster: Cluster) -> None:
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    cluster.ledger.set_state(JOB.name, JobState.RUNNING, "waiting: for a worker's file")
    for _ in range(5):
        cluster.master.step()
    assert cluster.ledger.job(JOB.name).reason == "waiting: for a worker's file"
    assert cluster.work().job.reason == ""


def test_an_outage_stops_the_job_only_when_nothing_was_done_for_minutes(cluster: Cluster) -> None:
    refused = Waiting("the source refuses every request", code="Outage")
    cluster.submit()

    def wait(seconds: float) -> Job:
        cluster.now += seconds
        let_wait(cluster.ledger, JOB.name, refused)
        return cluster.ledger.job(JOB.name)

    assert wait(0) == replace(JOB, reason=f"waiting: {refused}")
    assert wait(OUTAGE_S - 1).state is JobState.RUNNING
    cluster.ledger.set_state(JOB.name, JobState.RUNNING)  # the master saw that something was done
    assert wait(OUTAGE_S - 1).state is JobState.RUNNING
    let_wait(cluster.ledger, JOB.name, ENDED)  # for something else
    assert wait(OUTAGE_S).state is JobState.RUNNING
    stopped = wait(OUTAGE_S)
    assert stopped.state is JobState.ABORT
    assert stopped.reason.startswith("Outage: ")
    assert "Cure: " in stopped.reason
    assert cluster.snapshot().counts.failed.objects == 0
    cluster.ledger.request_retry(JOB.name)
    assert cluster.work().counts.copied.objects == 40


def test_credentials_are_waited_for_as_long_as_it_takes(cluster: Cluster) -> None:
    cluster.submit()
    for _ in range(3):
        cluster.now += 10 * OUTAGE_S
        let_wait(cluster.ledger, JOB.name, ENDED)
    assert cluster.ledger.job(JOB.name).state is JobState.RUNNING


@pytest.mark.parametrize("moves", ["objects", "bytes"])
def test_a_worker_that_is_cut_off_stops_no_job_that_comes_along_elsewhere(
    cluster: Cluster, moves: str
) -> None:
    """Be it by objects while the scan finds more of them, or by bytes of one that takes hours."""
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    claim = cluster.claim(cluster.messages.pop(0))
    assert claim is not None
    cluster.ledger.renew(claim, 100 * OUTAGE_S)
    marks = bytearray(claim.marks)
    for number in range(1, 9):
        cluster.now += OUTAGE_S / 2
        flush = Flush(number, bytes(marks), {}, {}, {}, b"", 0, moving=number << 20)
        if moves == "objects":
            marks[number] = Mark.SKIPPED
            flush = flush._replace(marks=bytes(marks), objects={Outcome.SKIPPED: 1}, moving=0)
        cluster.ledger.record(claim, flush)
        let_wait(cluster.ledger, JOB.name, Waiting("it refuses every request", code="Outage"))
        seq = cluster.ledger.scan_state(JOB.name).seq
        cluster.ledger.plan(JOB.name, PlanStep(seq + 1, {}, [PlannedTask(f"T{seq}", b"", 2, 2)]))
        cluster.master.step()
    assert cluster.ledger.job(JOB.name).state is JobState.RUNNING
