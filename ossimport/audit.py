"""Compare source and destination.

For now: after a task is copied, see with the destination's own listing that it holds every object.
"""

from collections.abc import Sequence

from ossimport.dest.base import Destination

PAGE = 1000


async def absent(
    dest: Destination, prefix: str, expected: Sequence[tuple[str, int]]
) -> dict[str, int | None]:
    """Those of the `expected` (key, size) that the destination does not hold in that size.

    The value is the size it holds instead, None for no object. Lists the range of keys once, one
    request for up to 1,000 keys; where the range holds many more objects than are expected, the
    rest is asked for one by one, so that the cost stays in proportion to what was copied.
    """
    wanted = dict(expected)
    if not wanted:
        return {}
    found: dict[str, int] = {}
    ordered = sorted(wanted)  # by code point, which is UTF-8 byte order: no key has surrogates
    first, last = ordered[0], ordered[-1]
    seen_to = first
    complete = False
    # `list` begins behind a key, so the first one needs a request of its own.
    info = await dest.stat(first)
    if info is not None:
        found[first] = info.size
    for _ in range(2 * (len(ordered) // PAGE + 1)):
        if seen_to >= last:
            complete = True
            break
        page = await dest.list(prefix, seen_to, PAGE)
        found.update((info.key, info.size) for info in page if info.key in wanted)
        if len(page) < PAGE:
            complete = True
            break
        seen_to = page[-1].key
    missing: dict[str, int | None] = {}
    for key in ordered:
        size = found.get(key)
        if size is None and not complete and key > seen_to:
            info = await dest.stat(key)
            size = None if info is None else info.size
        if size != wanted[key]:
            missing[key] = size
    return missing
