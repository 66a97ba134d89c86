"""A source that is a bucket: keys are listed in order, behind any key, and bytes come over HTTP.

What is particular to a service is its `Service`: how it signs, lists, refuses and names things.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from ossimport.errors import StorageError
from ossimport.listing import Page
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.sources.base import Payload, Scan
from ossimport.sources.lanes.key_range import PAGE, KeyRanges
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.http_read import Dialect
from ossimport.sources.over_http.side_loop import SideLoop
from ossimport.transport import Transport

_CHECKED = 10  # objects among which a check looks for one that has bytes


class Service(Dialect, Protocol):
    """One bucket below srcPrefix, over one transport and on its event loop."""

    async def page(self, op: str, after: str, limit: int) -> Page:
        """List up to `limit` objects below srcPrefix behind the key `after`.

        Keys are whole here, srcPrefix included. Raises Transient for what is no listing.
        """


S = TypeVar("S", bound=Service)


class BucketSource(Generic[S]):
    """The objects of a bucket below `prefix`. See `base.Source`.

    Cursors are whole keys, `prefix` included: so none of them is empty.
    """

    def __init__(
        self,
        connect: Callable[[Transport], S],
        prefix: str,
        transport: Transport | None,
        page_size: int = PAGE,
    ) -> None:
        """`connect` makes the service; one reads, over `transport`, and one lists."""
        self._is_own = transport is None
        self._prefix = prefix
        self._transport = transport or Transport()
        self._objects = connect(self._transport)
        self._listing = _Listing(connect, prefix)
        self._ranges = KeyRanges(self._listing.fetch, prefix, self._listing.entry, page_size)

    def check(self) -> None:
        self._listing.check()

    def scan(self, lane: Lane) -> Scan:
        return self._ranges.scan(lane)

    async def stat(self, key: str) -> ObjectInfo:
        return await http_read.stat(self._objects, key)

    async def list(self, after: str, limit: int) -> list[ObjectInfo]:
        """See `base.Listable`."""
        found: list[ObjectInfo] = []
        behind = self._prefix + after if after else ""
        while True:
            wanted = min(PAGE, limit - len(found))
            page = await self._objects.page("list", behind, wanted)
            found += [info._replace(key=info.key[len(self._prefix) :]) for info in page.objects]
            behind = page.go_on(self._prefix, behind)
            if not behind or len(found) >= limit:
                return found[:limit]

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        return await http_read.read(self._objects, info, offset, length)

    async def close(self) -> None:
        self._listing.close()
        if self._is_own:
            await self._transport.close()


class _Listing:
    """What is asked for by those who wait."""

    def __init__(self, connect: Callable[[Transport], Service], prefix: str) -> None:
        self._prefix = prefix
        self._side = SideLoop()
        self._service = connect(self._side.transport)

    def fetch(self, after: str, limit: int) -> "Future[Page]":
        """See `key_range.Fetch`."""
        return self._side.start(self._page("scan", after, limit))

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
        page = await self._page("check", "", _CHECKED)
        await http_read.check(self._service, [self.entry(info).info for info in page.objects])

    async def _page(self, op: str, after: str, limit: int) -> Page:
        try:
            return await self._service.page(op, after, limit)
        except StorageError as exc:
            exc.op = op
            raise

    def close(self) -> None:
        """Give back connections. Idempotent."""
        self._side.close()
