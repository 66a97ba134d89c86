"""Where to cut a range of keys in two, in a store that cannot count them.

Names are taken for numbers, a character for a digit, so that there is a name half-way between any
two. A look at the few keys behind a guess shows how dense they are around it, and with what earlier
looks have shown, about how many are on either side.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import isqrt, log
from os.path import commonprefix
from typing import NamedTuple

SAMPLE = 100  # keys that a look asks for

_LOOKS = 20  # requests that one cut may cost
_BALANCED = 3.0  # a side may have so many times the keys of the other
_SPARE = 2  # characters of a guess that are more than needed
_LONGEST = 1023  # bytes of a key
_TINY = 1e-300
# Where names have one of these characters, they can have all of its kind.
_KINDS = (
    "0123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "".join(map(chr, range(1, 32))),
)


class Seen(NamedTuple):
    """The first keys of the range behind a guess, and whether there are more."""

    keys: list[str]
    more: bool


class Cut(NamedTuple):
    """What was found."""

    key: str  # "" if nothing can be cut
    ceiling: str  # behind it there are no more keys of the range than one look shows
    is_end: bool  # none at all


def find_cut(
    run: Sequence[str], ceiling: str, prefix: str, look: Callable[[str], Seen], enough: int
) -> Cut:
    """Cut what is behind the last key of `run`, successive keys, up to `ceiling` ("" = the end).

    Each side gets `enough` keys, as far as that can be said without counting.
    """
    floor = run[-1]
    names = Names(run, ceiling, prefix)
    begin, end = names.number(floor), names.number(ceiling) if ceiling else names.end
    nearest = max(begin - names.number(run[0]), 1)  # what lies nearer than so is not enough
    whole = max(end - begin, 1)

    def density(keys: Sequence[str], first: int) -> float:
        span = names.number(keys[-1]) - (names.number(keys[0]) if len(keys) > 1 else first)
        return len(keys) / max(span / whole, _TINY)

    low = _Side(begin, density(run, begin), 0.0)
    high = _Side(end, 0.0, 0.0)
    best, balance, is_end, came_down = "", 0.0, False, 0
    for _ in range(_LOOKS):
        if came_down % 2:
            # Half the digits, not half the way: most keys may be close to the floor.
            place = begin + isqrt(max(low.place - begin, nearest) * (high.place - begin))
        else:
            place = (low.place + high.place) // 2
        guess = names.name(place, low.place, high.place)
        if not guess:
            break
        place = names.number(guess)
        seen = look(guess)
        if not seen.more:
            ceiling, is_end = guess, not seen.keys
            high, came_down = _Side(place, 0.0, len(seen.keys)), came_down + 1
            continue
        here = density(seen.keys, place)
        left = low.keys + _mean(low.density, here) * ((place - low.place) / whole)
        right = high.keys + _mean(here, high.density) * ((high.place - place) / whole)
        smaller = min(left, right)
        if smaller >= enough and smaller / max(left, right) > balance:
            best, balance = guess, smaller / max(left, right)
        if balance * _BALANCED >= 1:
            break
        if left > right:
            high, came_down = _Side(place, here, right), came_down + 1
        else:
            low, came_down = _Side(place, here, left), 0
    return Cut(best, ceiling, is_end)


class Names:
    """Names as numbers, in the same order; of those that a range can have, as far as they differ"""

    def __init__(self, run: Sequence[str], ceiling: str, prefix: str) -> None:
        self._shared = commonprefix([run[-1], ceiling]) if ceiling else prefix
        self._skip = len(self._shared)
        tails = [key[self._skip :] for key in run if key.startswith(self._shared)]
        tails.append(ceiling[self._skip :])
        used = set("".join(tails))
        for kind in _KINDS:
            if not used.isdisjoint(kind):
                used.update(kind)
        self._alphabet = sorted(used)
        self._base = len(self._alphabet) + 1  # the digit 0 stands for the end of a name
        self._powers = [1]
        for _ in range(max(map(len, tails)) + _SPARE):
            self._powers.append(self._powers[-1] * self._base)
        self.end = self._powers[-1]  # above every name

    def number(self, key: str) -> int:
        """The number of a key."""
        if key <= self._shared:
            return 0
        if not key.startswith(self._shared):
            return self.end
        number = 0
        powers = reversed(self._powers[:-1])
        for character, power in zip(key[self._skip :], powers, strict=False):
            digit = bisect_left(self._alphabet, character)
            if digit == self._base - 1 or self._alphabet[digit] != character:
                return number + (digit + 1) * power - 1  # just below the next that there is
            number += (digit + 1) * power
        return number

    def name(self, number: int, low: int, high: int) -> str:
        """A short name near `number`, between `low` and `high`; empty if there is none."""
        name, value, spare = self._shared, 0, _SPARE
        for power in reversed(self._powers[:-1]):
            digit = number // power % self._base
            if not digit:
                break
            name += self._alphabet[digit - 1]
            value += digit * power
            if low < value < high:
                spare -= 1
                if spare < 0:
                    break
        fits = low < value < high and len(name.encode()) <= _LONGEST
        return name if fits else ""


class _Side(NamedTuple):
    """A place in the range, and how many keys are between it and the range's end on its side."""

    place: int
    density: float  # keys around it, per size of the whole range
    keys: float


def _mean(one: float, other: float) -> float:
    """Of densities at two ends, if between them it changes by a constant factor per step."""
    if not one or not other:
        return one or other
    ratio = log(one / other)
    return (one - other) / ratio if abs(ratio) > 1e-6 else one
