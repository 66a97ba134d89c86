"""Compare source and destination.

For now: after a task is copied, see with the destination's own listing that it holds every object.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from ossimport.dest.base import Destination
from ossimport.listed import Ask, list_range

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
    request for up to 1,000 keys; where the range holds many more objects than are expected, the
    rest is asked for one by one, `in_flight` at a time, so that the cost stays in proportion to
    what was copied. Every request goes through `ask` alone; what `ask` raises ends the comparison.
    """
    wanted = dict(expected)
    listed = await list_range(dest, prefix, list(wanted), ask=ask)
    found = {key: info.size for key, info in listed.found.items()}
    unseen = sorted(key for key in wanted if not listed.knows(key))
    found |= await _sizes(dest, unseen, ask, in_flight)
    return {key: found.get(key) for key in sorted(wanted) if found.get(key) != wanted[key]}


async def _sizes(
    dest: Destination, keys: Sequence[str], ask: Ask, in_flight: int
) -> dict[str, int]:
    """Sizes of those of the keys that are there, each asked for alone."""
    found: dict[str, int] = {}
    todo = iter(keys)

    async def take() -> None:
        for key in todo:
            info = await ask(partial(dest.stat, key))
            if info is not None:
                found[key] = info.size

    takers = [asyncio.create_task(take()) for _ in range(min(in_flight, len(keys)))]
    try:
        await asyncio.gather(*takers)
    finally:
        for taker in takers:
            taker.cancel()
        await asyncio.gather(*takers, return_exceptions=True)
    return found
