"""Walk a store that lists one directory at a time, in pages with markers that mean nothing to us.

A walk goes into each directory where it meets it. A place in it is, for every directory on the way
down, the marker of a page and a name in that page: all that is behind this name is still to come.
Within a page the names are taken in their order, whatever the store's is, so that a page that is
asked for again can be gone on with, also when an object has come or gone since.

A lane ends at such a place as well. It is cut in a page that has been read, so that who comes to it
knows it by the marker; only where a store shows that it lists by name, by the name alone.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import pairwise
from typing import NamedTuple

from ossimport.errors import Fatal
from ossimport.listing import MOST_EMPTY, loops
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.naming import display


class Child(NamedTuple):
    """A name in a directory."""

    name: str
    is_directory: bool
    size: int = 0
    mtime_ns: int = 0
    etag: str = ""


class LevelPage(NamedTuple):
    """A page of one directory, as the service sent it."""

    children: list[Child]
    marker: str = ""  # of the next page; "" = there is none


Fetch = Callable[[str, str], "Future[LevelPage]"]
"""Ask for the page behind a marker, "" for the first, of a directory: "" or ending with /."""


class _Step(NamedTuple):
    """A part of a place: a page of one directory, and a name in it."""

    marker: str
    name: str


class LevelScan:
    """A walk over one lane. See `base.Scan`.

    In memory are two pages of every directory on the way down: the present one and the next, which
    is on its way.
    """

    def __init__(self, fetch: Fetch, lane: Lane, depth: int) -> None:
        """Lanes are cut in directories that have fewer than `depth` others above them."""
        self._fetch = fetch
        self._depth = depth
        self._begin = _parse(lane.cursor)
        self._until = lane.until
        self._end = _parse(lane.until)
        self._levels: list[_Level] = []

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        try:
            if self._end and self._begin == self._end:
                return
            self._descend()
            while self._levels:
                level = self._levels[-1]
                child = level.next()
                if child is None:
                    if level.end is not None and level.marker == level.end.marker:
                        return
                    if not level.turn():
                        self._levels.pop()
                elif level.is_beyond(child.name):
                    return
                elif not child.is_directory:
                    yield self._entry(level, child)
                elif child.name in {".", ".."}:
                    yield self._odd(level, child)
                else:
                    self._enter(level, child.name)
        finally:
            for level in self._levels:
                level.close()

    def split(self) -> Lane | None:
        """Give away directories that come later, the outermost there are, and all behind them."""
        for index, level in enumerate(self._levels[: self._depth]):
            name = level.cut(is_innermost=index == len(self._levels) - 1)
            if name is not None:
                place = [*(above.step for above in self._levels[:index])]
                place.append(_Step(level.marker, name))
                given = Lane(_format(place), self._until)
                self._until, self._end = given.cursor, place
                for number, above in enumerate(self._levels):
                    above.end = place[number] if number <= index else None
                return given
        return None

    def _descend(self) -> None:
        """Open the directories on the way to where the lane begins."""
        steps = self._begin or [_Step("", "")]
        end = self._end[0] if self._end else None
        path = ""
        for index, step in enumerate(steps):
            level = _Level(self._fetch, path, step, end)
            self._levels.append(level)
            end = self._end_below(level, step.name, index)
            path += f"{step.name}/"

    def _enter(self, level: "_Level", name: str) -> None:
        end = self._end_below(level, name, len(self._levels) - 1)
        below = _Level(self._fetch, f"{level.path}{name}/", _Step("", ""), end)
        self._levels.append(below)

    def _end_below(self, level: "_Level", name: str, index: int) -> _Step | None:
        """Where the lane ends in a directory of this level, if that is where it ends."""
        if level.end is None or name != level.end.name or not level.meets_end:
            return None
        return self._end[index + 1] if index + 1 < len(self._end) else None

    def _entry(self, level: "_Level", child: Child) -> Scanned:
        info = ObjectInfo(level.path + child.name, child.size, child.mtime_ns, child.etag)
        return Scanned(info, self._cursor())

    def _odd(self, level: "_Level", child: Child) -> Scanned:
        message = "a directory of this name would lead back up"
        info = ObjectInfo(level.path + child.name, 0)
        return Scanned(info, self._cursor(), Verdict.EXCLUDED, "OddName", message)

    def _cursor(self) -> str:
        return _format([level.step for level in self._levels])


class _Level:
    """One directory that is being walked."""

    def __init__(self, fetch: Fetch, path: str, begin: _Step, end: _Step | None) -> None:
        self.path = path
        self.marker = begin.marker
        self.end = end
        self._fetch = fetch
        self._watch = _Watch(path)
        self._next: Future[LevelPage] | None = None
        self._ahead = ""  # the marker of the next page
        self._children: list[Child] = []
        self._taken = 0
        self._name = begin.name
        self._load(fetch(path, begin.marker))
        while self._taken < len(self._children) and self._children[self._taken].name <= begin.name:
            self._taken += 1

    @property
    def step(self) -> _Step:
        """The place of what was taken last."""
        return _Step(self.marker, self._name)

    @property
    def meets_end(self) -> bool:
        """Whether a name says by itself if it is behind the lane's end."""
        end = self.end
        return end is not None and (self.marker == end.marker or self._watch.is_by_name)

    def is_beyond(self, name: str) -> bool:
        """Whether the lane ends before this name."""
        return self.end is not None and name > self.end.name and self.meets_end

    def next(self) -> Child | None:
        """The next name of the page."""
        if self._taken == len(self._children):
            return None
        child = self._children[self._taken]
        self._taken += 1
        self._name = child.name
        return child

    def turn(self) -> bool:
        """Go on with the next page; False if this is the last one."""
        if self._next is None:
            return False
        self.marker, self._name, self._taken = self._ahead, "", 0
        self._load(self._next)
        return True

    def cut(self, *, is_innermost: bool) -> str | None:
        """A name of the page behind which the lane may be cut; None: there is little left."""
        left = [
            index
            for index in range(self._taken, len(self._children))
            if self._children[index].is_directory and not self.is_beyond(self._children[index].name)
        ]
        if is_innermost and left and left[0] == self._taken:
            del left[0]  # or this walk would have nothing left
        if left:
            return self._children[left[len(left) // 2] - 1].name if left[len(left) // 2] else ""
        is_last = self.end is not None and self.marker == self.end.marker
        if is_innermost or self._next is None or is_last or not self._children:
            return None
        name = self._children[-1].name
        is_end = self.end is not None and name >= self.end.name and self.meets_end
        return None if is_end else name

    def close(self) -> None:
        """Let nothing be asked for in vain."""
        if self._next is not None:
            self._next.cancel()

    def _load(self, asked: "Future[LevelPage]") -> None:
        page = asked.result()
        self._watch.see(self.marker, page)
        self._children = sorted(page.children, key=lambda child: child.name)
        self._ahead = page.marker
        self._next = self._fetch(self.path, page.marker) if page.marker else None


class _Watch:
    """Sees to it that the pages of one directory are those of a listing that ends.

    A store that lists by name, as the first page shows, has to go on so. Of one that does not,
    nothing may come twice in successive pages, and no marker twice at all: to find that, one marker
    is remembered, a later one each time the number of pages has doubled.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.is_by_name = False
        self._pages = 0
        self._empty = 0  # of the pages, those without names up to the present one
        self._last: list[str] = []
        self._remembered = ""
        self._remember_at = 1

    def see(self, marker: str, page: LevelPage) -> None:
        """Raises Fatal for a page that cannot be the next one."""
        names = [child.name for child in page.children]
        for name in names:
            if not name or "/" in name:
                raise loops(f"{display(self._path)} has a name with / in it, or none")
        self._pages += 1
        self._empty = 0 if names else self._empty + 1
        if self._empty > MOST_EMPTY:
            raise loops(f"{display(self._path)} has {self._empty} pages without a name")
        if page.marker and page.marker in {marker, self._remembered}:
            raise loops(f"{display(self._path)} has pages that lead back to themselves")
        if self._pages >= self._remember_at:
            self._remembered, self._remember_at = page.marker, 2 * self._pages
        ascends = all(one < other for one, other in pairwise(names))
        if self._pages == 1:
            self.is_by_name = ascends and len(names) > 1
        elif self.is_by_name and (not ascends or not _is_behind(names, self._last)):
            raise loops(f"{display(self._path)} is not listed in ascending order any more")
        if len(set(names)) < len(names) or not set(names).isdisjoint(self._last):
            raise loops(f"{display(self._path)} has names that were listed again")
        self._last = names or self._last


def _is_behind(names: Sequence[str], before: Sequence[str]) -> bool:
    return not names or not before or names[0] > before[-1]


def _format(place: Sequence[_Step]) -> str:
    return json.dumps(place, ensure_ascii=False, separators=(",", ":"))


def _parse(text: str) -> list[_Step]:
    """Read a place. Raises Fatal for what is none."""
    if not text:
        return []
    try:
        return [_Step(str(marker), str(name)) for marker, name in json.loads(text)]
    except (ValueError, TypeError) as exc:
        raise Fatal(
            f"{text!r} is no place in a listing. Cure: clean the job and submit it again",
            code="ListingLoops",
            op="scan",
        ) from exc
