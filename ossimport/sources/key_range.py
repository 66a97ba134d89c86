"""Walk a store that lists keys in order and can begin behind any key: a lane is a range of keys.

Cursors and `until` are whole keys, those that exist and those that do not. A lane is cut where a
key would lie half-way to its end, so that flat buckets without directories can be shared as well.
Halves in the space of names are not halves in number, whatever the names are; but a thread that is
done with a small one asks for another, and each cut halves what names there can be.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future

from ossimport.listing import Page
from ossimport.model import Lane, ObjectInfo, Scanned
from ossimport.sources.key_cut import SAMPLE, Seen, find_cut

PAGE = 1000  # keys per request; a walk holds up to two pages, about a megabyte

Fetch = Callable[[str, int], "Future[Page]"]
"""Ask for up to so many keys behind a key, "" for the beginning."""


class KeyRanges:
    """The ranges of one store's keys below `prefix`; `entry` makes what a scan yields of each."""

    def __init__(
        self,
        fetch: Fetch,
        prefix: str,
        entry: Callable[[ObjectInfo], Scanned],
        page_size: int = PAGE,
    ) -> None:
        self.fetch = fetch
        self.prefix = prefix
        self.entry = entry
        self.page_size = page_size
        self.end = ""  # a key behind which there was none when somebody looked; "" = nobody has

    def scan(self, lane: Lane) -> "KeyRangeScan":
        return KeyRangeScan(self, lane)


class KeyRangeScan:
    """A walk over one lane. See `base.Scan`. The next page is on its way while one is consumed."""

    def __init__(self, ranges: KeyRanges, lane: Lane) -> None:
        self._ranges = ranges
        self._until = lane.until
        self._cursor = lane.cursor
        self._page: list[ObjectInfo] = []
        self._ceiling = ""  # hardly a key of this lane is behind it
        self._behind = ""  # the key behind which the next page begins
        self._next: Future[Page] | None = None  # asked for

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        entry = self._ranges.entry
        try:
            self._ask(self._cursor)
            while self._next is not None:
                self._take(self._next)
                for info in self._page:
                    if self._until and info.key > self._until:
                        return
                    yield entry(info)
        finally:
            if self._next is not None:
                self._next.cancel()

    def split(self) -> Lane | None:
        """Give away the later half, if more than the next page is left."""
        if self._next is None or self._is_end(self._behind):
            return None
        page = self._next.result()
        if self._is_end(page.go_on(self._ranges.prefix, self._behind)):
            return None
        run = [info.key for info in page.objects]
        ceiling = self._ceiling or self._until or self._ranges.end
        cut = find_cut(run, ceiling, self._ranges.prefix, self._look, self._ranges.page_size)
        self._ceiling = cut.ceiling
        if cut.is_end and not self._until:
            self._ranges.end = cut.ceiling
        if not cut.key:
            return None
        given = Lane(cut.key, self._until)
        self._until = self._ceiling = cut.key
        return given

    def _ask(self, after: str) -> None:
        self._behind = after
        self._next = self._ranges.fetch(after, self._ranges.page_size)

    def _take(self, asked: "Future[Page]") -> None:
        """Make what was asked for the current page, and ask for the next."""
        page = asked.result()
        after = page.go_on(self._ranges.prefix, self._behind)
        self._page = page.objects
        self._next = None
        if not self._is_end(after):
            self._ask(after)

    def _is_end(self, after: str) -> bool:
        """Nothing of this lane can be behind `after`."""
        return not after or bool(self._until) and after >= self._until

    def _look(self, after: str) -> Seen:
        """The first keys of this lane behind `after`."""
        page = self._ranges.fetch(after, min(SAMPLE, self._ranges.page_size)).result()
        more = page.go_on(self._ranges.prefix, after)
        keys = [info.key for info in page.objects if not self._until or info.key <= self._until]
        return Seen(keys, not self._is_end(more))
