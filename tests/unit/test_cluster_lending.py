"""Parts of one object that several workers make: whoever dies, whatever is lost, it is whole."""

import asyncio
import copy
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ossimport.budget import Budget
from ossimport.dest.base import OSS_LIMITS, Body, StoredPart
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import LedgerUnavailable, Permanent, StaleClaim
from ossimport.ledger.base import Claim, Loan, Repayment
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import JobState, ObjectInfo, Upload
from ossimport.sources.base import Payload
from tests.unit.cluster import JOB, POLICY, Cluster
from workers.helping import LOAN_LEASE_S, Help
from workers.run_task import TaskRun

PARTS, PART = 90, 10
BODY = random.Random(7).randbytes(PARTS * PART - 3)
FASTER = 5  # how much faster than ours the cluster's clock goes


class Mortal:
    """The ledger as one worker sees it. A dead worker's calls come to nothing."""

    def __init__(self, scene: "Scene") -> None:
        self.dead = False
        self.loses: set[str] = set()  # calls whose next answer is lost
        self._scene = scene

    def renew(self, claim: Claim, lease_s: float) -> None:
        """By the cluster's clock."""
        self._call("renew", claim, lease_s * FASTER)

    def _call(self, name: str, *args: Any) -> Any:
        return self.__getattr__(name)(*args)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **more: Any) -> object:
            if self.dead:
                raise StaleClaim("dead")
            answer = getattr(self._scene.cluster.ledger, name)(*args, **more)
            if self.dead:
                raise StaleClaim("dead")
            if name in self.loses:
                self.loses.remove(name)
                raise LedgerUnavailable("no answer")
            return answer

        return call


class Worker:
    """Takes one message after another."""

    def __init__(self, scene: "Scene", name: str) -> None:
        self.name = name
        self.ledger = Mortal(scene)
        self.leaves = False
        self.sent: Counter[int] = Counter()  # by part
        self.reads = scene.cluster.source.read
        self.holds = self.helps = False
        self.may_send = asyncio.Event()
        self.may_send.set()
        self._scene = scene
        self.task = asyncio.create_task(self._work())

    def kill(self) -> None:
        """End without a word."""
        self.ledger.dead = True
        self.task.cancel()

    async def _work(self) -> None:
        messages = self._scene.cluster.messages
        while not self.leaves:
            if messages:
                with suppress(StaleClaim):
                    await self._deal_with(messages.pop(0))
            await asyncio.sleep(0.005)

    async def _deal_with(self, task_id: str) -> None:
        engine = self._engine()
        claim = self.ledger.claim(JOB.name, task_id, self.name, 30)
        if isinstance(claim, Claim):
            self.holds = True
            run = TaskRun(
                claim,
                engine,
                self.ledger,
                runners=3,
                verify=None,
                abort_on_uncaught=False,
                stopping=lambda: self.leaves,
                progress=lambda text: None,
                lease_s=30 / FASTER,
            )
            try:
                await run.run()
            finally:
                self.holds = False
        elif claim is not None:
            loan = self.ledger.borrow(JOB.name, task_id, self.name, LOAN_LEASE_S, 3)
            if loan is not None:
                self.helps = True
                helping = Help(
                    loan,
                    engine.parts,
                    self.ledger,
                    stopping=lambda: self.leaves,
                    progress=lambda text: None,
                )
                try:
                    await helping.run()
                finally:
                    self.helps = False

    def _engine(self) -> CopyEngine:
        cluster = self._scene.cluster
        policy = cluster.policy._replace(multipart_threshold=2 * PART, part_size=PART)
        source = copy.copy(cluster.source)
        source.read = self._read  # type: ignore[method-assign]
        dest = copy.copy(cluster.dest)
        dest.upload_part = self._upload_part  # type: ignore[method-assign]
        return CopyEngine(source, dest, policy, Budget(1 << 20), jitter=lambda: 0.0, sleep=_pause)

    async def _read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        return await self.reads(info, offset, length)

    async def _upload_part(self, key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        await asyncio.sleep(0.03)
        await self.may_send.wait()
        self.sent[number] += 1
        return await self._scene.cluster.dest.upload_part(key, upload_id, number, body)


async def _pause(seconds: float) -> None:
    await asyncio.sleep(0.001)


class Scene:
    """A cluster with one large object, workers that come and go, and time."""

    def __init__(self, directory: Path) -> None:
        cluster = self.cluster = Cluster(directory)
        cluster.policy = POLICY
        limits = OSS_LIMITS._replace(min_part_size=1)
        cluster.dest = MemoryDestination(limits=limits, clock=lambda: cluster.now)
        cluster.source.put("large", BODY)
        self.workers: list[Worker] = []

    def join(self) -> Worker:
        worker = Worker(self, f"other:{len(self.workers)}")
        self.workers.append(worker)
        return worker

    @property
    def sent(self) -> Counter[int]:
        return sum((worker.sent for worker in self.workers), Counter())

    @property
    def holder(self) -> Worker | None:
        return next((worker for worker in self.workers if worker.holds), None)

    @property
    def lending(self) -> bool:
        """Whether somebody helps."""
        return any(task.helpers for task in self.cluster.ledger.running(JOB.name))

    async def until(self, happens: Callable[[], object], seconds: float = 100) -> None:
        """Let time pass until something happens. While this process stands still, so does time."""
        cluster, began, last = self.cluster, time.monotonic(), time.monotonic()
        while not happens():
            now = time.monotonic()
            assert now - began < seconds, cluster.snapshot()
            cluster.now += FASTER * min(now - last, 0.02)
            last = now
            cluster.master.step()
            await asyncio.sleep(0.005)

    async def ends_whole(self, body: bytes = BODY) -> None:
        """The job succeeds with every byte in its place, and leaves nothing behind."""
        await self.until(lambda: self.cluster.snapshot().job.state is not JobState.RUNNING)
        snapshot = self.cluster.snapshot()
        assert snapshot.job.state is JobState.SUCCEED
        assert (snapshot.counts.listed.objects, snapshot.counts.copied.objects) == (1, 1)
        assert self.cluster.stored() == {"large": body}
        assert not self.cluster.dest._uploads
        await self.leave()

    async def leave(self) -> None:
        for worker in self.workers:
            worker.kill()
        await asyncio.gather(*(worker.task for worker in self.workers), return_exceptions=True)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Two workers at one object, of which one helps."""
    for name, seconds in (
        ("run_task.ORDERS_S", 0.02),
        ("run_task.DRAIN_S", 0.05),
        ("shares.WORTH_S", 0.0),
        ("shares.AHEAD_S", 0.05),
        ("lending.LOOK_S", 0.02),
        ("helping.REPORT_S", 0.02),
        ("helping.DRAIN_S", 0.05),
    ):
        monkeypatch.setattr(f"workers.{name}", seconds)
    scene = Scene(tmp_path)
    scene.cluster.submit()
    scene.join()
    await scene.until(lambda: scene.holder)
    scene.join()
    await scene.until(lambda: scene.lending)
    return scene


async def test_all_have_a_share_and_no_part_is_sent_twice(scene: Scene) -> None:
    for worker in scene.workers:  # so that there is something left when the third one comes
        worker.may_send.clear()
    third = scene.join()
    await scene.until(lambda: third.sent.total() >= 5)
    for worker in scene.workers:
        worker.may_send.set()
    await scene.ends_whole()
    assert all(worker.sent.total() >= 5 for worker in scene.workers)
    assert scene.sent == Counter(range(1, PARTS + 1))


async def test_a_helper_dies(scene: Scene) -> None:
    scene.workers[1].kill()
    await scene.ends_whole()
    assert scene.sent.total() <= PARTS + 10


async def test_the_holder_dies_and_the_next_has_what_others_returned(scene: Scene) -> None:
    await scene.until(lambda: scene.workers[1].sent.total() >= 15)
    scene.workers[0].kill()
    scene.cluster.now += 60  # its lease runs out
    await scene.ends_whole()
    # It wrote its own progress down once a second, which is later than this; others report at once:
    # but for what was on its way, the fifteen are not made again.
    assert scene.workers[1].sent.total() - len(scene.workers[1].sent) < 12


async def test_the_holder_hands_over_and_a_helper_goes_on(scene: Scene) -> None:
    await scene.until(lambda: scene.sent.total() >= 20)
    scene.workers[0].leaves = True
    await scene.ends_whole()
    assert scene.sent.total() <= PARTS + 10


async def test_a_helper_gives_back_at_once(scene: Scene) -> None:
    scene.workers[0].may_send.clear()  # so that there is something left all the time
    scene.workers[1].leaves = True
    await asyncio.wait_for(scene.workers[1].task, 60)
    assert scene.holder
    assert not scene.lending
    assert scene.sent.total() <= PARTS / 2
    scene.workers[0].may_send.set()
    await scene.ends_whole()
    assert scene.sent == Counter(range(1, PARTS + 1))


async def test_redis_loses_everything(scene: Scene) -> None:
    cluster = scene.cluster
    cluster.ledger = MemoryLedger(clock=lambda: cluster.now)
    cluster.ledger.enlist("here", 50, 10**9)
    cluster.messages.clear()
    cluster.master = cluster.new_master()
    await scene.until(cluster.ledger.jobs)
    await scene.until(lambda: cluster.snapshot().job.state is not JobState.RUNNING)
    assert cluster.snapshot().job.state is JobState.SUCCEED
    assert cluster.stored() == {"large": BODY}
    await scene.leave()


@pytest.mark.parametrize("what", ["the offer", "what was made of it", "what was said meanwhile"])
async def test_redis_goes_back_in_time(
    scene: Scene, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.helping.HELP_S", 2.0)  # when they part, both see what is left
    ledger = scene.cluster.ledger
    (task,) = ledger._records[JOB.name].tasks.values()
    assert task.lent is not None
    saved = copy.deepcopy(task.lent)
    scene.workers[0].may_send.clear()  # so that there is something to return
    await scene.until(lambda: task.lent is None or len(task.lent.returned) >= 10)
    scene.workers[0].may_send.set()
    assert task.lent is not None
    if what == "the offer":
        task.lent = None
    elif what == "what was said meanwhile":
        task.lent = saved
    else:
        task.lent.returned.clear()
    await scene.ends_whole()


@pytest.mark.parametrize("whose", [0, 1])
@pytest.mark.parametrize("call", ["lend", "collect", "borrow", "repay", "save_upload"])
async def test_an_answer_is_lost(scene: Scene, whose: int, call: str) -> None:
    scene.workers[whose].ledger.loses.add(call)
    with suppress(LedgerUnavailable):
        await scene.ends_whole()


async def test_the_source_changes_while_parts_are_lent(scene: Scene) -> None:
    newer = bytes(reversed(BODY))
    scene.cluster.source.put("large", newer, mtime_ns=1_800_000_000_000_000_000)
    offers: list[str | None] = []
    lend = scene.cluster.ledger.lend

    def watched(
        claim: Claim, index: int, upload: Upload | None, numbers: Sequence[int] = ()
    ) -> None:
        offers.append(upload and upload.upload_id)
        lend(claim, index, upload, numbers)

    scene.cluster.ledger.lend = watched  # type: ignore[method-assign]
    await scene.until(lambda: len(offers) >= 2)
    withdrawn, again = offers[:2]
    assert withdrawn is None
    assert again is not None  # the newer version is lent too
    await scene.ends_whole(newer)


async def test_a_helper_that_cannot_read_the_source_leaves_it_to_the_holder(scene: Scene) -> None:
    async def refuses(info: ObjectInfo, offset: int, length: int) -> Payload:
        raise Permanent("no way", code="AccessDenied", op="read", key=info.key)

    helper = scene.workers[1]
    refused: set[int] = set()
    repay = scene.cluster.ledger.repay

    def watched(loan: Loan, repayment: Repayment, lease_s: float, count: int) -> list[int]:
        assert not refused.intersection([*loan.numbers, *repayment.kept])
        refused.update(repayment.refused)
        return repay(loan, repayment, lease_s, count)

    scene.cluster.ledger.repay = watched  # type: ignore[method-assign]
    before, helper.reads = helper.sent.total(), refuses
    await scene.ends_whole()
    assert helper.sent.total() <= before + 3
    assert refused


async def test_a_paused_job_is_paused_for_helpers_too(scene: Scene) -> None:
    scene.cluster.ledger.pause(JOB.name)
    await scene.until(lambda: not any(worker.holds or worker.helps for worker in scene.workers))
    assert not scene.cluster.snapshot().running
    sent = scene.sent.total()
    await asyncio.sleep(0.2)
    assert scene.sent.total() == sent < PARTS
    scene.cluster.ledger.set_state(JOB.name, JobState.RUNNING)
    await scene.ends_whole()


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens(scene: Scene, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 4)):
        with suppress(TimeoutError):
            await asyncio.wait_for(scene.until(lambda: False), rng.random() * 0.3)
        alive = [each for each in scene.workers if not each.ledger.dead and not each.leaves]
        one = rng.choice(alive)
        match rng.choice(["kill", "leave", "lose", "join"]):
            case "kill" if len(alive) > 1:
                if one.holds:
                    scene.cluster.now += 60
                one.kill()
            case "leave" if len(alive) > 1:
                one.leaves = True
            case "lose":
                one.ledger.loses |= {rng.choice(["collect", "repay", "lend", "record"])}
        scene.join()
    await scene.ends_whole()
