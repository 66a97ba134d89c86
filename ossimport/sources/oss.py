"""Objects in a bucket of Alibaba Cloud OSS: another bucket, region or account than the destination.

A symbolic link is copied as what it leads to. An archived object must be restored first.
"""

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from ossimport.config.places import endpoint
from ossimport.errors import Permanent, StorageError
from ossimport.listing import Page
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.oss.bucket import Access, OssBucket
from ossimport.oss.refusals import SOURCE
from ossimport.sources import http_read
from ossimport.sources.base import Checksum, Payload, Scan, Source
from ossimport.sources.key_range import PAGE, KeyRanges
from ossimport.sources.side_loop import SideLoop
from ossimport.transport import Endpoint, Response, Transport

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_CHECKED = 10  # objects among which a check looks for one that has bytes
_ABSENT = frozenset({"NoSuchKey", "HTTP404"})


class OssSource:
    """The objects of a bucket below `prefix`. See `base.Source`.

    Cursors are whole keys, `prefix` included: so none of them is empty.
    """

    def __init__(
        self,
        access: Access,
        prefix: str,
        transport: Transport | None = None,
        *,
        page_size: int = PAGE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises Fatal for a bucket name that OSS cannot have."""
        self._transport = transport or Transport()
        self._is_own = transport is None
        bucket = OssBucket(access, self._transport, SOURCE, clock)
        self._objects = _Objects(bucket, prefix)
        self._listing = _Listing(access, prefix, clock)
        self._ranges = KeyRanges(self._listing.fetch, prefix, self._listing.entry, page_size)

    def check(self) -> None:
        self._listing.check()

    def scan(self, lane: Lane) -> Scan:
        return self._ranges.scan(lane)

    async def stat(self, key: str) -> ObjectInfo:
        return await http_read.stat(self._objects, key)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        return await http_read.read(self._objects, info, offset, length)

    async def close(self) -> None:
        self._listing.close()
        if self._is_own:
            await self._transport.close()


_check: type[Source] = OssSource


class _Listing:
    """What is asked for by those who wait."""

    def __init__(self, access: Access, prefix: str, clock: Callable[[], float]) -> None:
        self._prefix = prefix
        self._side = SideLoop()
        self._bucket = OssBucket(access, self._side.transport, SOURCE, clock)

    def fetch(self, after: str, limit: int) -> "Future[Page]":
        """See `key_range.Fetch`."""
        return self._side.start(self._bucket.page("scan", self._prefix, after, limit))

    def entry(self, info: ObjectInfo) -> Scanned:
        """What a scan says of a listed object."""
        if not self._prefix:
            return Scanned(info, info.key)
        key = info.key[len(self._prefix) :]
        inside = ObjectInfo(key, info.size, info.mtime_ns, info.etag)
        if not key and not info.size:
            message = "the marker of srcPrefix itself, without bytes"
            return Scanned(inside, info.key, Verdict.EXCLUDED, "PrefixMarker", message)
        return Scanned(inside, info.key)

    def check(self) -> None:
        """See `base.Source.check`."""
        self._side.start(self._check()).result()

    async def _check(self) -> None:
        page = await self._bucket.page("check", self._prefix, "", _CHECKED)
        objects = [self.entry(info).info for info in page.objects]
        await http_read.check(_Objects(self._bucket, self._prefix), objects)

    def close(self) -> None:
        """Give back connections. Idempotent."""
        self._side.close()


class _Objects:
    """OSS, for `http_read`."""

    meta_prefix = "x-oss-meta-"

    def __init__(self, bucket: OssBucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        return await self._bucket.send(
            method, op, self._prefix + key, headers=headers, max_body=max_body
        )

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        error = self._bucket.refused(response.status, response.headers, response.body, op, key)
        if isinstance(error, Permanent) and error.code in _ABSENT:
            error.code = "NotFound"
        return error

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        crc64 = headers.get("x-oss-hash-crc64ecma", "")
        if crc64.isdecimal():
            return Checksum("crc64", crc64)
        try:
            md5 = base64.b64decode(headers.get("content-md5", ""), validate=True)
        except binascii.Error:
            return None
        return Checksum("md5", md5.hex()) if len(md5) == 16 else None


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    where = endpoint(config.domain)
    access = Access(
        endpoint=Endpoint(where.scheme, where.host, where.port),
        bucket=config.bucket,
        region=config.region,
        access_key=config.access_key,
        secret_key=config.secret_key.reveal(),
        security_token=config.security_token.reveal(),
    )
    return OssSource(access, config.prefix, transport)
