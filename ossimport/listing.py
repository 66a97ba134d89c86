"""Pages of a bucket's listing: what they say, and which are not believed.

`listing_xml` reads those of OSS and of the services that are like S3.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ossimport.errors import Fatal
from ossimport.http_date import whole_seconds_ns
from ossimport.model import ObjectInfo
from ossimport.naming import display

MAX_PAGE = 16 << 20  # bytes: a thousand names of 1,023 bytes, all percent-encoded, take four
MOST_EMPTY = 10_000  # pages without a key, one behind the other: of millions of deleted versions

# Storage classes, of any service, whose objects cannot be read before they are restored.
ARCHIVED = frozenset(
    {"ARCHIVE", "COLDARCHIVE", "DEEPCOLDARCHIVE", "DEEP_ARCHIVE", "GLACIER", "COLD_ARCHIVE"}
)

_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)

_LOOP_CURE = (
    "see whether a gateway, cache or proxy on the way changes or keeps listings; else report it to "
    "the service's support"
)


class NotAListing(ValueError):
    """What came is no page of a listing; the text says why."""


class Page(NamedTuple):
    """One page, as the service sent it."""

    objects: list[ObjectInfo]
    truncated: bool
    marker: str = ""  # a key to go on behind, where the service names one
    token: str = ""  # what to go on with, where the service says that
    archived: Mapping[str, str] = MappingProxyType({})  # keys, and the classes: see ARCHIVED

    def go_on(self, prefix: str, after: str) -> str:
        """The key behind which the next page begins; empty when this is the last one.

        Raises Fatal(code="ListingLoops") if the page is not what was asked for, namely keys under
        `prefix` behind `after`, in ascending order: whoever went on would never end, or leave
        objects out.
        """
        objects = self.objects
        if objects:
            first, last = objects[0].key, objects[-1].key
            if after and not is_behind(first, after):
                raise loops(f"{display(first)} was listed again behind {display(after)}")
            for one, other in pairwise(objects):
                if one.key >= other.key and not is_behind(other.key, one.key):
                    raise loops(f"{display(other.key)} comes behind {display(one.key)}")
            if not (first.startswith(prefix) and last.startswith(prefix)):  # so does all between
                raise loops(f"it has other keys than those below {display(prefix)}")
            return last if self.truncated else ""
        if self.truncated and not is_behind(self.marker, after):
            raise loops(f"it goes on, but not behind {display(after) or 'its beginning'}")
        return self.marker if self.truncated else ""


def is_behind(key: str, other: str) -> bool:
    """The service lists `key` behind `other`: it goes by the bytes of names.

    That is the order of their characters, but for names that are not UTF-8, see `model`.
    """
    if key.isascii() or other.isascii():
        return key > other
    return _bytes(key) > _bytes(other)


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def decoded(text: str) -> str:
    """Undo encoding-type=url. S3's kind writes a blank as +, OSS as %20; neither leaves a + be."""
    text = text.replace("%2F", "/")  # most keys have no other, and this costs a tenth
    if "%" in text or "+" in text:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape")
    return text


def read_time(text: str) -> int:
    """The time that a listing says, cut to whole seconds. Raises ValueError if it is none."""
    time = datetime.fromisoformat(text)
    return whole_seconds_ns(
        ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _SECOND
    )


time_ns = lru_cache(maxsize=4096)(read_time)  # objects come many to the second


def loops(what: str) -> Fatal:
    """What to raise of a listing that would be followed in circles; `what` is wrong with it."""
    message = f"the listing cannot be trusted: {what}. Cure: {_LOOP_CURE}"
    return Fatal(message, code="ListingLoops", op="list")
