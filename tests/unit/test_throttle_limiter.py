"""Eight processes and a ledger in memory, on virtual time: exact figures of what passes."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ossimport.errors import LedgerUnavailable
from ossimport.ledger.base import Job
from ossimport.ledger.memory import MemoryLedger
from ossimport.limiter import Limiter
from ossimport.limits.leases import Ask, Shares
from ossimport.limits.limit import ALL, Limit, endpoint_scope, job_scope
from ossimport.limits.timetable import Rates, parse_timetable
from ossimport.limits.way import Way
from ossimport.transport import Endpoint
from tests.unit.virtual_time import Here, VirtualLoop, run_virtual

JOB = Job("photos", 1, "", b"")
DEST = Endpoint("http", "bucket.oss-cn-hangzhou.aliyuncs.com", 80)
SOURCE = Endpoint("https", "files.example.com", 443)
SUNDAY = 1_700_352_000.0  # 2023-11-19, midnight UTC


class Ledger(MemoryLedger):
    """Counts the calls, and does not answer while it is `away`."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(lambda: SUNDAY + loop.time())
        self.away: set[str] = set()
        self.calls = 0

    def lease_shares(
        self, job: str, version: int, holder: str, lease_s: float, asks: Sequence[Ask]
    ) -> Shares:
        self.calls += 1
        if holder in self.away:
            raise LedgerUnavailable("Redis does not answer")
        return super().lease_shares(job, version, holder, lease_s, asks)

    def limit(self, scope: str, bytes_: float | None = None, qps: float | None = None) -> None:
        self.set_limit(scope, Limit(Rates(bytes_, qps)).to_json())


class Fleet:
    """Processes that send bodies of `size` bytes, `runners` at a time each, as fast as they may."""

    def __init__(self, loop: VirtualLoop, ledger: Ledger) -> None:
        self.loop, self.ledger = loop, ledger
        self.moved: list[tuple[float, int, str]] = []
        self.requests: list[float] = []
        self.refuse: Callable[[], bool] = lambda: False
        self.refusals: list[float] = []
        self._stack = AsyncExitStack()
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._stacks: dict[str, AsyncExitStack] = {}

    async def join(
        self,
        name: str,
        *,
        job: str = JOB.name,
        size: int = 100_000,
        runners: int = 20,
        pause: float = 0.01,
        to: Endpoint = DEST,
    ) -> Limiter:
        limiter = Limiter(self.ledger, name, clock=self.loop.time)
        limiter._thread = Here()  # type: ignore[assignment]
        stack = self._stacks[name] = AsyncExitStack()
        way = limiter.way_to(to)
        await stack.enter_async_context(limiter.working(job))
        self._tasks[name] = [
            asyncio.ensure_future(self._send(name, way, size, pause)) for _ in range(runners)
        ]
        return limiter

    async def leave(self, name: str) -> None:
        for task in self._tasks.pop(name):
            task.cancel()
        await self._stacks.pop(name).aclose()

    async def end(self) -> None:
        for name in list(self._tasks):
            await self.leave(name)

    async def _send(self, name: str, way: Way, size: int, pause: float) -> None:
        while True:
            sent = size if way.free else await way.begin(size, 0)
            self.requests.append(self.loop.time())
            self.moved.append((self.loop.time(), sent, name))
            while sent < size:
                part = min(size - sent, way.slice)
                if not way.free:
                    await way.send(part)
                self.moved.append((self.loop.time(), part, name))
                sent += part
            await asyncio.sleep(pause)
            if self.refuse():
                self.refusals.append(self.loop.time())
                way.answered(503, 0)
                await asyncio.sleep(0.2)
            else:
                way.answered(200, 0)

    def bytes_per_s(self, begin: float, end: float, name: str = "") -> float:
        sizes = (n for at, n, who in self.moved if begin <= at < end and name in {"", who})
        return sum(sizes) / (end - begin)

    def requests_per_s(self, begin: float, end: float) -> float:
        return sum(begin <= at < end for at in self.requests) / (end - begin)


def fleet(main: Callable[[Fleet, Ledger], Coroutine[Any, Any, None]]) -> None:
    async def run(loop: VirtualLoop) -> None:
        ledger = Ledger(loop)
        ledger.create_job(JOB)
        ledger.create_job(Job("other", 2, "", b""))
        of_all = Fleet(loop, ledger)
        try:
            await main(of_all, ledger)
        finally:
            await of_all.end()

    run_virtual(run)


async def eight(of_all: Fleet, **options: object) -> None:
    for number in range(8):
        await of_all.join(f"w{number}", **options)  # type: ignore[arg-type]
        await asyncio.sleep(0.07)


def test_every_change_is_exact_two_seconds_later() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        ledger.limit(ALL, 20e6)
        await eight(of_all, size=20_000)
        for rate in (20e6, 5e6, 30e6, 1e6, 20e6):
            ledger.limit(ALL, rate)
            begin = of_all.loop.time()
            await asyncio.sleep(10)
            assert of_all.bytes_per_s(begin + 2, begin + 10) == pytest.approx(rate, rel=0.02)
            for second in range(2, 10):
                window = of_all.bytes_per_s(begin + second, begin + second + 1)
                assert window == pytest.approx(rate, rel=0.05, abs=8 * 20_000)
        for number in range(8):
            each = of_all.bytes_per_s(begin + 2, begin + 10, f"w{number}")
            assert each == pytest.approx(20e6 / 8, rel=0.05)

    fleet(main)


def test_requests_are_limited_like_bytes() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        await eight(of_all, size=100, pause=0.05)
        await asyncio.sleep(3)
        for rate in (400.0, 1000.0, 16.0):
            ledger.limit(job_scope(JOB.name), qps=rate)
            begin = of_all.loop.time()
            await asyncio.sleep(17)
            found = of_all.requests_per_s(begin + 2, begin + 17)
            assert found == pytest.approx(rate, rel=0.03)

    fleet(main)


def test_the_narrowest_limit_counts_and_each_binds_only_its_own() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        ledger.limit(ALL, 30e6)
        ledger.limit(job_scope(JOB.name), 10e6)
        for number in range(4):
            await of_all.join(f"w{number}")
            await of_all.join(f"o{number}", job="other", to=SOURCE)
        await asyncio.sleep(10)

        def rates(since: float) -> list[float]:
            ours = sum(of_all.bytes_per_s(since, since + 5, f"w{n}") for n in range(4))
            theirs = sum(of_all.bytes_per_s(since, since + 5, f"o{n}") for n in range(4))
            return [ours, theirs]

        # What the one job may not use of the whole, the other one has.
        assert rates(5) == [pytest.approx(10e6, rel=0.05), pytest.approx(20e6, rel=0.1)]
        ledger.limit(endpoint_scope("example.com"), 3e6)
        await asyncio.sleep(8)
        assert rates(12) == [pytest.approx(10e6, rel=0.05), pytest.approx(3e6, rel=0.05)]
        ledger.set_limit(endpoint_scope("example.com"), "")
        ledger.set_limit(job_scope(JOB.name), "")
        await asyncio.sleep(10)
        assert sum(rates(of_all.loop.time() - 5)) == pytest.approx(30e6, rel=0.05)

    fleet(main)


def test_shares_follow_demand_and_those_who_come_and_go() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        ledger.limit(ALL, 20e6)
        # Three that could move 1 MB/s each at most, and one that takes what there is.
        for number in range(3):
            await of_all.join(f"slow{number}", runners=1, pause=0.1, size=100_000)
        await of_all.join("fast", runners=60)
        await asyncio.sleep(10)
        assert of_all.bytes_per_s(3, 10) == pytest.approx(20e6, rel=0.05)
        assert of_all.bytes_per_s(3, 10, "slow1") == pytest.approx(1e6, rel=0.12)
        await of_all.leave("fast")
        begin = of_all.loop.time()
        await of_all.join("next", runners=60)
        await asyncio.sleep(10)
        assert of_all.bytes_per_s(begin + 3, begin + 10) == pytest.approx(20e6, rel=0.05)

    fleet(main)


def test_without_the_ledger_a_process_goes_on_for_a_lease_and_then_stops() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        ledger.limit(ALL, 8e6)
        await eight(of_all)
        await asyncio.sleep(5)
        lost = {"w1", "w2"}
        ledger.away |= lost
        begin = of_all.loop.time()
        await asyncio.sleep(10)
        for name in lost:
            assert of_all.bytes_per_s(begin, begin + 1.4, name) == pytest.approx(1e6, rel=0.1)
            assert of_all.bytes_per_s(begin + 2.05, begin + 10, name) == 0
        # The others have what they left, when they cannot be using it any more.
        for second in range(10):
            assert of_all.bytes_per_s(begin + second, begin + second + 1) < 8e6 * 1.06
        assert of_all.bytes_per_s(begin + 4, begin + 10) == pytest.approx(8e6, rel=0.03)
        ledger.away |= {f"w{number}" for number in range(8)}
        await asyncio.sleep(10)
        assert of_all.bytes_per_s(begin + 12.05, begin + 20) == 0
        ledger.away.clear()
        await asyncio.sleep(10)
        assert of_all.bytes_per_s(begin + 23, begin + 30) == pytest.approx(8e6, rel=0.03)

    fleet(main)


def test_a_process_that_begins_without_the_ledger_moves_nothing() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        ledger.away.add("w0")
        await of_all.join("w0")
        await asyncio.sleep(5)
        assert of_all.moved == []
        ledger.away.clear()
        await asyncio.sleep(1)
        assert of_all.moved

    fleet(main)


def test_limits_that_the_ledger_has_lost_are_not_taken_for_none() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        ledger.limit(ALL, 8e6)
        await eight(of_all)
        await asyncio.sleep(5)
        table = ledger.limits()
        ledger._limits, ledger._limits_version = {}, 0
        ledger._sharing.clear()
        begin = of_all.loop.time()
        await asyncio.sleep(10)
        assert of_all.bytes_per_s(begin + 2.05, begin + 10) == 0
        ledger.restore_limits(table)
        await asyncio.sleep(10)
        assert of_all.bytes_per_s(begin + 12, begin + 20) == pytest.approx(8e6, rel=0.03)

    fleet(main)


def test_a_timetable_is_followed() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        table = parse_timetable("sun 00:01-00:02=4MB/s, sun 00:02-00:03=unlimited", "UTC")
        ledger.set_limit(ALL, Limit(Rates(bytes=1e6), table).to_json())
        await of_all.join("w0", pause=0.1)
        await of_all.join("w1", pause=0.1)
        await asyncio.sleep(200)
        assert of_all.bytes_per_s(2, 60) == pytest.approx(1e6, rel=0.03)
        assert of_all.bytes_per_s(62, 120) == pytest.approx(4e6, rel=0.03)
        assert of_all.bytes_per_s(122, 179) > 20e6
        assert of_all.bytes_per_s(182, 200) == pytest.approx(1e6, rel=0.03)

    fleet(main)


def test_a_limit_that_cannot_be_read_stops_and_does_not_free() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        await of_all.join("w0")
        await asyncio.sleep(2)
        ledger.set_limit(ALL, "from a later version")
        begin = of_all.loop.time()
        await asyncio.sleep(6)
        assert of_all.bytes_per_s(begin + 2, begin + 6) == 0

    fleet(main)


def test_the_ledger_is_asked_twice_a_second_whatever_is_sent() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        await of_all.join("w0", pause=0.1)
        await asyncio.sleep(10)
        assert ledger.calls <= 13
        ledger.limit(ALL, 8e6, 100.0)
        ledger.limit(job_scope(JOB.name), 8e6, 100.0)
        ledger.limit(endpoint_scope(DEST.host), 8e6, 100.0)
        before = ledger.calls
        await asyncio.sleep(10)
        assert ledger.calls - before <= 23

    fleet(main)


def test_a_service_that_refuses_is_obeyed_by_all_and_used_to_the_full() -> None:
    async def main(of_all: Fleet, ledger: Ledger) -> None:
        loop, takes = of_all.loop, 200.0
        tokens, at = 0.0, 0.0

        def refuse() -> bool:
            nonlocal tokens, at
            tokens, at = min(takes * 0.1, tokens + (loop.time() - at) * takes), loop.time()
            tokens -= 1
            if tokens < 0:
                tokens += 1
                return True
            return False

        of_all.refuse = refuse
        await eight(of_all, size=100, runners=10, pause=0.05)
        await asyncio.sleep(60)
        asked = of_all.requests_per_s(10, 60)
        refused = sum(10 <= at < 60 for at in of_all.refusals) / 50
        assert asked - refused > takes * 0.9
        assert refused < takes * 0.05
        before = sum(at < 1 for at in of_all.refusals)
        assert before > takes  # it was worth it
        of_all.refuse = lambda: False
        begin = loop.time()
        await asyncio.sleep(70)
        assert of_all.requests_per_s(begin + 65, begin + 70) > 1000
        assert ledger.in_force() == []

    fleet(main)
