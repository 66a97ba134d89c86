"""Alibaba Cloud OSS as a destination.

What happens once per object, part or page of a listing is signed by us and sent over our own
transport, because oss2 spends about 1 ms of CPU on a small request, and on a page a multiple of
what we do. Everything rarer is oss2's, in a few threads.
"""

import asyncio
import html
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote
from xml.etree.ElementTree import ParseError

import oss2
import requests
from oss2.models import PartInfo
from requests.adapters import HTTPAdapter

from ossimport.credentials import Keys
from ossimport.dest.base import OSS_LIMITS, Body, Described, Destination, Stored, StoredPart
from ossimport.dest.wire import check_key
from ossimport.errors import Fatal, Permanent, StorageError
from ossimport.fidelity.arriving import OBJECT_ACL
from ossimport.http_date import http_date_ns
from ossimport.model import ObjectInfo, Origin
from ossimport.oss.bucket import LARGEST_PAGE, RENEWALS, Access, OssBucket
from ossimport.oss.refusals import DESTINATION, read_refusal
from ossimport.oss.signing import encode_query
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import connect_fault, exchange_fault, proxy_refused, timed_out
from ossimport.transport.proxy import Proxy, through

_CONTROL_THREADS = 8
_CONNECT_S = 10.0  # of the control plane; the transport has its own limits
_PROBE = ".ossimport-check"
_ABSENT = frozenset({"", "NoSuchKey"})
# Nothing of the origin but its bytes: a copy in parts has no more either, and no tags.
_BYTES_ONLY = {"x-oss-metadata-directive": "REPLACE", "x-oss-tagging-directive": "Replace"}
_COPIED_ETAG = re.compile(rb"<ETag>([^<]+)</ETag>")
# What oss2 raises when an answer is not OSS's: it parses XML and numbers without checking.
_BAD_ANSWER = (ParseError, RuntimeError, ValueError, KeyError)
_OSS2_FAULTS = (oss2.exceptions.OssError, requests.RequestException, *_BAD_ANSWER)
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")  # in http.client's words

T = TypeVar("T")

# At DEBUG and INFO oss2 logs headers and canonical requests, security tokens among them.
logging.getLogger("oss2").setLevel(logging.WARNING)


class OssDestination:
    """One bucket of OSS.

    The bucket is in the host name, or in the path where the host is an IP address or `localhost`.
    The transport stays open when the destination is closed: it belongs to whoever made it.
    """

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        bucket: str,
        region: str,
        transport: Transport,
        access_key: str = "",
        secret_key: str = "",
        security_token: str = "",
        keys: Keys | None = None,
        clock: Callable[[], float] = time.time,
        control_timeout: float = 60.0,
    ) -> None:
        """Raises Fatal for a bucket name or an endpoint that OSS cannot have.

        `keys` stand for the three before them if they are given.
        `control_timeout` is how many seconds the control plane waits for the next bytes of an
        answer; completing an upload of many parts takes the service a while.
        """
        self.limits = OSS_LIMITS
        keys = keys or Keys.fixed(access_key, secret_key, security_token)
        access = Access(endpoint, bucket, region, "", "", keys=keys)
        self._bucket = OssBucket(access, transport, DESTINATION, clock)
        self._control_timeout = control_timeout
        self._proxy = transport.proxies.between(self._bucket.endpoint)
        self._session = _ControlSession(endpoint.scheme, self._proxy)
        self._threads = ThreadPoolExecutor(_CONTROL_THREADS, thread_name_prefix="oss-control")
        try:
            self._control_bucket = oss2.Bucket(
                oss2.ProviderAuthV4(_Provider(keys)),
                str(endpoint),
                bucket,
                session=self._session,
                connect_timeout=(_CONNECT_S, control_timeout),
                enable_crc=False,  # the engine compares, also where a part's CRC64 is 0
                region=region,
                is_path_style=access.path_style,
            )
        except oss2.exceptions.ClientError as exc:
            message = f"{endpoint} is not an endpoint of OSS. Cure: check destDomain"
            raise Fatal(message, code="InvalidEndpoint", op="open") from exc

    async def check(self, prefix: str = "") -> None:
        """See that the bucket can be listed and written under `prefix`; leave nothing behind."""
        await self._control("check", "", lambda bucket: _probe(bucket, prefix))

    async def stat(self, key: str) -> ObjectInfo | None:
        """Describe the object, CRC64 included; None if there is none. OSS: HeadObject."""
        found = await self.describe(key)
        return found.info if found else None

    async def describe(self, key: str) -> Described | None:
        """Describe the object with its headers; None if there is none. OSS: HeadObject."""
        check_key(key, self.limits, "stat")
        response = await self._bucket.send("HEAD", "stat", key)
        headers = response.headers
        if response.status == 404 and read_refusal(404, headers, b"").code in _ABSENT:
            return None
        stored = self._stored(response, "stat", key)
        info = ObjectInfo(
            key=key,
            size=int(headers.get("content-length", 0)),
            mtime_ns=http_date_ns(headers.get("last-modified", "")),
            etag=stored.etag,
            crc64=stored.crc64,
        )
        return Described(info, headers)

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        """Write a whole object. OSS: PutObject.

        HTTP 203 is success: the object is stored, only the callback after it has failed.
        """
        check_key(key, self.limits, "put")
        response = await self._bucket.send("PUT", "put", key, headers=headers, body=body)
        return self._stored(response, "put", key)

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        """Send part `number` (from 1). OSS: UploadPart."""
        op = "upload_part"
        check_key(key, self.limits, op)
        query = encode_query({"partNumber": str(number), "uploadId": upload_id})
        response = await self._bucket.send("PUT", op, key, query=query, body=body)
        stored = self._stored(response, op, key)
        return StoredPart(stored.etag, stored.crc64, len(body))

    async def copy_from(self, key: str, origin: Origin, headers: Mapping[str, str]) -> Stored:
        """Have OSS copy the bytes of a whole object. OSS: CopyObject."""
        op = "copy_from"
        check_key(key, self.limits, op)
        return await self._copy(op, key, origin, {**headers, **_BYTES_ONLY})

    async def copy_part_from(
        self, key: str, upload_id: str, number: int, origin: Origin, span: range
    ) -> StoredPart:
        """Have OSS make a part of a range of an object. OSS: UploadPartCopy."""
        op = "copy_part_from"
        check_key(key, self.limits, op)
        part = {"x-oss-copy-source-range": f"bytes={span.start}-{span.stop - 1}"}
        query = encode_query({"partNumber": str(number), "uploadId": upload_id})
        stored = await self._copy(op, key, origin, part, query)
        return StoredPart(stored.etag, stored.crc64, len(span))

    async def start_upload(self, key: str, headers: Mapping[str, str]) -> str:
        """Begin a multipart upload and return its id. OSS: InitiateMultipartUpload."""
        op = "start_upload"
        check_key(key, self.limits, op)
        # oss2 signs text as UTF-8 but sends it as latin-1; bytes it takes as they are.
        raw = {name: value.encode("latin-1") for name, value in headers.items()}
        return await self._control(
            op, key, lambda bucket: str(bucket.init_multipart_upload(key, raw).upload_id)
        )

    async def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """The parts that the service holds, without CRC64. OSS: ListParts."""
        check_key(key, self.limits, "list_parts")
        return await self._control(
            "list_parts", key, lambda bucket: _all_parts(bucket, key, upload_id)
        )

    async def finish_upload(
        self, key: str, upload_id: str, parts: Mapping[int, str], *, acl: str = ""
    ) -> Stored:
        """Make the object of `parts` (number -> etag). OSS: CompleteMultipartUpload."""
        check_key(key, self.limits, "finish_upload")
        infos = [PartInfo(number, etag) for number, etag in parts.items()]
        headers = {OBJECT_ACL: acl} if acl else None
        return await self._control(
            "finish_upload", key, lambda bucket: _complete(bucket, key, upload_id, infos, headers)
        )

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts. OSS: AbortMultipartUpload."""
        check_key(key, self.limits, "abort_upload")
        try:
            await self._control(
                "abort_upload", key, lambda bucket: bucket.abort_multipart_upload(key, upload_id)
            )
        except StorageError as exc:
            if exc.code != "NoSuchUpload":
                raise

    async def delete(self, key: str) -> None:
        """Delete the object. OSS: DeleteObject, which answers the same when there is none."""
        check_key(key, self.limits, "delete")
        await self._control("delete", key, lambda bucket: bucket.delete_object(key))

    async def close(self) -> None:
        """Give back the control plane's connections and threads. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.session.close()

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        """Up to `limit` objects after `after`, in UTF-8 byte order. OSS: ListObjectsV2."""
        found: list[ObjectInfo] = []
        while True:
            wanted = min(LARGEST_PAGE, limit - len(found))
            page = await self._bucket.page("list", prefix, after, wanted)
            found += page.objects
            after = page.go_on(prefix, after)
            if not after or len(found) >= limit:
                return found[:limit]

    def _stored(self, response: Response, op: str, key: str, etag: str = "") -> Stored:
        """What OSS says that it holds; `etag` if the answer's body has said that."""
        self._bucket.expect_success(response, op, key)
        headers = response.headers
        etag = (etag or headers.get("etag", "")).strip('"')
        if not etag:
            raise self._bucket.not_oss(op, key)
        crc64 = headers.get("x-oss-hash-crc64ecma", "")
        return Stored(
            etag,
            int(crc64) if crc64.isdecimal() else None,
            headers.get("x-oss-request-id", ""),
        )

    async def _copy(
        self, op: str, key: str, origin: Origin, headers: Mapping[str, str], query: str = ""
    ) -> Stored:
        wire = {
            **headers,
            "x-oss-copy-source": f"/{origin.bucket}/"
            + quote(origin.key, safe="", errors="surrogateescape"),
            "x-oss-copy-source-if-match": origin.etag,
        }
        response = await self._bucket.send("PUT", op, key, query=query, headers=wire)
        if response.status == 501:  # a gateway that will not learn it meanwhile
            error = self._bucket.refused(501, response.headers, response.body, op, key)
            raise Permanent(
                str(error), code=error.code, op=op, key=key, request_id=error.request_id
            )
        # OSS documents the ETag in the body; its SDKs look into either.
        found = _COPIED_ETAG.search(response.body)
        etag = html.unescape(found[1].decode("latin-1")) if found is not None else ""
        return self._stored(response, op, key, etag)

    async def _control(self, op: str, key: str, call: Callable[[Any], T]) -> T:
        """Run `call` with oss2's bucket in a thread; it goes on there if we are cancelled."""
        await self._bucket.turn()
        loop = asyncio.get_running_loop()
        left = RENEWALS
        while True:
            used = await self._bucket.keys.get()
            try:
                return await loop.run_in_executor(self._threads, self._call, op, key, call)
            except Fatal as exc:
                if not left or not self._bucket.outlived(exc.code, used):
                    raise
                left -= not self._bucket.keys.have_ended(used)

    def _call(self, op: str, key: str, call: Callable[[Any], T]) -> T:
        try:
            return call(self._control_bucket)
        except oss2.exceptions.ServerError as exc:
            headers = {name.lower(): value for name, value in exc.headers.items()}
            if exc.status == 407 and self._proxy is not None:
                raise proxy_refused(self._way(), 407) from None
            # Not `from exc`: its text holds the string that was signed.
            raise self._bucket.refused(exc.status, headers, exc.body, op, key) from None
        except _OSS2_FAULTS as exc:
            raise self._translate_fault(exc, op, key) from exc

    def _translate_fault(self, exc: Exception, op: str, key: str) -> StorageError:
        """What no answer, or no sensible answer, to oss2 means."""
        cause = exc.exception if isinstance(exc, oss2.exceptions.RequestError) else exc
        system = _system_error(cause)
        refused = _TUNNEL_REFUSED.search(str(system))
        fault: StorageError
        if isinstance(exc, _BAD_ANSWER):
            fault = self._bucket.not_oss(op, key)
        elif isinstance(cause, requests.ReadTimeout):
            fault = timed_out(self._way(), f"no answer within {self._control_timeout:g} s")
        elif refused is not None:
            fault = proxy_refused(self._way(), int(refused[1]))
        elif system is not None:
            fault = connect_fault(self._way(), system, _CONNECT_S)
        else:
            fault = exchange_fault(self._way(), None, 0)
        fault.op, fault.key = op, key
        return fault

    def _way(self) -> str:
        return through(self._bucket.endpoint, self._proxy)


_check: type[Destination] = OssDestination


class _Provider:
    """The credentials of now, for oss2."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def get_credentials(self) -> oss2.credentials.Credentials:
        """See `oss2.credentials.CredentialsProvider`."""
        access_key, secret_key, security_token, _ = self._keys.current
        return oss2.credentials.Credentials(access_key, secret_key, security_token)


class _ControlSession(oss2.Session):  # type: ignore[misc]  # oss2 has no types
    """Connections of the control plane: the transport's proxy, no retries, no redirects.

    The environment is left aside, `.netrc` and all: the proxy is the transport's. A redirect
    would take the security token to another host.
    """

    def __init__(self, scheme: str, proxy: Proxy | None) -> None:
        adapter = _SystemTrust if scheme == "https" else HTTPAdapter
        super().__init__(adapter=adapter(pool_maxsize=_CONTROL_THREADS, max_retries=0))
        self.session.trust_env = False
        if proxy is not None:
            self.session.proxies = {scheme: proxy.url}
        self.session.get_redirect_target = lambda response: None


class _SystemTrust(HTTPAdapter):
    """Trusts the system's authorities (or `SSL_CERT_FILE`), besides those that requests brings."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As in requests, with the system's TLS context."""
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """As in requests, with the system's TLS context."""
        if proxy not in self.proxy_manager:
            kwargs["ssl_context"] = ssl.create_default_context()
        return super().proxy_manager_for(proxy, **kwargs)


def _probe(bucket: Any, prefix: str) -> None:
    bucket.list_objects_v2(prefix=prefix, max_keys=1)
    upload = bucket.init_multipart_upload(prefix + _PROBE)
    bucket.abort_multipart_upload(prefix + _PROBE, upload.upload_id)


def _all_parts(bucket: Any, key: str, upload_id: str) -> dict[int, StoredPart]:
    held: dict[int, StoredPart] = {}
    marker = ""
    while True:
        page = bucket.list_parts(key, upload_id, marker=marker)
        held |= {part.part_number: StoredPart(part.etag, None, part.size) for part in page.parts}
        if not page.is_truncated:
            return held
        marker = page.next_marker


def _complete(
    bucket: Any, key: str, upload_id: str, parts: list[PartInfo], headers: dict[str, str] | None
) -> Stored:
    result = bucket.complete_multipart_upload(key, upload_id, parts, headers)
    result.resp.read()  # else the connection is not used again
    if not result.etag:
        raise ValueError("CompleteMultipartUpload without ETag")
    return Stored(result.etag, result.crc, result.request_id)


def _system_error(exc: BaseException | None) -> OSError | None:
    """The operating system's error under those of requests and urllib3."""
    while exc is not None:
        if isinstance(exc, OSError) and not isinstance(exc, requests.RequestException):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None
