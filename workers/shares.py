"""What to give to workers that have nothing to do: objects of a task, parts of an object. Pure."""

from collections.abc import Mapping, Sequence

PER_OBJECT = 64 << 10  # what an object costs besides its bytes, in bytes
WORTH_S = 1.0  # a task that would end sooner by itself is not shared
AHEAD_S = 1.0  # of work that a worker has in hand, of an object whose parts several make


def weight(bytes_left: int) -> int:
    """What an object of so many bytes is to do."""
    return bytes_left + PER_OBJECT


def shares(
    waiting: Sequence[int], weights: Mapping[int, int], begun: Sequence[int], takers: int
) -> list[list[int]]:
    """Of each taker what it gets; what is not named the holder keeps. None of them gets nothing.

    `waiting` are the objects that nobody has begun, in order: they are dealt out in stretches, the
    first to the holder. `begun` are large ones under way, that can be gone on with elsewhere: each
    goes to who has least, the holder first. `weights` has both.
    """
    loads = [0] * (takers + 1)  # the holder's comes first
    dealt: list[list[int]] = [[] for _ in loads]
    for index in sorted(begun, key=lambda index: (-weights[index], index)):
        least = loads.index(min(loads))
        dealt[least].append(index)
        loads[least] += weights[index]
    fair = (sum(loads) + sum(weights[index] for index in waiting)) / len(loads)
    whose = 0
    for index in waiting:
        while whose < takers and loads[whose] > 0 and loads[whose] + weights[index] / 2 > fair:
            whose += 1
        dealt[whose].append(index)
        loads[whose] += weights[index]
    return [sorted(each) for each in dealt[1:] if each]


def late(lefts: Mapping[int, int], pace: float, seconds: float) -> list[int]:
    """Which of the large objects under way would not end in so many seconds, if each keeps its part
    of the pace. `lefts` has the bytes left of each."""
    return [index for index, left in lefts.items() if left * len(lefts) > pace * seconds]


def ahead(made: int, seconds: float) -> int:
    """How many parts a worker is to have in hand besides those that it is making.

    It has made so many in the last `seconds`. So that none is idle for want of parts, and none has
    them for long at the end, when the others have nothing left.
    """
    pace = made / seconds * AHEAD_S if seconds > 0 else 0.0
    return max(1, min(2 * made, round(pace)))


class Pace:
    """How fast a worker makes parts."""

    def __init__(self, made: int, now: float) -> None:
        self._made = made
        self._now = now

    def ahead(self, made: int, now: float) -> int:
        """As `ahead` has it, for what was made since the last time; `made` counts all."""
        wanted = ahead(made - self._made, now - self._now)
        self._made, self._now = made, now
        return wanted
