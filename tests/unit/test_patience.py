"""Whose fault it is that a request fails again and again, and how soon that is known."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ossimport.dest.memory import MemoryDestination
from ossimport.errors import Fatal, Permanent, StorageError, Transient, Waiting
from ossimport.model import ObjectInfo
from ossimport.patience import BELIEVED_S, OUTAGE_S, PROBE_S, SUSPECT_S, End, Patience
from ossimport.pruning import Gone, Pruned, prune
from ossimport.sources.memory import MemorySource
from tests.unit.virtual_time import VirtualLoop, run_virtual

REFUSED = Transient("connection refused", code="ConnectionReset", op="put", key="k")


class Scene:
    """An end on virtual time that does what the test says."""

    def __init__(self, loop: VirtualLoop, *, outlast_s: float = 0.0) -> None:
        self.loop = loop
        self.probes: list[float] = []
        self.asked: list[float] = []
        self.back_at = 1e9  # when the end does its work again
        self.answers_at = 1e9  # when it answers probes again
        self.refusal = REFUSED
        self.takes = 0.0  # a request, before it fails
        self.probe_takes = 0.0
        patience = Patience(8, lambda: 0.0, outlast_s=outlast_s, clock=loop.time)
        self.end = End("destination", self._probe, patience)

    async def _probe(self) -> None:
        self.probes.append(self.loop.time())
        await asyncio.sleep(self.probe_takes)
        if self.loop.time() < min(self.back_at, self.answers_at):
            raise REFUSED

    async def _request(self) -> str:
        self.asked.append(self.loop.time())
        await asyncio.sleep(self.takes)
        if self.loop.time() < self.back_at:
            raise self.refusal
        return "done"

    async def ask(self) -> str:
        return await self.end.ask(self._request)


def on(work: Callable[[Scene], Awaitable[None]], *, outlast_s: float = 0.0) -> None:
    async def main(loop: VirtualLoop) -> None:
        await work(Scene(loop, outlast_s=outlast_s))

    run_virtual(main)


def test_an_end_that_refuses_everything_is_given_up_within_seconds_by_one_probe() -> None:
    async def work(scene: Scene) -> None:
        told = await asyncio.gather(*(scene.ask() for _ in range(60)), return_exceptions=True)
        for each in told:
            assert isinstance(each, Waiting)
            assert each.code == "Outage"
            assert "the destination refuses every request" in str(each)
        assert len(scene.probes) == 1
        assert scene.loop.time() < 2 * SUSPECT_S

    on(work)


def test_what_succeeded_before_the_outage_is_not_held_against_who_was_under_way() -> None:
    async def work(scene: Scene) -> None:
        scene.takes = 1.0
        first = asyncio.create_task(scene.ask())
        await asyncio.sleep(0.5)
        scene.end.successes += 1
        with pytest.raises(Waiting):
            await first

    on(work)


def test_one_slow_failure_is_enough_to_ask_whether_the_end_is_there() -> None:
    """An end that takes connections and says nothing: each request lasts a minute."""

    async def work(scene: Scene) -> None:
        scene.takes, scene.probe_takes = 60.0, 1e6
        with pytest.raises(Waiting):
            await scene.ask()
        assert len(scene.asked) == 1
        assert scene.loop.time() == 60.0 + PROBE_S

    on(work)


def test_an_end_that_wants_to_be_left_alone_for_long_is_given_up_at_once() -> None:
    async def work(scene: Scene) -> None:
        scene.refusal = Transient("slow down", code="Throttled", retry_after=200.0)
        with pytest.raises(Waiting):
            await scene.ask()
        assert scene.loop.time() == 0

    on(work)


def test_who_alone_is_to_come_again_much_later_comes_then() -> None:
    async def work(scene: Scene) -> None:
        scene.refusal = Transient("slow down", code="Throttled", retry_after=200.0)
        scene.back_at, scene.answers_at = 100.0, 0.0
        assert await scene.ask() == "done"
        assert scene.asked == [0.0, 200.0]

    on(work)


def test_a_slow_failure_of_one_request_alone_is_tried_as_often_as_any() -> None:
    async def work(scene: Scene) -> None:
        scene.takes, scene.answers_at = 60.0, 0.0
        with pytest.raises(Transient):
            await scene.ask()
        assert len(scene.asked) == 8

    on(work)


def test_what_a_probe_said_is_believed_for_a_while() -> None:
    async def work(scene: Scene) -> None:
        scene.back_at = 1.0
        for _ in range(3):
            with pytest.raises(Waiting):
                await scene.end.must_answer()
            await asyncio.sleep(BELIEVED_S / 3)
        assert len(scene.probes) == 1
        await scene.end.must_answer()
        assert len(scene.probes) == 2

    on(work)


def test_who_stops_waiting_for_a_probe_does_not_stop_it_for_others() -> None:
    async def work(scene: Scene) -> None:
        scene.probe_takes = 3.0
        first, second = (asyncio.create_task(scene.end.trouble()) for _ in range(2))
        await asyncio.sleep(1.0)
        first.cancel()
        assert await second is REFUSED
        assert len(scene.probes) == 1

    on(work)


def test_an_outage_that_is_to_be_outlasted_is_waited_out_here() -> None:
    async def work(scene: Scene) -> None:
        scene.back_at = OUTAGE_S - 50
        assert await scene.ask() == "done"

    on(work, outlast_s=OUTAGE_S)


def test_an_outage_that_is_not_over_then_is_given_up() -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(Waiting):
            await scene.ask()
        assert OUTAGE_S <= scene.loop.time() < OUTAGE_S + 60

    on(work, outlast_s=OUTAGE_S)


def test_deletions_wait_an_outage_out_as_no_process_is_wanted_by_others() -> None:
    async def main(loop: VirtualLoop) -> None:
        source, dest = MemorySource(), MemoryDestination()
        stat, listed = dest.stat, dest.list

        async def gone_stat(key: str) -> ObjectInfo | None:
            return await (refuse() if loop.time() < 200 else stat(key))

        async def gone_list(prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
            return await (refuse() if loop.time() < 200 else listed(prefix, after, limit))

        dest.stat, dest.list = gone_stat, gone_list  # type: ignore[method-assign]
        [fate] = await prune(source, dest, "to/", [Gone("k", 1)], lambda keys: None)
        assert fate.pruned is Pruned.ABSENT
        assert loop.time() > 200

    async def refuse() -> Any:
        raise REFUSED

    run_virtual(main)


@pytest.mark.parametrize("kind", [Permanent, Fatal])
async def test_who_looks_again_takes_a_refusal_for_an_answer(kind: type[StorageError]) -> None:
    """Such as that of a list that only the master has, or whose first objects are gone."""

    async def refuse() -> None:
        raise kind("none of the first URLs of the list can be read", code="NotFound")

    await End("source", refuse, Patience(8, lambda: 0.0)).must_answer()


async def test_who_looks_again_waits_for_what_the_end_says_it_lacks() -> None:
    async def refuse() -> None:
        raise Waiting("the credentials expired", code="CredentialsExpired")

    with pytest.raises(Waiting, match="the credentials expired"):
        await End("source", refuse, Patience(8, lambda: 0.0)).must_answer()
