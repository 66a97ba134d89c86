"""What differs between an object and its copy, by what the two ends say of them. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import NamedTuple

from ossimport.copying import seconds_text
from ossimport.dest.base import Described
from ossimport.fidelity.arriving import MTIME
from ossimport.model import ObjectInfo
from ossimport.wording import counted


class Mode(StrEnum):
    """How closely an audit looks; each looks at all that the one before it looks at."""

    SIMPLE = "simple"  # size
    GENERAL = "general"  # time and headers
    DETAILED = "detailed"  # bytes, by their checksums; the destination is not read
    DEEP = "deep"  # bytes, both ends read


class Code(StrEnum):
    """What is wrong with a copy."""

    MISSING = "Missing"
    SIZE = "SizeDiffers"
    CONTENT = "ContentDiffers"
    OLDER = "OlderCopy"
    HEADER = "HeaderDiffers"
    EXTRA = "Extra"


# Code of a failed object -> what it counts as. All others could not be compared.
RESULT_OF = {
    Code.MISSING: "missing",
    "InvalidKey": "missing",  # OSS cannot hold such a name: it is not there either
    Code.SIZE: "differ",
    Code.CONTENT: "differ",
    Code.OLDER: "differ",
    Code.HEADER: "differ",
    Code.EXTRA: "extra",
}
NOT_AUDITED = "not audited"

_MOST_SHOWN = 200  # characters of a header's value


class Difference(NamedTuple):
    """One thing that differs, with both values in the message."""

    code: Code
    message: str


def size_difference(info: ObjectInfo, copy: ObjectInfo) -> Difference | None:
    """Compare sizes."""
    if info.size == copy.size:
        return None
    ours, theirs = counted(info.size, "byte"), counted(copy.size, "byte")
    return Difference(Code.SIZE, f"the source has {ours}, the destination {theirs}")


def age_difference(
    info: ObjectInfo, copy: Described, wanted: Mapping[str, str]
) -> Difference | None:
    """See that the copy is one of this version of the source, and not of an older one.

    The time of the source that was written down beside the copy (`x-oss-meta-mtime`) says it
    exactly. A copy without one, by another tool, must have been written in the second of the
    source's last change or later: OSS tells whole seconds, and what came in that very second may
    be either version.
    """
    written_down, expected = _number(copy.headers.get(MTIME)), _number(wanted.get(MTIME))
    if written_down is not None and expected is not None:
        shown = f"{copy.headers[MTIME]}, the source has {wanted[MTIME]}"
        if written_down < expected:
            return Difference(Code.OLDER, f"{MTIME} of the destination is {shown}")
        if written_down > expected:
            return Difference(Code.HEADER, f"{MTIME} of the destination is {shown}")
        if wanted[MTIME] == seconds_text(info.mtime_ns):
            return None
    changed, written = info.mtime_ns // 10**9, copy.info.mtime_ns // 10**9
    if not info.mtime_ns or not copy.info.mtime_ns or written >= changed:
        return None
    return Difference(
        Code.OLDER,
        f"the source was changed at {_time(changed)}, the destination was written before, at "
        f"{_time(written)}",
    )


def header_difference(copy: Described, wanted: Mapping[str, str]) -> Difference | None:
    """Compare the headers that a copy is stored with, by their names on the wire.

    Others that the destination has besides are left alone. Of `x-oss-meta-mtime` see
    `age_difference`.
    """
    odd = [
        f"{name} of the destination is {_shown(copy.headers.get(name))}, should be {_shown(value)}"
        for name, value in wanted.items()
        if name != MTIME and copy.headers.get(name, "").strip() != value
    ]
    return Difference(Code.HEADER, "; ".join(odd)) if odd else None


def _number(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None


def _shown(value: str | None) -> str:
    return "not there" if value is None else repr(value[:_MOST_SHOWN])


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
