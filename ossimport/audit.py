"""Compare source and destination.

For now: after a task is copied, see with the destination's own listing that it holds every object.
"""

from collections.abc import Sequence
from functools import partial

from ossimport.dest.base import Destination
from ossimport.listed import Ask, list_range, together
from ossimport.model import ObjectInfo

IN_FLIGHT = 16


async def absent(
    dest: Destination,
    prefix: str,
    expected: Sequence[tuple[str, int]],
    *,
    ask: Ask,
    in_flight: int = IN_FLIGHT,
) -> dict[str, int | None]:
    """Those of the `expected` (key, size) that the destination does not hold in that size.

    The value is the size it holds instead, None for no object. Lists the range of keys once, one
    request for up to 1,000 keys; where there are many more objects between them, the rest is asked
    for one by one, `in_flight` at a time, so that the cost stays in proportion to what was copied.
    Every request goes through `ask` alone; what `ask` raises ends the comparison.
    """
    listed = await list_range(dest, prefix, [key for key, _ in expected], ask=ask)
    unseen = [key for key, _ in expected if key not in listed.seen]
    found = {**listed.found, **await _ask_for_each(dest, unseen, ask, in_flight)}
    absent: dict[str, int | None] = {}
    for key, size in expected:
        info = found.get(key)
        if info is None:
            absent[key] = None
        elif info.size != size:
            absent[key] = info.size
    return absent


async def _ask_for_each(
    dest: Destination, keys: Sequence[str], ask: Ask, in_flight: int
) -> dict[str, ObjectInfo]:
    """Those of the objects that are there, each asked for alone."""
    found: dict[str, ObjectInfo] = {}
    todo = iter(keys)

    async def take() -> None:
        for key in todo:
            info = await ask(partial(dest.stat, key))
            if info is not None:
                found[key] = info

    await together(take() for _ in range(min(in_flight, len(keys))))
    return found
