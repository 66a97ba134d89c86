"""A destination in memory: the reference of what a destination does, and a bucket for tests."""

import hashlib
import time
from collections.abc import Callable, Mapping
from itertools import count, islice
from typing import NamedTuple

from ossimport.crc64 import crc64
from ossimport.dest.base import (
    OSS_LIMITS,
    Body,
    Described,
    Destination,
    Limits,
    Stored,
    StoredPart,
)
from ossimport.dest.wire import check_key
from ossimport.errors import Permanent
from ossimport.fidelity.arriving import OBJECT_ACL
from ossimport.model import ObjectInfo, Origin
from ossimport.transport.wire import Flowing


class MemoryObject(NamedTuple):
    """A stored object."""

    info: ObjectInfo
    body: bytes
    headers: dict[str, str]  # names in lower case


class _MemoryUpload(NamedTuple):
    key: str
    headers: dict[str, str]
    parts: dict[int, bytes]


class MemoryDestination:
    """Keeps objects in `objects`, by key, and refuses what OSS refuses at the same `limits`.

    `buckets` are those that it copies from, by name; "memory" is this one.
    """

    def __init__(
        self, *, limits: Limits = OSS_LIMITS, clock: Callable[[], float] = time.time
    ) -> None:
        self.limits = limits
        self.objects: dict[str, MemoryObject] = {}
        self.buckets: dict[str, MemoryDestination] = {"memory": self}
        self._clock = clock
        self._uploads: dict[str, _MemoryUpload] = {}
        self._ids = count(1)

    async def check(self, prefix: str = "") -> None:
        """Do nothing: memory answers."""

    async def stat(self, key: str) -> ObjectInfo | None:
        """Describe the object, CRC64 included; None if there is none."""
        found = await self.describe(key)
        return found.info if found else None

    async def describe(self, key: str) -> Described | None:
        """Describe the object with its headers."""
        check_key(key, self.limits, "stat")
        found = self.objects.get(key)
        return Described(found.info, found.headers) if found else None

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        """Write a whole object."""
        check_key(key, self.limits, "put")
        if len(body) > self.limits.max_put_size:
            raise _refused("EntityTooLarge", "put", key)
        whole = await _whole(body)
        return self._store(key, whole, headers, _md5(whole))

    async def start_upload(self, key: str, headers: Mapping[str, str]) -> str:
        """Begin a multipart upload and return its id."""
        check_key(key, self.limits, "start_upload")
        # OSS takes the ACL when the upload is finished.
        kept = {name: value for name, value in headers.items() if name != OBJECT_ACL}
        upload_id = f"upload-{next(self._ids)}"
        self._uploads[upload_id] = _MemoryUpload(key, kept, {})
        return upload_id

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        """Send part `number` (from 1)."""
        upload = self._upload(key, upload_id, "upload_part")
        return self._keep_part(upload, number, await _whole(body), "upload_part")

    async def copy_from(self, key: str, origin: Origin, headers: Mapping[str, str]) -> Stored:
        """Copy the bytes of a whole object of one of the buckets."""
        check_key(key, self.limits, "copy_from")
        found = self._origin(origin, key, "copy_from")
        if len(found.body) > self.limits.max_copy_size:
            raise _refused("EntityTooLarge", "copy_from", key)
        return self._store(key, found.body, headers, found.info.etag)

    async def copy_part_from(
        self, key: str, upload_id: str, number: int, origin: Origin, span: range
    ) -> StoredPart:
        """Make a part of a range of an object of one of the buckets."""
        upload = self._upload(key, upload_id, "copy_part_from")
        body = self._origin(origin, key, "copy_part_from").body[span.start : span.stop]
        return self._keep_part(upload, number, body, "copy_part_from")

    async def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """The parts that are held, in order of their numbers."""
        parts = self._upload(key, upload_id, "list_parts").parts
        return {number: _stored_part(parts[number]) for number in sorted(parts)}

    async def finish_upload(
        self, key: str, upload_id: str, parts: Mapping[int, str], *, acl: str = ""
    ) -> Stored:
        """Make the object of `parts` (number -> etag)."""
        upload = self._upload(key, upload_id, "finish_upload")
        if not parts:
            raise _refused("MalformedXML", "finish_upload", key)
        for number, etag in parts.items():
            if number not in upload.parts or _md5(upload.parts[number]) != etag:
                raise _refused("InvalidPart", "finish_upload", key)
        bodies = [upload.parts[number] for number in sorted(parts)]
        if any(len(body) < self.limits.min_part_size for body in bodies[:-1]):
            raise _refused("EntityTooSmall", "finish_upload", key)
        del self._uploads[upload_id]
        if acl:
            upload.headers[OBJECT_ACL] = acl
        tags = "".join(_md5(body) for body in bodies)
        etag = f"{_md5(tags.encode())}-{len(bodies)}"
        return self._store(key, b"".join(bodies), upload.headers, etag)

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts."""
        check_key(key, self.limits, "abort_upload")
        self._uploads.pop(upload_id, None)

    async def delete(self, key: str) -> None:
        """Forget the object, if there is one."""
        check_key(key, self.limits, "delete")
        self.objects.pop(key, None)

    async def close(self) -> None:
        """Do nothing: the objects stay."""

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        """Up to `limit` objects after `after`, in UTF-8 byte order, as a listing without CRC64."""
        keys = sorted(
            (key for key in self.objects if key.startswith(prefix) and key > after),
        )  # Python orders text by code point, which is the order of its UTF-8 bytes
        return [self.objects[key].info._replace(crc64=None) for key in islice(keys, limit)]

    def _origin(self, origin: Origin, key: str, op: str) -> MemoryObject:
        if origin.bucket not in self.buckets:
            raise _refused("NoSuchBucket", op, key)
        found = self.buckets[origin.bucket].objects.get(origin.key)
        if found is None:
            raise _refused("NoSuchKey", op, key)
        if found.info.etag != origin.etag:
            raise _refused("PreconditionFailed", op, key)
        return found

    def _keep_part(self, upload: _MemoryUpload, number: int, part: bytes, op: str) -> StoredPart:
        if not 1 <= number <= self.limits.max_parts:
            raise _refused("InvalidArgument", op, upload.key)
        if len(part) > self.limits.max_part_size:
            raise _refused("EntityTooLarge", op, upload.key)
        upload.parts[number] = part
        return _stored_part(part)

    def _upload(self, key: str, upload_id: str, op: str) -> _MemoryUpload:
        check_key(key, self.limits, op)
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise _refused("NoSuchUpload", op, key)
        return upload

    def _store(self, key: str, body: bytes, headers: Mapping[str, str], etag: str) -> Stored:
        now = int(self._clock()) * 10**9  # OSS keeps whole seconds
        stored = Stored(etag, crc64(body), f"memory-{next(self._ids)}")
        info = ObjectInfo(key, len(body), now, etag, stored.crc64)
        self.objects[key] = MemoryObject(info, body, dict(headers))
        return stored


_check: type[Destination] = MemoryDestination


def _stored_part(part: bytes) -> StoredPart:
    return StoredPart(_md5(part), crc64(part), len(part))


async def _whole(body: Body) -> bytes:
    if not isinstance(body, Flowing):
        return bytes(body)
    found = b""
    while len(found) < len(body):
        found += await body.read(len(found), len(body))
    return found


def _md5(data: bytes) -> str:
    """An entity tag: OSS writes the MD5 in capitals."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest().upper()


def _refused(code: str, op: str, key: str) -> Permanent:
    return Permanent(f"{op} of {key!r} in memory: {code}", code=code, op=op, key=key)
