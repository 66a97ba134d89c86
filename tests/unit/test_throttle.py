"""The throttle keeps its rate over every window, whoever takes from it and however."""

import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport import throttle
from ossimport.throttle import LocalCell, SharedCell, Throttle, bandwidth, slice_size


class Clock:
    """A clock that tests move by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


rates = st.floats(1.0, 1e9)
pauses = st.floats(0.0, 5.0)


@given(rates, st.floats(0.0, 2.0), st.lists(st.tuples(pauses, st.floats(0.0, 3.0)), max_size=40))
def test_no_window_sees_more_than_its_share(
    rate: float, burst_s: float, takes: list[tuple[float, float]]
) -> None:
    clock = Clock()
    throttle = Throttle(rate, burst=rate * burst_s, cell=LocalCell(), clock=clock)
    sent: list[tuple[float, float]] = []
    for pause, seconds in takes:
        clock.now += pause
        amount = rate * seconds
        wait = throttle.take(amount)
        assert wait >= 0
        sent.append((clock.now + wait, amount))
    sent.sort()
    largest = max((amount for _, amount in sent), default=0.0)
    allowance = max(rate * burst_s, largest)
    for first in range(len(sent)):
        total = 0.0
        for moment, amount in sent[first:]:
            total += amount
            window = moment - sent[first][0]
            assert total <= (rate * window + allowance) * (1 + 1e-6) + 1e-6


@given(rates, st.lists(st.floats(0.0, 0.04), min_size=1, max_size=200))
def test_a_caller_that_wakes_a_little_late_still_gets_the_whole_rate(
    rate: float, delays: list[float]
) -> None:
    clock = Clock()
    throttle = Throttle(rate, burst=rate * 0.05, cell=LocalCell(), clock=clock)
    began, total = clock.now, 0.0
    for delay in delays:
        amount = rate * 0.05
        clock.now += throttle.take(amount)
        total += amount
        assert total <= rate * (clock.now - began + 0.05) * (1 + 1e-9)
        assert total >= rate * (clock.now - began) * (1 - 1e-9)
        clock.now += delay


def test_what_was_not_used_is_saved_up_to_the_burst_only() -> None:
    clock = Clock()
    throttle = Throttle(100.0, burst=50.0, cell=LocalCell(), clock=clock)
    clock.now += 3600
    assert throttle.take(50.0) == 0.0
    assert throttle.take(100.0) == pytest.approx(1.0)


def test_an_amount_larger_than_the_burst_waits_until_it_is_earned() -> None:
    throttle = Throttle(100.0, burst=50.0, cell=LocalCell(), clock=Clock())
    assert throttle.take(250.0) == pytest.approx(2.0)


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0)])
def test_a_rate_that_cannot_be_kept_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Throttle(rate, burst=burst, cell=LocalCell())


@pytest.mark.parametrize("rate", [10_000, 100_000, 1_000_000, 5_000_000, 100_000_000])
def test_slices_keep_the_error_of_two_seconds_under_five_per_cent(rate: float) -> None:
    clock = Clock()
    throttle = Throttle(rate, burst=rate * 0.05, cell=LocalCell(), clock=clock)
    step, window_end, total = slice_size(rate), clock.now + 2.0, 0
    while True:
        clock.now += throttle.take(step)
        if clock.now > window_end:
            break
        total += step
    assert total / (2.0 * rate) == pytest.approx(1.0, abs=0.0500001)
    assert 1024 <= step <= 256 << 10


def test_bandwidth_leaves_a_burst_of_a_fortieth_of_two_seconds() -> None:
    throttle = bandwidth(1000.0, LocalCell())
    assert throttle.take(50.0) == pytest.approx(0.0, abs=1e-6)
    assert throttle.take(1000.0) == pytest.approx(1.0, abs=0.01)


def _fork(work: object) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()  # type: ignore[operator]  # always a function of this file
            code = 0
        finally:
            os._exit(code)
    return pid


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_children_that_come_and_go_share_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_ATTEMPTS", 10**9)  # none is stopped, but they may be starved
    cell = SharedCell()
    began = time.monotonic()

    def take_many_times() -> None:
        for _ in range(20_000):
            cell.advance(began, 0.0005)

    children = [_fork(take_many_times) for _ in range(3)]
    assert [_wait(pid) for pid in children] == [0, 0, 0]
    late = _fork(take_many_times)
    assert _wait(late) == 0
    assert cell.advance(began, 0.0) - began == pytest.approx(40.0)


def test_a_child_killed_at_any_moment_leaves_the_lock_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import fcntl

    cell = SharedCell()

    def take_for_ever() -> None:
        while True:
            cell.advance(0.0, 1.0)

    for _ in range(20):
        pid = _fork(take_for_ever)
        before = cell.advance(0.0, 0.0)
        while cell.advance(0.0, 0.0) <= before:
            pass  # until it is in the middle of its takes
        os.kill(pid, signal.SIGKILL)
        assert _wait(pid) == -signal.SIGKILL
        with monkeypatch.context() as patch:
            patch.setattr(throttle, "_ATTEMPTS", 1)
            assert cell._acquire()
        fcntl.lockf(cell._lock, fcntl.LOCK_UN)
        earned = cell.advance(0.0, 1.0)
        assert cell.advance(0.0, 1.0) == earned + 1.0


def test_a_child_stopped_while_it_holds_the_lock_does_not_hang_the_others() -> None:
    import fcntl

    cell = SharedCell()

    def hold() -> None:
        fcntl.lockf(cell._lock, fcntl.LOCK_EX)
        cell._page[8] = 1
        signal.pause()

    pid = _fork(hold)
    try:
        while not cell._page[8]:
            pass
        assert not cell._acquire()
        assert cell.advance(5.0, 1.0) == 6.0
    finally:
        os.kill(pid, signal.SIGKILL)
        _wait(pid)
