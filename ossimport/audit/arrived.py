"""After a task is copied, see that the destination holds every object, by its own word."""

from collections.abc import Collection, Mapping
from functools import partial

from ossimport.dest.base import Destination
from ossimport.listed import Ask, list_range, together
from ossimport.model import ObjectInfo

IN_FLIGHT = 16


Written = tuple[str, int | None]
"""ETag and CRC64 of an object as the destination is to have it; "" and None: whichever it says."""

NOTHING_WRITTEN: Written = ("", None)

Expected = Mapping[str, tuple[int, Written]]
"""What the destination is to hold: by key the size, and what was written there."""

Absent = dict[str, ObjectInfo | None]
"""What is not there as expected, by key: what is there instead, None for no object."""


async def absent(
    dest: Destination,
    prefix: str,
    expected: Expected,
    *,
    ask: Ask,
    in_flight: int = IN_FLIGHT,
) -> Absent:
    """Those of the `expected` that the destination's listing does not show in that size and ETag.

    Lists the range of keys once, one request for up to 1,000 keys; where there are many more
    objects between them, the rest is asked for one by one, `in_flight` at a time, so that the cost
    stays in proportion to what was copied. Every request goes through `ask` alone; what `ask`
    raises ends the comparison.
    """
    keys = list(expected)
    found, seen = await list_range(partial(dest.list, prefix), keys, ask=ask)
    if unseen := [key for key in keys if key not in seen]:
        found = {**found, **await _ask_for_each(dest, unseen, ask, in_flight)}
    return {
        key: info
        for (key, (size, (etag, _))), info in zip(
            expected.items(), map(found.get, keys), strict=True
        )
        if info is None or info.size != size or (etag and info.etag != etag)
    }


async def unproved(
    dest: Destination, expected: Expected, *, ask: Ask, in_flight: int = IN_FLIGHT
) -> Absent:
    """Those of the `expected` that the destination does not hold in that size and CRC64.

    One request for each. A service that states no CRC64 is asked for the size only.
    """
    found = await _ask_for_each(dest, expected, ask, in_flight)
    return {
        key: info
        for key, (size, (_, crc64)) in expected.items()
        if (info := found.get(key)) is None
        or info.size != size
        or not (info.crc64 is None or crc64 in (None, info.crc64))
    }


async def _ask_for_each(
    dest: Destination, keys: Collection[str], ask: Ask, in_flight: int
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
