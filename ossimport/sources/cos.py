"""Objects in a bucket of Tencent COS, signed for natively: so the CRC64 of each comes with it.

An archived object must be restored first.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from ossimport.config.places import endpoint
from ossimport.errors import Fatal, StorageError
from ossimport.listing import MAX_PAGE, NotAListing, Page
from ossimport.listing_xml import parse_page
from ossimport.model import ObjectInfo
from ossimport.sources.base import NO_HEADERS, Checksum, Source, Tagged
from ossimport.sources.cos_signing import CosSigner
from ossimport.sources.lanes.key_range import PAGE
from ossimport.sources.over_http.addressing import encoded, is_region, locate
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
from ossimport.sources.over_http.tags import MAX_TAGS, read_tags
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import bad_response

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
_ENCRYPTED = "x-cos-server-side-encryption"  # what the names of headers begin with
_OLD_REGIONS = {  # the original's names, and those of the first version of the service's API
    "sh": "ap-shanghai",
    "gz": "ap-guangzhou",
    "bj": "ap-beijing",
    "tj": "ap-beijing-1",
    "cd": "ap-chengdu",
    "sgp": "ap-singapore",
    "hk": "ap-hongkong",
    "ca": "na-toronto",
    "ger": "eu-frankfurt",
    "cn-east": "ap-shanghai",
    "cn-south": "ap-guangzhou",
    "cn-north": "ap-beijing-1",
    "cn-southwest": "ap-chengdu",
    "sg": "ap-singapore",
}

_PLACE = "check srcBucket and appId, and that srcDomain is the bucket's region"
_EXPIRED = "Request has expired"  # a code by the reference, the message of AccessDenied in answers
_REFUSALS = Refusals(
    service="COS",
    fatal={
        "InvalidAccessKeyId": CHECK_KEYS,
        "SignatureDoesNotMatch": CHECK_KEYS,
        "ExpiredToken": RENEW,
        "InvalidToken": RENEW,
        "NoSuchBucket": _PLACE,
        "InvalidBucketName": _PLACE,
        "InvalidRegionName": _PLACE,
        "PermanentRedirect": _PLACE,
        "BucketAccelerateNotEnabled": "switch acceleration on, or set srcDomain to the region",
        "PaymentRequired": "the account is in arrears: settle it with the service",
    },
    transient={
        "RequestTimeTooSkewed": SET_CLOCK,
        _EXPIRED: SET_CLOCK,
        "RequestTimeout": "the network is slow or full; lower workerTaskThreadNum",
        "UserNetworkTooSlow": "the network is slow or full; lower workerTaskThreadNum",
        "SlowDown": LESS_LOAD,
        "ServiceUnavailable": LESS_LOAD,
    },
    permanent={
        "InvalidObjectState": RESTORE,
        "UnavailableForLegalReasons": "the service has sealed the object: ask its support",
    },
    absent=frozenset({"NoSuchKey", "HTTP404"}),
    read_cure="the keys need name/cos:GetObject and name/cos:HeadObject on this object; see also "
    "the bucket's policy",
    list_cure="the keys need name/cos:GetBucket on the bucket, and name/cos:GetObject and "
    "name/cos:HeadObject under srcPrefix; see also the bucket's policy",
)


class Access(NamedTuple):
    """Where a bucket is, and who asks."""

    endpoint: Endpoint  # of the region, without the bucket
    bucket: str  # its whole name: with the number of the account
    secret_id: str
    secret_key: str
    security_token: str = ""

    def __repr__(self) -> str:
        return f"Access({self.endpoint}, {self.bucket})"


class CosSource(BucketSource["_Cos"]):
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
        """Raises Fatal for a bucket name that COS cannot have."""
        if not _BUCKET.fullmatch(access.bucket):
            message = f"{access.bucket!r} is not a bucket name. Cure: check srcBucket and appId"
            raise Fatal(message, code="InvalidBucketName", op="open")

        def connect(transport: Transport) -> "_Cos":
            return _Cos(access, prefix, transport, clock)

        super().__init__(connect, prefix, transport, page_size)

    async def tags(self, info: ObjectInfo) -> dict[str, str]:
        """See `base.Tagged`. COS: GET Object tagging."""
        return await read_tags(self._objects, info)


_check: tuple[type[Source], type[Tagged]] = (CosSource, CosSource)


class _Cos:
    """COS for `bucket_source`."""

    meta_prefix = "x-cos-meta-"

    def __init__(
        self, access: Access, prefix: str, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self._bucket = access.bucket
        self._prefix = prefix
        self._endpoint, self._root = locate(access.endpoint, access.bucket)
        self._transport = transport
        self._clock = clock
        self._signer = CosSigner(access.secret_id, access.secret_key)
        self._host = {"host": self._endpoint.host}
        token = access.security_token
        self._token = {"x-cos-security-token": token} if token else NO_HEADERS

    async def page(self, op: str, after: str, limit: int) -> Page:
        params = {"encoding-type": "url", "max-keys": str(limit)}
        if after:
            params["marker"] = after
        if self._prefix:
            params["prefix"] = self._prefix
        response = await self._send("GET", "", params, NO_HEADERS, MAX_PAGE)
        if response.status != 200:
            raise self._refused(response, op, "")
        try:
            return parse_page(response.body)
        except NotAListing as exc:
            what = "the answer is not one of COS. Cure: check srcDomain"
            raise bad_response(self._endpoint, what) from exc

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        return await self._send(method, self._prefix + key, NO_HEADERS, headers, max_body)

    async def ask_tags(self, key: str) -> Response:
        return await self._send("GET", self._prefix + key, {"tagging": ""}, NO_HEADERS, MAX_TAGS)

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        return self._refused(response, op, self._prefix + key)

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        if crc64 := stated_crc64(headers.get("x-cos-hash-crc64ecma", "")):
            return crc64
        if any(name.startswith(_ENCRYPTED) for name in headers):
            return None  # the ETag is of what is stored
        return md5_of_etag(headers.get("etag", ""))

    async def _send(
        self,
        method: str,
        key: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        max_body: int,
    ) -> Response:
        def signed() -> Mapping[str, str]:
            sent = {**headers, **self._token}
            path = self._root + key
            return sent | {
                "authorization": self._signer.sign(
                    method, path, params, sent | self._host, self._clock()
                )
            }

        target = self._root + encoded(key)
        if params:
            target += "?" + "&".join([f"{k}={_quoted(v)}" for k, v in params.items()])
        return await self._transport.request(
            self._endpoint, method, target, signed, max_body=max_body
        )

    def _refused(self, response: Response, op: str, key: str) -> StorageError:
        refusal = read_xml(response.status, response.headers, response.body, "x-cos-request-id")
        if refusal.message.rstrip(".") == _EXPIRED:
            refusal = refusal._replace(code=_EXPIRED)
        return translate(refusal, _REFUSALS, op=op, bucket=self._bucket, key=key)


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    access = Access(
        endpoint=_endpoint(config.domain),
        bucket=_whole_name(config.bucket, config.app_id),
        secret_id=config.access_key,
        secret_key=config.secret_key.reveal(),
        security_token=config.security_token.reveal(),
    )
    return CosSource(access, config.prefix, transport)


def _endpoint(domain: str) -> Endpoint:
    """The endpoint that srcDomain names: a region by its new or old name, or a host."""
    where = Endpoint(*endpoint(domain))
    if not is_region(where):
        return where
    region = _OLD_REGIONS.get(where.host.removeprefix("cos"), where.host)
    return where._replace(host=f"cos.{region}.myqcloud.com")


def _whole_name(bucket: str, app_id: int) -> str:
    if not app_id or bucket.endswith(f"-{app_id}"):
        return bucket
    return f"{bucket}-{app_id}"


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="surrogateescape")
