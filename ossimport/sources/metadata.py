"""What of an object's headers goes with it to OSS, by which names, and what is lost.

OSS has the same headers of HTTP. The names of user metadata are letters, digits and hyphens there,
and all of it together, names and values, stays below 8 KB; more is refused with the object.
"""

import re
from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

_HTTP = {
    "content-type": "Content-Type",
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
}
_META = "x-oss-meta-"
_USER_NAME = re.compile(rf"{_META}[a-z0-9-]+")
ROOM = 8 * 1024 - 1 - 128  # bytes of user metadata; the rest is for what the engine adds

# What stores say of an object beside its bytes, and nobody brings to OSS; also metadata that the
# store itself could not put into headers, or that belongs to another store than the one asked.
_LOST = re.compile(
    r"x-[a-z]+-(?:meta-.+|missing-meta|tagging-count|tag-count|website-redirect-location"
    r"|object-lock-.+|object-worm-.+|immutability-policy-.+|legal-hold|expiry-time)"
)
_NOTHING = frozenset({"0", "off", "false"})  # said of what the object does not have


class Carried(NamedTuple):
    """Headers by OSS's names, and the names of those that have none there."""

    headers: dict[str, str]
    unkept: tuple[str, ...]


class _Kind(Enum):
    HTTP = auto()
    USER = auto()
    LOST = auto()
    OTHER = auto()  # the store's own business


def carried(prefix: str, headers: Mapping[str, str]) -> Carried:
    """Sort out what came with an object; user metadata begins with `prefix`.

    In its names `_` becomes `-`, unless another one has that name. Of more than there is room for,
    what comes first in the alphabet is kept.
    """
    kept: dict[str, str] = {}
    unkept: list[str] = []
    user: list[str] = []
    for name, value in headers.items():
        kind = _kind_of(prefix, name)
        if kind is _Kind.HTTP:
            kept[_HTTP[name]] = value
        elif kind is _Kind.USER:
            user.append(name)
        elif kind is _Kind.LOST and value.lower() not in _NOTHING:
            unkept.append(name)
    room = ROOM
    for name in sorted(user):  # `-` before `_`: what has a name as it is gets it
        at_oss = _META + name[len(prefix) :].replace("_", "-")
        size = len(at_oss) + len(headers[name])
        if _USER_NAME.fullmatch(at_oss) and at_oss not in kept and size <= room:
            kept[at_oss] = headers[name]
            room -= size
        else:
            unkept.append(name)
    return Carried(kept, tuple(unkept))


@lru_cache(maxsize=1024)  # objects by the million, names of headers by the dozen
def _kind_of(prefix: str, name: str) -> _Kind:
    if name in _HTTP:
        return _Kind.HTTP
    if name.startswith(prefix):
        return _Kind.USER
    return _Kind.LOST if _LOST.fullmatch(name) else _Kind.OTHER
