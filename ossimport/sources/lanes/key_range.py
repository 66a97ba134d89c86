"""Walk a store that lists keys in order and can begin behind any key: a lane is a range of keys.

Cursors and `until` are whole keys, those that exist and those that do not. A lane is cut where a
key would lie half-way to its end, so that flat buckets without directories can be shared as well.
Halves in the space of names are not halves in number, whatever the names are; but a thread that is
done with a small one asks for another, and each cut halves what names there can be.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future

from ossimport.listing import MOST_EMPTY, Page, is_behind, loops
from ossimport.model import Lane, ObjectInfo, Scanned
from ossimport.sources.lanes.key_cut import SAMPLE, Seen, find_cut

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
        self._archived: Mapping[str, str] = {}
        self._ceiling = ""  # hardly a key of this lane is behind it
        self._behind = ""  # the key behind which the next page begins
        self._next: Future[Page] | None = None  # asked for
        self._empty = 0  # pages without a key up to the present one

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        entry = self._ranges.entry
        try:
            self._ask(self._cursor)
            while self._next is not None:
                self._take(self._next)
                archived = self._archived
                for info in self._page:
                    if self._until and is_behind(info.key, self._until):
                        return
                    found = entry(info)
                    if archived and info.key in archived:
                        found = found._replace(archived=archived[info.key])
                    yield found
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
        if not _are_text(run, ceiling):
            return None  # the store has them in another order than their characters have
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
        self._page, self._archived = page.objects, page.archived
        self._next = None
        self._empty = 0 if page.objects else self._empty + 1
        if self._empty > MOST_EMPTY:
            raise loops(f"{self._empty} pages without a key came, and it goes on")
        if not self._is_end(after):
            self._ask(after)

    def _is_end(self, after: str) -> bool:
        """Nothing of this lane can be behind `after`."""
        return not after or bool(self._until) and not is_behind(self._until, after)

    def _look(self, after: str) -> Seen:
        """The first keys of this lane behind `after`."""
        page = self._ranges.fetch(after, min(SAMPLE, self._ranges.page_size)).result()
        more = page.go_on(self._ranges.prefix, after)
        until = self._until
        keys = [o.key for o in page.objects if not until or not is_behind(o.key, until)]
        return Seen(keys, not self._is_end(more))


def _are_text(names: Sequence[str], ceiling: str) -> bool:
    try:
        "".join([*names, ceiling]).encode()
    except UnicodeEncodeError:
        return False
    return True
