"""Walk a store whose listings go on only by a marker of its own: a lane is a part of its tree.

A cursor is the marker of a page and the last key that was taken from it. Nobody can begin in the
middle of such a listing, so a lane is cut between directories: a listing of one level shows what
lies ahead. Who gets the later part walks that level, and what is below it in groups that begin
alike, so that a million small directories cost few requests more than in one listing of all.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from os.path import commonprefix
from typing import Any, NamedTuple

from ossimport.listing import MOST_EMPTY, loops
from ossimport.model import Lane, Scanned
from ossimport.naming import display
from ossimport.sources.lanes.name_order import NameOrder, certain_cuts, possibly_last

_LOOKS = 20  # pages of a level that one split may cost
_WORTH = 4  # pages of small directories that must lie ahead on one page of their level
_BARREN = 4  # pages without a directory after which a split looks no further on their level


class MarkedPage(NamedTuple):
    """One page of a listing, as the service sent it. Keys are relative to srcPrefix."""

    objects: list[Scanned]  # without cursors
    folders: list[str]  # of a listing of one level: what all keys below begin with, / at the end
    marker: str  # to ask for the next page with; "" = this was the last


Fetch = Callable[[str, bool, str], "Future[MarkedPage]"]
"""Ask for a page: what its keys begin with, if of one level only, its marker ("" = the first)."""


class Place(NamedTuple):
    """Behind a key, or behind all keys that begin with something."""

    name: str
    is_group: bool = False

    def is_at(self, name: str) -> bool:
        """The key is what the place is behind."""
        return name == self.name or (self.is_group and name.startswith(self.name))


class PrefixLanes:
    """The lanes of one store. `depth` is how many levels of directories are cut."""

    def __init__(self, fetch: Fetch, depth: int) -> None:
        self.fetch = fetch
        self.depth = depth
        self.order = NameOrder()
        self.full = 1  # keys on the fullest page so far: what one request may bring

    def scan(self, lane: Lane) -> "PrefixScan":
        return PrefixScan(self, lane)


class PrefixScan:
    """A walk over one lane. See `base.Scan`. The next page is on its way while one is consumed.

    It walks one listing of everything; or one level, and of its folders a group at a time.
    """

    def __init__(self, lanes: PrefixLanes, lane: Lane) -> None:
        self._lanes = lanes
        self._cursor = lane.cursor
        self._until = lane.until
        self._end = _place(lane.until) if lane.until else None
        self._is_at_end = False  # what is not at the end is behind it from now on
        self._here: str | None = None
        self._page: list[Scanned] = []  # that `_here` is on, or was before it
        self._goes_on = False  # there is a page behind it in the same listing
        self._is_all = False  # that listing is of all that this lane has
        self._levels: list[_Level] = []  # what has been seen of the levels on the way to `_here`

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        header, name = _parse(self._cursor)
        self._is_at_end = bool(header) and self._end is not None and self._end.is_at(name)
        match header:
            case [[*levels], bool(is_group)]:
                self._look_from(levels)
                yield from self._rest_of(levels, Place(name, is_group))
            case [[*levels], group, marker]:
                self._look_from(levels)
                yield from self._all_below(group, marker, name, levels)
                yield from self._rest_of(levels, Place(group, is_group=True))
            case [marker]:
                self._look_from([("", "")])
                yield from self._all_below("", marker, name, [])
            case _:
                self._look_from([("", "")])
                yield from self._all_below("", "", None, [])

    def split(self) -> Lane | None:
        """Give away the later part of the highest level that has directories left."""
        here = self._here
        if here is None or (self._is_all and not self._goes_on):
            return None
        while not here.startswith(self._levels[-1].prefix):
            self._levels.pop()
        for number, level in enumerate(self._levels, start=1):
            cut = level.cut(here, self._end, self._folders_of_a_page(level))
            if cut is not None:
                place, marker = cut
                levels = [*_where(self._levels[: number - 1]), (level.prefix, marker)]
                given = Lane(_cursor(place.name, levels, place.is_group), self._until)
                self._until, self._end = _cursor(place.name, place.is_group), place
                self._is_at_end = place.is_at(here)
                return given
            inside = level.folder_of(here)
            is_deepest = number == len(self._levels)
            if is_deepest and self._goes_on and self._is_worth(inside):
                self._levels.append(_Level(self._lanes, inside, ""))
        return None

    def _is_worth(self, folder: str) -> bool:
        """Whether a folder may be cut, and goes on behind this page."""
        is_cut = 0 < folder.count("/") < self._lanes.depth
        return is_cut and self._page[-1].info.key.startswith(folder)

    def _folders_of_a_page(self, level: "_Level") -> float:
        """How many folders of a level fill one page, if they all are like those of this one."""
        folders = {level.folder_of(found.info.key) for found in self._page}
        return len(folders) * self._lanes.full / max(len(self._page), 1)

    def _look_from(self, places: list[tuple[str, str]]) -> None:
        self._levels = [_Level(self._lanes, *place) for place in places]

    def _rest_of(self, places: list[tuple[str, str]], last: Place) -> Iterator[Scanned]:
        """Walk what is left of some levels behind `last`, and all that is below it."""
        # Not those that `split` looks at, which run ahead.
        levels = [_Level(self._lanes, *place) for place in places]
        while levels:
            level = levels[-1]
            name = level.next_behind(last)
            if name is None:
                levels.pop()
                last = Place(level.prefix, is_group=True)
                if self._end is not None and self._end.is_group and self._end.is_at(last.name):
                    return
            elif self._is_past_end(name):
                return
            elif (found := level.objects.get(name)) is not None:
                last = Place(name)
                self._here = name
                cursor = _cursor(name, _where(levels), False)
                yield Scanned(found.info, cursor, *found[2:])
            else:
                group = level.group(name, last)
                last = Place(group, is_group=True)
                yield from self._all_below(group, "", None, _where(levels))

    def _all_below(
        self, group: str, marker: str, last: str | None, levels: list[tuple[str, str]]
    ) -> Iterator[Scanned]:
        """Walk all keys that begin with `group`, from a page on, behind the key `last`."""
        for at, page in _pages(self._lanes, group, False, marker):
            head = _cursor("", levels, group, at) if levels else _cursor("", at)
            objects = self._page = page.objects
            self._goes_on, self._is_all = bool(page.marker), not levels
            self._lanes.full = max(self._lanes.full, len(objects))
            if last is not None:
                keys = [found.info.key for found in objects]
                objects = objects[self._lanes.order.number_before(keys, last) :]
                last = None if objects else last
            for found in objects:
                key = found.info.key
                if self._is_past_end(key):
                    return
                self._here = key
                yield Scanned(found.info, head + key, *found[2:])

    def _is_past_end(self, name: str) -> bool:
        end = self._end
        if end is None:
            return False
        if end.is_at(name):
            self._is_at_end = True
            return False
        return self._is_at_end or self._lanes.order.is_behind(name, end.name)


class _Level:
    """A listing of one level of the tree, of which one page is held.

    Names on a page are taken in the order of their code points, whatever the store's order: objects
    and folders come apart.
    """

    def __init__(self, lanes: PrefixLanes, prefix: str, marker: str) -> None:
        self.prefix = prefix
        self.marker = marker  # of the page that is held, or that will be
        self.objects: Mapping[str, Scanned] = {}
        self._order = lanes.order
        self._names: list[str] = []
        self._has_more = True
        self._barren = 0  # pages in a row without a folder
        self._last: Collection[str] = ()  # one of these is the page's last
        self._edge: Collection[str] = ()  # and of these, of the page before
        self._before: tuple[Place, str] | None = None  # if it is known: behind it; its marker
        self._pages = _pages(lanes, prefix, True, marker)

    def next_behind(self, last: Place) -> str | None:
        """The first name behind the place to which this level was walked; None if there is none."""
        if not self._names:
            self._find(last)
        index = bisect_right(self._names, last.name)
        while True:
            while index < len(self._names):
                if not last.is_at(self._names[index]):
                    return self._names[index]
                index += 1
            if not self._has_more:
                return None
            self._turn()
            index = 0

    def _find(self, place: Place) -> None:
        """Go on to the page that a place is on, or else to the first behind it."""
        while self._has_more:
            self._turn()
            for name in self._names:
                if place.is_at(name) or self._order.is_behind(name, place.name):
                    return

    def folder_of(self, key: str) -> str:
        """The folder of this level that a key is in; empty if it is in none."""
        return key[: key.find("/", len(self.prefix)) + 1]

    def group(self, name: str, last: Place) -> str:
        """The shortest beginning of `name` that nothing up to `last` has."""
        known = (len(commonprefix([one, name])) for one in (last.name, *self._edge))
        group = name[: max(known) + 1]
        if len(self._last) > 1 and any(one.startswith(group) for one in self._last):
            return name  # or it may go on on the next page, behind what is walked after it
        return group

    def cut(self, here: str, end: Place | None, least: float) -> tuple[Place, str] | None:
        """Cut between the directories that lie behind the key `here` and before `end`.

        Returns a place and the marker of its page; None if there is nothing to cut, or if one page
        takes `least` directories, which then are too small to be worth it.
        """
        folder = self.folder_of(here)
        first = self._look_behind(folder or here)
        names = self._names
        stop = len(names)
        while end is not None and stop > first and self._order.is_behind(names[stop - 1], end.name):
            stop -= 1
        ahead = [index for index in range(first, stop) if names[index] not in self.objects]
        if not ahead[0 if folder else 1 :] or (least > 1 and len(ahead) < _WORTH * least):
            return None
        is_last = not self._has_more or stop < len(names)
        low, high = (first + stop) // 2, stop
        if is_last:
            low, high = ahead[len(ahead) // 4], ahead[len(ahead) * 3 // 4]
        low = max(low, first if folder else ahead[0] + 1)
        is_certain = certain_cuts(names)
        cuts = [cut for cut in range(max(low, first + 1), high + 1) if is_certain[cut]]
        if cuts:
            # Where names differ early: then large groups begin there.
            best = min(cuts, key=lambda cut: len(commonprefix(names[cut - 1 : cut + 1])))
            return self._place(best), self.marker
        if first and is_certain[first] and names[first - 1] == folder:
            return self._place(first), self.marker
        if not first and self._before and self._before[0].is_at(here):
            return self._before
        return None

    def _place(self, cut: int) -> Place:
        name = self._names[cut - 1]
        return Place(name, name not in self.objects)

    def _look_behind(self, name: str) -> int:
        """Where on the page begins what surely is behind a name; its length if nothing does.

        Turns pages to find out, but not for long.
        """
        for _ in range(_LOOKS):
            names = self._names
            if name in names:
                first = names.index(name) + 1
            else:
                first = len(names)
                while first and self._order.is_behind(names[first - 1], name):
                    first -= 1
            if first < len(names) or not self._has_more or self._barren >= _BARREN:
                return first
            self._turn()
        return len(self._names)

    def _turn(self) -> None:
        names = self._names
        self._edge = self._last
        self._before = (self._place(len(names)), self.marker) if len(self._edge) == 1 else None
        self.marker, page = next(self._pages)
        self._has_more = bool(page.marker)
        self._barren = 0 if page.folders else self._barren + 1
        folders = set(page.folders)
        self.objects = {o.info.key: o for o in page.objects if o.info.key not in folders}
        self._names = sorted(folders.union(self.objects))
        self._last = possibly_last(self._names)


def _pages(
    lanes: PrefixLanes, prefix: str, one_level: bool, marker: str
) -> Iterator[tuple[str, MarkedPage]]:
    """The pages of a listing from `marker` on, each with its marker, as long as they lead on."""
    behind: list[str] = []
    barren: set[str] = set()  # markers of the pages without names since the last that had some
    asked: Future[MarkedPage] | None = None
    try:
        while True:
            page = (asked or lanes.fetch(prefix, one_level, marker)).result()
            asked = None
            barren.add(marker)
            if page.marker and page.marker in barren:
                raise loops("its pages lead in a circle")
            if len(barren) > MOST_EMPTY:
                raise loops(f"{len(barren)} pages without a key came, and it goes on")
            keys = [found.info.key for found in page.objects]
            # A folder that a page ended in may be on the next as well.
            folders = [folder for folder in page.folders if folder not in behind]
            for name in (*keys, *folders):
                if not name.startswith(prefix):
                    raise loops(f"it has other keys than those that begin with {display(prefix)}")
            lanes.order.hold(behind, keys, folders)
            if page.marker and not one_level:
                asked = lanes.fetch(prefix, one_level, page.marker)
            if keys or folders:
                behind = keys[-1:] + folders[-1:]
                barren.clear()
            yield marker, page._replace(folders=folders)
            if not page.marker:
                return
            marker = page.marker
    finally:
        if asked is not None:
            asked.cancel()


def _where(levels: list[_Level]) -> list[tuple[str, str]]:
    return [(level.prefix, level.marker) for level in levels]


def _cursor(name: str, *header: object) -> str:
    return json.dumps(header) + name


def _parse(cursor: str) -> tuple[list[Any], str]:
    """What `_cursor` was made of."""
    if not cursor:
        return [], ""
    header, end = json.JSONDecoder().raw_decode(cursor)
    return header, cursor[end:]


def _place(until: str) -> Place:
    """Where a lane ends: at a cut, or at the entry whose cursor it is."""
    header, name = _parse(until)
    return Place(name, header[-1] is True)
