"""What of an object's headers goes with it to OSS, by which names, and what is lost.

OSS has the same headers of HTTP. The names of user metadata are letters, digits and hyphens there,
and all of it together, names and values, stays below 8 KB; more is refused with the object.
"""

import re
from collections.abc import Mapping
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


def carried(prefix: str, headers: Mapping[str, str]) -> Carried:
    """Sort out what came with an object; user metadata begins with `prefix`.

    In its names `_` becomes `-`, unless another one has that name. Of more than there is room for,
    what comes first in the alphabet is kept.
    """
    http, user, nameless, said = _sorted_out(prefix, tuple(headers))
    kept = {at_oss: headers[name] for at_oss, name in http}
    unkept = [name for name in said if headers[name].lower() not in _NOTHING]
    unkept += nameless
    room = ROOM
    for at_oss, name in user:
        value = headers[name]
        size = len(at_oss) + len(value)
        if size <= room:
            kept[at_oss] = value
            room -= size
        else:
            unkept.append(name)
    return Carried(kept, tuple(unkept))


class _Names(NamedTuple):
    http: tuple[tuple[str, str], ...]  # name at OSS, name
    user: tuple[tuple[str, str], ...]  # the same, of user metadata
    nameless: tuple[str, ...]  # user metadata that has no name at OSS
    said: tuple[str, ...]  # of what OSS does not get, if the object has it


@lru_cache(maxsize=256)  # objects by the million, sets of names by the dozen
def _sorted_out(prefix: str, names: tuple[str, ...]) -> _Names:
    user: dict[str, str] = {}
    nameless = []
    for name in sorted(names):  # `-` before `_`: what has a name as it is gets it
        if name.startswith(prefix):
            at_oss = _META + name[len(prefix) :].replace("_", "-")
            if _USER_NAME.fullmatch(at_oss) and at_oss not in user:
                user[at_oss] = name
            else:
                nameless.append(name)
    return _Names(
        tuple((_HTTP[name], name) for name in names if name in _HTTP),
        tuple(user.items()),
        tuple(nameless),
        tuple(n for n in names if _LOST.fullmatch(n) and not n.startswith(prefix)),
    )
