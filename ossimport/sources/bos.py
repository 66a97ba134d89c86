"""Objects in a bucket of Baidu BOS.

An archived object must be restored first. A symbolic link is copied as what it leads to.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from ossimport.answers import header, printable, retry_after
from ossimport.config.places import endpoint
from ossimport.errors import Fatal, StorageError
from ossimport.listing import MAX_PAGE, NotAListing, Page
from ossimport.sources.base import NO_HEADERS, Checksum, Source
from ossimport.sources.bos_listing import parse_page
from ossimport.sources.bos_signing import BosSigner, encode_query
from ossimport.sources.lanes.key_range import PAGE
from ossimport.sources.over_http.addressing import is_region, locate
from ossimport.sources.over_http.bucket_source import BucketSource
from ossimport.sources.over_http.checksums import md5_of_etag, stated_crc64, stated_md5
from ossimport.sources.over_http.json_answer import read_json
from ossimport.sources.over_http.refusals import (
    CHECK_KEYS,
    LESS_LOAD,
    RENEW,
    RESTORE,
    SET_CLOCK,
    Refusal,
    Refusals,
    translate,
)
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import bad_response
from ossimport.transport.wire import host_header

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")

_PLACE = "check srcBucket, and that srcDomain is the endpoint of its region"
_REFUSALS = Refusals(
    service="BOS",
    fatal={
        "InvalidAccessKeyId": CHECK_KEYS,
        "InvalidHTTPAuthHeader": CHECK_KEYS,
        "SignatureDoesNotMatch": CHECK_KEYS,
        "InvalidSessionToken": RENEW,
        "InvalidSecurityToken": RENEW,
        "NoSuchBucket": _PLACE,
        "InvalidBucketName": _PLACE,
        "AccountOverdue": "the account is in arrears: settle it with the service",
        "OptInRequired": "the account has not subscribed to the service",
    },
    transient={
        "RequestTimeTooSkewed": SET_CLOCK,
        "RequestExpired": SET_CLOCK,
        "RequestTimeout": "the network is slow or full; lower workerTaskThreadNum",
        "SlowDown": LESS_LOAD,
        "ServiceUnavailable": LESS_LOAD,
    },
    permanent={
        "InvalidObjectState": RESTORE,
        "InvalidURI": "the service takes no names with . or .. between slashes",
        "SymlinkTargetNotExist": "the object is a symbolic link whose target is gone: remove one "
        "or restore the other, then retry",
    },
    absent=frozenset({"NoSuchKey", "HTTP404"}),
    read_cure="the keys need READ or GetObject on this object; see also the bucket's policy",
    list_cure="the keys need LIST or ListBucket on the bucket, and READ or GetObject under "
    "srcPrefix; see also the bucket's policy",
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


class BosSource(BucketSource["_Bos"]):
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
        """Raises Fatal for a bucket name that BOS cannot have."""
        if not _BUCKET.fullmatch(access.bucket):
            message = f"{access.bucket!r} is not a bucket name. Cure: check srcBucket"
            raise Fatal(message, code="InvalidBucketName", op="open")

        def connect(transport: Transport) -> "_Bos":
            return _Bos(access, prefix, transport, clock)

        super().__init__(connect, prefix, transport, page_size)


_check: type[Source] = BosSource


class _Bos:
    """BOS for `bucket_source`."""

    meta_prefix = "x-bce-meta-"

    def __init__(
        self, access: Access, prefix: str, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self._bucket = access.bucket
        self._prefix = prefix
        self._endpoint, self._root = locate(access.endpoint, access.bucket)
        self._host = host_header(self._endpoint)
        self._transport = transport
        self._clock = clock
        self._signer = BosSigner(access.access_key, access.secret_key, access.security_token)

    async def page(self, op: str, after: str, limit: int) -> Page:
        params = {"maxKeys": str(limit), "prefix": self._prefix, "marker": after}
        query = encode_query({name: value for name, value in params.items() if value})
        response = await self._send("GET", "", query, NO_HEADERS, MAX_PAGE)
        if response.status != 200:
            raise self._refused(response, op, "")
        try:
            return parse_page(response.body)
        except NotAListing as exc:
            what = "the answer is not one of BOS. Cure: check srcDomain"
            raise bad_response(self._endpoint, what) from exc

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        return await self._send(method, self._prefix + key, "", headers, max_body)

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        return self._refused(response, op, self._prefix + key)

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        if crc64 := stated_crc64(headers.get("x-bce-content-crc64ecma", "")):
            return crc64
        if headers.get("x-bce-object-type") == "Appendable":
            return None  # nothing says of how much the MD5 is
        if md5 := md5_of_etag(headers.get("etag", "")):  # of one sent in parts it begins with -
            return md5
        return None if "content-range" in headers else stated_md5(headers.get("content-md5", ""))

    async def _send(
        self, method: str, key: str, query: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        # Sent as it is signed: whether the service decodes a path before it compares, nobody says.
        path = self._root + quote(key, errors="surrogateescape")

        def signed() -> Mapping[str, str]:
            signature = self._signer.sign(method, path, query, self._host, self._clock())
            return {**headers, **signature}

        target = f"{path}?{query}" if query else path
        return await self._transport.request(
            self._endpoint, method, target, signed, max_body=max_body
        )

    def _refused(self, response: Response, op: str, key: str) -> StorageError:
        return translate(_read(response), _REFUSALS, op=op, bucket=self._bucket, key=key)


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    access = Access(
        endpoint=_endpoint(config.domain),
        bucket=config.bucket,
        access_key=config.access_key,
        secret_key=config.secret_key.reveal(),
        security_token=config.security_token.reveal(),
    )
    return BosSource(access, config.prefix, transport)


def _endpoint(domain: str) -> Endpoint:
    """The endpoint that srcDomain names: a host, or a region such as `bj`."""
    where = Endpoint(*endpoint(domain))
    return where._replace(host=f"{where.host}.bcebos.com") if is_region(where) else where


def _read(response: Response) -> Refusal:
    """Read a refusal in JSON, or what something in between has sent."""
    try:
        said = read_json(response.body)
    except ValueError:
        said = None
    fields = said if isinstance(said, dict) else {}
    return Refusal(
        response.status,
        _words(fields.get("code")),
        _words(fields.get("message")),
        header(response.headers, "x-bce-request-id") or _words(fields.get("requestId")),
        retry_after(response.headers),
    )


def _words(value: object) -> str:
    return printable(value) if isinstance(value, str) else ""
