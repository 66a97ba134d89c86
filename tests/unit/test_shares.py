"""Which objects are given to idle workers."""

from hypothesis import given
from hypothesis import strategies as st

from workers.shares import Pace, ahead, late, shares


def test_the_later_half_of_equal_objects_is_given() -> None:
    assert shares(range(10), dict.fromkeys(range(10), 1), [], 1) == [[5, 6, 7, 8, 9]]


def test_every_taker_gets_a_stretch() -> None:
    assert shares(range(8), dict.fromkeys(range(8), 1), [], 3) == [[2, 3], [4, 5], [6, 7]]


def test_large_ones_that_are_under_way_are_given_but_for_one() -> None:
    assert shares([], {3: 9, 4: 8, 5: 7}, [3, 4, 5], 4) == [[4], [5]]


def test_who_gets_a_large_one_gets_less_of_the_rest() -> None:
    weights = {0: 100, 1: 100, **dict.fromkeys(range(2, 12), 10)}
    assert shares(range(2, 12), weights, [0, 1], 2) == [[1], list(range(2, 12))]


WEIGHTS = st.dictionaries(st.integers(0, 50), st.integers(1, 1000), max_size=30)


@given(WEIGHTS, st.integers(0, 50), st.integers(1, 5))
def test_nothing_is_dealt_twice_and_the_holder_keeps_something(
    weights: dict[int, int], border: int, takers: int
) -> None:
    waiting = sorted(i for i in weights if i >= border)
    begun = [i for i in weights if i < border]
    parts = shares(waiting, weights, begun, takers)
    dealt = [i for part in parts for i in part]
    assert len(parts) <= takers
    assert all(part == sorted(part) and part for part in parts)
    assert len(set(dealt)) == len(dealt)
    assert set(dealt) < set(weights) or not weights


def test_late_is_what_would_take_longer_at_its_part_of_the_pace() -> None:
    assert late({}, pace=1, seconds=8) == []
    assert late({1: 80, 2: 81}, pace=20, seconds=8) == [2]


def test_who_is_fast_has_many_parts_in_hand_and_who_is_slow_one() -> None:
    assert ahead(0, 1.0) == ahead(0, 0.0) == ahead(3, 20.0) == 1
    assert ahead(40, 2.0) == 20  # a second's worth
    assert ahead(4, 0.01) == 8  # of so short a time nothing more is believed


def test_a_pace_is_that_of_the_time_since_it_was_asked_for() -> None:
    pace = Pace(100, 10.0)
    assert pace.ahead(120, 12.0) == 10
    assert pace.ahead(120, 14.0) == 1
    assert pace.ahead(150, 16.0) == 15
