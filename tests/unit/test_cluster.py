"""Whatever is listed, delivered twice, killed or lost: the destination equals the source."""

import asyncio
import copy
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport import identity
from ossimport.dest.base import Body, Stored
from ossimport.dest.memory import MemoryDestination
from ossimport.dispatch import LOST_AFTER_S
from ossimport.errors import Fatal, LedgerUnavailable, Permanent, Transient
from ossimport.journal import Journal, rebuild
from ossimport.ledger.base import Claim, Orders, Snapshot
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import JobState, Lane, Mark, ObjectInfo, Proof, TaskState
from ossimport.sources.base import Payload
from ossimport.sources.memory import MemoryScan
from tests.unit.cluster import JOB, Cluster

KEYS = st.text(st.sampled_from("ab/é"), min_size=1, max_size=6).filter(
    lambda key: not key.startswith("/")
)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def fill(cluster: Cluster, number: int) -> dict[str, bytes]:
    bodies = {f"k{index:04d}": b"x" * (index % 7) for index in range(number)}
    for key, body in bodies.items():
        cluster.source.put(key, body)
    return bodies


@settings(max_examples=25, deadline=None)
@given(
    bodies=st.dictionaries(KEYS, st.binary(max_size=50), min_size=1, max_size=60),
    max_objects=st.integers(1, 20),
    max_bytes=st.integers(1, 200),
    times=st.integers(1, 2),
)
def test_the_destination_equals_the_source(
    bodies: dict[str, bytes], max_objects: int, max_bytes: int, times: int
) -> None:
    with TemporaryDirectory() as directory:
        cluster = Cluster(Path(directory), max_objects=max_objects, max_bytes=max_bytes)
        for key, body in bodies.items():
            cluster.source.put(key, body)
        cluster.submit()
        snapshot = cluster.work(times)
        assert snapshot.job.state is JobState.SUCCEED
        assert cluster.stored() == bodies
        assert snapshot.counts.copied.objects == len(bodies)
        assert snapshot.counts.copied.bytes == sum(map(len, bodies.values()))
        assert snapshot.proof[Proof.CRC64] == len(bodies)
        assert len(cluster.source.reads) == len(bodies), "each object is read once"
        assert len(cluster.sent) == len(set(cluster.sent)), "each task is sent once"


def test_a_master_that_is_killed_after_any_step_is_replaced(cluster: Cluster) -> None:
    bodies = fill(cluster, 100)
    cluster.submit()
    for _ in range(12):
        cluster.master.step()
        if cluster.messages:
            cluster.deliver()
        cluster.now += 20  # the dead one's lease runs out
        cluster.master = cluster.new_master()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    assert snapshot.counts.listed.objects == 100


def test_threads_that_scan_ask_the_ledger_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they met there would stop the job; the master waits for a ledger that is away."""
    slots, master = cluster.ledger.slots, threading.current_thread()

    def only_for_the_master() -> int:
        if threading.current_thread() is not master:
            raise LedgerUnavailable("Redis does not answer")
        return slots()

    monkeypatch.setattr(cluster.ledger, "slots", only_for_the_master)
    fill(cluster, 100)
    cluster.submit()
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_second_master_waits_while_the_first_one_lives(cluster: Cluster) -> None:
    fill(cluster, 5)
    cluster.submit()
    cluster.ledger.hold_job(JOB.name, "elsewhere:1:then", 15)
    assert not cluster.master.step()
    assert cluster.sent == []
    cluster.now += 16
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_lost_message_is_sent_again(cluster: Cluster) -> None:
    fill(cluster, 5)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    cluster.messages.clear()
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_message_that_a_worker_has_just_taken_is_not_lost(cluster: Cluster) -> None:
    fill(cluster, 5)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    cluster.now += LOST_AFTER_S + 1  # the message has waited in line for all that time
    (taken,) = cluster.messages
    cluster.messages.clear()
    cluster.master.step()
    assert cluster.sent == [taken]
    claim = cluster.claim(taken)
    assert claim is not None
    cluster.now += 1.1
    cluster.master.step()
    assert cluster.sent == [taken]
    cluster.run(claim)
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_task_of_a_dead_worker_is_taken_back_at_once(cluster: Cluster) -> None:
    fill(cluster, 5)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    dead = identity.name_of(identity.Identity(999999, "never"), "here")
    claim = cluster.claim(cluster.messages.pop(), dead)
    assert claim is not None
    cluster.now += 1.1
    cluster.master.step()
    assert cluster.snapshot().tasks[TaskState.RUNNING] == 0
    cluster.run(claim)  # it was only slow: its writes are refused
    assert cluster.snapshot().counts.copied.objects == 0
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_task_of_another_host_is_taken_back_when_its_lease_ends(cluster: Cluster) -> None:
    fill(cluster, 5)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    assert cluster.claim(cluster.messages.pop(), "elsewhere:1:then")
    cluster.now += 29
    cluster.master.step()
    assert cluster.snapshot().tasks[TaskState.RUNNING] == 1
    cluster.now += 2
    cluster.master.step()
    assert cluster.snapshot().tasks[TaskState.RUNNING] == 0
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_ledger_that_came_up_empty_is_restored(cluster: Cluster) -> None:
    bodies = fill(cluster, 100)
    cluster.submit()
    for _ in range(6):
        cluster.master.step()
        if cluster.messages:
            cluster.deliver()
    done = cluster.snapshot().counts.copied.objects
    assert 0 < done < 100
    cluster.master.step()
    cluster.master.close()
    cluster.ledger.forget_job(JOB.name)
    cluster.messages.clear()
    cluster.master = cluster.new_master()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    assert snapshot.counts.listed.objects == 100
    assert len(cluster.source.reads) < 200


class Picky(MemoryDestination):
    """Refuses some keys, and loses others after it has acknowledged them."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, Exception] = {}
        self.lost: dict[str, int] = {}

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        if key in self.refused:
            raise self.refused[key]
        stored = await super().put(key, body, headers)
        if self.lost.get(key, 0):
            self.lost[key] -= 1
            del self.objects[key]
        return stored


@pytest.fixture
def picky(cluster: Cluster) -> Picky:
    cluster.dest = Picky()
    return cluster.dest


def test_retry_copies_what_failed_and_nothing_else(cluster: Cluster, picky: Picky) -> None:
    bodies = fill(cluster, 60)
    picky.refused = {
        "to/k0003": Permanent("no", code="AccessDenied"),
        "to/k0040": Transient("later", code="Throttled"),
    }
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.FAILED
    assert (snapshot.counts.copied.objects, snapshot.counts.failed.objects) == (58, 2)
    reads = len(cluster.source.reads)
    assert reads == 60, "what failed is not copied again by the verification"

    del picky.refused["to/k0003"]
    assert cluster.ledger.request_retry(JOB.name) == 2
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.FAILED
    assert snapshot.counts.failed.objects == 1
    assert {key for key, _, _ in cluster.source.reads[reads:]} == {"k0003", "k0040"}

    picky.refused.clear()
    cluster.ledger.request_retry(JOB.name)
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    assert snapshot.counts.copied.objects == 60


def test_an_object_that_was_acknowledged_and_is_not_listed_is_copied_again(
    cluster: Cluster, picky: Picky
) -> None:
    bodies = fill(cluster, 20)
    picky.lost = {"to/k0007": 1}
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    assert snapshot.counts.copied.objects == 20
    assert snapshot.proof[Proof.CRC64] == 20


def test_objects_that_lose_something_are_counted_once(cluster: Cluster, picky: Picky) -> None:
    """Also those that are not there when they are looked for, and in a ledger that is rebuilt."""
    fill(cluster, 40)
    picky.lost = {"to/k0006": 1, "to/k0008": 99, "to/k0009": 1}
    read = cluster.source.read

    async def read_less(info: ObjectInfo, offset: int, length: int) -> Payload:
        payload = await read(info, offset, length)
        return payload._replace(headers={"x-amz-tagging-count": str(int(info.key[1:]) % 2)})

    async def read_all_less(info: ObjectInfo, offset: int, length: int) -> Payload:
        payload = await read(info, offset, length)
        return payload._replace(headers={"x-amz-meta-a.b": "c"}, meta_prefix="x-amz-meta-")

    cluster.source.read = read_less  # type: ignore[method-assign]
    cluster.submit()
    snapshot = cluster.work()
    assert (snapshot.counts.copied.objects, snapshot.counts.failed.objects) == (39, 1)
    assert snapshot.unkept == 20

    picky.lost.clear()
    cluster.source.read = read_all_less  # type: ignore[method-assign]
    cluster.ledger.request_retry(JOB.name)
    snapshot = cluster.work()
    assert (snapshot.counts.copied.objects, snapshot.unkept) == (40, 21)
    logs = cluster.directory.rglob("audit.log")
    lines = [line for log in logs for line in log.read_text().split("\n") if "unkept=" in line]
    assert len({line.split()[3] for line in lines}) == 21

    cluster.ledger.forget_job(JOB.name)
    assert rebuild(Journal(cluster.directory, JOB.name), cluster.ledger)
    assert cluster.snapshot().unkept == 21


def test_an_object_that_never_shows_up_has_failed(cluster: Cluster, picky: Picky) -> None:
    fill(cluster, 20)
    picky.lost = {"to/k0007": 99}
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.FAILED
    assert (snapshot.counts.copied.objects, snapshot.counts.failed.objects) == (19, 1)
    assert snapshot.proof[Proof.CRC64] == 19


def test_without_verification_an_acknowledgement_counts(cluster: Cluster, picky: Picky) -> None:
    cluster.verify = None
    fill(cluster, 20)
    picky.lost = {"to/k0007": 99}
    cluster.submit()
    assert cluster.work().job.state is JobState.SUCCEED


def test_a_fatal_error_stops_the_job_and_says_why(cluster: Cluster, picky: Picky) -> None:
    bodies = fill(cluster, 60)
    picky.refused = {"to/k0030": Fatal("no such bucket", code="NoSuchBucket")}
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.ABORT
    assert "NoSuchBucket" in snapshot.job.reason
    assert snapshot.counts.left.objects > 0

    picky.refused.clear()
    assert cluster.ledger.request_retry(JOB.name) > 0
    assert cluster.work().job.state is JobState.SUCCEED
    assert cluster.stored() == bodies


def test_what_is_excluded_is_counted_and_not_copied(cluster: Cluster) -> None:
    fill(cluster, 3)
    cluster.source.exclude("pipe", "Fifo")
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert (snapshot.counts.listed.objects, snapshot.counts.excluded.objects) == (4, 1)


def test_what_could_not_be_listed_fails_and_is_listed_by_a_retry(cluster: Cluster) -> None:
    bodies = fill(cluster, 3)
    cluster.source.fail("m/", "AccessDenied")
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.FAILED
    assert (snapshot.counts.listed.objects, snapshot.counts.failed.objects) == (4, 1)

    cluster.source.remove("m/")
    cluster.source.put("m/", b"inside")
    assert cluster.ledger.request_retry(JOB.name) == 1
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert cluster.stored() == {**bodies, "m/": b"inside"}
    assert snapshot.counts.listed.objects == 4


def test_a_scan_that_finds_nothing_is_no_success(cluster: Cluster) -> None:
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.ABORT
    assert "NothingFound" in snapshot.job.reason


def test_a_worker_that_is_told_to_stop_hands_the_rest_back(cluster: Cluster) -> None:
    bodies = fill(cluster, 40)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    told = []

    def stop_after_five(info: ObjectInfo) -> None:
        told.append(info)

    cluster.source.on_read = stop_after_five
    cluster.stopping = lambda: len(told) >= 5
    claim = cluster.claim(cluster.messages.pop(0))
    assert claim is not None
    cluster.run(claim)
    copied = cluster.snapshot().counts.copied.objects
    assert 5 <= copied < 10
    again = cluster.claim(claim.task_id, "elsewhere:1:system:then")
    assert again is not None, "another worker may go on at once"
    assert len(again.marks) - again.marks.count(Mark.LEFT) == copied
    cluster.ledger.release(again)

    cluster.stopping = lambda: False
    assert cluster.work().job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    assert len(cluster.source.reads) == 40


def test_a_bug_in_the_copy_costs_one_object(cluster: Cluster, picky: Picky) -> None:
    fill(cluster, 10)
    picky.refused = {"to/k0004": ZeroDivisionError("a bug")}
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.FAILED
    assert (snapshot.counts.copied.objects, snapshot.counts.failed.objects) == (9, 1)


def test_a_cleaned_job_takes_its_tasks_with_it(cluster: Cluster) -> None:
    fill(cluster, 10)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    claim = cluster.claim(cluster.messages.pop(0))
    assert claim is not None
    cluster.ledger.forget_job(JOB.name)
    cluster.run(claim)
    assert cluster.ledger.jobs() == []


def test_a_ledger_that_lost_its_last_steps_is_brought_up_to_date(cluster: Cluster) -> None:
    """Redis restarts between two calls, without an error, and has lost the last second."""
    bodies = fill(cluster, 40)
    cluster.submit()
    records = cluster.ledger._records
    before = copy.deepcopy(records[JOB.name])
    while not cluster.snapshot().job.scan_finished:
        cluster.master.step()
    records[JOB.name] = before
    cluster.messages.clear()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    assert snapshot.counts.listed.objects == 40


def test_a_ledger_that_vanished_without_an_error_is_restored(cluster: Cluster) -> None:
    bodies = fill(cluster, 40)
    cluster.submit()
    while not cluster.snapshot().job.scan_finished:
        cluster.master.step()
    cluster.ledger.forget_job(JOB.name)
    cluster.messages.clear()
    cluster.master.step()
    cluster.now += 20
    cluster.master.step()
    assert cluster.work().job.state is JobState.SUCCEED
    assert cluster.stored() == bodies


def test_a_retry_that_redis_forgot_can_be_asked_for_again(cluster: Cluster, picky: Picky) -> None:
    fill(cluster, 20)
    picky.refused = {"to/k0003": Permanent("no", code="AccessDenied")}
    cluster.submit()
    assert cluster.work().job.state is JobState.FAILED
    before = copy.deepcopy(cluster.ledger._records[JOB.name])
    cluster.ledger.request_retry(JOB.name)
    while not cluster.messages:
        cluster.master.step()
    cluster.ledger._records[JOB.name] = before
    cluster.messages.clear()
    cluster.master = cluster.new_master()
    cluster.now += 20
    picky.refused.clear()
    assert cluster.ledger.request_retry(JOB.name) == 1
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.SUCCEED
    assert snapshot.counts.copied.objects == 20


@pytest.mark.parametrize("error", [Fatal("wrong key", code="BadCredentials"), ValueError("a bug")])
def test_a_scan_that_cannot_begin_stops_the_job_and_says_why(
    cluster: Cluster, error: Exception
) -> None:
    fill(cluster, 5)

    def refuse(lane: Lane) -> MemoryScan:
        raise error

    cluster.source.scan = refuse  # type: ignore[method-assign]
    cluster.submit()
    snapshot = cluster.work()
    assert snapshot.job.state is JobState.ABORT
    assert snapshot.job.reason


def test_trouble_with_one_job_is_told_and_the_others_go_on(cluster: Cluster) -> None:
    bodies = fill(cluster, 5)
    Journal(cluster.directory, "broken").open(replace(JOB, name="broken"))
    cluster.ledger.create_job(replace(JOB, name="broken", created_ms=JOB.created_ms - 1))
    cluster.submit()
    assert cluster.work().job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    assert "waiting" in cluster.ledger.job("broken").reason


def test_trouble_does_not_revive_a_stopped_job(cluster: Cluster, tmp_path: Path) -> None:
    fill(cluster, 5)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    cluster.deliver()
    cluster.ledger.set_state(JOB.name, JobState.ABORT, "BadCredentials")
    (tmp_path / "jobs" / JOB.name / "job.json").write_text("not JSON")
    for _ in range(3):
        cluster.now += 20
        cluster.master = cluster.new_master()
        cluster.master.step()
    assert cluster.ledger.job(JOB.name).state is JobState.ABORT
    assert cluster.ledger.job(JOB.name).reason == "BadCredentials"


def test_a_retry_that_waits_for_room_does_not_keep_the_master_busy(
    cluster: Cluster, picky: Picky, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cluster, 60)
    picky.refused = {f"to/k{i:04d}": Permanent("no", code="AccessDenied") for i in range(60)}
    cluster.submit()
    assert cluster.work().job.state is JobState.FAILED
    monkeypatch.setattr("ossimport.driver.PENDING_CAP", 1)
    monkeypatch.setattr("ossimport.driver.REQUEUES_PER_STEP", 1)
    monkeypatch.setattr("ossimport.master.deal", lambda room, demands: Counter())
    cluster.ledger.request_retry(JOB.name)
    assert [cluster.master.step() for _ in range(8)][-3:] == [False] * 3


def test_nothing_is_skipped_in_a_task_that_was_begun_before(cluster: Cluster) -> None:
    cluster.policy = cluster.policy._replace(skip_existing=True)
    for key in ("a", "b"):
        cluster.source.put(key, b"right", mtime_ns=10**18)
        asyncio.run(cluster.dest.put(f"to/{key}", b"wrong", {}))
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    begun = cluster.claim(cluster.messages[0])
    assert begun is not None
    cluster.ledger.release(begun)
    snapshot = cluster.work()
    assert (snapshot.counts.copied.objects, snapshot.counts.skipped.objects) == (2, 0)
    assert set(cluster.stored().values()) == {b"right"}


def test_what_may_be_skipped_is_listed_and_not_asked_for(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.policy = cluster.policy._replace(skip_existing=True)
    for index in range(30):
        cluster.source.put(f"k{index:02d}", b"body", mtime_ns=10**18)
        if index % 2:
            asyncio.run(cluster.dest.put(f"to/k{index:02d}", b"body", {}))
    asked: list[str] = []
    stat = cluster.dest.stat

    async def stat_and_tell(key: str) -> ObjectInfo | None:
        asked.append(key)
        return await stat(key)

    monkeypatch.setattr(cluster.dest, "stat", stat_and_tell)
    cluster.submit()
    counts = cluster.work().counts
    assert (counts.copied.objects, counts.skipped.objects) == (15, 15)
    assert asked == []


def test_a_name_makes_no_line_of_its_own_in_the_log(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.source.put("a\u2028b", b"body")

    async def break_down(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(cluster.source, "read", break_down)
    cluster.submit()
    assert cluster.work().counts.failed.objects == 1
    (said,) = (r.getMessage() for r in caplog.records if "unexpected error" in r.getMessage())
    assert said.endswith(r"unexpected error at a\u2028b")


@pytest.mark.parametrize("name", ["\udcff\udcfe", "\u4e2d" * 400])
def test_names_that_oss_cannot_hold_are_not_looked_for_there(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cluster.policy = cluster.policy._replace(skip_existing=True, dest_prefix="")
    for key in (name, "\uff5ea", "\uff5eb"):
        cluster.source.put(key, b"body", mtime_ns=10**18)
    list_all = cluster.dest.list

    async def list_as_oss_does(prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        assert len(after.encode()) <= 1023
        return await list_all(prefix, after, limit)

    monkeypatch.setattr(cluster.dest, "list", list_as_oss_does)
    cluster.submit()
    counts = cluster.work().counts
    assert (counts.copied.objects, counts.failed.objects) == (2, 1)


def test_a_job_that_is_stopped_while_the_master_closes_it_stays_stopped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cluster, 5)
    cluster.submit()
    look = cluster.ledger.snapshot
    looks: list[Snapshot] = []

    def look_then_stop(name: str) -> Snapshot:
        seen = look(name)
        done = seen.job.scan_finished and not seen.counts.left.objects
        if done and not cluster.ledger.outbox(name, 1):
            looks.append(seen)
        if len(looks) == 2:  # the first one only makes the master compare its records
            cluster.ledger.set_state(name, JobState.ABORT, "BadCredentials")
        return seen

    monkeypatch.setattr(cluster.ledger, "snapshot", look_then_stop)
    cluster.work()
    assert cluster.ledger.job(JOB.name).state is JobState.ABORT
    assert cluster.ledger.job(JOB.name).reason == "BadCredentials"


def test_what_workers_report_is_on_disk_before_it_is_dropped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    sync, acknowledge = Journal.sync, cluster.ledger.acknowledge

    def synced(journal: Journal) -> None:
        sync(journal)
        calls.append("sync")

    def acknowledged(name: str, last_id: str, ended: Sequence[str]) -> None:
        calls.append("acknowledge")
        acknowledge(name, last_id, ended)

    monkeypatch.setattr(Journal, "sync", synced)
    monkeypatch.setattr(cluster.ledger, "acknowledge", acknowledged)
    fill(cluster, 20)
    cluster.submit()
    assert cluster.work().job.state is JobState.SUCCEED
    before = [calls[i - 1] for i, call in enumerate(calls) if call == "acknowledge"]
    assert before
    assert set(before) == {"sync"}


def test_a_paused_job_stays_paused_whoever_dies_and_goes_on_where_it_was(cluster: Cluster) -> None:
    bodies = fill(cluster, 30)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    cluster.ledger.set_priority(JOB.name, 8)
    cluster.deliver()
    cluster.ledger.pause(JOB.name)
    assert cluster.work().job.state is JobState.PAUSED
    copied = len(cluster.stored())
    assert 0 < copied < 30
    cluster.ledger = MemoryLedger(clock=lambda: cluster.now)
    cluster.ledger.enlist("here", 50, 10**9)
    cluster.master = cluster.new_master()
    snapshot = cluster.work()
    assert (snapshot.job.state, snapshot.job.priority) == (JobState.PAUSED, 8)
    assert len(cluster.stored()) == copied
    cluster.ledger.set_state(JOB.name, JobState.RUNNING, only_if=JobState.PAUSED)
    assert cluster.work().job.state is JobState.SUCCEED
    assert cluster.stored() == bodies
    rebuilt = MemoryLedger()
    rebuild(Journal(cluster.directory, JOB.name), rebuilt)
    assert rebuilt.job(JOB.name).state is JobState.RUNNING


def test_the_holder_of_a_task_hands_it_back_when_its_job_is_paused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.run_task.ORDERS_S", 0.01)
    fill(cluster, 10)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    claim = cluster.claim(cluster.messages.pop())
    assert claim is not None
    put, orders = cluster.dest.put, cluster.ledger.orders
    looks = 0

    def counted(of: Claim) -> Orders:
        nonlocal looks
        looks += 1
        return orders(of)

    async def slow(key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        cluster.ledger.pause(JOB.name)
        before = looks
        while looks < before + 2:  # who looks a second time has heard of it
            await asyncio.sleep(0.001)
        return await put(key, body, headers)

    monkeypatch.setattr(cluster.ledger, "orders", counted)
    cluster.dest.put = slow  # type: ignore[method-assign]
    cluster.run(claim)
    snapshot = cluster.snapshot()
    assert snapshot.tasks[TaskState.PENDING] == 1
    assert snapshot.counts.copied.objects == len(cluster.stored()) == 3  # those in flight
