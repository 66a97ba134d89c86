"""What the destination holds of a range of keys, by its own listing.

One request tells of up to a thousand objects, where asking for each takes one request each.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from ossimport.dest.base import Destination
from ossimport.model import ObjectInfo

T = TypeVar("T")

PAGE = 1000


class Ask(Protocol):
    """Makes one request, again and again if need be."""

    def __call__(self, request: Callable[[], Awaitable[T]], /) -> Awaitable[T]: ...


class Listed(NamedTuple):
    """Those of the wanted objects that are there, complete from `begin` up to and with `end`."""

    found: Mapping[str, ObjectInfo]
    begin: str
    end: str

    def knows(self, key: str) -> bool:
        """Whether `found` says if the object is there."""
        return self.begin <= key <= self.end


NOTHING_LISTED = Listed({}, "\U0010ffff", "")


async def list_range(dest: Destination, prefix: str, keys: Sequence[str], *, ask: Ask) -> Listed:
    """List the range from the first to the last of `keys`, and keep what is among them.

    Gives up after twice as many requests as the keys alone would take: where many more objects lie
    between them, asking for each of the rest is cheaper. Every request goes through `ask`.
    """
    wanted = set(keys)
    if len(wanted) < 2:
        return NOTHING_LISTED  # to ask for one is not dearer
    # By code point, which is UTF-8 byte order: no key has surrogates.
    begin, last = min(wanted), max(wanted)
    found: dict[str, ObjectInfo] = {}
    after = begin[:-1]  # a listing begins behind a key; what begins like this one lies behind it
    for _ in range(2 * (len(wanted) // PAGE + 1)):
        page = await ask(partial(dest.list, prefix, after, PAGE))
        found.update((info.key, info) for info in page if info.key in wanted)
        after = page[-1].key if len(page) == PAGE else last
        if after >= last:
            break
    return Listed(found, begin, after)
