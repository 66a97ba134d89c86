"""In which order a store lists its keys, where it says no more than "alphabetical".

What a page shows rules orders out. What is decided before only one is left has to hold in all of
them. They differ for few keys: those with characters above U+FFFF, or where a directory has a
neighbour whose name goes on with a character below the slash, as in `a/b` and `a.txt`.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from operator import lt
from typing import Any

from ossimport.listing import loops

Order = Callable[[str], Any]

_ORDERS: tuple[Order, ...] = (
    str,  # code points, which is the order of UTF-8 as well
    lambda name: name.encode("utf-16-be", "surrogatepass"),
    lambda name: name.replace("/", "\0"),  # real directories: all that is in one comes first
)


class NameOrder:
    """The orders in which a store may list, as far as its pages have shown."""

    def __init__(self) -> None:
        self._orders = _ORDERS

    def hold(self, behind: Sequence[str], *runs: list[str]) -> None:
        """See that each run of names ascends, and comes behind all of `behind`.

        Raises Fatal(code="ListingLoops") if it does in no order: whoever went on would never end,
        or leave objects out.
        """
        if not _ascend(behind, runs, self._orders[0]):
            orders = tuple(order for order in self._orders if _ascend(behind, runs, order))
            if not orders:
                raise loops("keys came again, or not in ascending order")
            self._orders = orders

    def is_behind(self, name: str, other: str) -> bool:
        """The store surely lists `name` behind `other`."""
        return all(order(name) > order(other) for order in self._orders)

    def number_before(self, names: Sequence[str], last: str) -> int:
        """How many of these listed names come before `last` or are it: in doubt, not too many."""
        if last in names:
            return names.index(last) + 1
        behind = (i for i, n in enumerate(names) if any(o(n) > o(last) for o in self._orders))
        return next(behind, len(names))


def possibly_last(names: Sequence[str]) -> set[str]:
    """Those of some names that a store may list last."""
    return {max(names, key=order) for order in _ORDERS} if names else set()


def certain_cuts(names: Sequence[str]) -> list[bool]:
    """For each number of names: they come before the others, the last of them last, in any order.

    In any at all: who goes on with one of the parts may know less of the store.
    """
    certain = [True] * (len(names) + 1)
    for order in _ORDERS:
        marks = list(map(order, names))
        highest = list(accumulate(marks, max))
        lowest = list(accumulate(reversed(marks), min))[::-1]
        for cut in range(1, len(names) + 1):
            is_last = marks[cut - 1] == highest[cut - 1]
            if not is_last or (cut < len(names) and highest[cut - 1] >= lowest[cut]):
                certain[cut] = False
    return certain


def _ascend(behind: Sequence[str], runs: Sequence[list[str]], order: Order) -> bool:
    floor = max(map(order, behind)) if behind else None
    for names in runs:
        marks = list(map(order, names))
        if marks and floor is not None and marks[0] <= floor:
            return False
        if not all(map(lt, marks, islice(marks, 1, None))):
            return False
    return True
