"""Objects on any web servers, named by a list of URLs on the master's host.

The list is walked by `list_scan`; what a worker needs of a line travels in `ObjectInfo.etag`, see
`http_url.Place`. A list may say nothing of an object's size. Such an object is listed with none,
and whoever is to read it first is told that it has changed: the engine then asks what it is now,
as it does for all that changes. So it is for an object that is read in parts, which need a version
to be parts of.
"""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, ObjectInfo, Verdict
from ossimport.naming import display
from ossimport.sources.base import Checksum, Payload, Placed, Scan, Source
from ossimport.sources.http_fetch import Web, decoded, refused, strong_only, total_size
from ossimport.sources.http_url import LISTED, NOTHING, SEEN, BadUrl, Place, Url
from ossimport.sources.list_file import WINDOW, ListFile
from ossimport.sources.list_lines import Columns
from ossimport.sources.list_scan import ListScan, UrlList
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.checksums import stated_crc64, stated_md5
from ossimport.sources.over_http.side_loop import SideLoop
from ossimport.transport import Endpoint, Response, Transport

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_CHECKED_LINES = 1000
_CHECKED_URLS = 5
_PROBED = 3  # servers
_FIRST_BYTE = {"range": "bytes=0-0"}
_SMALL = 64 << 10
_LARGEST_UNKNOWN = 16 << 20  # bytes of an object whose size only its end tells
_UNKNOWN_AT_A_TIME = 4
_NO_HEAD = frozenset({400, 403, 405, 406, 501})
_CRC64 = ("x-oss-hash-crc64ecma", "x-cos-hash-crc64ecma")


class HttpListSource:
    """The objects that a list names. See `base.Source`."""

    def __init__(
        self,
        path: Path,
        columns: Columns,
        transport: Transport | None = None,
        *,
        window: int = WINDOW,
    ) -> None:
        self._path = path
        self._columns = columns
        self._window = window
        self._transport = transport or Transport()
        self._is_own = transport is None
        self._web = Web(self._transport)
        self._unsized = asyncio.Semaphore(_UNKNOWN_AT_A_TIME)
        self._side = SideLoop()
        self._list: UrlList | None = None
        self._reads = False

    def check(self) -> None:
        """See `base.Source.check`.

        Where objects are read there is no list. Then this says whether any of the servers that
        have answered still does: one that never has is no reason to stop a job of many servers.
        """
        if self._reads:
            self._side.start(self._probe(list(self._web.answered)[-_PROBED:])).result()
        else:
            self._check_list()

    def scan(self, lane: Lane) -> Scan:
        return ListScan(self._open_list(), lane)

    async def stat(self, key: str) -> ObjectInfo:
        """See `base.Source.stat`. The list is searched for it."""
        place = await asyncio.to_thread(self._find, key)
        return await _described(place, self._object(place, key, -1), key)

    async def renew(self, info: ObjectInfo) -> ObjectInfo:
        """See `base.Placed`."""
        place, one = self._placed(info, "stat", -1)
        return await _described(place, one, info.key)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        self._reads = True
        place, one = self._placed(info, "read", info.size)
        if place.known != SEEN:
            _refuse_unseen(place, info, is_whole=(offset, length) == (0, info.size))
        version = info._replace(etag=place.version)
        return await http_read.read(one, version, offset, length)

    async def close(self) -> None:
        self._side.close()
        if self._is_own:
            await self._transport.close()

    def _open_list(self) -> UrlList:
        if self._list is None:
            self._list = UrlList(ListFile(self._path, self._window), self._columns)
        return self._list

    def _object(self, place: Place, key: str, size: int) -> "_Object":
        return _Object(self._web, self._unsized, place, key, size)

    def _placed(self, info: ObjectInfo, op: str, size: int) -> tuple[Place, "_Object"]:
        """Where it is. Raises Permanent(code="ListUrl") for what this source did not list."""
        try:
            place = Place.unpack(info.etag)
            return place, self._object(place, info.key, size)
        except BadUrl as exc:
            raise Permanent(str(exc), code="ListUrl", op=op, key=info.key) from exc

    def _find(self, key: str) -> Place:
        for entry in self.scan(Lane()):
            if entry.info.key == key and entry.verdict is Verdict.COPY:
                return Place.unpack(entry.info.etag)
        message = f"{display(key)} is not in the list"
        raise Permanent(message, code="NotFound", op="stat", key=key)

    # -- before a job ------------------------------------------------------------------------------

    def _check_list(self) -> None:
        """See that the first lines can be used, and that one of some URLs can be read."""
        entries = list(islice(self.scan(Lane()), _CHECKED_LINES))
        good = [entry.info for entry in entries if entry.verdict is Verdict.COPY]
        if not good:
            for entry in entries:
                if entry.verdict is Verdict.FAILED:
                    text = f"no line of the list can be used; {entry.message}"
                    raise Fatal(text, code=entry.code, op="check")
            return
        self._side.start(
            self._read_any(list(islice(_of_many_servers(good), _CHECKED_URLS)))
        ).result()

    async def _read_any(self, objects: list[ObjectInfo]) -> None:
        """Read the first byte of one of these. Raises what the first of them is refused with."""
        first: StorageError | None = None
        web = Web(self._side.transport)
        for info in objects:
            one = _Object(web, self._unsized, Place.unpack(info.etag), info.key, -1)
            try:
                response = await one.ask("GET", "check", info.key, _FIRST_BYTE, _SMALL)
            except StorageError as exc:
                if exc.code == "RangeIgnored":
                    return
                error = exc
            else:
                if response.status in {200, 206, 416}:
                    return
                error = one.refused(response, "check", info.key)
            first = first or error
        if isinstance(first, Permanent):
            text = f"none of {len(objects)} URLs of the list can be read; {first}"
            raise Fatal(text, code=first.code, op="check") from first
        if first is not None:
            raise first

    async def _probe(self, servers: list[Endpoint]) -> None:
        last: Transient | None = None
        for endpoint in servers:
            try:
                await self._side.transport.request(endpoint, "HEAD", "/", {})
            except Transient as exc:
                last = exc
            else:
                return
        if last is not None:
            raise last


_check: tuple[type[Source], type[Placed]] = (HttpListSource, HttpListSource)


class _Object:
    """One object, for `http_read`; `size` is -1 where it is not known."""

    meta_prefix = "x-oss-meta-"

    def __init__(
        self, web: Web, unsized: asyncio.Semaphore, place: Place, key: str, size: int
    ) -> None:
        self._web = web
        self._unsized = unsized
        self._md5 = place.md5
        self._is_seen = place.known == SEEN
        self._url: Url = place.url(key)
        self._size = size

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        if method == "HEAD":
            return strong_only(await self._describe(op, headers, max_body))
        try:
            response = await self._web.ask(method, self._url, headers, max_body)
        except Permanent as exc:
            if exc.code != "BadResponse" or "range" not in headers:
                raise
            raise Permanent(
                f"{self._url}: the server sends only the whole of it. Cure: raise "
                "multipartUploadThreshold above its size, and javaHeapMaxSize to four times that",
                code="RangeIgnored",
            ) from exc
        return strong_only(decoded(response, self._size))

    async def _describe(self, op: str, headers: Mapping[str, str], max_body: int) -> Response:
        """The answer to HEAD, or what there would be in one, if the server has none to say."""
        response = await self._web.ask("HEAD", self._url, headers, max_body)
        size = response.headers.get("content-length", "")
        if response.status == 200 and size.isdecimal() and int(size):  # some say 0 to every HEAD
            return response
        if response.status != 200 and response.status not in _NO_HEAD:
            return response
        response = await self._first_byte(headers)
        if response.status not in {200, 206, 416}:
            return response
        total = total_size(response)
        if total is None or (response.status == 416 and total):
            raise self._unsizable()
        return Response(200, response.headers | {"content-length": str(total)}, b"")

    async def _first_byte(self, headers: Mapping[str, str]) -> Response:
        wanted = {**headers, **_FIRST_BYTE}
        try:
            return await self._web.ask("GET", self._url, wanted, _SMALL)
        except Permanent as exc:
            if exc.code != "BadResponse":
                raise
        async with self._unsized:  # the whole comes: these bytes are in nobody's budget
            try:
                return await self._web.ask("GET", self._url, wanted, _LARGEST_UNKNOWN)
            except Permanent as exc:
                if exc.code != "BadResponse":
                    raise
                raise self._unsizable() from exc

    def _unsizable(self) -> Permanent:
        return Permanent(
            f"{self._url}: the server does not say how large it is. Cure: add a column with the "
            "sizes to the list and name it in httpSizeColumn",
            code="SizeUnknown",
        )

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        error = refused(response, self._url, op, key)
        if error.code == "NotFound" and not self._is_seen:
            error.code = f"HTTP{response.status}"  # nobody has seen it: it has not vanished
        return error

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        """The list's word, else the server's."""
        if self._md5:
            return Checksum("md5", self._md5)
        for name in _CRC64:
            if crc64 := stated_crc64(headers.get(name, "")):
                return crc64
        if "content-range" in headers:  # Content-MD5 would be the part's
            return None
        return stated_md5(headers.get("content-md5", ""))


async def _described(place: Place, one: _Object, key: str) -> ObjectInfo:
    found = await http_read.stat(one, key)
    return found._replace(etag=place._replace(known=SEEN, version=found.etag).pack())


def _refuse_unseen(place: Place, info: ObjectInfo, *, is_whole: bool) -> None:
    if place.known == LISTED and is_whole:
        return
    missing = "size" if place.known == NOTHING else "version"
    message = f"the list does not tell the {missing} of {display(info.key)}: the server is asked"
    raise Permanent(message, code="SourceChanged", op="read", key=info.key)


def _of_many_servers(objects: list[ObjectInfo]) -> Iterator[ObjectInfo]:
    """One of each server first, then the others."""
    seen: dict[Endpoint, list[ObjectInfo]] = {}
    for info in objects:
        seen.setdefault(Place.unpack(info.etag).url(info.key).endpoint, []).append(info)
    for run in seen.values():
        yield run[0]
    for run in seen.values():
        yield from run[1:]


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    columns = Columns(
        config.http_prefix_column,
        config.relative_path_column,
        config.http_size_column,
        config.http_md5_column,
    )
    return HttpListSource(Path(config.http_list_path), columns, transport)
