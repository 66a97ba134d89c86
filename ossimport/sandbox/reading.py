"""GetObject, HeadObject and GetObjectMeta; the conditions and ranges that copies use as well."""

import re
from email.utils import parsedate_to_datetime

from ossimport.sandbox.call import Call
from ossimport.sandbox.files import Content, cut
from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Answer
from ossimport.sandbox.store import Entry
from ossimport.sandbox.traits import http_time, is_readable, object_headers

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})(,.*)?", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_OVERRIDES = (
    "content-type",
    "content-language",
    "expires",
    "cache-control",
    "content-disposition",
    "content-encoding",
)


def get_object(call: Call) -> Answer:
    """OSS: GetObject. A range that does not lie in the object is ignored, as OSS does."""
    request = call.request
    entry, source = _object(call)
    if not is_readable(source, call.now):
        raise Refusal("InvalidObjectState", details={"ObjectName": request.key.decode()})
    headers = object_headers(source, call.now) | {"x-oss-object-type": entry.kind}
    headers |= _overrides(call)
    standard = request.header("x-oss-range-behavior").lower() == "standard"
    window = read_range(request.header("range"), source.size, standard=standard)
    if window is None:
        return Answer(200, headers, content=Content(call.store.files, source.pieces))
    start, length = window
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{source.size}"
    pieces = cut(source.pieces, start, length)
    return Answer(206, headers, content=Content(call.store.files, pieces))


def head_object(call: Call) -> Answer:
    """OSS: HeadObject."""
    entry, source = _object(call)
    headers = object_headers(source, call.now) | {"x-oss-object-type": entry.kind}
    headers["Content-Length"] = str(source.size)
    return Answer(200, headers)


def get_object_meta(call: Call) -> Answer:
    """OSS: GetObjectMeta. It does not follow symbolic links."""
    entry = call.store.get(call.request.bucket, call.request.key)
    headers = {
        "ETag": f'"{entry.etag}"',
        "Last-Modified": http_time(entry.modified),
        "Content-Length": str(entry.size),
        "x-oss-hash-crc64ecma": str(entry.crc64),
    }
    return Answer(200, headers)


def _object(call: Call) -> tuple[Entry, Entry]:
    """Return the object and the one whose bytes it stands for: itself unless it is a link."""
    request = call.request
    entry = call.store.get(request.bucket, request.key)
    source = entry
    if entry.kind == "Symlink":
        target = entry.traits.target
        found = call.store.find(request.bucket, target.encode())
        if found is None:
            raise Refusal("SymlinkTargetNotExist", details={"TargetObject": target})
        if found.kind == "Symlink":
            raise Refusal("InvalidTargetType", details={"TargetObject": target})
        source = found
    check_conditions(call, source)
    return entry, source


def check_conditions(call: Call, entry: Entry, prefix: str = "") -> None:
    """Raise Refusal PreconditionFailed or NotModified by the If-* headers named with `prefix`."""
    header = call.request.header
    match, none_match = header(f"{prefix}if-match"), header(f"{prefix}if-none-match")
    since = _seconds(header(f"{prefix}if-modified-since"))
    unmodified = _seconds(header(f"{prefix}if-unmodified-since"))
    if match and not _matches(match, entry.etag):
        raise Refusal("PreconditionFailed", details={"Condition": "If-Match"})
    if unmodified is not None and entry.modified > unmodified:
        raise Refusal("PreconditionFailed", details={"Condition": "If-Unmodified-Since"})
    same = bool(none_match) and _matches(none_match, entry.etag)
    if same or (since is not None and not none_match and entry.modified <= since):
        headers = {"ETag": f'"{entry.etag}"', "Last-Modified": http_time(entry.modified)}
        raise Refusal("NotModified", headers=headers)


def _matches(condition: str, etag: str) -> bool:
    tags = {tag.strip().strip('"') for tag in condition.split(",")}
    return "*" in tags or etag in tags


def _seconds(text: str) -> float | None:
    """A date of a condition; one that is not a date counts as none, as HTTP demands."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


def read_range(text: str, size: int, *, standard: bool = False) -> tuple[int, int] | None:
    """Return start and length, or None for the whole object.

    OSS ignores a range that reaches beyond the object. With `x-oss-range-behavior: standard` it is
    cut at the end as HTTP demands; one that lies outside is refused with InvalidRange. Of several
    ranges the first counts.
    """
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if not match or not (match[1] or match[2]):
        return None
    if match[1]:
        start, end = int(match[1]), int(match[2]) if match[2] else max(size - 1, 0)
        outside = start >= size
        if match[2] and end < start:
            return None
    else:
        start, end = size - int(match[2]), size - 1
        outside = start == size  # the last 0 bytes, or an empty object
    if 0 <= start <= end < size:
        return start, end - start + 1
    if not standard:
        return None
    if outside:
        raise Refusal("InvalidRange", details={"ActualObjectSize": str(size), "RangeTotal": text})
    start = max(start, 0)
    return start, min(end, size - 1) - start + 1


def _overrides(call: Call) -> dict[str, str]:
    """The headers that `response-*` parameters replace."""
    headers = {}
    for name in _OVERRIDES:
        value = call.request.params.get(f"response-{name}", "")
        if _UNPRINTABLE.search(value):
            raise invalid_argument("Invalid character in header.", f"response-{name}")
        if value:
            headers[name] = value.encode().decode("latin-1")
    return headers
