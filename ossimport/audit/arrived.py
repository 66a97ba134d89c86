"""After a task is copied, see that the destination holds every object, by its own word."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ossimport.dest.base import Destination
from ossimport.listed import Ask, list_range, together
from ossimport.model import ObjectInfo

IN_FLIGHT = 16


class Expected(NamedTuple):
    """What the destination is to hold. An empty `etag`, a `crc64` of None: whichever it says."""

    key: str
    size: int
    etag: str = ""
    crc64: int | None = None


Absent = dict[str, ObjectInfo | None]
"""What is not there as expected, by key: what is there instead, None for no object."""


async def absent(
    dest: Destination,
    prefix: str,
    expected: Sequence[Expected],
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
    keys = [each.key for each in expected]
    listed = await list_range(partial(dest.list, prefix), keys, ask=ask)
    unseen = [key for key in keys if key not in listed.seen]
    found = {**listed.found, **await _ask_for_each(dest, unseen, ask, in_flight)}
    return {
        key: info
        for (key, size, etag, _), info in zip(expected, map(found.get, keys), strict=True)
        if info is None or info.size != size or (etag and info.etag != etag)
    }


async def unproved(
    dest: Destination, expected: Sequence[Expected], *, ask: Ask, in_flight: int = IN_FLIGHT
) -> Absent:
    """Those of the `expected` that the destination does not hold in that size and CRC64.

    One request for each. A service that states no CRC64 is asked for the size only.
    """
    keys = [each.key for each in expected]
    found = await _ask_for_each(dest, keys, ask, in_flight)
    return {
        key: info
        for each, key, info in zip(expected, keys, map(found.get, keys), strict=True)
        if info is None or not _has_crc64(info, each)
    }


def _has_crc64(info: ObjectInfo, expected: Expected) -> bool:
    agrees = info.crc64 is None or expected.crc64 in (None, info.crc64)
    return info.size == expected.size and agrees


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
