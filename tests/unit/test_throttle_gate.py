"""Gates keep their rate whatever it is changed to, and serve who came first."""

import asyncio
import math
import random

import pytest

from ossimport.limits.gate import Gate
from tests.unit.virtual_time import VirtualLoop, run_virtual


class Crowd:
    """Takes from a gate all the time, and writes down when it got what."""

    def __init__(self, loop: VirtualLoop, gate: Gate, amount: float, takers: int) -> None:
        self.loop, self.gate, self.amount = loop, gate, amount
        self.taken: list[float] = []
        self.tasks = [asyncio.ensure_future(self.take()) for _ in range(takers)]

    async def take(self) -> None:
        while True:
            await self.gate.turn(self.amount)
            self.taken.append(self.loop.time())
            await asyncio.sleep(0.0001)

    def between(self, begin: float, end: float) -> float:
        return sum(begin <= at < end for at in self.taken) * self.amount

    async def leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.mark.parametrize(("rate", "amount"), [(1e6, 1e4), (1e6, 5e4), (3.0, 1.0), (7e4, 2.5e5)])
def test_a_window_sees_the_rate_and_no_more(rate: float, amount: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        gate = Gate(loop.time)
        gate.set(rate)
        crowd = Crowd(loop, gate, amount, 50)
        await asyncio.sleep(60)
        await crowd.leave()
        for begin in range(50):
            for length in (1, 2, 10):
                taken = crowd.between(begin, begin + length)
                assert taken <= rate * length + rate * 0.05 + amount
                assert taken >= rate * length - amount - 1

    run_virtual(main)


def test_a_change_is_in_force_at_once_for_those_who_wait_too() -> None:
    async def main(loop: VirtualLoop) -> None:
        gate = Gate(loop.time)
        gate.set(0.5)
        crowd = Crowd(loop, gate, 1.0, 60)  # the last of them would wait for two minutes
        await asyncio.sleep(10)
        gate.set(100.0)
        await asyncio.sleep(10)
        assert 995 <= crowd.between(10, 20) <= 1006
        gate.set(1.0)
        await asyncio.sleep(10)
        assert 9 <= crowd.between(20, 30) <= 11
        gate.set(0.0)
        await asyncio.sleep(10)
        assert crowd.between(30.01, 40) == 0
        gate.set(math.inf)
        await asyncio.sleep(0.1)
        assert crowd.between(40, 40.1) > 1000
        await crowd.leave()

    run_virtual(main)


def test_nothing_passes_when_the_right_to_has_ended_until_it_is_renewed() -> None:
    async def main(loop: VirtualLoop) -> None:
        gate = Gate(loop.time)
        gate.set(100.0, until=2.0)
        crowd = Crowd(loop, gate, 1.0, 10)
        await asyncio.sleep(10)
        assert crowd.between(0, 2.01) == pytest.approx(200, abs=7)
        assert crowd.between(2.01, 10) == 0
        gate.set(100.0, until=12.0)
        await asyncio.sleep(10)
        assert crowd.between(10, 12.01) == pytest.approx(200, abs=7)  # nothing was saved meanwhile
        assert crowd.between(12.01, 20) == 0
        await crowd.leave()

    run_virtual(main)


def test_what_has_begun_comes_first_and_else_who_came_first() -> None:
    async def main(loop: VirtualLoop) -> None:
        gate = Gate(loop.time)
        gate.set(10.0)
        order: list[str] = []

        async def pass_as(name: str, *, going: bool = False) -> None:
            await gate.turn(1.0, going=going)
            order.append(name)

        gate.charge(1.0)
        coming = [asyncio.ensure_future(pass_as(name)) for name in "abc"]
        await asyncio.sleep(0)
        going = [asyncio.ensure_future(pass_as(name, going=True)) for name in "xy"]
        coming[1].cancel()
        await asyncio.gather(*coming, *going, return_exceptions=True)
        assert order == ["x", "y", "a", "c"]

    run_virtual(main)


def test_it_says_what_passed_and_for_how_long_somebody_waited() -> None:
    async def main(loop: VirtualLoop) -> None:
        gate = Gate(loop.time)
        gate.set(100.0)
        for _ in range(10):
            await gate.turn(2.0)
            await asyncio.sleep(0.1)
        used, waited = gate.look()
        assert used == pytest.approx(20.0)
        assert waited == pytest.approx(0.0, abs=0.01)
        crowd = Crowd(loop, gate, 1.0, 3)
        await asyncio.sleep(5)
        used, waited = gate.look()
        assert used == pytest.approx(100.0, rel=0.02)
        assert waited > 0.95
        await crowd.leave()
        await asyncio.sleep(1)
        used, waited = gate.look()
        assert used == 0.0
        assert waited < 0.01

    run_virtual(main)


def test_who_gives_up_takes_nothing_with_him() -> None:
    async def main(loop: VirtualLoop) -> None:
        gate = Gate(loop.time)
        gate.set(10.0)
        crowd = Crowd(loop, gate, 1.0, 5)
        rng = random.Random(1)
        for _ in range(200):
            leaver = asyncio.ensure_future(gate.turn(1.0, going=rng.random() < 0.5))
            await asyncio.sleep(0.0)
            leaver.cancel()
            await asyncio.sleep(0.05)
        assert crowd.between(0, 10) == pytest.approx(100, abs=25)
        await crowd.leave()
        assert crowd.between(0, 10) >= 75

    run_virtual(main)
