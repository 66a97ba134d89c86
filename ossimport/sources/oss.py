"""Objects in a bucket of Alibaba Cloud OSS: another bucket, region or account than the destination.

A symbolic link is copied as what it leads to. An archived object must be restored first. Where the
destination is the same region of the same account, OSS copies by itself: see `OssSource.origin`.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ossimport.config.places import endpoint
from ossimport.credentials import keys_of
from ossimport.errors import Permanent, StorageError
from ossimport.listing import MAX_PAGE, Page
from ossimport.model import ObjectInfo, Origin
from ossimport.oss.bucket import Access, OssBucket
from ossimport.oss.refusals import SOURCE
from ossimport.oss.signing import encode_query
from ossimport.sources.base import Checksum, Origins, Source, Tagged
from ossimport.sources.lanes.key_range import PAGE
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.bucket_source import BucketSource
from ossimport.sources.over_http.checksums import stated_crc64, stated_md5
from ossimport.sources.over_http.tags import MAX_TAGS, read_tags
from ossimport.transport import Endpoint, Response, Transport

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_ABSENT = frozenset({"NoSuchKey", "HTTP404"})
# A symbolic link would stay one, and lead to nothing; what is appended to is not always copied.
_COPIED_INSIDE = frozenset({"Normal", "Multipart"})


class OssSource(BucketSource["_Oss"]):
    """The objects of a bucket below `prefix`. See `base.Source`."""

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

        def connect(transport: Transport) -> "_Oss":
            return _Oss(OssBucket(access, transport, SOURCE, clock), prefix)

        super().__init__(connect, prefix, transport, page_size)
        self._bucket = access.bucket
        self._prefix = prefix

    async def tags(self, info: ObjectInfo) -> dict[str, str]:
        """See `base.Tagged`. OSS: GetObjectTagging."""
        return await read_tags(self._objects, info)

    async def untold(self, most: int) -> dict[str, int]:
        """See `base.Untold`. OSS: ListObjectVersions, if the keys may."""
        return await self._objects.old_versions(most)

    async def origin(self, info: ObjectInfo) -> Origin | None:
        """See `base.Origins`. OSS: HeadObject."""
        if not info.etag:
            return None
        headers = (await http_read.head(self._objects, info)).headers
        crc64 = headers.get("x-oss-hash-crc64ecma", "")
        if headers.get("x-oss-object-type") not in _COPIED_INSIDE or not crc64.isdecimal():
            return None
        return Origin(self._bucket, self._prefix + info.key, info.etag, int(crc64), headers)


_check: tuple[type[Source], type[Origins], type[Tagged]] = (OssSource, OssSource, OssSource)


class _Oss:
    """OSS for `bucket_source`."""

    meta_prefix = "x-oss-meta-"

    def __init__(self, bucket: OssBucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    async def page(self, op: str, after: str, limit: int) -> Page:
        return await self._bucket.page(op, self._prefix, after, limit)

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        return await self._bucket.send(
            method, op, self._prefix + key, headers=headers, max_body=max_body
        )

    async def old_versions(self, most: int) -> dict[str, int]:
        """How many there are among the first versions; empty if that is none or not told."""
        query = encode_query({"versions": "", "prefix": self._prefix, "max-keys": str(most)})
        response = await self._bucket.send("GET", "versions", "", query=query, max_body=MAX_PAGE)
        number = response.body.count(b"<IsLatest>false</IsLatest>")
        return {"old versions": number} if number else {}

    async def ask_tags(self, key: str) -> Response:
        path = self._prefix + key
        return await self._bucket.send("GET", "tags", path, query="tagging", max_body=MAX_TAGS)

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        error = self._bucket.refused(response.status, response.headers, response.body, op, key)
        if isinstance(error, Permanent) and error.code in _ABSENT:
            error.code = "NotFound"
        return error

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        crc64 = stated_crc64(headers.get("x-oss-hash-crc64ecma", ""))
        return crc64 or stated_md5(headers.get("content-md5", ""))


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    where = endpoint(config.domain)
    access = Access(
        endpoint=Endpoint(where.scheme, where.host, where.port),
        bucket=config.bucket,
        region=config.region,
        access_key="",
        secret_key="",
        keys=keys_of(config, "srcCredentials"),
    )
    return OssSource(access, config.prefix, transport)
