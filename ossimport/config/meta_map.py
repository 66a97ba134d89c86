"""The value of metaMap: user metadata and headers that are renamed, dropped or set.

    metaMap=foo -> bar; !secret; team=migration; cachecontrol -> Cache-Control

A name is one of the six headers of HTTP that OSS keeps, whatever its case, or else one of user
metadata, without what its store puts in front; `x-oss-meta-expires` is the user metadata `expires`.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from ossimport.config.kinds import Mistake, Mistakes, refuse_control

HEADERS = {
    name.lower(): name
    for name in (
        "Content-Type",
        "Cache-Control",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Expires",
    )
}
META = "x-oss-meta-"
ROOM = 8 * 1024 - 1 - 128  # bytes of user metadata; the rest is for what the engine adds

_STORES_META = re.compile(r"x-[a-z]+-meta-")
_AT_OSS = re.compile(rf"{META}[a-z0-9-]+")
_META_SAFE = " !#$&'()*+,/:;<=>?@[]^`{|}~"  # stays as it is in a percent-encoded value
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CURE = "write NAME -> NAME to rename, !NAME to drop and NAME=VALUE to set, with ; between them"


class MetaMap(NamedTuple):
    """By names at OSS, but that on the left user metadata may have characters OSS does not take."""

    renamed: dict[str, str]  # to "": dropped
    fixed: dict[str, str]  # what every object gets, whatever it has


@lru_cache(maxsize=16)
def read_meta_map(text: str) -> MetaMap:
    """Read a value that `meta_map` has passed. Raises Mistakes with all that is wrong."""
    wrong: list[Mistake] = []
    renamed: dict[str, str] = {}
    fixed: dict[str, str] = {}
    for rule in filter(None, map(str.strip, text.split(";"))):
        try:
            _read_rule(rule, renamed, fixed)
        except Mistake as mistake:
            wrong.append(mistake)
    if sum(len(n) + meta_size(v) for n, v in fixed.items() if n.startswith(META)) > ROOM:
        message = "the values are more user metadata than an object of OSS can have"
        wrong.append(Mistake(message, f"stay below {ROOM} bytes, names and values"))
    if wrong:
        raise Mistakes(wrong)
    return MetaMap(renamed, fixed)


def meta_map(text: str) -> str:
    """The text itself, if every rule in it can be carried out."""
    refuse_control(text)
    read_meta_map(text)
    return text


def meta_size(value: str) -> int:
    """The bytes that a value of user metadata has on the wire."""
    return len(value) if value.isascii() and value.isprintable() else len(encode_meta(value))


def encode_meta(value: str) -> str:
    """A value of user metadata as it can be sent: latin-1 as it is, else percent-encoded UTF-8."""
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        pass
    else:
        if not _CONTROL.search(value):
            return value
    return quote(value, safe=_META_SAFE, errors="surrogateescape")


def _read_rule(rule: str, renamed: dict[str, str], fixed: dict[str, str]) -> None:
    before, arrow, after = (part.strip() for part in rule.partition("->"))
    name, equals, value = (part.strip() for part in rule.partition("="))
    if rule.startswith("!"):
        _add(renamed, _left(rule[1:].strip(), rule), "", rule)
    elif equals and (not arrow or len(name) < len(before)):
        _set(fixed, name, value, rule)
    elif arrow:
        target = _right(after, rule)
        if target in renamed.values():
            message = f"{rule}: another rule gives that name"
            raise Mistake(message, "let each name be given once")
        _add(renamed, _left(before, rule), target, rule)
    else:
        raise Mistake(f"{rule}: this is no rule", _CURE)


def _set(fixed: dict[str, str], name: str, value: str, rule: str) -> None:
    target = _right(name, rule)
    if not value:
        raise Mistake(f"{rule}: the value is empty", "write a value, or !NAME to drop one")
    if target in HEADERS.values() and not value.isascii():
        message = f"{rule}: the header {target} holds ASCII only"
        raise Mistake(message, "write ASCII, or set user metadata")
    _add(fixed, target, value, rule)


def _add(rules: dict[str, str], name: str, value: str, rule: str) -> None:
    if name in rules:
        raise Mistake(f"{rule}: there are two rules for {name}", "remove one of them")
    rules[name] = value


def _left(name: str, rule: str) -> str:
    """The name of what a source has: anything."""
    if not name:
        raise Mistake(f"{rule}: the name is missing", _CURE)
    lower = name.lower()
    return HEADERS.get(lower) or META + _STORES_META.sub("", lower, count=1)


def _right(name: str, rule: str) -> str:
    """The name that OSS gets."""
    lower = name.lower()
    target = HEADERS.get(lower) or META + _STORES_META.sub("", lower, count=1)
    if target not in HEADERS.values() and not _AT_OSS.fullmatch(target):
        message = f"{rule}: OSS has no user metadata of the name {name or '(nothing)'}"
        raise Mistake(message, "use letters, digits and - in the name")
    return target
