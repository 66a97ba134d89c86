"""Walk a store that lists keys in order and can begin behind any key: a lane is a range of keys.

Cursors and `until` are whole keys, those that exist and those that do not. A lane is cut where a
key would lie half-way to its end, so that flat buckets without directories can be shared as well.
Halves in the space of names are not halves in number, whatever the names are; but a thread that is
done with a small one asks for another, and each cut halves what names there can be.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from os.path import commonprefix

from ossimport.listing import Page
from ossimport.model import Lane, ObjectInfo, Scanned

PAGE = 1000  # keys per request; a walk holds up to two pages, about a megabyte

Fetch = Callable[[str, int], "Future[Page]"]
"""Ask for up to so many keys behind a key, "" for the beginning."""

_PROBES = 24  # requests that looking for a cut may cost
_ENOUGH = 100  # keys without which a part is not worth a lane of its own
_DEPTH = 8  # characters, behind what all keys of a range have in common, that a guess is made of
_SAMPLE = 16  # one key of so many shows which characters names are made of
_LONGEST = 1023  # bytes of a key


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
        floor = page.go_on(self._ranges.prefix, self._behind)
        if self._is_end(floor):
            return None
        cut = self._find_cut(floor, _sample(self._page) + _sample(page.objects))
        if cut is None:
            return None
        given = Lane(cut, self._until)
        self._until = cut
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

    def _find_cut(self, floor: str, known: list[str]) -> str | None:
        """A key above `floor`, with enough keys of this lane behind it."""
        ceiling = self._until or self._ranges.end
        for _ in range(_PROBES):
            guess = between(floor, ceiling, known, self._ranges.prefix)
            if not guess:
                return None
            page = self._ranges.fetch(guess, min(_ENOUGH, self._ranges.page_size)).result()
            after = page.go_on(self._ranges.prefix, guess)
            if not self._is_end(after):
                return guess
            ceiling = guess
            known += [info.key for info in page.objects]
            if not page.objects and not after and not self._until:
                self._ranges.end = guess
        return None


def between(floor: str, ceiling: str, known: list[str], prefix: str) -> str:
    """A key about half-way from `floor` to `ceiling` ("" = no limit) by the look of known keys.

    It is made of characters of those keys, and so is one that the store can have. Empty if there is
    no room.
    """
    shared = commonprefix([floor, ceiling]) if ceiling else prefix
    skip = len(shared)
    tails = [floor[skip:], ceiling[skip:]]
    tails += [key[skip : skip + _DEPTH] for key in known if key.startswith(shared)]
    alphabet = sorted(set("".join(tail[:_DEPTH] for tail in tails)))
    # A key's tail is a fraction; its digits are places in the alphabet, 0 stands for its end.
    digit = {character: place for place, character in enumerate(alphabet, start=1)}
    base = len(alphabet) + 1
    low = _number(tails[0], digit, base)
    high = _number(tails[1], digit, base) if ceiling else base**_DEPTH
    guess = shared + _text((low + high) // 2, alphabet, base)
    if guess <= floor or (ceiling and guess >= ceiling) or len(guess.encode()) > _LONGEST:
        return ""
    return guess


def _number(tail: str, digit: dict[str, int], base: int) -> int:
    number = 0
    for place in range(_DEPTH):
        number = number * base + (digit[tail[place]] if place < len(tail) else 0)
    return number


def _text(number: int, alphabet: list[str], base: int) -> str:
    text = ""
    for place in range(_DEPTH - 1, -1, -1):
        digit = number // base**place % base
        if not digit:
            break
        text += alphabet[digit - 1]
    return text


def _sample(objects: list[ObjectInfo]) -> list[str]:
    return [info.key for info in objects[::_SAMPLE]]
