"""Objects in a service of UPYUN (Youpai), which lists one directory at a time.

Bytes may come from a CDN in front of it, which is not limited in rate; names, sizes and times never
do.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from email.utils import formatdate
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from ossimport.answers import printable, retry_after
from ossimport.config.places import endpoint
from ossimport.errors import StorageError, Transient
from ossimport.http_date import whole_seconds_ns
from ossimport.listing import MAX_PAGE
from ossimport.model import Lane, ObjectInfo, Verdict
from ossimport.sources.base import Checksum, Payload, Scan, Source
from ossimport.sources.lanes.level_walk import Child, LevelPage, LevelScan
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.checksums import md5_of_etag, stated_md5
from ossimport.sources.over_http.json_answer import name_of, number_of, read_json
from ossimport.sources.over_http.refusals import (
    LESS_LOAD,
    SET_CLOCK,
    Refusal,
    Refusals,
    translate,
)
from ossimport.sources.over_http.side_loop import SideLoop
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import bad_response

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

PAGE = 1000  # names that one request asks for; 10,000 is the service's limit

_LAST_PAGE = "g2gCZAAEbmV4dGQAA2VvZg"  # the marker behind which there is nothing
_CHECKED = 10
_META = "x-upyun-meta-"
# Headers that the service keeps among the user's metadata.
_OWN_NAMES = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    }
)
_DOTS = {".": "%2E", "..": "%2E%2E"}

_OPERATOR = (
    "check srcAccessKey (the operator), srcSecretKey (the operator's password) and srcBucket (the "
    "service), and that the operator is authorized for the service and may read"
)
_REFUSALS = Refusals(
    service="UPYUN",
    fatal={
        "SignatureDoesNotMatch": _OPERATOR,
        "Unauthorized": _OPERATOR,
        "NoSuchBucket": "check srcBucket: it is the name of the service",
        "Blocked": "the service or the operator is disabled: see UPYUN's console",
    },
    transient={
        "RequestTimeTooSkewed": SET_CLOCK,
        "Throttled": f"{LESS_LOAD}; bytes from a CDN are not limited: see isDownloadFromCdn",
    },
    permanent={},
    absent=frozenset({"NotFound"}),
    read_cure="the operator needs the right to read; from a CDN, its protection against hotlinking "
    "must allow the workers' addresses",
    list_cure="the operator needs the right to read files and to list directories",
)
# What the service's words mean; the first that is found counts.
_WORDS = (
    (re.compile(r"\bdate\b", re.IGNORECASE), "RequestTimeTooSkewed"),
    (re.compile(r"\bsign(ature)?\b", re.IGNORECASE), "SignatureDoesNotMatch"),
    (re.compile(r"\bblocked\b", re.IGNORECASE), "Blocked"),
    (re.compile(r"\b(bucket|service) not\b", re.IGNORECASE), "NoSuchBucket"),
)
# The service's words of a directory; a 404 without them may be from anybody on the way, and to take
# it for an empty directory would leave out all that is in there.
_NO_DIRECTORY = re.compile(r"\bnot (found|exist)", re.IGNORECASE)
_STATUS_CODES = {401: "Unauthorized", 403: "AccessDenied", 404: "NotFound", 429: "Throttled"}


class Access(NamedTuple):
    """Where a service is, and who asks."""

    endpoint: Endpoint
    service: str
    operator: str
    password: str
    cdn: Endpoint | None = None  # where bytes come from; None = from the service itself

    def __repr__(self) -> str:
        return f"Access({self.endpoint}, {self.service})"


class UpyunSigner:
    """Signs requests of one operator. The password itself is not kept."""

    def __init__(self, operator: str, password: str) -> None:
        self._operator = operator
        digest = hashlib.md5(password.encode(), usedforsecurity=False)
        self._key = digest.hexdigest().encode()
        self._second = -1
        self._date = ""

    def sign(self, method: str, path: str, now: float) -> dict[str, str]:
        """The headers to send. `path` is as it is sent; `now` is seconds since 1970."""
        if int(now) != self._second:
            self._second = int(now)
            self._date = formatdate(self._second, usegmt=True)
        text = f"{method}&{path}&{self._date}".encode()
        signature = base64.b64encode(hmac.digest(self._key, text, "sha1")).decode()
        return {"date": self._date, "authorization": f"UPYUN {self._operator}:{signature}"}


class YoupaiSource:
    """The objects of a service below the directory `prefix`. See `base.Source`."""

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
        self._transport = transport or Transport()
        self._is_own = transport is None
        self._objects = _Service(access, prefix, self._transport, clock)
        self._side = SideLoop()
        self._listed = _Service(access, prefix, self._side.transport, clock)
        self._depth = depth
        self._page_size = page_size

    def check(self) -> None:
        self._side.start(self._listed.page("check", "", "", 1)).result()
        entries = list(islice(self.scan(Lane()), _CHECKED))
        infos = [entry.info for entry in entries if entry.verdict is Verdict.COPY]
        self._side.start(http_read.check(self._listed, infos)).result()

    def scan(self, lane: Lane) -> Scan:
        return LevelScan(self._fetch, lane, self._depth)

    async def stat(self, key: str) -> ObjectInfo:
        return await http_read.stat(self._objects, key)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        return await http_read.read(self._objects, info, offset, length)

    async def close(self) -> None:
        self._side.close()
        if self._is_own:
            await self._transport.close()

    def _fetch(self, directory: str, marker: str) -> "Future[LevelPage]":
        return self._side.start(self._listed.page("scan", directory, marker, self._page_size))


_check: type[Source] = YoupaiSource


class _Service:
    """UPYUN, for `http_read`, and its pages."""

    meta_prefix = _META

    def __init__(
        self, access: Access, prefix: str, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self._access = access
        self._prefix = prefix
        self._root = f"/{quote(access.service)}/"
        self._transport = transport
        self._clock = clock
        self._signer = UpyunSigner(access.operator, access.password)

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        # Whether the service looks at conditions is not documented: what comes is compared.
        headers = {name: value for name, value in headers.items() if name != "if-match"}
        path = _encoded(self._prefix + key)
        if method == "GET" and self._access.cdn is not None:
            headers["accept-encoding"] = "identity"
            response = await self._transport.request(
                self._access.cdn, method, f"/{path}", headers, max_body=max_body
            )
            if response.status in {401, 403, 404}:  # the CDN's words are not the service's
                response = Response(max(response.status, 403), response.headers, b"")
        else:
            response = await self._send(method, path, headers, max_body)
        return _tidied(response, method)

    async def page(self, op: str, directory: str, marker: str, limit: int) -> LevelPage:
        """A page of one directory, which is relative to srcPrefix. None there: an empty page."""
        headers = {
            "accept": "application/json",
            "x-list-limit": str(limit),
            "x-list-order": "asc",
            **({"x-list-iter": marker} if marker else {}),
        }
        try:
            path = _encoded(self._prefix + directory)
            response = await self._send("GET", path, headers, MAX_PAGE)
        except StorageError as exc:
            exc.op = op
            raise
        if response.status != 200:
            refusal = _read_refusal(response)
            if refusal.code == "NotFound" and _NO_DIRECTORY.search(refusal.message):
                return LevelPage([])
            raise self.refused(response, op, "")
        try:
            return _read_page(response)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise self._not_upyun(op) from exc

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        refusal = _read_refusal(response)
        return translate(refusal, _REFUSALS, op=op, bucket=self._access.service, key=key)

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        """The MD5 that the service states of a whole object."""
        if "content-range" in headers:  # it may be the part's
            return None
        text = headers.get("content-md5", "").strip('"')
        return md5_of_etag(text) or stated_md5(text)  # in hex, or as HTTP has it

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        target = self._root + path

        def signed() -> Mapping[str, str]:
            return {**headers, **self._signer.sign(method, target, self._clock())}

        return await self._transport.request(
            self._access.endpoint, method, target, signed, max_body=max_body
        )

    def _not_upyun(self, op: str) -> Transient:
        what = "it is no listing of UPYUN. Cure: check srcDomain"
        fault = bad_response(self._access.endpoint, what)
        fault.op = op
        return fault


def _encoded(path: str) -> str:
    """A path as it is sent and signed: nobody on the way may take `.` and `..` for directories."""
    text = quote(path, safe="/~", errors="surrogateescape")
    if "." in text:
        text = "/".join(_DOTS.get(name, name) for name in text.split("/"))
    return text


def _read_page(response: Response) -> LevelPage:
    """Read a page: JSON, or the lines that older nodes answer with. Raises for anything else."""
    is_json = "json" in response.headers.get("content-type", "")
    if is_json or "x-upyun-list-iter" not in response.headers:
        page = read_json(response.body)
        children = [_child(entry) for entry in page["files"] or []]
        marker = name_of(page.get("iter") or "")
    else:
        children = [_child_of_line(line) for line in response.body.decode().split("\n") if line]
        marker = response.headers["x-upyun-list-iter"]
    return LevelPage(children, "" if marker == _LAST_PAGE else marker)


def _child(entry: Mapping[str, object]) -> Child:
    size, seconds = (number_of(entry.get(field, 0)) for field in ("length", "last_modified"))
    is_directory, etag = entry["type"] == "folder", _bare(str(entry.get("etag") or ""))
    return Child(name_of(entry["name"]), is_directory, size, whole_seconds_ns(seconds), etag)


def _child_of_line(line: str) -> Child:
    name, kind, size, seconds = line.rsplit("\t", 3)
    return Child(name, kind == "F", number_of(int(size)), whole_seconds_ns(int(seconds)))


def _tidied(response: Response, method: str) -> Response:
    """The answer with headers where others have them, and a directory as no object."""
    headers = dict(response.headers)
    headers["etag"] = f'"{_bare(headers["etag"])}"' if "etag" in headers else ""
    if not headers["etag"].strip('"'):
        del headers["etag"]
    for name in _OWN_NAMES:
        value = headers.pop(_META + name, None)
        if value is not None:
            headers[name] = value
    if method == "HEAD" and response.status == 200:
        if headers.get("x-upyun-file-type") == "folder":
            return Response(404, headers, b"")
        if "x-upyun-file-size" in headers:
            headers["content-length"] = headers["x-upyun-file-size"]
        seconds = headers.get("x-upyun-file-date", "")
        if "last-modified" not in headers and seconds.isdecimal() and len(seconds) < 12:
            headers["last-modified"] = formatdate(int(seconds), usegmt=True)
    return replace(response, headers=headers)


def _bare(etag: str) -> str:
    """An ETag without quotes; nothing for a weak one."""
    return "" if etag.startswith("W/") else etag.strip('"')


def _read_refusal(response: Response) -> Refusal:
    """Read the service's words: JSON, or a line of HTML."""
    message = response.body.decode("utf-8", "replace")
    request_id = response.headers.get("x-request-id", "")
    try:
        said = read_json(response.body)
        message, request_id = str(said["msg"]), str(said.get("id") or request_id)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = message.rpartition("</h1>")[2]  # what is before it is the status
    code = _STATUS_CODES.get(response.status, "")
    if response.status in {400, 401, 403, 404}:
        code = next((code for words, code in _WORDS if words.search(message)), code)
    wish = retry_after(response.headers)
    return Refusal(response.status, code, printable(message), printable(request_id), wish)


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    cdn = endpoint(config.cdn_domain) if config.download_from_cdn else None
    access = Access(
        endpoint=Endpoint(*endpoint(config.domain)),
        service=config.bucket,
        operator=config.access_key,
        password=config.secret_key.reveal(),
        cdn=None if cdn is None else Endpoint(*cdn),
    )
    return YoupaiSource(access, config.prefix, transport, depth=scan_depth)
