"""Objects in a bucket of Kingsoft Cloud KS3, signed for natively: the CRC64 of each comes with it.

An archived object must be restored first.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from ossimport.config.places import endpoint
from ossimport.errors import Fatal, StorageError
from ossimport.listing import MAX_PAGE, NotAListing, Page
from ossimport.listing_xml import parse_page
from ossimport.sources.base import NO_HEADERS, Checksum, Source
from ossimport.sources.ks3_signing import Ks3Signer, encode_path
from ossimport.sources.lanes.key_range import PAGE
from ossimport.sources.over_http.addressing import locate
from ossimport.sources.over_http.bucket_source import BucketSource
from ossimport.sources.over_http.checksums import md5_of_etag, stated_crc64
from ossimport.sources.over_http.refusals import (
    CHECK_KEYS,
    LESS_LOAD,
    RENEW,
    RESTORE,
    SET_CLOCK,
    Refusals,
    read_xml,
    translate,
)
from ossimport.sources.over_http.tidied import blame_name
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import bad_response

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENCRYPTED = "x-kss-server-side-encryption"  # what the names of headers begin with
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_NO_REASON = frozenset({400, 403})  # to a HEAD, which has no body to say one

_PLACE = "check srcBucket, and that srcDomain is the endpoint of its region, without the bucket"
_REFUSALS = Refusals(
    service="KS3",
    fatal={
        "InvalidAccessKeyId": CHECK_KEYS,
        "InvalidAccessKey": CHECK_KEYS,
        "SignatureDoesNotMatch": CHECK_KEYS,
        "InvalidAuthorizationString": CHECK_KEYS,
        "InvalidSecurityToken": RENEW,
        "SecurityTokenExpired": RENEW,
        "InvalidToken": RENEW,
        "ExpiredToken": RENEW,
        "NoSuchBucket": _PLACE,
        "InvalidBucketName": _PLACE,
        "InvalidHostHeader": _PLACE,
        "PermanentRedirect": _PLACE,
        "TemporaryRedirect": _PLACE,
    },
    transient={
        "RequestTimeTooSkewed": SET_CLOCK,
        "TimeExpired": SET_CLOCK,
        "RequestTimeout": "the network is slow or full; lower workerTaskThreadNum",
        "SlowDown": LESS_LOAD,
        "ServiceUnavailable": LESS_LOAD,
    },
    permanent={
        "InvalidObjectState": RESTORE,
        "InvalidKey": "rename the object at the source",
    },
    absent=frozenset({"NoSuchKey", "HTTP404"}),  # or NotFound, as we call it too
    read_cure="the keys need ks3:GetObject on this object; see also the bucket's policy",
    list_cure="the keys need ks3:ListBucket on the bucket, and ks3:GetObject under srcPrefix; see "
    "also the bucket's policy",
)


class Access(NamedTuple):
    """Where a bucket is, and who asks."""

    endpoint: Endpoint  # of the region, without the bucket
    bucket: str
    access_key: str
    secret_key: str
    security_token: str = ""

    def __repr__(self) -> str:
        return f"Access({self.endpoint}, {self.bucket})"


class Ks3Source(BucketSource["_Ks3"]):
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
        """Raises Fatal for a bucket name that KS3 cannot have."""
        if not _BUCKET.fullmatch(access.bucket):
            message = f"{access.bucket!r} is not a bucket name. Cure: check srcBucket"
            raise Fatal(message, code="InvalidBucketName", op="open")

        def connect(transport: Transport) -> "_Ks3":
            return _Ks3(access, prefix, transport, clock)

        super().__init__(connect, prefix, transport, page_size)


_check: type[Source] = Ks3Source


class _Ks3:
    """KS3 for `bucket_source`."""

    meta_prefix = "x-kss-meta-"

    def __init__(
        self, access: Access, prefix: str, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self._bucket = access.bucket
        self._prefix = prefix
        self._endpoint, self._root = locate(access.endpoint, access.bucket)
        self._transport = transport
        self._clock = clock
        self._signer = Ks3Signer(
            access.bucket, access.access_key, access.secret_key, access.security_token
        )

    async def page(self, op: str, after: str, limit: int) -> Page:
        params = {"encoding-type": "url", "max-keys": str(limit)}
        if after:
            params["marker"] = after
        if self._prefix:
            params["prefix"] = self._prefix
        query = "&".join([f"{name}={_quoted(value)}" for name, value in params.items()])
        response = await self._send("GET", "", query, NO_HEADERS, MAX_PAGE)
        if response.status != 200:
            raise self._refused(response, op, "")
        try:
            return parse_page(response.body)
        except NotAListing as exc:
            what = f"the answer is no listing of KS3: {exc}. Cure: check srcDomain"
            raise bad_response(self._endpoint, what) from exc

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        path = self._prefix + key
        response = await self._send(method, path, "", headers, max_body)
        if method != "HEAD" or response.status not in _NO_REASON:
            return response
        one_byte = {**headers, "range": "bytes=0-0"}
        told = await self._send("GET", path, "", one_byte, max_body)
        return told if told.status == response.status else response

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        return self._refused(response, op, self._prefix + key)

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        if crc64 := stated_crc64(headers.get("x-kss-checksum-crc64ecma", "")):
            return crc64
        if any(name.startswith(_ENCRYPTED) for name in headers):
            return None  # the ETag is of what is stored
        return md5_of_etag(headers.get("etag", ""))

    async def _send(
        self, method: str, key: str, query: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        def signed() -> Mapping[str, str]:
            return {**headers, **self._signer.sign(method, key, self._clock())}

        path = encode_path(self._root, key)
        target = f"{path}?{query}" if query else path
        return await self._transport.request(
            self._endpoint, method, target, signed, max_body=max_body
        )

    def _refused(self, response: Response, op: str, key: str) -> StorageError:
        refusal = read_xml(response.status, response.headers, response.body, "x-kss-request-id")
        host = urlsplit(response.headers.get("location", "")).hostname or ""
        if response.status // 100 == 3 and _HOST.fullmatch(host):
            where = host.removeprefix(f"{self._bucket}.")
            refusal = refusal._replace(message=f"the bucket is at {where}")
        error = translate(refusal, _REFUSALS, op=op, bucket=self._bucket, key=key)
        return blame_name(error, response.status, key)


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    access = Access(
        endpoint=Endpoint(*endpoint(config.domain)),
        bucket=config.bucket,
        access_key=config.access_key,
        secret_key=config.secret_key.reveal(),
        security_token=config.security_token.reveal(),
    )
    return Ks3Source(access, config.prefix, transport)


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="surrogateescape")
