"""What OSS gets of what a source says of an object, and the names of what it does not get.

OSS has the same headers of HTTP. The names of user metadata are letters, digits and hyphens there,
and all of it together, names and values, stays below 8 KB; more is refused with the object.

Whatever of an answer's headers describes the object is kept, mapped, named as lost, or left out
because the job says so. The others (ETag, version, encryption ...) are the store's own business.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ossimport.config.meta_map import HEADERS, META, ROOM, meta_size, read_meta_map
from ossimport.fidelity.classes import CLASSES, SILENT_OF_STANDARD, SOURCE_CLASS, STANDARD

if TYPE_CHECKING:
    from ossimport.config import JobConfig

MTIME = META + "mtime"  # when the source was changed; rclone and ossfs write the same
STORAGE_CLASS = "x-oss-storage-class"
OBJECT_ACL = "x-oss-object-acl"
TAGGING = "x-oss-tagging"

_USER_NAME = re.compile(rf"{META}[a-z0-9-]+")

# What stores say of an object beside its bytes, and nobody brings to OSS; also metadata that the
# store itself could not put into headers, or that belongs to another store than the one asked.
_LOST = re.compile(
    r"x-[a-z]+-(?:meta-.+|missing-meta|tagging-count|tag-count|website-redirect-location"
    r"|object-lock-.+|object-worm-.+|immutability-policy-.+|legal-hold|expiry-time)"
)
_TAG_COUNT = re.compile(r"x-[a-z]+-(?:tagging|tag)-count")
_NOTHING = frozenset({"0", "off", "false"})  # said of what the object does not have


class Keep(NamedTuple):
    """What a job wants to arrive: its keys preserveMeta, metaMap, destStorageClass and destAcl."""

    headers: bool = True  # Content-Type and its like; else it is what the name's suffix says
    user: bool = True
    mtime: bool = True
    mtime_tells: bool = False  # what a copy has of it is its source's time, by whoever copied it
    tags: bool = False
    meta_map: str = ""
    storage_class: str = ""  # one of OSS's, `source`, or the bucket's
    acl: str = ""  # one of OSS's, or the bucket's
    strict: bool = False  # an object that would lose something fails


def keep_of(job: "JobConfig") -> Keep:
    """What a job's settings say."""
    dest, preserved = job.dest, job.dest.preserve.split(",")
    return Keep(
        headers="headers" in preserved,
        user="user" in preserved,
        mtime="mtime" in preserved,
        # Objects of stores may have user metadata of that name, of another meaning; files do not.
        mtime_tells=job.source.type == "local" and MTIME not in read_meta_map(dest.meta_map).fixed,
        tags="tags" in preserved,
        meta_map=dest.meta_map,
        storage_class=dest.storage_class,
        acl=dest.acl,
        strict=job.strict,
    )


class Arriving(NamedTuple):
    """Headers by OSS's names, and the source's names of what does not arrive."""

    headers: dict[str, str]
    unkept: tuple[str, ...]


def arriving(keep: Keep, prefix: str, headers: Mapping[str, str]) -> Arriving:
    """Sort out what came with an object; the names of its user metadata begin with `prefix`.

    In them `_` becomes `-`, unless another one has that name. Of more than there is room for, what
    comes first in the alphabet is kept. Tags are not in `headers`: where the job wants them, their
    number counts as kept.
    """
    fixed, room, http, user, nameless, said, classes = _sorted_out(keep, prefix, tuple(headers))
    kept = dict(fixed)
    unkept = []
    for name in said:
        if headers[name].lower() not in _NOTHING:
            unkept.append(name)
    unkept += nameless
    for at_oss, name in http:
        kept[at_oss] = headers[name]
    for at_oss, name in user:
        value = headers[name]
        size = len(at_oss) + meta_size(value)
        if size <= room:
            kept[at_oss] = value
            room -= size
        else:
            unkept.append(name)
    arrives = ""
    for name in classes:
        known = CLASSES[name].get(headers[name]) if name in headers else STANDARD
        if not arrives:  # the first decides
            arrives = STANDARD
            if keep.storage_class and known:
                kept[STORAGE_CLASS] = arrives = known
        if known != arrives:
            unkept.append(name)
    return Arriving(kept, tuple(unkept))


def is_tag_count(name: str) -> bool:
    """The header of this name says how many tags an object has."""
    return _TAG_COUNT.fullmatch(name) is not None


def has_tags(headers: Mapping[str, str]) -> bool:
    """One of the headers says that the object has tags."""
    return any(value != "0" and is_tag_count(name) for name, value in headers.items())


class _Names(NamedTuple):
    fixed: tuple[tuple[str, str], ...]  # what every object gets: name at OSS, value
    room: int  # bytes of user metadata beside them
    http: tuple[tuple[str, str], ...]  # name at OSS, name
    user: tuple[tuple[str, str], ...]  # the same, of user metadata
    nameless: tuple[str, ...]  # what has no name at OSS, or one that is taken
    said: tuple[str, ...]  # of what OSS does not get, if the object has it
    classes: tuple[str, ...]  # what tells the storage class; the first decides


@lru_cache(maxsize=256)  # objects by the million, sets of names by the dozen
def _sorted_out(keep: Keep, prefix: str, names: tuple[str, ...]) -> _Names:
    rules = read_meta_map(keep.meta_map)
    fixed = dict(rules.fixed)
    room = ROOM - sum(len(n) + meta_size(v) for n, v in fixed.items() if n.startswith(META))
    if keep.acl:
        fixed[OBJECT_ACL] = keep.acl
    if keep.storage_class not in ("", SOURCE_CLASS):
        fixed[STORAGE_CLASS] = keep.storage_class
    taken: dict[str, str] = {}
    nameless = []
    for is_renamed in (True, False):  # what a rule names comes before what merely has the name
        for name in sorted(names):  # `-` before `_`: what has a name as it is gets it
            own = _own_name(prefix, name)
            if not own or (own in rules.renamed) is not is_renamed:
                continue
            at_oss = rules.renamed[own] if is_renamed else _wanted(keep, own)
            if not at_oss or at_oss in rules.fixed:
                continue  # the job says so
            at_oss = at_oss.replace("_", "-") if at_oss.startswith(META) else at_oss
            if at_oss in taken or not _has_name(at_oss):
                nameless.append(name)
            else:
                taken[at_oss] = name
    return _Names(
        tuple(fixed.items()),
        room,
        tuple(each for each in taken.items() if not each[0].startswith(META)),
        tuple(each for each in sorted(taken.items()) if each[0].startswith(META)),
        tuple(nameless),
        tuple(name for name in names if _is_lost(keep, prefix, name)),
        () if STORAGE_CLASS in fixed else _class_headers(prefix, names),
    )


def _own_name(prefix: str, name: str) -> str:
    """What metaMap calls it; empty for what is neither a header of HTTP nor user metadata."""
    if prefix and name.startswith(prefix):
        return META + name[len(prefix) :]
    return HEADERS.get(name, "")


def _wanted(keep: Keep, own: str) -> str:
    return own if (keep.user if own.startswith(META) else keep.headers) else ""


def _has_name(at_oss: str) -> bool:
    return not at_oss.startswith(META) or _USER_NAME.fullmatch(at_oss) is not None


def _is_lost(keep: Keep, prefix: str, name: str) -> bool:
    if (prefix and name.startswith(prefix)) or (keep.tags and _TAG_COUNT.fullmatch(name)):
        return False
    return _LOST.fullmatch(name) is not None


def _class_headers(prefix: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The store's own header first; one that keeps silent tells by that."""
    own = SILENT_OF_STANDARD.get(prefix, "")
    others = sorted(name for name in names if name in CLASSES and name != own)
    return (own, *others) if own else tuple(others)
