"""Compare source and destination.

For now: after a task is copied, see with the destination's own listing that it holds every object.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from ossimport.dest.base import Destination

T = TypeVar("T")

PAGE = 1000
IN_FLIGHT = 16


class Ask(Protocol):
    """Makes one request, again and again if need be."""

    def __call__(self, request: Callable[[], Awaitable[T]], /) -> Awaitable[T]: ...


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
    if not wanted:
        return {}
    ordered = sorted(wanted)  # by code point, which is UTF-8 byte order: no key has surrogates
    found, seen_to = await _listed(dest, prefix, ordered, ask)
    # `list` begins behind a key, so the first one needs a request of its own.
    unseen = [ordered[0], *(key for key in ordered if key > seen_to)]
    found |= await _sizes(dest, unseen, ask, in_flight)
    return {key: found.get(key) for key in ordered if found.get(key) != wanted[key]}


async def _listed(
    dest: Destination, prefix: str, ordered: Sequence[str], ask: Ask
) -> tuple[dict[str, int], str]:
    """Sizes of what lies behind the first of the keys, and the key up to which that is complete.

    Gives up after twice as many requests as the keys alone would take.
    """
    wanted = set(ordered)
    last = ordered[-1]
    found: dict[str, int] = {}
    seen_to = ordered[0]
    for _ in range(2 * (len(ordered) // PAGE + 1)):
        if seen_to >= last:
            break
        page = await ask(partial(dest.list, prefix, seen_to, PAGE))
        found.update((info.key, info.size) for info in page if info.key in wanted)
        seen_to = page[-1].key if len(page) == PAGE else last
    return found, seen_to


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
