"""What a store holds of many keys, by its own listing.

One request tells of up to a thousand objects, where asking for each takes one request each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from ossimport.model import ObjectInfo

T = TypeVar("T")

Pages = Callable[[str, int], Awaitable[list[ObjectInfo]]]
"""Lists up to so many objects behind a key, in UTF-8 byte order; fewer: there are no more."""

PAGE = 1000
SPARE = 16  # other objects for which there is room in a small page
IN_FLIGHT = 8


class Ask(Protocol):
    """Makes one request, again and again if need be."""

    def __call__(self, request: Callable[[], Awaitable[T]], /) -> Awaitable[T]: ...


class Listed(NamedTuple):
    """For each key in `seen`: it is in `found` if the store holds it. `found` may hold more.

    Of other keys nothing is known.
    """

    found: Mapping[str, ObjectInfo]
    seen: Set[str]


NOTHING_LISTED = Listed({}, frozenset())


async def list_range(pages: Pages, keys: Sequence[str], *, ask: Ask) -> Listed:
    """List the stretches between `keys`, a thousand of them at a time, IN_FLIGHT at once.

    A stretch is given up after twice the requests that its keys alone would take: where many more
    objects lie between them, asking for each of the rest is cheaper. Every request goes through
    `ask` alone; what `ask` raises ends it all.
    """
    if len(keys) < 2:
        return NOTHING_LISTED  # to ask for one is not dearer
    ordered = sorted(keys)  # by code point, which is UTF-8 byte order: no key has surrogates
    found: dict[str, ObjectInfo] = {}
    seen: set[str] = set()
    starts = iter(range(0, len(ordered), PAGE))

    async def list_stretches() -> None:
        for start in starts:
            stretch = ordered[start : start + PAGE]
            last = stretch[-1]
            # A listing begins behind a key; what begins like the first one lies behind that.
            after = ordered[start - 1] if start else stretch[0][:-1]
            limit = min(PAGE, len(stretch) + len(stretch) // 4 + SPARE)
            for _ in range(2):
                page = await ask(partial(pages, after, limit))
                for info in page:
                    found[info.key] = info
                after = page[-1].key if len(page) == limit else last
                if after >= last:
                    break
            seen.update(stretch if after >= last else [key for key in stretch if key <= after])

    await together(list_stretches() for _ in range(min(IN_FLIGHT, -(-len(ordered) // PAGE))))
    return Listed(found, seen)


async def together(work: Iterable[Coroutine[object, object, None]]) -> None:
    """Wait for all of it. The first error ends the others, and is raised as it is."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
