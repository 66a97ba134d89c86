"""Objects in a bucket of Qiniu Kodo: listed by its interface, read from a domain bound to it.

An archived object must be restored first.
"""

import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from ossimport.answers import header, printable, retry_after
from ossimport.config.places import endpoint
from ossimport.errors import StorageError, Transient
from ossimport.http_date import whole_seconds_ns
from ossimport.listing import MAX_PAGE
from ossimport.model import ObjectInfo
from ossimport.qetag import is_qetag
from ossimport.sources.base import NO_HEADERS, Checksum, Source
from ossimport.sources.lanes.prefix_lanes import MarkedPage
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.addressing import encoded, is_plain
from ossimport.sources.over_http.json_answer import name_of, number_of, read_json
from ossimport.sources.over_http.marker_source import MarkerSource, inside, listed
from ossimport.sources.over_http.refusals import (
    CHECK_KEYS,
    LESS_LOAD,
    RESTORE,
    SET_CLOCK,
    Refusal,
    Refusals,
    translate,
)
from ossimport.sources.qiniu_signing import QiniuSigner
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import bad_response
from ossimport.transport.wire import host_header

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

PAGE = 1000  # objects per request, the most that the service gives

_REGIONS = Endpoint("https", "uc.qiniuapi.com", 443)  # knows in which region a bucket is

_SERVICES = ("rs", "rsf")  # that describe one object, and list

T = TypeVar("T")

_DOMAIN = "check that srcDomain is bound to srcBucket and has not expired"
_BUCKET = "check srcBucket, and srcRegion if it is set"
_REFUSALS = Refusals(
    service="Qiniu Kodo",
    fatal={
        "BadToken": CHECK_KEYS,
        "NoSuchBucket": _BUCKET,
        "IncorrectRegion": _BUCKET,
        "UserDisabled": "the account is disabled or in arrears: settle it with the service",
    },
    transient={
        "RequestTimeTooSkewed": SET_CLOCK,
        "TooManyRequests": LESS_LOAD,
        "ServerError": LESS_LOAD,
    },
    permanent={"ObjectArchived": RESTORE},
    absent=frozenset({"NoSuchKey", "HTTP404"}),
    read_cure=f"{_DOMAIN}; see also its access rules. An archived object must be restored first",
    list_cure="the keys need to list and to stat in the bucket",
)
# Statuses of its own, beside those of HTTP.
_CODES = {
    401: "BadToken",
    403: "AccessDenied",
    419: "UserDisabled",
    429: "TooManyRequests",
    503: "TooManyRequests",
    573: "TooManyRequests",
    612: "NoSuchKey",
    631: "NoSuchBucket",
}


class Access(NamedTuple):
    """Where a bucket is, and who asks."""

    domains: tuple[Endpoint, ...]  # bound to the bucket: one is enough
    bucket: str
    access_key: str
    secret_key: str
    region: str = ""  # such as z0; "" = ask the service
    use_head: bool = False  # describe objects by HEAD from the domain, not by the interface

    def __repr__(self) -> str:
        return f"Access({self.domains[0]}, {self.bucket})"


class QiniuSource(MarkerSource["_Qiniu"]):
    """The objects of a bucket below `prefix`. See `base.Source`."""

    def __init__(
        self,
        access: Access,
        prefix: str,
        transport: Transport | None = None,
        *,
        depth: int = 1,
        page_size: int = PAGE,
        regions: Endpoint = _REGIONS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        def connect(transport: Transport) -> "_Qiniu":
            return _Qiniu(access, prefix, _Interface(access, transport, regions, clock))

        super().__init__(connect, transport, depth=depth, page_size=page_size)


_check: type[Source] = QiniuSource


class _Qiniu:
    """Qiniu for `marker_source`."""

    meta_prefix = "x-qn-meta-"

    def __init__(self, access: Access, prefix: str, interface: "_Interface") -> None:
        self._access = access
        self._prefix = prefix
        self._interface = interface

    async def page(
        self, op: str, prefix: str, one_level: bool, marker: str, limit: int
    ) -> MarkedPage:
        params = {"bucket": self._access.bucket, "limit": str(limit)}
        if marker:
            params["marker"] = marker
        if self._prefix + prefix:
            params["prefix"] = self._prefix + prefix
        if one_level:
            params["delimiter"] = "/"
        query = "&".join(f"{name}={_quoted(value)}" for name, value in params.items())
        return await self._interface.ask("rsf", f"/list?{query}", op, "", self._page)

    def _page(self, said: Any) -> MarkedPage:
        objects = [
            listed(_info(inside(self._prefix, name_of(item["key"])), item))
            for item in said["items"] or []
        ]
        folders = [inside(self._prefix, name_of(name)) for name in said.get("commonPrefixes") or []]
        return MarkedPage(objects, folders, name_of(said.get("marker") or ""))

    async def stat(self, key: str) -> ObjectInfo:
        if self._access.use_head:
            return await http_read.stat(self, key)
        try:
            return await self._interface.ask(
                "rs", self._entry(key), "stat", key, lambda said: _info(key, said)
            )
        except StorageError as exc:
            exc.op, exc.key = "stat", key
            raise

    def _entry(self, key: str) -> str:
        entry = f"{self._access.bucket}:{self._prefix}{key}".encode("utf-8", "surrogateescape")
        return f"/stat/{base64.urlsafe_b64encode(entry).decode()}"

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        path = f"/{encoded(self._prefix + key)}"
        return await self._interface.read(method, path, headers, max_body)

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        return self._interface.refused(response, op, self._prefix + key)

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        etag = headers.get("etag", "").strip('"')
        return Checksum("qetag", etag) if is_qetag(etag) else None


class _Interface:
    """Requests to the service and to the bucket's domains, for one event loop."""

    def __init__(
        self,
        access: Access,
        transport: Transport,
        regions: Endpoint,
        clock: Callable[[], float],
    ) -> None:
        self._access = access
        self._transport = transport
        self._regions = regions
        self._clock = clock
        self._signer = QiniuSigner(access.access_key, access.secret_key)
        self._first_domain = 0  # of the domains, the one that is asked
        self._hosts = _known_hosts(access)

    async def ask(
        self, service: str, target: str, op: str, key: str, parse: Callable[[Any], T]
    ) -> T:
        """What an interface, rs or rsf, says in JSON; raises what a refusal means."""
        where = (self._hosts or await self._find_hosts(op))[service]

        def signed() -> Mapping[str, str]:
            return self._signer.headers("GET", host_header(where), target, self._clock())

        response = await self._transport.request(where, "GET", target, signed, max_body=MAX_PAGE)
        return self._understood(where, response, op, key, parse)

    async def read(
        self, method: str, path: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        """Ask a domain of the bucket. When it fails the next request goes to another."""
        domains = self._access.domains
        chosen = self._first_domain
        domain = domains[chosen % len(domains)]
        query = self._signer.query(f"{domain.scheme}://{host_header(domain)}{path}", self._clock())
        try:
            response = await self._transport.request(
                domain, method, f"{path}?{query}", headers, max_body=max_body
            )
        except Transient:
            self._leave(chosen)
            raise
        if response.status >= 500:
            self._leave(chosen)
        return response

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        refusal = _read_refusal(response)
        return translate(refusal, _REFUSALS, op=op, bucket=self._access.bucket, key=key)

    def _leave(self, chosen: int) -> None:
        if self._first_domain == chosen:  # or another request has left it already
            self._first_domain += 1

    async def _find_hosts(self, op: str) -> dict[str, Endpoint]:
        """Ask where the bucket's interfaces are."""
        access, scheme = self._access, self._regions.scheme

        def parse(said: Any) -> dict[str, Endpoint]:
            region = said["hosts"][0]
            names = {service: region[service]["domains"][0] for service in _SERVICES}
            return {s: Endpoint(*endpoint(f"{scheme}://{name}")) for s, name in names.items()}

        target = f"/v4/query?ak={_quoted(access.access_key)}&bucket={_quoted(access.bucket)}"
        response = await self._transport.request(
            self._regions, "GET", target, NO_HEADERS, max_body=MAX_PAGE
        )
        self._hosts = self._understood(self._regions, response, op, "", parse)
        return self._hosts

    def _understood(
        self, where: Endpoint, response: Response, op: str, key: str, parse: Callable[[Any], T]
    ) -> T:
        if response.status != 200:
            raise self.refused(response, op, key)
        try:
            return parse(read_json(response.body))
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            what = "the answer is not one of Qiniu Kodo. Cure: check srcDomain"
            raise bad_response(where, what) from exc


def _known_hosts(access: Access) -> dict[str, Endpoint] | None:
    """Where the interfaces are, where nobody has to be asked."""
    if access.region:
        return {
            service: Endpoint("https", f"{service}-{access.region}.qiniuapi.com", 443)
            for service in _SERVICES
        }
    if is_plain(access.domains[0].host):
        return dict.fromkeys(_SERVICES, access.domains[0])
    return None


def _info(key: str, said: Mapping[str, Any]) -> ObjectInfo:
    """An object as the interface describes it.

    Its time has units of 100 ns and is cut to the seconds that a domain says.
    """
    size, put_time = number_of(said["fsize"]), number_of(said["putTime"])
    return ObjectInfo(key, size, whole_seconds_ns(put_time // 10**7), name_of(said["hash"]))


def _read_refusal(response: Response) -> Refusal:
    try:
        said = read_json(response.body)
        message = printable(str(said["error"]))
    except (ValueError, KeyError, TypeError):
        message = ""
    status = response.status
    code = _CODES.get(status, "")
    words = message.lower()
    if status in {401, 403} and ("expired" in words or "skewed" in words):
        code = "RequestTimeTooSkewed"
    elif status == 403 and ("archive" in words or "freeze" in words or "tier" in words):
        code = "ObjectArchived"
    elif "incorrect region" in words or "incorrect zone" in words:
        code = "IncorrectRegion"
    if code == "NoSuchKey":
        status = 404
    request_id = header(response.headers, "x-reqid")
    return Refusal(status, code, message, request_id, retry_after(response.headers))


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    access = Access(
        domains=tuple(Endpoint(*endpoint(text)) for text in config.domain.split(",")),
        bucket=config.bucket,
        access_key=config.access_key,
        secret_key=config.secret_key.reveal(),
        region=config.region,
        use_head=config.meta_mode == "head",
    )
    return QiniuSource(access, config.prefix, transport, depth=scan_depth)


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="surrogateescape")
