"""What of an object is kept, mapped or lost on the way from each type of source to OSS.

The table of docs/fidelity.md is made of this one, and a test holds what is done against it.
"""

from collections.abc import Mapping
from enum import StrEnum

SOURCES = ("local", "oss", "s3", "cos", "bos", "ks3", "azure", "qiniu", "youpai", "http")
TELLS_TAGS = frozenset({"oss", "s3", "cos", "azure"})  # the others are not asked, or have none


class Aspect(StrEnum):
    """What an object has beside its name and its bytes."""

    CONTENT_TYPE = "Content-Type"
    CACHE_CONTROL = "Cache-Control"
    DISPOSITION = "Content-Disposition"
    ENCODING = "Content-Encoding"
    LANGUAGE = "Content-Language"
    EXPIRES = "Expires"
    USER = "user metadata"
    MTIME = "time of the last change"
    TAGS = "tags"
    CLASS = "storage class"
    ACL = "ACL"
    LINKS = "symbolic links"
    VERSIONS = "old versions"
    REDIRECT = "website redirect"
    LOCKS = "locks, retention, legal hold"
    EXPIRY = "time to live"
    ENCRYPTION = "encryption"
    OWNER = "owner, permissions, hard links, holes"
    FILE_SYSTEM = "extended attributes"


class Fate(StrEnum):
    """What becomes of it."""

    NONE = ""  # the source has no such thing
    KEPT = "kept"
    MAPPED = "mapped"  # it arrives in another form
    BY_KEY = "by key"  # it arrives if a key of the job file says so; else it is named as lost
    NAMED = "named"  # lost; each object's line in audit.log names it where the answer tells of it
    SEEN = "seen"  # lost; looked for before the job starts, among its first objects
    UNTOLD = "lost"  # no answer to a GET tells of it, or it is the store's own business


_STORES = ("oss", "s3", "cos", "bos", "ks3", "azure", "qiniu", "youpai")
_WEB = (*_STORES, "http")


def _row(**fates: tuple[str, ...]) -> dict[str, Fate]:
    row = dict.fromkeys(SOURCES, Fate.NONE)
    for fate, sources in fates.items():
        row |= dict.fromkeys(sources, Fate[fate])
    return row


TABLE: Mapping[Aspect, Mapping[str, Fate]] = {
    Aspect.CONTENT_TYPE: _row(KEPT=_WEB, MAPPED=("local",)),
    Aspect.CACHE_CONTROL: _row(KEPT=_WEB),
    Aspect.DISPOSITION: _row(KEPT=_WEB),
    Aspect.ENCODING: _row(KEPT=_WEB),
    Aspect.LANGUAGE: _row(KEPT=_WEB),
    Aspect.EXPIRES: _row(KEPT=tuple(s for s in _WEB if s != "azure")),
    Aspect.USER: _row(MAPPED=_WEB),
    Aspect.MTIME: _row(MAPPED=SOURCES),
    Aspect.TAGS: _row(BY_KEY=tuple(TELLS_TAGS), NAMED=("bos", "ks3", "http")),
    Aspect.CLASS: _row(
        BY_KEY=("oss", "s3", "cos", "bos", "ks3", "azure", "http"), UNTOLD=("qiniu", "youpai")
    ),
    Aspect.ACL: _row(UNTOLD=_STORES),
    Aspect.LINKS: _row(MAPPED=("oss", "bos"), BY_KEY=("local",)),
    Aspect.VERSIONS: _row(SEEN=("oss", "s3"), UNTOLD=("cos", "bos", "ks3", "azure")),
    Aspect.REDIRECT: _row(NAMED=("s3", "cos", "ks3", "http")),
    Aspect.LOCKS: _row(NAMED=("oss", "s3", "cos", "azure", "http")),
    Aspect.EXPIRY: _row(NAMED=("azure", "http"), MAPPED=("youpai",), UNTOLD=("qiniu",)),
    Aspect.ENCRYPTION: _row(UNTOLD=("oss", "s3", "cos", "bos", "ks3", "azure")),
    Aspect.OWNER: _row(UNTOLD=("local",)),
    Aspect.FILE_SYSTEM: _row(SEEN=("local",)),
}


def untold(source_type: str) -> list[Aspect]:
    """What is lost from a source of this type without anybody being told, object by object."""
    return [aspect for aspect, row in TABLE.items() if row[source_type] is Fate.UNTOLD]


def markdown() -> str:
    """The table, for docs/fidelity.md."""
    lines = ["| | " + " | ".join(SOURCES) + " |", "|---" * (len(SOURCES) + 1) + "|"]
    for aspect, row in TABLE.items():
        lines.append(f"| {aspect} | " + " | ".join(row[source] for source in SOURCES) + " |")
    return "\n".join(lines)
