"""What the cheap server holds: buckets, objects, uploads, and the XML that describes them."""

import time
from bisect import bisect_left, bisect_right
from functools import lru_cache
from hashlib import md5
from itertools import count
from typing import NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

from fastcrc import crc64

from ossimport.crc64 import crc64_combine

_AFTER_ANY_KEY = b"\xff"  # UTF-8 has no such byte


class Stored(NamedTuple):
    """An object, or a part of one."""

    size: int
    crc: int
    etag: str
    time: float
    body: bytes | None  # None: dropped


class Upload(NamedTuple):
    """A multipart upload that has begun."""

    key: bytes
    parts: dict[int, Stored]


class Page(NamedTuple):
    """One page of a listing."""

    keys: list[bytes]
    prefixes: list[bytes]
    next: bytes  # the last key or prefix on it; empty if nothing follows


class Bucket:
    """The objects of one bucket. It drops their bodies if its name begins with `null`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keeps = not name.startswith("null")
        self.objects: dict[bytes, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self._sorted: list[bytes] = []
        self._fresh: list[bytes] = []  # not in `_sorted` yet
        self._numbers = count(1)

    def put(self, key: bytes, stored: Stored) -> None:
        """Hold an object."""
        if key not in self.objects:
            self._fresh.append(key)
        self.objects[key] = stored

    def remove(self, key: bytes) -> None:
        """Forget an object, if it is there."""
        if self.objects.pop(key, None):
            self._sorted = []
            self._fresh = list(self.objects)

    def fill(self, objects: int, size: int) -> None:
        """Make so many objects, a thousand per directory, which all have one body."""
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        stored = Stored(size, crc64.xz(body), md5(body).hexdigest(), time.time(), body)
        for number in range(objects):
            self.put(b"%05d/%03d" % divmod(number, 1000), stored)

    def begin(self, key: bytes) -> str:
        """Begin an upload and return its id."""
        upload_id = f"{next(self._numbers):032X}"
        self.uploads[upload_id] = Upload(key, {})
        return upload_id

    def complete(self, upload_id: str) -> Stored:
        """Join the parts of an upload, all of them, to an object."""
        upload = self.uploads.pop(upload_id)
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        size = crc = 0
        for part in parts:
            crc = crc64_combine(crc, part.crc, part.size)
            size += part.size
        body = b"".join(part.body or b"" for part in parts) if self.keeps else None
        etag = md5("".join(part.etag for part in parts).encode()).hexdigest()
        stored = Stored(size, crc, f"{etag}-{len(parts)}", time.time(), body)
        self.put(upload.key, stored)
        return stored

    def page(self, prefix: bytes, delimiter: bytes, after: bytes, limit: int) -> Page:
        """List up to `limit` keys and common prefixes behind `after`."""
        keys = self._all_keys()
        found: list[bytes] = []
        prefixes: list[bytes] = []
        at = max(bisect_left(keys, prefix), bisect_right(keys, after) if after else 0)
        if delimiter and after.endswith(delimiter):
            at = max(at, bisect_left(keys, after + _AFTER_ANY_KEY))
        end = bisect_left(keys, prefix + _AFTER_ANY_KEY, at)
        if not delimiter:
            found = keys[at : min(end, at + limit)]
            return Page(found, [], found[-1] if found and at + limit < end else b"")
        last = b""
        while at < end and len(found) + len(prefixes) < limit:
            last = keys[at]
            cut = last.find(delimiter, len(prefix))
            if cut < 0:
                found.append(last)
                at += 1
            else:
                last = last[: cut + len(delimiter)]
                prefixes.append(last)
                at = bisect_left(keys, last + _AFTER_ANY_KEY, at)
        return Page(found, prefixes, last if at < end else b"")

    def _all_keys(self) -> list[bytes]:
        if self._fresh:
            self._fresh.sort()
            self._sorted += self._fresh
            self._sorted.sort()  # two sorted runs: one merge
            self._fresh = []
        return self._sorted


def listing_xml(bucket: Bucket, query: dict[str, str], page: Page) -> bytes:
    """The answer to ListObjects, of version 2 if `query` asks for it."""
    encoded = query.get("encoding-type") == "url"

    def text(key: bytes) -> str:
        return quote(key, safe="") if encoded else escape(key.decode())

    out = [
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult><Name>{bucket.name}</Name>',
        f"<Prefix>{text(query.get('prefix', '').encode())}</Prefix>",
        f"<MaxKeys>{query.get('max-keys', '1000')}</MaxKeys>",
        f"<Delimiter>{text(query.get('delimiter', '').encode())}</Delimiter>",
        f"<IsTruncated>{'true' if page.next else 'false'}</IsTruncated>",
        "<EncodingType>url</EncodingType>" if encoded else "",
    ]
    if query.get("list-type") == "2":
        out.append(f"<KeyCount>{len(page.keys) + len(page.prefixes)}</KeyCount>")
        if page.next:
            out.append(f"<NextContinuationToken>{page.next.hex()}</NextContinuationToken>")
    else:
        out.append(f"<Marker>{text(query.get('marker', '').encode())}</Marker>")
        if page.next:
            out.append(f"<NextMarker>{text(page.next)}</NextMarker>")
    for key in page.keys:
        stored = bucket.objects[key]
        out.append(
            f"<Contents><Key>{text(key)}</Key>"
            f"<LastModified>{iso_time(int(stored.time))}</LastModified>"
            f'<ETag>"{stored.etag}"</ETag><Type>Normal</Type><Size>{stored.size}</Size>'
            "<StorageClass>Standard</StorageClass>"
            "<Owner><ID>1</ID><DisplayName>1</DisplayName></Owner></Contents>"
        )
    out += [f"<CommonPrefixes><Prefix>{text(p)}</Prefix></CommonPrefixes>" for p in page.prefixes]
    out.append("</ListBucketResult>")
    return "".join(out).encode()


def parts_xml(bucket: Bucket, upload_id: str) -> bytes:
    """The answer to ListParts, on one page."""
    upload = bucket.uploads[upload_id]
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber>"
        f"<LastModified>{iso_time(int(part.time))}</LastModified>"
        f'<ETag>"{part.etag}"</ETag><Size>{part.size}</Size></Part>'
        for number, part in sorted(upload.parts.items())
    )
    return (
        f"<ListPartsResult><Bucket>{bucket.name}</Bucket><Key>{escape(upload.key.decode())}</Key>"
        f"<UploadId>{upload_id}</UploadId><NextPartNumberMarker>0</NextPartNumberMarker>"
        f"<IsTruncated>false</IsTruncated>{parts}"
        "</ListPartsResult>"
    ).encode()


@lru_cache(maxsize=1024)
def iso_time(seconds: int) -> str:
    """`2026-01-31T23:59:59.000Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


@lru_cache(maxsize=1024)
def http_time(seconds: int) -> str:
    """`Sat, 31 Jan 2026 23:59:59 GMT`."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
