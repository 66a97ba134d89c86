"""The headers that describe an object: read and checked on the way in, sent back on the way out."""

import re
from dataclasses import replace
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import parse_qsl

from ossimport.sandbox.call import Call
from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Request
from ossimport.sandbox.store import Entry, Traits

ARCHIVED = frozenset({"Archive", "ColdArchive", "DeepColdArchive"})
OBJECT_ACLS = frozenset({"default", "private", "public-read", "public-read-write"})
_STORAGE_CLASSES = ARCHIVED | {"Standard", "IA"}
_ENCRYPTIONS = frozenset({"AES256", "KMS", "SM4"})
_STANDARD = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    }
)
_ENCRYPTION_PREFIX = "x-oss-server-side-"
_USER_PREFIX = "x-oss-meta-"
_MAX_USER = 8 * 1024  # bytes of all user metadata
_MAX_TAGS = 10
_TAG = re.compile(r"[\w +\-=.:/]*")
_RESTORED_FOR = 24 * 3600  # seconds


def read_traits(request: Request) -> Traits:
    """Take an object's traits from the headers of the request that makes it."""
    headers = {
        name: value
        for name, value in request.headers.items()
        if name in _STANDARD or name.startswith((_USER_PREFIX, _ENCRYPTION_PREFIX))
    }
    headers.setdefault("content-type", "application/octet-stream")
    user = sum(len(n) + len(v) for n, v in headers.items() if n.startswith(_USER_PREFIX))
    if user > _MAX_USER:
        raise invalid_argument(
            f"The total size of user metadata is over {_MAX_USER} bytes.", _USER_PREFIX, str(user)
        )
    algorithm = headers.get("x-oss-server-side-encryption", "AES256")
    if algorithm not in _ENCRYPTIONS:
        raise Refusal("InvalidEncryptionAlgorithmError")
    acl = (
        read_acl(request, "x-oss-object-acl")
        if "x-oss-object-acl" in request.headers
        else "default"
    )
    return Traits(headers, acl, read_tags(request.header("x-oss-tagging")))


def read_acl(request: Request, header: str) -> str:
    """The access control list in a header, which must be there."""
    acl = request.header(header)
    if acl not in OBJECT_ACLS:
        raise invalid_argument("no such acl", header, acl)
    return acl


def read_storage_class(call: Call) -> str:
    """The storage class that the request asks for, else the bucket's."""
    default = call.store.bucket(call.request.bucket).storage_class
    return read_storage_class_name(call.request.header("x-oss-storage-class", default))


def read_storage_class_name(name: str) -> str:
    """The name itself, if it is a storage class."""
    if name not in _STORAGE_CLASSES:
        raise invalid_argument("Invalid storage class.", "x-oss-storage-class", name)
    return name


def read_tags(text: str) -> dict[str, str]:
    """The tags of an `x-oss-tagging` header."""
    return check_tags(parse_qsl(text, keep_blank_values=True))


def check_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Refuse too many tags, a tag given twice, and characters that tags may not have."""
    tags = dict(pairs)
    legal = all(
        0 < len(name) <= 128
        and len(value) <= 256
        and _TAG.fullmatch(name)
        and _TAG.fullmatch(value)
        for name, value in pairs
    )
    if not legal or len(tags) != len(pairs) or len(tags) > _MAX_TAGS:
        raise Refusal("InvalidTag")
    return tags


def encryption_headers(traits: Traits) -> dict[str, str]:
    """The headers that repeat how an object is encrypted."""
    return {n: v for n, v in traits.headers.items() if n.startswith(_ENCRYPTION_PREFIX)}


def object_headers(entry: Entry, now: float) -> dict[str, str]:
    """What GetObject and HeadObject say of an object, but for its length."""
    traits = entry.traits
    headers = {
        **traits.headers,
        "ETag": f'"{entry.etag}"',
        "Last-Modified": http_time(entry.modified),
        "Accept-Ranges": "bytes",
        "x-oss-object-type": entry.kind,
        "x-oss-hash-crc64ecma": str(entry.crc64),
        "x-oss-storage-class": entry.storage_class,
    }
    if traits.tags:
        headers["x-oss-tagging-count"] = str(len(traits.tags))
    if entry.kind == "Appendable":
        headers["x-oss-next-append-position"] = str(entry.size)
    if traits.restored_at:
        headers["x-oss-restore"] = restore_state(traits, now)
    return headers


def restore_state(traits: Traits, now: float) -> str:
    """The value of `x-oss-restore` for an archived object that somebody asked for."""
    if now < traits.restored_at:
        return 'ongoing-request="true"'
    until = http_time(int(traits.restored_at) + _RESTORED_FOR)
    return f'ongoing-request="false", expiry-date="{until}"'


def is_readable(entry: Entry, now: float) -> bool:
    """Whether the bytes can be had now: an archived object must be restored before."""
    restored = 0 < entry.traits.restored_at <= now
    return entry.storage_class not in ARCHIVED or restored


def without_restore(traits: Traits) -> Traits:
    """The same, as of an object that was just written."""
    return replace(traits, restored_at=0.0)


@lru_cache(maxsize=256)
def http_time(seconds: int) -> str:
    """Return `Sat, 31 Jan 2026 23:59:59 GMT`."""
    return formatdate(seconds, usegmt=True)
