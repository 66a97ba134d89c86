"""Blobs in a container of Azure Blob Storage, or of its emulator: block, append and page blobs.

Only the blobs as they are now are listed: no snapshots, no old versions, nothing that was deleted.
An archived blob must be rehydrated first.
"""

import base64
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from ossimport.answers import header, xml_field
from ossimport.errors import Fatal, StorageError
from ossimport.listing import NotAListing
from ossimport.model import ObjectInfo
from ossimport.sources.azure_listing import parse_blobs
from ossimport.sources.azure_signing import VERSION, SharedKeySigner
from ossimport.sources.base import NO_HEADERS, Checksum, Source, Tagged
from ossimport.sources.lanes.prefix_lanes import MarkedPage
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.addressing import encoded, is_plain
from ossimport.sources.over_http.checksums import stated_md5
from ossimport.sources.over_http.marker_source import MarkerSource, inside, listed
from ossimport.sources.over_http.refusals import (
    LESS_LOAD,
    SET_CLOCK,
    Refusal,
    Refusals,
    read_xml,
    translate,
)
from ossimport.sources.over_http.tags import MAX_TAGS, read_tags
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import bad_response

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

PAGE = 5000  # blobs per request, the most that the service gives; about 4 MB

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"\$(?:root|web|logs)|[a-z0-9](?:-?[a-z0-9]){2,62}")
_PORTS = {"http": 80, "https": 443}
_DETAIL = "AuthenticationErrorDetail"
_MAX_PAGE = 32 << 20  # bytes: of names of 1,024 characters, all percent-encoded, twenty

_KEYS = "check srcAccessKey, the account, and srcSecretKey, one of its keys or a whole SAS"
_NEW_SAS = "make a SAS that is valid now and put it in srcSecretKey"
_PLACE = "check srcAccessKey and srcBucket, the container"
_SAS_READS = "srcSecretKey must be a key of this account, or a SAS with read and list (sp=rl)"
_REFUSALS = Refusals(
    service="Azure Blob Storage",
    fatal={
        "AuthenticationFailed": _KEYS,
        "InvalidAuthenticationInfo": _KEYS,
        "NoAuthenticationInformation": _KEYS,
        "SasNotValidNow": _NEW_SAS,
        "AuthorizationServiceMismatch": "the SAS is not for Blob Storage: it needs ss=b",
        "AuthorizationResourceTypeMismatch": "the SAS is not for containers and objects: it needs "
        "srt=co",
        "AuthorizationProtocolMismatch": "the SAS is for https: write https:// in srcDomain",
        "AuthorizationSourceIPMismatch": "the SAS is for other addresses than this host's",
        "AccountRequiresHttps": "the account refuses http: write https:// in srcDomain",
        "KeyBasedAuthenticationNotPermitted": "the account refuses its own keys: put a user "
        "delegation SAS in srcSecretKey",
        "AccountIsDisabled": "the account is disabled: settle it with the service",
        "ContainerNotFound": _PLACE,
        "ContainerDisabled": _PLACE,
        "ContainerBeingDeleted": _PLACE,
        "InvalidResourceName": _PLACE,
        "InvalidUri": _PLACE,
    },
    transient={
        "RequestTimeTooSkewed": SET_CLOCK,
        "ServerBusy": LESS_LOAD,
        "OperationTimedOut": LESS_LOAD,
        "InternalError": "",
    },
    permanent={
        "BlobArchived": "the blob is archived: rehydrate it, then retry",
        "BlobBeingRehydrated": "wait until the blob is rehydrated, then retry",
        "BlobUsesCustomerSpecifiedEncryption": "the blob is encrypted with a key that only its "
        "writer has: copy it with the writer's program",
    },
    absent=frozenset({"BlobNotFound", "ResourceNotFound", "HTTP404"}),
    read_cure=f"{_SAS_READS}; see also the network rules of the account and the access list of "
    "the directory",
    list_cure=f"{_SAS_READS}; see also the network rules of the account",
)
_DENIED = frozenset(
    {
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "InsufficientAccountPermissions",
        "PublicAccessNotPermitted",
        "UnauthorizedBlobOverwrite",
    }
)


class Access(NamedTuple):
    """Where a container is, and who asks."""

    endpoint: Endpoint
    root: str  # what the path begins with: "" or "/account"
    account: str
    container: str
    secret: str  # a key of the account, or a SAS

    @property
    def sas(self) -> str:
        """What to put behind the query; empty if requests are signed."""
        return self.secret.lstrip("?&") if "sig=" in self.secret else ""

    def __repr__(self) -> str:
        return f"Access({self.endpoint}{self.root}, {self.container})"


class AzureSource(MarkerSource["_Azure"]):
    """The blobs of a container below `prefix`. See `base.Source`."""

    def __init__(
        self,
        access: Access,
        prefix: str,
        transport: Transport | None = None,
        *,
        depth: int = 1,
        page_size: int = PAGE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises Fatal for names that Azure cannot have, and for what is neither key nor SAS."""
        if not _CONTAINER.fullmatch(access.container):
            message = f"{access.container!r} is not a container's name. Cure: check srcBucket"
            raise Fatal(message, code="InvalidBucketName", op="open")
        signed = _signed(access, clock)

        def connect(transport: Transport) -> "_Azure":
            return _Azure(access, prefix, transport, signed())

        super().__init__(connect, transport, depth=depth, page_size=page_size)

    async def tags(self, info: ObjectInfo) -> dict[str, str]:
        """See `base.Tagged`. Azure: Get Blob Tags."""
        return await read_tags(self._objects, info)


_check: tuple[type[Source], type[Tagged]] = (AzureSource, AzureSource)

_Sign = Callable[[str, str, Mapping[str, str], Mapping[str, str]], Mapping[str, str]]
"""The headers to send."""


def _signed(access: Access, clock: Callable[[], float]) -> Callable[[], _Sign]:
    """How to make what signs the requests of one event loop."""
    if access.sas:
        return lambda: lambda method, path, params, headers: {**headers, "x-ms-version": VERSION}
    try:
        key = base64.b64decode(access.secret, validate=True)
    except ValueError:
        message = f"srcSecretKey is neither an account's key nor a SAS. Cure: {_KEYS}"
        raise Fatal(message, code="BadCredentials", op="open") from None

    def make() -> _Sign:
        signer = SharedKeySigner(access.account, key)
        return lambda method, path, params, headers: signer.sign(
            method, path, params, headers, clock()
        )

    return make


class _Azure:
    """Azure for `marker_source`."""

    meta_prefix = "x-ms-meta-"

    def __init__(self, access: Access, prefix: str, transport: Transport, sign: _Sign) -> None:
        self._container = access.container
        self._endpoint = access.endpoint
        self._root = f"{access.root}/{access.container}"
        self._prefix = prefix
        self._transport = transport
        self._sas = access.sas
        self._sign = sign

    async def page(
        self, op: str, prefix: str, one_level: bool, marker: str, limit: int
    ) -> MarkedPage:
        params = {"restype": "container", "comp": "list", "maxresults": str(limit)}
        if self._prefix + prefix:
            params["prefix"] = self._prefix + prefix
        if one_level:
            params["delimiter"] = "/"
        if marker:
            params["marker"] = marker
        response = await self._send("GET", self._root, params, NO_HEADERS, _MAX_PAGE)
        if response.status != 200:
            raise self._refused(response, op, "")
        try:
            page = parse_blobs(response.body)
        except NotAListing as exc:
            what = "the answer is not one of Azure Blob Storage. Cure: check srcDomain"
            raise bad_response(self._endpoint, what) from exc
        prefix = self._prefix
        objects = [
            listed(ObjectInfo(inside(prefix, key), size, mtime_ns, etag))
            for key, size, mtime_ns, etag, _ in page.blobs
        ]
        return MarkedPage(objects, [inside(prefix, name) for name in page.prefixes], page.marker)

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        path = f"{self._root}/{encoded(self._prefix + key)}"
        return await self._send(method, path, NO_HEADERS, headers, max_body)

    async def stat(self, key: str) -> ObjectInfo:
        return await http_read.stat(self, key)

    async def ask_tags(self, key: str) -> Response:
        path = f"{self._root}/{encoded(self._prefix + key)}"
        return await self._send("GET", path, {"comp": "tags"}, NO_HEADERS, MAX_TAGS)

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        return self._refused(response, op, self._prefix + key)

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        # Of other blobs it is what a writer once said, and it stays when they grow or change.
        if headers.get("x-ms-blob-type", "BlockBlob") != "BlockBlob":
            return None
        whole = "x-ms-blob-content-md5" if "content-range" in headers else "content-md5"
        return stated_md5(headers.get(whole, ""))

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        max_body: int,
    ) -> Response:
        pairs = [f"{name}={quote(value, safe='')}" for name, value in params.items()]
        query = "&".join([*pairs, self._sas] if self._sas else pairs)
        target = f"{path}?{query}" if query else path
        signed = partial(self._sign, method, path, params, headers)
        return await self._transport.request(
            self._endpoint, method, target, signed, max_body=max_body
        )

    def _refused(self, response: Response, op: str, key: str) -> StorageError:
        refusal = _read_refusal(response)
        return translate(refusal, _REFUSALS, op=op, bucket=self._container, key=key)


def _read_refusal(response: Response) -> Refusal:
    refusal = read_xml(response.status, response.headers, response.body, "x-ms-request-id")
    code = header(response.headers, "x-ms-error-code") or refusal.code
    message = refusal.message.partition("RequestId:")[0].strip()
    if code in _DENIED:
        return refusal._replace(code="AccessDenied", message=f"{code}, {message}")
    if code == "AuthenticationFailed":
        # The detail is not repeated: it may hold what was signed.
        detail = xml_field(bytes(response.body).decode("utf-8", "replace"), _DETAIL).lower()
        if "date header" in detail:
            code = "RequestTimeTooSkewed"
        elif "time frame" in detail:
            code = "SasNotValidNow"
    return refusal._replace(code=code, message=message)


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    endpoint, root = _locate(config.domain, config.access_key)
    access = Access(
        endpoint=endpoint,
        root=root,
        account=config.access_key,
        container=config.bucket,
        secret=config.secret_key.reveal(),
    )
    return AzureSource(access, config.prefix, transport, depth=scan_depth)


def _locate(domain: str, account: str) -> tuple[Endpoint, str]:
    """Where srcDomain is, and what paths begin with there. See docs/sources/azure.md for forms.

    An endpoint without a scheme is https: most accounts refuse http.
    """
    if not _ACCOUNT.fullmatch(account):
        message = f"{account!r} is not the name of a storage account. Cure: check srcAccessKey"
        raise Fatal(message, code="BadCredentials", op="open")
    where = urlsplit(domain if "://" in domain else f"//{domain}")
    host = where.hostname or ""
    path = where.path.rstrip("/")
    if path not in {"", f"/{account}"}:
        message = f"the path of srcDomain is {path}. Cure: write no path, or /{account}"
        raise Fatal(message, code="InvalidDomain", op="open")
    scheme = where.scheme or ("http" if is_plain(host) else "https")
    if path or is_plain(host):
        path = f"/{account}"
    elif host.startswith("blob."):
        host = f"{account}.{host}"
    elif not host.startswith(f"{account}."):
        host = f"{account}.blob.{host}"
    return Endpoint(scheme, host, where.port or _PORTS[scheme]), path
