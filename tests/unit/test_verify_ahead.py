"""A task's objects are verified while others are still copied."""

import asyncio
from collections.abc import Mapping

import pytest

from ossimport import listed, manifest
from ossimport.budget import Budget
from ossimport.copying import CopyPolicy
from ossimport.dest.base import Body, Stored
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Fatal
from ossimport.ledger.base import Claim, Flush
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import Mark, ObjectInfo, Outcome, TaskState
from ossimport.sources.memory import MemorySource
from workers import verification
from workers.run_task import TaskRun
from workers.verification import Checks

PAGE = 5
OBJECTS = 40


class Told(MemoryLedger):
    """Remembers the last marks and the sums of all flushes."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = b""
        self.copied = 0
        self.stopped = ""

    def record(self, claim: Claim, flush: Flush) -> None:
        self.marks = flush.marks
        self.copied += flush.objects[Outcome.COPIED]

    def renew(self, claim: Claim, lease_s: float) -> None: ...

    def finish(self, claim: Claim, state: TaskState) -> None: ...

    def stop_job(self, claim: Claim, reason: str) -> None:
        self.stopped = reason


class Slow(MemoryDestination):
    """Takes its time for every object, and loses the first copy of some."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.listed_behind = ""  # by the last listing
        self.lost: set[str] = set()
        self.refusal: Exception | None = None

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        await asyncio.sleep(0.002)
        self.asked.append("put")
        stored = await super().put(key, body, headers)
        if key in self.lost:
            self.lost.remove(key)
            del self.objects[key]
        return stored

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        self.asked.append("list")
        self.listed_behind = after
        if self.refusal is not None:
            raise self.refusal
        return await super().list(prefix, after, limit)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "PAGE", PAGE)
    monkeypatch.setattr(verification, "PAGE", PAGE)
    monkeypatch.setattr(verification, "AHEAD_S", 0.0)


async def copy(dest: Slow, ledger: Told, *, backwards: bool = False) -> TaskState | None:
    source = MemorySource()
    for index in range(OBJECTS):
        source.put(f"k{index:02d}", b"body")
    objects = [await source.stat(f"k{index:02d}") for index in range(OBJECTS)]
    if backwards:
        objects.reverse()
    policy = CopyPolicy(dest_prefix="to/", multipart_threshold=100, part_size=50)
    engine = CopyEngine(source, dest, policy, Budget(1000), jitter=lambda: 0.0)
    return await TaskRun(
        Claim("job", "task", 1, "worker", manifest.pack(objects), b"", {}, 0, 1),
        engine,
        ledger,
        runners=2,
        verify=Checks(),
        abort_on_uncaught=False,
        stopping=lambda: False,
        progress=lambda text: None,
    ).run()


async def test_listings_come_between_the_copies() -> None:
    dest, ledger = Slow(), Told()
    assert await copy(dest, ledger) is TaskState.SUCCEED
    last_put = max(index for index, asked in enumerate(dest.asked) if asked == "put")
    assert dest.asked[:last_put].count("list") >= OBJECTS // PAGE - 2
    assert dest.asked.count("list") < 2 * OBJECTS // PAGE, "nothing is verified twice"


async def test_little_is_left_to_be_verified_when_all_is_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verification, "PAGE", OBJECTS // 2)
    monkeypatch.setattr(listed, "PAGE", OBJECTS // 2)
    dest, ledger = Slow(), Told()
    assert await copy(dest, ledger) is TaskState.SUCCEED
    assert dest.listed_behind == "to/k3", "of 40 objects, the last ones alone"


async def test_what_is_found_missing_meanwhile_is_copied_again() -> None:
    dest, ledger = Slow(), Told()
    dest.lost = {"to/k01", "to/k13", "to/k39"}
    assert await copy(dest, ledger) is TaskState.SUCCEED
    assert len(dest.objects) == OBJECTS
    assert dest.asked.count("put") == OBJECTS + 3
    assert ledger.marks == bytes([Mark.COPIED_CRC64]) * OBJECTS
    assert ledger.copied == OBJECTS


async def test_what_is_not_in_order_is_verified_at_the_end() -> None:
    dest, ledger = Slow(), Told()
    dest.lost = {"to/k01"}
    assert await copy(dest, ledger, backwards=True) is TaskState.SUCCEED
    assert dest.asked.index("list") == OBJECTS
    assert len(dest.objects) == OBJECTS


async def test_a_refused_listing_stops_the_job() -> None:
    dest, ledger = Slow(), Told()
    dest.refusal = Fatal("no", code="AccessDenied")
    with pytest.raises(Fatal):
        await copy(dest, ledger)
    assert ledger.stopped.startswith("AccessDenied")
    assert ledger.copied == OBJECTS, "what was copied is written down"
