"""The number of requests in flight against services that are simulated, in virtual time.

Runners send one request after another, as a worker's do: each waits for a place below the limit,
first come first served, and tries again later what is refused. A service says when a request ends
and how. Throughput is held against the best number that never moves.
"""

import asyncio
import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.errors import Transient
from ossimport.limits.way import Way
from ossimport.patience import backoff
from ossimport.transport.inflight import InFlight, _Epoch
from ossimport.transport.pool import Pool
from ossimport.transport.wire import Endpoint
from workers.runtime import part_of

SEEDS = pytest.mark.parametrize("seed", [1, 2])

Sizes = Callable[[random.Random, float], int]
Of = Callable[[float], float]  # something that changes with time


class Request(NamedTuple):
    """One attempt."""

    size: int
    attempt: int
    began: float


class Service(Protocol):
    """Answers in its time by calling `run.end`."""

    def begin(self, run: "Run", request: Request) -> None: ...


class Run:
    """Runners, places and a service. `fixed` is a number in flight that never moves."""

    def __init__(
        self,
        service: Service,
        *,
        cap: int = 240,
        seed: int = 1,
        fixed: int = 0,
        sizes: Sizes = lambda _, __: 4096,
        supply: float = 0.0,
        stop_at: float = float("inf"),
    ) -> None:
        """`supply` is how many objects come per second until `stop_at`; 0: as many as wanted."""
        self.now = 0.0
        self.random = random.Random(seed)
        self.flow = InFlight(cap, 60, 0.0, "http://service")
        self.in_flight = self.peak = 0
        self.answers: list[float] = []
        self.refusals: list[float] = []
        self.limits = [(0.0, self.flow.limit)]
        self._service = service
        self._fixed = fixed
        self._sizes = sizes
        self._supply, self._stop_at, self._next = supply, stop_at, 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._waiting: deque[tuple[int, int]] = deque()
        for _ in range(cap):
            self.after(0.0, self._begin_object)

    def after(self, seconds: float, step: Callable[..., None], *arguments: Any) -> None:
        """Call later."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), step, arguments))

    def until(self, end: float) -> "Run":
        """Let time pass."""
        while self._events and self._events[0][0] <= end:
            self.now, _, step, arguments = heapq.heappop(self._events)
            step(*arguments)
        return self

    def _begin_object(self) -> None:
        if self._supply and self.now < self._stop_at:
            self._next = max(self._next, self.now) + 1 / self._supply
            self.after(self._next - self.now, self._ask, self._sizes(self.random, self.now), 0)
        else:
            self._ask(self._sizes(self.random, self.now), 0)

    def _ask(self, size: int, attempt: int) -> None:
        self._waiting.append((size, attempt))
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < (self._fixed or self.flow.limit):
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            self._service.begin(self, Request(*self._waiting.popleft(), self.now))

    def end(self, request: Request, answered: bool = True) -> None:
        """Called by the service."""
        if answered:
            self.flow.answered(request.began, self.now, request.size, self.in_flight)
            self.answers.append(self.now)
        else:
            self.flow.refused(request.began, self.now)
            self.refusals.append(self.now)
        if self.flow.limit != self.limits[-1][1]:
            self.limits.append((self.now, self.flow.limit))
        self.in_flight -= 1
        self._let_in()
        if answered:
            self._begin_object()
        else:
            attempt = request.attempt + 1
            wait = backoff(attempt, self.random.random())
            self.after(wait, self._ask, request.size, attempt)

    def rate(self, start: float, end: float) -> float:
        """Requests answered per second."""
        return sum(start <= when < end for when in self.answers) / (end - start)

    def refused(self, start: float, end: float) -> float:
        """Share of the requests that were refused."""
        refused = sum(start <= when < end for when in self.refusals)
        return refused / (refused + self.rate(start, end) * (end - start))

    def limits_in(self, start: float, end: float) -> list[int]:
        """Every limit in force at some time in between."""
        before = [limit for when, limit in self.limits if when <= start]
        return [before[-1], *(limit for when, limit in self.limits if start < when < end)]

    def mean_limit(self, start: float, end: float) -> float:
        """Mean over that time."""
        ends = [when for when, _ in self.limits[1:]] + [self.now]
        return sum(
            limit * max(0.0, min(until, end) - max(since, start))
            for (since, limit), until in zip(self.limits, ends, strict=True)
        ) / (end - start)


class Distant:
    """Takes any number at once; each is answered after `latency`, and `spread` more on average."""

    def __init__(self, latency: Of | float = 0.02, spread: float = 0.0) -> None:
        self.latency: Of = latency if callable(latency) else lambda _: latency
        self.spread = spread

    def begin(self, run: Run, request: Request) -> None:
        more = run.random.expovariate(1 / self.spread) if self.spread else 0.0
        run.after(self.latency(run.now) + more, run.end, request)


class Queueing:
    """Deals with one after another, `capacity` per second; the others wait."""

    def __init__(self, capacity: Of | float, latency: float = 0.02, even: bool = False) -> None:
        self.capacity: Of = capacity if callable(capacity) else lambda _: capacity
        self.latency, self.even, self.free = latency, even, 0.0

    def begin(self, run: Run, request: Request) -> None:
        work = 1 / self.capacity(run.now)
        if not self.even:
            work = run.random.expovariate(1 / work)
        self.free = max(self.free, run.now + self.latency / 2) + work
        run.after(self.free + self.latency / 2 - run.now, run.end, request)


class Crowded:
    """Refuses at once what comes while `places` are taken."""

    def __init__(self, places: Of | float, latency: float = 0.02) -> None:
        self.places: Of = places if callable(places) else lambda _: places
        self.latency, self.taken = latency, 0

    def begin(self, run: Run, request: Request) -> None:
        if self.taken >= self.places(run.now):
            run.after(0.001, run.end, request, False)
        else:
            self.taken += 1
            run.after(self.latency, self._end, run, request)

    def _end(self, run: Run, request: Request) -> None:
        self.taken -= 1
        run.end(request)


class Rated:
    """Refuses what comes faster than `rate` per second; up to `burst` seconds of it are saved."""

    def __init__(self, rate: float, burst: float, latency: float = 0.02) -> None:
        self.rate, self.burst, self.latency = rate, burst, latency
        self.saved, self.at = burst * rate, 0.0

    def begin(self, run: Run, request: Request) -> None:
        self.saved += (run.now - self.at) * self.rate
        self.saved = min(self.saved, self.burst * self.rate)
        self.at = run.now
        taken = self.saved >= 1
        self.saved -= taken
        run.after(self.latency, run.end, request, taken)


class Moody:
    """Refuses a share of the requests, however many they are."""

    def __init__(self, share: Of | float, latency: float = 0.02) -> None:
        self.share: Of = share if callable(share) else lambda _: share
        self.latency = latency

    def begin(self, run: Run, request: Request) -> None:
        run.after(self.latency, run.end, request, run.random.random() >= self.share(run.now))


class Line:
    """A line that all bodies share evenly; none goes faster than `each`. Bytes per second."""

    def __init__(self, speed: float, each: float = float("inf"), latency: float = 0.02) -> None:
        self.speed, self.each, self.latency = speed, each, latency
        self.moved = self.at = 0.0  # bytes of a body that had been there all the time, by then
        self.carried = 0.0  # bytes of all bodies
        self.bodies: list[tuple[float, int, Request]] = []
        self.plans = 0

    def begin(self, run: Run, request: Request) -> None:
        run.after(self.latency, self._enter, run, request)

    def _enter(self, run: Run, request: Request) -> None:
        self._move(run)
        self.plans += 1
        heapq.heappush(self.bodies, (self.moved + request.size, self.plans, request))
        self._plan(run)

    def _move(self, run: Run) -> None:
        if self.bodies:
            moved = (run.now - self.at) * min(self.speed / len(self.bodies), self.each)
            self.moved += moved
            self.carried += moved * len(self.bodies)
        self.at = run.now

    def _plan(self, run: Run) -> None:
        self.plans += 1
        if self.bodies:
            left = max(0.0, self.bodies[0][0] - self.moved)
            speed = min(self.speed / len(self.bodies), self.each)
            run.after(left / speed, self._leave, run, self.plans)

    def _leave(self, run: Run, plan: int) -> None:
        if plan != self.plans:
            return
        self._move(run)
        while self.bodies and self.bodies[0][0] <= self.moved + 1e-3:
            run.end(heapq.heappop(self.bodies)[2])
        self._plan(run)


@lru_cache
def best_rate(make: Callable[[], Service], numbers: tuple[int, ...]) -> float:
    """The most that a number that never moves can have, per second."""
    return max(Run(make(), fixed=number).until(10).rate(2, 10) for number in numbers)


# -- more as long as it helps ------------------------------------------------------------------


def test_a_cap_of_sixty_is_used_to_the_full_from_the_first_moment() -> None:
    run = Run(Distant(), cap=60).until(7)
    assert run.rate(0, 7) >= 0.98 * 3000
    assert run.peak == 60


@SEEDS
@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_a_distant_service_gets_all_that_the_cap_allows(seed: int, spread: float) -> None:
    run = Run(Distant(0.02 - spread, spread), seed=seed).until(15)
    assert run.limits_in(0.7, 0.7) == [240]
    assert run.rate(1, 15) >= 0.97 * 12_000
    assert run.peak == 240


@SEEDS
def test_a_cap_is_reached_that_is_far_from_the_start(seed: int) -> None:
    run = Run(Distant(0.1, 0.02), cap=1000, seed=seed).until(6)
    assert 1000 in run.limits_in(0, 3.5)
    assert run.peak == 1000


# -- no more than helps --------------------------------------------------------------------------


def thousand() -> Service:
    """A service that is busy with 20 in flight."""
    return Queueing(1000, even=True)


def thousand_uneven() -> Service:
    """The same, with work that is not the same for each."""
    return Queueing(1000)


def three_thousand() -> Service:
    """A service that is busy with 60 in flight."""
    return Queueing(3000)


@SEEDS
@pytest.mark.parametrize("make", [thousand, thousand_uneven, three_thousand])
def test_a_service_that_queues_is_kept_busy_and_no_more(
    make: Callable[[], Service], seed: int
) -> None:
    run = Run(make(), seed=seed).until(30)
    assert run.rate(3, 30) >= 0.95 * best_rate(make, (16, 32, 60, 120, 240))
    assert run.mean_limit(3, 30) < 140


def test_fewer_are_preferred_if_they_do_as_well() -> None:
    run = Run(thousand()).until(60)
    assert run.mean_limit(10, 60) < 30
    assert min(run.limits_in(10, 60)) >= 16


def test_a_full_line_is_kept_full_by_fewer_and_fewer_large_bodies() -> None:
    line = Line(100e6, each=10e6)
    run = Run(line, sizes=lambda _, __: 8 << 20).until(200)
    assert line.carried >= 0.95 * 200 * 100e6
    assert run.limits_in(200, 200)[0] <= 40


@SEEDS
def test_a_service_that_has_become_slow_is_left_alone_until_it_is_fast_again(seed: int) -> None:
    run = Run(Queueing(lambda now: 300 if 15 <= now < 30 else 3000), seed=seed).until(50)
    assert run.rate(17, 30) >= 0.93 * 300
    assert run.rate(34, 50) >= 0.95 * 3000


def test_what_has_not_changed_is_tried_less_and_less_often() -> None:
    assert len(Run(Distant(), cap=60).until(130).limits) <= 2 * 10 + 1


def test_a_change_is_noticed_soon_however_seldom_others_are_tried() -> None:
    run = Run(Queueing(lambda now: 600 if 80 <= now < 100 else 6000, even=True)).until(120)
    assert run.limits_in(88, 88)[0] <= 40
    assert run.rate(107, 120) >= 0.95 * 6000


def test_more_are_tried_now_and_then_even_if_nothing_changed() -> None:
    run = Run(Queueing(lambda now: 1000 if now < 80 else 6000, even=True)).until(110)
    assert run.rate(100, 110) >= 0.95 * 6000


def test_a_lucky_moment_does_not_cost_much() -> None:
    # For as long as fewer are tried, all goes faster; so they are kept, and still fewer are tried.
    run = Run(Distant(lambda now: 0.016 if 4.15 <= now < 4.44 else 0.02), cap=60).until(6)
    assert run.limits_in(4, 6) == [60, 48, 38, 48, 60]


# -- what is not the number's doing --------------------------------------------------------------


@SEEDS
def test_a_restless_line_does_not_wear_it_down(seed: int) -> None:
    moods = random.Random(seed).choices([0.02, 0.026, 0.032, 0.04], [3, 1, 1, 1], k=60)
    run = Run(Distant(lambda now: moods[int(now)]), seed=seed).until(60)
    best = Run(Distant(lambda now: moods[int(now)]), fixed=240).until(60)
    assert run.rate(2, 60) >= 0.95 * best.rate(2, 60)


def mixed(chance: random.Random, _: float) -> int:
    """Nineteen small objects, and one that may be very large."""
    return 4096 if chance.random() < 0.95 else int(chance.choice([1e5, 1e6, 2e7]))


@SEEDS
def test_a_few_large_objects_among_many_small_ones_do_not_confuse_it(seed: int) -> None:
    best = Run(Line(1e12, each=10e6), fixed=240, sizes=mixed).until(40)
    run = Run(Line(1e12, each=10e6), seed=seed, sizes=mixed).until(40)
    assert run.rate(10, 40) >= 0.9 * best.rate(10, 40)


@SEEDS
def test_a_full_line_is_kept_full_by_objects_of_all_sizes(seed: int) -> None:
    line = Line(100e6, each=10e6)
    Run(line, seed=seed, sizes=mixed).until(90)
    assert line.carried >= 0.95 * 90 * 100e6


@SEEDS
def test_large_objects_after_small_ones_do_not_look_like_a_slow_service(seed: int) -> None:
    def in_turn(_: random.Random, now: float) -> int:
        return 4096 if int(now / 2) % 2 else 1 << 20

    run = Run(Line(1e12, each=50e6), seed=seed, sizes=in_turn).until(24)
    best = Run(Line(1e12, each=50e6), fixed=240, sizes=in_turn).until(24)
    assert run.rate(3, 24) >= 0.95 * best.rate(3, 24)


def test_durations_are_compared_with_those_of_requests_of_the_same_size() -> None:
    few_large, many_large = _Epoch(0.0, 0.0, 60), _Epoch(0.0, 0.0, 60)
    for epoch, large, factor in [(few_large, 1, 1.0), (many_large, 9, 1.5)]:
        epoch.fresh[13] += [0.02 * factor] * 10
        epoch.fresh[21] += [0.5 * factor] * large
        epoch.sum_up()
    assert many_large.slower_than(few_large) == pytest.approx(1.5)
    assert few_large.slower_than(_Epoch(0.0, 0.0, 60)) == 0.0


def test_a_long_epoch_with_many_answers_takes_no_memory_for_each() -> None:
    flow = InFlight(60, 60, 0.0)
    for i in range(20_000):
        now = 0.001 * i
        flow.answered(now - (60.0 if i % 100 == 0 else 0.01), now, 4096, 60)
        assert sum(map(len, flow._epoch.fresh.values())) <= 251


def test_nothing_is_learned_while_the_supply_is_short() -> None:
    run = Run(Distant(), supply=500, stop_at=60).until(70)
    assert run.limits_in(0, 60) == [60]
    assert run.rate(5, 60) == pytest.approx(500, rel=0.01)
    assert run.rate(62, 70) >= 0.95 * 12_000


class Tasks(Run):
    """Objects come in tasks: the next one begins some time after all of the last one have ended."""

    def __init__(self, service: Service, *, objects: int, pause: float) -> None:
        self._objects, self._pause = objects, pause
        self._begun = self._ended = 0
        super().__init__(service)

    def _begin_object(self) -> None:
        if self._begun < self._objects:
            self._begun += 1
            self._ask(4096, 0)

    def end(self, request: Request, answered: bool = True) -> None:
        super().end(request, answered)
        self._ended += answered
        if self._ended == self._objects:
            self._begun = self._ended = 0
            for _ in range(240):
                self.after(self._pause, self._begin_object)


@pytest.mark.parametrize("objects", [400, 1000, 4000])
def test_the_ends_of_tasks_do_not_hide_that_more_are_better(objects: int) -> None:
    run = Tasks(Distant(), objects=objects, pause=0.05).until(20)
    assert run.limits_in(4, 4) == [240]
    assert run.mean_limit(4, 20) >= 0.95 * 240


# -- refusals ------------------------------------------------------------------------------------


@SEEDS
@pytest.mark.parametrize("places", [10, 100])
def test_what_is_just_not_refused_is_found(places: int, seed: int) -> None:
    run = Run(Crowded(places), seed=seed).until(60)
    assert run.rate(8, 60) >= 0.95 * places / 0.02
    assert run.refused(8, 60) <= 0.01


@SEEDS
@pytest.mark.parametrize("burst", [0.02, 1.0])
def test_a_rate_is_reached_and_seldom_exceeded(burst: float, seed: int) -> None:
    run = Run(Rated(1000, burst), seed=seed).until(60)
    assert run.rate(8, 60) >= 0.93 * 1000
    assert run.refused(8, 60) <= 0.03


def test_a_refusal_now_and_then_costs_nothing() -> None:
    run = Run(Moody(0.001)).until(30)
    assert run.rate(1, 30) >= 0.96 * 12_000


@SEEDS
@pytest.mark.parametrize("share", [0.03, 0.08])
def test_refusals_that_are_as_many_with_half_as_many_requests_are_not_our_doing(
    share: float, seed: int
) -> None:
    run = Run(Moody(share), seed=seed).until(40)
    best = Run(Moody(share), fixed=240).until(20)
    assert run.rate(15, 40) >= 0.85 * best.rate(5, 20)


def test_refusals_of_a_slow_service_are_waited_for_before_it_is_judged() -> None:
    run = Run(Moody(0.03, latency=0.2), cap=60).until(200)
    best = Run(Moody(0.03, latency=0.2), cap=60, fixed=60).until(200)
    assert run.rate(20, 200) >= 0.9 * best.rate(20, 200)


@SEEDS
def test_a_storm_is_obeyed_within_a_second_and_forgotten_soon(seed: int) -> None:
    run = Run(Moody(lambda now: 0.33 if 10 <= now < 20 else 0.0), seed=seed).until(40)
    assert run.limits_in(11, 11)[0] <= 15
    assert max(run.limits_in(12, 20)) <= 15
    assert run.rate(28, 40) >= 0.95 * 12_000


@SEEDS
def test_places_that_are_given_back_are_found(seed: int) -> None:
    run = Run(Crowded(lambda now: 10 if 10 <= now < 30 else 100), seed=seed).until(90)
    assert run.rate(14, 30) >= 0.9 * 10 / 0.02
    assert run.rate(65, 90) >= 0.9 * 100 / 0.02


@SEEDS
def test_places_that_were_taken_for_a_moment_are_soon_found_again(seed: int) -> None:
    run = Run(Crowded(lambda now: 20 if 10 <= now < 16 else 100), seed=seed).until(40)
    assert run.rate(27, 40) >= 0.93 * 100 / 0.02


def test_many_refusals_at_once_halve_the_limit_once() -> None:
    flow = InFlight(60, 60, 0.0)
    for i in range(60):
        flow.refused(1.0, 1.02 + i * 1e-6)
    assert flow.limit == 30
    for i in range(30):
        flow.refused(1.1, 1.12 + i * 1e-6)
    assert flow.limit == 15
    assert flow.is_wary(2.0)
    for i in range(1800):
        flow.answered(1.2 + i / 1000, 1.22 + i / 1000, 4096, flow.limit)
        assert flow.limit == 15
    assert not flow.is_wary(60.0)


def test_nothing_at_all_is_answered_and_then_everything() -> None:
    flow = InFlight(60, 60, 0.0)
    for second in range(300):
        for _ in range(flow.limit):
            flow.refused(second - 0.5, float(second))
    assert flow.limit == 2
    now = 300.0
    while flow.limit < 60:
        for _ in range(flow.limit):
            flow.answered(now, now + 0.02, 4096, flow.limit)
        now += 0.02
        assert now < 320
    assert not flow.is_wary(now)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.lists(
        st.tuples(st.booleans(), st.floats(0.0, 3.0), st.floats(0.0, 2.0), st.integers(1, 50)),
        max_size=200,
    ),
)
def test_the_limit_is_between_two_and_the_cap_whatever_happens(
    cap: int, start: int, events: list[tuple[bool, float, float, int]]
) -> None:
    flow = InFlight(cap, start, 0.0)
    now = 0.0
    for answered, passed, took, times in events:
        now += passed
        for _ in range(times):
            if answered:
                flow.answered(now - took, now, 4096, flow.limit)
            else:
                flow.refused(now - took, now)
            assert min(2, start, cap) <= flow.limit <= cap


# -- what an operator sees -----------------------------------------------------------------------


def test_refusals_are_told_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ossimport.transport.inflight")
    Run(Moody(lambda now: 0.4 if 3 <= now < 23 else 0.0)).until(28)
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("http://service refuses requests: ")
    assert 1 <= len(told) <= 3


def test_what_was_found_is_in_the_log_for_who_looks_closely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ossimport.transport.inflight")
    Run(Distant()).until(1)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"http://service: {a} requests in flight, not {b}" for b, a in [(60, 120), (120, 240)]
    ]


# -- the processes of a worker --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "parts"), [(60, [8, 8, 8, 8, 7, 7, 7, 7]), (240, [120, 120]), (1, [1]), (1, [1, 1])]
)
def test_the_processes_of_a_worker_share_a_number_and_none_has_nothing(
    number: int, parts: list[int]
) -> None:
    assert [part_of(number, len(parts), index) for index in range(len(parts))] == parts


# -- the pool that it governs --------------------------------------------------------------------


class Told:
    """A limit that the test sets."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.wary = False
        self.told: list[str] = []

    def answered(self, began: float, now: float, moved: int, in_flight: int) -> None:
        assert began <= now
        self.told.append(f"{moved} bytes, {in_flight} in flight")

    def refused(self, began: float, now: float) -> None:
        assert began <= now
        self.told.append("refused")

    def is_wary(self, now: float) -> bool:
        return self.wary


class Wire:
    """Connections that are always fresh, or an error."""

    forward = None
    reusable = True
    exchanges = 2

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def dial(self) -> "Wire":
        if self.error is not None:
            raise self.error
        return self


def pool_with(flow: Told, wire: Wire) -> Pool:
    """A pool without sockets."""
    return Pool(
        Endpoint("http", "h", 80),
        flow=cast(Any, flow),
        way=Way(),
        dialer=cast(Any, wire),
        on_made=lambda _: None,
    )


async def test_those_who_wait_are_let_in_when_the_limit_grows_and_not_when_it_falls() -> None:
    flow = Told(2)
    pool = pool_with(flow, Wire())
    held = [await pool.take(), await pool.take()]
    waiting = [asyncio.create_task(pool.take()) for _ in range(6)]
    await asyncio.sleep(0)
    flow.limit = 4
    pool.give_back(held[0])
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True] * 3 + [False] * 3
    assert pool.in_flight == (4, 4)

    flow.limit = 2
    pool.give_back(held[1])
    pool.give_back(waiting[0].result())
    await asyncio.sleep(0)
    assert not waiting[3].done()
    assert pool.in_flight == (2, 2)

    waiting[3].cancel()
    pool.give_back(waiting[1].result())
    await asyncio.sleep(0)
    assert waiting[4].done()
    assert not waiting[5].done()
    pool.give_back(waiting[2].result())
    pool.give_back(waiting[4].result())
    pool.give_back(await waiting[5])
    assert pool.in_flight == (0, 2)


async def test_a_kept_connection_is_lent_at_once_unless_it_is_dead_or_the_limit_has_fallen() -> (
    None
):
    flow, wire = Told(2), Wire()
    pool = pool_with(flow, wire)
    assert pool.kept() is None
    for connection in [await pool.take(), await pool.take()]:
        pool.give_back(connection)
    assert pool.kept() is not None
    flow.limit = 1
    assert pool.kept() is None
    flow.limit = 2
    wire.reusable = False
    assert pool.kept() is None
    assert pool.in_flight == (1, 2)


async def test_what_is_known_of_a_service_that_refuses_is_not_forgotten_at_once() -> None:
    flow = Told(2)
    pool = pool_with(flow, Wire())
    assert pool.is_unused()
    flow.wary = True
    assert not pool.is_unused()


@pytest.mark.parametrize(
    ("status", "told"),
    [(status, "7 bytes, 1 in flight") for status in (200, 206, 404, 412, 501, 505)]
    + [(status, "refused") for status in (429, 500, 502, 503, 504, 573)],
)
async def test_answers_and_refusals_are_told_apart(status: int, told: str) -> None:
    flow = Told(2)
    pool = pool_with(flow, Wire())
    await pool.take()
    pool.answered(0.0, status, 3, 4)
    assert flow.told == [told]


@pytest.mark.parametrize(
    ("code", "told"),
    [("Timeout", 1), ("ConnectionReset", 1), ("ConnectionFailed", 1)]
    + [("ConnectionRefused", 0), ("DnsFailure", 0), ("TlsError", 0), ("BadResponse", 0)],
)
async def test_faults_of_a_crowd_count_as_refusals_and_others_do_not(code: str, told: int) -> None:
    flow = Told(2)
    pool = pool_with(flow, Wire(Transient("no", code=code)))
    with pytest.raises(Transient):
        await pool.take()
    assert len(flow.told) == told
    assert pool.in_flight == (0, 2)
    pool.failed(0.0, Transient("no", code=code))
    assert len(flow.told) == 2 * told
    pool.close()
    pool.failed(0.0, Transient("no", code=code))
    assert len(flow.told) == 2 * told
