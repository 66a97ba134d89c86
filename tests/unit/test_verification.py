"""After an import, each auditMode sees what it promises to see, and asks no more than it needs."""

from collections.abc import Mapping

import pytest

from ossimport import manifest
from ossimport.audit.auditor import Auditor
from ossimport.audit.compare import Mode
from ossimport.budget import Budget
from ossimport.copying import CopyPolicy
from ossimport.dest.base import Body, Described, Stored
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.ledger.base import Claim, Flush
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import Mark, ObjectInfo, TaskState
from ossimport.sources.memory import MemorySource
from workers.run_task import TaskRun
from workers.verification import Checks

KEYS = ("a", "b", "c")
CHANGED = 1_700_000_000 * 10**9


class Told(MemoryLedger):
    """Remembers the last marks, and how the task ended."""

    def __init__(self) -> None:
        super().__init__()
        self.marks = b""

    def record(self, claim: Claim, flush: Flush) -> None:
        self.marks = flush.marks

    def renew(self, claim: Claim, lease_s: float) -> None: ...

    def finish(self, claim: Claim, state: TaskState) -> None: ...


class Meddled(MemoryDestination):
    """Does to an object what `meddling` says, right after it was written; so many times."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1_700_000_100.0)
        self.meddling: dict[str, bytes | None] = {}
        self.times = 1
        self.puts: list[str] = []
        self.heads: list[str] = []
        self.lists = 0

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        self.puts.append(key)
        stored = await super().put(key, body, headers)
        if key in self.meddling and self.puts.count(key) <= self.times:
            other = self.meddling[key]
            if other is None:
                del self.objects[key]
            else:
                await super().put(key, other, headers)
        return stored

    async def describe(self, key: str) -> Described | None:
        self.heads.append(key)
        return await super().describe(key)

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        self.lists += 1
        return await super().list(prefix, after, limit)


class Bench:
    """A task of three objects."""

    def __init__(self) -> None:
        self.source = MemorySource()
        for key in KEYS:
            self.source.put(key, b"body", mtime_ns=CHANGED)
        self.dest = Meddled()
        self.ledger = Told()

    async def run(
        self,
        mode: Mode,
        *,
        marks: bytes = b"",
        not_after_ns: int = 0,
        skip: bool = False,
        claims: int = 1,
        newer: Mapping[str, bytes] = {},
    ) -> TaskState | None:
        """`newer`: what the source has been changed to when the objects were listed."""
        policy = CopyPolicy("to/", multipart_threshold=100, part_size=50, skip_existing=skip)
        engine = CopyEngine(self.source, self.dest, policy, Budget(1000), jitter=lambda: 0.0)
        auditor = Auditor(engine, Mode.DETAILED)
        objects = [await self.source.stat(key) for key in KEYS]
        for key, body in newer.items():
            self.source.put(key, body, mtime_ns=CHANGED + 1)
        claim = Claim("job", "task", 1, "worker", manifest.pack(objects), marks, {}, 0, claims)
        return await TaskRun(
            claim,
            engine,
            self.ledger,
            runners=1,
            verify=Checks(mode, not_after_ns, auditor),
            abort_on_uncaught=True,
            stopping=lambda: False,
            progress=lambda text: None,
        ).run()

    def bodies(self) -> list[bytes]:
        return [self.dest.objects[f"to/{key}"].body for key in KEYS]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("mode", list(Mode)[:3])
async def test_what_goes_away_or_shrinks_is_copied_again(bench: Bench, mode: Mode) -> None:
    bench.dest.meddling = {"to/a": None, "to/c": b"bod"}
    assert await bench.run(mode) is TaskState.SUCCEED
    assert bench.bodies() == [b"body"] * 3
    assert sorted(bench.dest.puts) == ["to/a", "to/a", "to/b", "to/c", "to/c"]
    assert bench.ledger.marks == bytes([Mark.COPIED_CRC64]) * 3


@pytest.mark.parametrize("mode", list(Mode)[:3])
async def test_what_goes_away_again_and_again_has_failed(bench: Bench, mode: Mode) -> None:
    bench.dest.meddling, bench.dest.times = {"to/b": None}, 9
    assert await bench.run(mode) is TaskState.FAILED
    assert bench.ledger.marks == bytes([Mark.COPIED_CRC64, Mark.FAILED, Mark.COPIED_CRC64])


@pytest.mark.parametrize("mode", list(Mode)[:3])
async def test_what_has_grown_since_it_was_listed_is_there(bench: Bench, mode: Mode) -> None:
    assert await bench.run(mode, newer={"b": b"a longer body"}) is TaskState.SUCCEED
    assert bench.bodies() == [b"body", b"a longer body", b"body"]
    assert len(bench.dest.puts) == 3


@pytest.mark.parametrize(("mode", "is_seen"), [("simple", 0), ("general", 1), ("detailed", 1)])
async def test_what_another_one_writes_in_the_same_size_is_seen(
    bench: Bench, mode: str, is_seen: int
) -> None:
    bench.dest.meddling = {"to/b": b"evil"}
    assert await bench.run(Mode(mode)) is TaskState.SUCCEED
    assert bench.bodies()[1] == (b"body" if is_seen else b"evil")


async def test_the_default_costs_one_listing_and_detailed_a_head_each(bench: Bench) -> None:
    await bench.run(Mode.GENERAL)
    assert (bench.dest.lists, bench.dest.heads) == (1, [])
    await bench.run(Mode.DETAILED)
    assert (bench.dest.lists, sorted(bench.dest.heads)) == (1, ["to/a", "to/b", "to/c"])


async def test_objects_changed_later_than_last_modify_are_not_verified(bench: Bench) -> None:
    bench.source.put("b", b"body", mtime_ns=CHANGED + 1)
    bench.dest.meddling = {"to/a": None, "to/b": None}
    assert await bench.run(Mode.GENERAL, not_after_ns=CHANGED) is TaskState.SUCCEED
    assert sorted(bench.dest.objects) == ["to/a", "to/c"]


@pytest.mark.parametrize(("mode", "is_seen"), [("general", 0), ("detailed", 1)])
@pytest.mark.parametrize("begun_before", [False, True])
async def test_what_this_run_did_not_copy_is_compared_in_detail(
    bench: Bench, mode: str, is_seen: int, begun_before: bool
) -> None:
    """It was skipped, or copied by a worker that died and took what it knew with it."""
    await bench.run(Mode.SIMPLE)
    held = bench.dest.objects["to/b"]
    await MemoryDestination.put(bench.dest, "to/b", b"evil", held.headers)
    bench.dest.puts.clear()
    marks = bytes([Mark.COPIED_CRC64] * 3) if begun_before else b""
    state = await bench.run(Mode(mode), marks=marks, skip=not begun_before, claims=1 + begun_before)
    assert state is TaskState.SUCCEED
    assert bench.dest.puts == ["to/b"] * is_seen
    assert bench.bodies()[1] == (b"body" if is_seen else b"evil")
