"""Tasks that are cut: whoever dies, whatever is lost, the sum closes and the copy is whole."""

import asyncio
import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from ossimport.copying import CopyPolicy
from ossimport.dest.base import Body, Stored, StoredPart
from ossimport.errors import LedgerUnavailable
from ossimport.journal import Journal, rebuild
from ossimport.ledger.base import Claim, Cut, Flush, Snapshot
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import JobState, TaskState
from tests.unit.cluster import JOB, Cluster


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A job of one task of 40 small objects, submitted and claimed; copies take their time."""
    monkeypatch.setattr("workers.run_task.ORDERS_S", 0.01)
    monkeypatch.setattr("workers.shares.WORTH_S", 0.0)
    cluster = Cluster(tmp_path, max_objects=40)
    for index in range(40):
        cluster.source.put(f"k{index:02d}", b"x" * index)
    put = cluster.dest.put

    async def slow(key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        await asyncio.sleep(0.01)
        return await put(key, body, headers)

    cluster.dest.put = slow  # type: ignore[method-assign]
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    return cluster


def begin(cluster: Cluster) -> Claim:
    """Let the task be claimed by a worker that is asked for a share."""
    while len(cluster.messages) < 2 and cluster.snapshot().tasks[TaskState.PENDING]:
        cluster.master.step()
    claim = cluster.claim(cluster.messages.pop(0))
    assert claim is not None
    return claim


def ask(cluster: Cluster, claim: Claim, takers: int = 1) -> None:
    cluster.ledger.ask_share(JOB.name, claim.task_id, claim.fence, takers, 60)
    hold_until_cut(cluster, takers)


def hold_until_cut(cluster: Cluster, cuts: int = 1) -> list[str]:
    """Let no copy end before so many parts were cut off; return the keys of those that began."""
    before, put = parts(cluster), cluster.dest.put
    begun: list[str] = []
    is_cut = False

    async def held(key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        nonlocal is_cut
        begun.append(key)
        while not is_cut:
            is_cut = parts(cluster) >= before + cuts
            await asyncio.sleep(0.001)
        return await put(key, body, headers)

    cluster.dest.put = held  # type: ignore[method-assign]
    return begun


def whole(cluster: Cluster, snapshot: Snapshot) -> None:
    """The job succeeded, every object once, and its journal says the same."""
    assert snapshot.job.state is JobState.SUCCEED
    assert (snapshot.counts.listed.objects, snapshot.counts.copied.objects) == (40, 40)
    assert snapshot.counts.listed.bytes == snapshot.counts.copied.bytes == sum(range(40))
    assert len(cluster.stored()) == 40
    rebuilt = MemoryLedger()
    rebuild(Journal(cluster.directory, JOB.name), rebuilt)
    again = rebuilt.snapshot(JOB.name)
    assert again.counts == snapshot.counts
    assert again.proof == snapshot.proof
    assert again.tasks == snapshot.tasks


def parts(cluster: Cluster) -> int:
    return sum(cluster.snapshot().tasks.values())


@pytest.mark.parametrize("takers", [1, 3])
def test_a_task_is_shared_with_those_who_have_nothing_to_do(cluster: Cluster, takers: int) -> None:
    before = parts(cluster)
    claim = begin(cluster)
    ask(cluster, claim, takers)
    cluster.run(claim)
    assert parts(cluster) == before + takers
    assert 0 < cluster.snapshot().counts.copied.objects < 40
    whole(cluster, cluster.work())


def test_a_worker_that_is_to_end_gives_away_what_it_has_not_begun(cluster: Cluster) -> None:
    claim = begin(cluster)
    begun = hold_until_cut(cluster)
    cluster.stopping = lambda: len(begun) == 3
    before = parts(cluster)
    cluster.run(claim)
    snapshot = cluster.snapshot()
    assert parts(cluster) == before + 1
    assert snapshot.tasks[TaskState.SUCCEED] == 1  # the objects that it was at
    assert snapshot.counts.copied.objects == len(begun) == 3
    cluster.stopping = lambda: False
    whole(cluster, cluster.work())


LARGE = CopyPolicy(dest_prefix="to/", multipart_threshold=150_000, part_size=100_000, attempts=2)


@pytest.fixture
def large(tmp_path: Path) -> Cluster:
    """A job of large objects."""
    cluster = Cluster(tmp_path)
    cluster.policy = LARGE
    return cluster


def stop_when_under_way(
    cluster: Cluster, sizes: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> Claim:
    """Put objects of these sizes there, let a worker begin, and stop it when two parts of each are
    made, of which each took two seconds. Others are made when it has given something up."""
    for index, size in enumerate(sizes):
        cluster.source.put(f"k{index}", b"x" * size)
    cluster.submit()
    while not cluster.messages:
        cluster.master.step()
    claim = begin(cluster)
    begun, made, given_up = Counter[str](), Counter[str](), asyncio.Event()
    upload_part = cluster.dest.upload_part

    async def held(key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        begun[key] += 1
        if begun[key] > 2:
            try:
                await given_up.wait()
            except asyncio.CancelledError:
                given_up.set()
                raise
        stored = await upload_part(key, upload_id, number, body)
        made[key] += 1
        return stored

    clock = SimpleNamespace(monotonic=lambda: 2.0 * made.total())
    with monkeypatch.context() as patch:
        patch.setattr("workers.headway.time", clock)
        patch.setattr("workers.run_task.DRAIN_S", 80.0)
        patch.setattr(cluster.dest, "upload_part", held)
        patch.setattr(cluster, "stopping", lambda: made.total() >= 2 * len(sizes))
        cluster.run(claim)
    return claim


def test_a_worker_that_is_to_end_gives_away_large_objects_that_would_not_end_with_it(
    large: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [6_000_000, 6_000_000, 700_000]
    stop_when_under_way(large, sizes, monkeypatch)
    snapshot = large.snapshot()
    assert +Counter(snapshot.tasks) == {TaskState.PENDING: 1, TaskState.SUCCEED: 1}
    assert snapshot.counts.copied.objects == 1, "the short one has ended meanwhile"
    [given] = large.ledger.dispatch(JOB.name, 9)
    claim = large.claim(given)
    assert claim is not None
    assert len(claim.uploads) == 2
    assert all(upload.parts for upload in claim.uploads.values()), "they go on where they were"
    large.run(claim)
    done = large.work()
    assert (done.job.state, done.counts.copied.objects) == (JobState.SUCCEED, 3)
    assert [len(body) for _, body in sorted(large.stored().items())] == sizes


def test_a_worker_that_is_to_end_hands_back_the_only_large_object_at_once(
    large: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = stop_when_under_way(large, [6_000_000], monkeypatch)
    assert +Counter(large.snapshot().tasks) == {TaskState.PENDING: 1}
    again = large.claim(claim.task_id)
    assert again is not None
    assert again.uploads[0].parts
    large.run(again)
    assert large.work().counts.copied.objects == 1


def test_a_worker_that_has_begun_nothing_hands_the_task_back_as_it_is(cluster: Cluster) -> None:
    claim = begin(cluster)
    before = parts(cluster)
    cluster.stopping = lambda: True
    cluster.run(claim)
    assert parts(cluster) == before
    cluster.stopping = lambda: False
    whole(cluster, cluster.work())


def test_redis_loses_all_after_the_cut_was_written_down(cluster: Cluster) -> None:
    claim = begin(cluster)
    ask(cluster, claim, 3)
    cluster.run(claim)
    for _ in range(5):
        cluster.master.step()
    cluster.deliver()
    lose_all(cluster)
    whole(cluster, cluster.work())


def test_redis_loses_all_before_the_cut_was_written_down(cluster: Cluster) -> None:
    claim = begin(cluster)
    ask(cluster, claim, 3)
    cluster.run(claim)
    lose_all(cluster)
    whole(cluster, cluster.work())


def lose_all(cluster: Cluster) -> None:
    cluster.ledger = MemoryLedger(clock=lambda: cluster.now)
    cluster.ledger.enlist("here", 50, 10**9)
    cluster.messages.clear()
    cluster.master = cluster.new_master()
    cluster.master.step()


@pytest.mark.parametrize("drained", [False, True])
@pytest.mark.parametrize("taker_ends", [False, True])
def test_redis_loses_only_the_cut(cluster: Cluster, drained: bool, taker_ends: bool) -> None:
    """As a crash does that takes back the last second: the journal may know more then."""
    claim = begin(cluster)
    ask(cluster, claim, 2)
    saved = copy.deepcopy(cluster.ledger._records)
    cluster.run(claim)
    if drained:
        for _ in range(5):
            cluster.master.step()
    if drained and taker_ends:
        cluster.deliver()
        cluster.master.step()
    cluster.ledger._records = saved
    cluster.now += 60
    whole(cluster, cluster.work())


def test_the_giver_dies_between_two_parts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = begin(cluster)
    put = cluster.dest.put
    ask(cluster, claim, 3)
    cut = cluster.ledger.cut
    calls = 0

    def dies(of: Claim, flush: Flush, part: Cut) -> None:
        nonlocal calls
        calls += 1
        cut(of, flush, part)
        if calls == 2:
            raise SystemExit

    monkeypatch.setattr(cluster.ledger, "cut", dies)
    with pytest.raises(SystemExit):
        cluster.run(claim)
    monkeypatch.undo()
    cluster.dest.put = put  # type: ignore[method-assign]
    cluster.now += 60  # its lease runs out
    whole(cluster, cluster.work())


def test_an_answer_to_a_cut_is_lost(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = begin(cluster)
    ask(cluster, claim, 3)
    cut = cluster.ledger.cut
    lost: list[str] = []

    def loses(of: Claim, flush: Flush, part: Cut) -> None:
        cut(of, flush, part)
        if part.task.task_id not in lost:
            lost.append(part.task.task_id)
            raise LedgerUnavailable("no answer")

    monkeypatch.setattr(cluster.ledger, "cut", loses)
    monkeypatch.setattr("workers.run_task.LEASE_S", 60)
    cluster.run(claim)
    assert len(lost) == 3
    whole(cluster, cluster.work())
