"""A source whose listings go on only by markers of the service's own, and bytes come over HTTP.

What is particular to a service is its `Service`: how it signs, lists, refuses and names things.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from ossimport.listing import loops
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.naming import display
from ossimport.sources.base import Payload, Scan
from ossimport.sources.lanes.prefix_lanes import MarkedPage, PrefixLanes
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.http_read import Dialect
from ossimport.sources.over_http.side_loop import SideLoop
from ossimport.transport import Transport

_CHECKED = 10  # objects among which a check looks for one that has bytes


class Service(Dialect, Protocol):
    """One bucket below srcPrefix, over one transport and on its event loop."""

    async def page(
        self, op: str, prefix: str, one_level: bool, marker: str, limit: int
    ) -> MarkedPage:
        """List up to `limit` keys below srcPrefix that begin with `prefix`. See `Fetch`.

        Raises Transient for what is no listing.
        """

    async def stat(self, key: str) -> ObjectInfo:
        """See `base.Source.stat`."""


S = TypeVar("S", bound=Service)


class MarkerSource(Generic[S]):
    """The objects of a bucket below srcPrefix. See `base.Source`, and `prefix_lanes` for cursors"""

    def __init__(
        self,
        connect: Callable[[Transport], S],
        transport: Transport | None,
        *,
        depth: int,
        page_size: int,
    ) -> None:
        """`connect` makes the service; one reads, over `transport`, and one lists."""
        self._is_own = transport is None
        self._transport = transport or Transport()
        self._objects = connect(self._transport)
        self._side = SideLoop()
        self._listing = connect(self._side.transport)
        self._page_size = page_size
        self._lanes = PrefixLanes(self._fetch, depth)

    def check(self) -> None:
        self._side.start(self._check()).result()

    def scan(self, lane: Lane) -> Scan:
        return self._lanes.scan(lane)

    async def stat(self, key: str) -> ObjectInfo:
        return await self._objects.stat(key)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        return await http_read.read(self._objects, info, offset, length)

    async def close(self) -> None:
        self._side.close()
        if self._is_own:
            await self._transport.close()

    def _fetch(self, prefix: str, one_level: bool, marker: str) -> "Future[MarkedPage]":
        page = self._listing.page("scan", prefix, one_level, marker, self._page_size)
        return self._side.start(page)

    async def _check(self) -> None:
        page = await self._listing.page("check", "", False, "", _CHECKED)
        await http_read.check(self._listing, [found.info for found in page.objects])


def inside(prefix: str, name: str) -> str:
    """What a listed name is below srcPrefix. Raises Fatal if it is not below it."""
    if not name.startswith(prefix):
        raise loops(f"it has other keys than those below {display(prefix)}")
    return name[len(prefix) :]


def listed(info: ObjectInfo) -> Scanned:
    """What a scan says of an object; its key is what it is below srcPrefix."""
    if info.key or info.size:
        return Scanned(info, "")
    message = "the marker of srcPrefix itself, without bytes"
    return Scanned(info, "", Verdict.EXCLUDED, "PrefixMarker", message)
