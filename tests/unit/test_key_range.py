"""Ranges of keys: whatever the names, the cuts and the crashes, every key is walked once."""

import heapq
import random
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.errors import Fatal, Transient
from ossimport.listing import MOST_EMPTY, Page, is_behind
from ossimport.model import Lane, ObjectInfo, Scanned
from ossimport.sources.lanes.key_cut import Names
from ossimport.sources.lanes.key_range import KeyRanges, KeyRangeScan

MOST_LOOKS = 20


def as_bytes(key: str) -> bytes:
    """What a store has its keys in order by."""
    return key.encode("utf-8", "surrogateescape")


class Store:
    """Sorted keys, listed a page at a time; counts requests."""

    def __init__(self, keys: list[str], prefix: str = "", page_size: int = 3) -> None:
        self.keys = sorted(set(keys), key=as_bytes)
        self.pages = self.looks = 0
        self.asked: list[Future[Page]] = []
        self.walks: list[Iterator[Scanned]] = []  # that a test has begun and not ended
        self.ranges = KeyRanges(self.fetch, prefix, lambda i: Scanned(i, i.key), page_size)

    def fetch(self, after: str, limit: int) -> "Future[Page]":
        if limit < self.ranges.page_size:
            self.looks += 1
        else:
            self.pages += 1
        begin = max(as_bytes(after), as_bytes(self.ranges.prefix[:-1]))
        start = bisect_right(self.keys, begin, key=as_bytes)
        below = [key for key in self.keys[start:] if key.startswith(self.ranges.prefix)]
        answer: Future[Page] = Future()
        self.asked.append(answer)
        answer.set_result(Page([ObjectInfo(k, 0) for k in below[:limit]], len(below) > limit))
        return answer

    def scan(self, lane: Lane = Lane()) -> KeyRangeScan:  # noqa: B008 -- a value
        return self.ranges.scan(lane)


def keys_of(scan: KeyRangeScan) -> list[str]:
    return [entry.info.key for entry in scan]


shared = "a prefix of forty characters, all the same"
names = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12),
    st.text("ab/", min_size=1, max_size=6),
    st.integers(0, 9999).map(lambda n: f"{shared}{n}"),
    st.integers(0, 9999).map(lambda n: f"{n:020d}"),
)
# Characters and bytes that are none: what of them comes first differs by how they are compared.
pieces = [b"a", b"z", b"\x80", b"\xff", *(c.encode() for c in "\u00e9\u4e2d\uff5e\U0001f600")]
mixed = st.lists(st.sampled_from(pieces), min_size=1, max_size=3).map(
    lambda pieces: b"".join(pieces).decode("utf-8", "surrogateescape")
)


@given(
    st.lists(names, max_size=60) | st.lists(mixed, max_size=60),
    st.randoms(use_true_random=False),
    st.integers(1, 9),
)
def test_cuts_and_crashes_lose_nothing_and_double_nothing(
    keys: list[str], choice: random.Random, page_size: int
) -> None:
    store = Store(keys, page_size=page_size)
    lanes, seen = [Lane()], []
    while lanes:
        lane = lanes.pop(choice.randrange(len(lanes)))
        scan = store.scan(lane)
        for entry in scan:
            seen.append(entry.info.key)
            if choice.random() < 0.4:
                before = len(store.asked)
                given = scan.split()
                assert len(store.asked) - before <= MOST_LOOKS
                if given is not None:
                    assert given == Lane(scan.until, lane.until)
                    assert is_behind(scan.until, entry.info.key)
                    lanes.append(given)
            lane = Lane(entry.cursor, scan.until)
            if choice.random() < 0.1:  # the process dies; the next one knows what was recorded
                lanes.append(lane)
                break
    assert sorted(seen, key=as_bytes) == store.keys


@pytest.mark.parametrize("page_size", [1, 2, 9])
def test_a_lane_ends_where_the_store_s_order_says(page_size: int) -> None:
    store = Store(["a", "\udc80", "\u00e9", "\uff5e", "\udcff"], page_size=page_size)
    assert keys_of(store.scan(Lane("", "\u00e9"))) == ["a", "\udc80", "\u00e9"]
    assert keys_of(store.scan(Lane("\u00e9", "\uff5e"))) == ["\uff5e"]


@given(st.lists(names, max_size=40), st.sampled_from(["a", "a/", shared]))
def test_a_walk_keeps_to_its_prefix(keys: list[str], prefix: str) -> None:
    store = Store([*keys, *(prefix + key for key in keys)], prefix)
    scan = store.scan()
    seen = []
    for entry in scan:
        seen.append(entry.info.key)
        if given := scan.split():
            seen += keys_of(store.scan(given))
    assert sorted(seen) == [key for key in store.keys if key.startswith(prefix)]


@given(st.lists(names, min_size=2, unique=True), st.data())
def test_names_are_numbers_in_the_same_order(keys: list[str], data: st.DataObject) -> None:
    keys.sort()
    split = data.draw(st.integers(1, len(keys)))
    run, ceiling = keys[:split], data.draw(st.sampled_from(["", *keys[split:]]))
    space = Names(run, ceiling, "")
    numbers = [space.number(key) for key in keys if key >= run[-1]]
    assert numbers == sorted(numbers)
    low, high = space.number(run[-1]), space.number(ceiling) if ceiling else space.end
    place = data.draw(st.integers(low, max(low, high)))
    if name := space.name(place, low, high):
        assert run[-1] < name
        assert not ceiling or name < ceiling
        assert low < space.number(name) < high


def flat(number: int) -> dict[str, Callable[[random.Random], list[str]]]:
    """Buckets without directories, or as good as without."""

    def dates(choice: random.Random) -> list[str]:
        days = (choice.randrange(365) for _ in range(number))
        return [f"log-2024-{1 + d // 31:02d}-{1 + d % 31:02d}T{i:06d}" for i, d in enumerate(days)]

    def mixed(choice: random.Random) -> list[str]:
        letters = "\x01 !/09AZaz~\u00e9\u4e2d\U0001f600"
        return ["".join(choice.choices(letters, k=9)) + str(i) for i in range(number)]

    return {
        "uuids": lambda c: [str(uuid.UUID(int=c.getrandbits(128))) for _ in range(number)],
        "numbers": lambda c: [f"file{i}" for i in range(number)],
        "a long common prefix": lambda c: [f"{'x' * 40}{i:09d}" for i in range(number)],
        "milliseconds": lambda c: [f"{1_700_000_000_000 + i * 977}" for i in range(number)],
        "dates": dates,
        "nearly all in one place": lambda c: [
            *(f"{c.choice('abcxyz')}/{i}" for i in range(number // 100)),
            *(f"q/deeper/and/deeper/{i:07d}" for i in range(number)),
        ],
        "a few far behind": lambda c: [*(f"a{i:07d}" for i in range(number)), "z", "\U0001f600"],
        "nearly all small": lambda c: [
            f"{int(10 ** c.uniform(0, 15)):016d}-{i}" for i in range(number)
        ],
        "unicode": lambda c: [
            "".join(c.choices("中文字符测试", k=6)) + str(i) for i in range(number)
        ],
        "control characters": lambda c: [f"\x01\x02{chr(1 + i % 31)}{i}" for i in range(number)],
        "mixed": mixed,
    }


def share(store: Store, threads: int) -> float:
    """Walk with so many threads, a request taking one unit of time; return when the last is done.

    A thread without a lane gets one as in `scanning`: from the next that can split.
    """
    numbers = count()
    idle = [0.0] * (threads - 1)
    busy: list[tuple[float, int, KeyRangeScan, Iterator[Scanned], int]] = []
    seen: list[str] = []

    def begin(time: float, scan: KeyRangeScan, walk: Iterator[Scanned], pause: int) -> None:
        heapq.heappush(busy, (time, next(numbers), scan, walk, pause))

    first = store.scan()
    begin(0.0, first, iter(first), 0)
    end = 0.0
    while busy:
        time, _, scan, walk, pause = heapq.heappop(busy)
        requests = len(store.asked)
        for entry in walk:
            seen.append(entry.info.key)
            pause = max(0, pause - 1)
            if idle and not pause:
                given = scan.split()
                if given is None:
                    pause = store.ranges.page_size
                else:
                    other = store.scan(given)
                    now = time + len(store.asked) - requests
                    begin(max(heapq.heappop(idle), now), other, iter(other), 0)
            if len(store.asked) > requests:
                begin(time + len(store.asked) - requests, scan, walk, pause)
                break
        else:
            end = max(end, time + len(store.asked) - requests)
            heapq.heappush(idle, end)
    assert sorted(seen) == store.keys
    return end


@pytest.mark.parametrize("names", flat(0))
def test_a_flat_bucket_is_shared_whatever_its_names(names: str) -> None:
    store = Store(flat(40_000)[names](random.Random(1)), page_size=200)
    alone = len(store.keys) / store.ranges.page_size
    assert share(store, 8) < alone / 2
    assert store.looks < alone


def begun(store: Store, lane: Lane = Lane()) -> KeyRangeScan:  # noqa: B008 -- a value
    """A walk that stands at its first entry."""
    scan = store.scan(lane)
    store.walks.append(walk := iter(scan))
    next(walk)
    return scan


def test_a_few_keys_far_behind_are_not_given_away_alone() -> None:
    many = [f"a{n:06d}" for n in range(20_000)]
    for tail in (["z"], ["y", "z"], [f"z{n}" for n in range(99)]):
        store = Store([*many, *tail], page_size=200)
        given = begun(store).split()
        assert given is not None
        left = sum(key > given.cursor for key in many)
        assert len(many) / 5 < left < len(many) * 4 / 5


def test_what_one_walk_saw_of_the_end_spares_others_the_search() -> None:
    def looks_of_second_split(*, knowing: bool) -> int:
        store = Store([f"{n:06d}" for n in range(20_000)], page_size=200)
        given = begun(store).split()
        assert given is not None
        assert store.ranges.end > store.keys[-1]
        store.looks = 0
        if not knowing:
            store.ranges.end = ""
        assert begun(store, given).split()
        return store.looks

    assert looks_of_second_split(knowing=True) < looks_of_second_split(knowing=False)


def test_a_small_bucket_costs_no_request_more() -> None:
    for size in range(7):
        store = Store([f"{n}" for n in range(size)])
        scan = store.scan()
        seen = []
        for entry in scan:
            seen.append(entry.info.key)
            assert scan.split() is None
        assert seen == store.keys
        assert (store.pages, store.looks) == (max(1, -(-size // 3)), 0)


def test_the_next_page_is_asked_for_while_one_is_walked_and_given_up_in_the_end() -> None:
    store = Store([f"{n}" for n in range(9)])
    scan = iter(store.scan())
    next(scan)
    assert store.pages == 2
    waiting: Future[Page] = Future()
    store.ranges.fetch = lambda after, limit: waiting
    for _ in range(3):
        next(scan)
    scan.close()  # type: ignore[attr-defined]  # a generator
    assert waiting.cancelled()


def test_nothing_is_asked_for_behind_the_end_of_a_lane() -> None:
    store = Store([f"{n}" for n in range(9)])
    assert keys_of(store.scan(Lane("", "2"))) == ["0", "1", "2"]
    assert store.pages == 1
    assert keys_of(store.scan(Lane("1", "10"))) == []
    assert store.pages == 2


def pages(*answers: Page | Exception) -> KeyRanges:
    """A store that answers like this, whatever it is asked."""
    left = list(answers)

    def fetch(after: str, limit: int) -> "Future[Page]":
        future: Future[Page] = Future()
        answer = left.pop(0)
        if isinstance(answer, Page):
            future.set_result(answer)
        else:
            future.set_exception(answer)
        return future

    return KeyRanges(fetch, "", lambda info: Scanned(info, info.key))


def page(*keys: str, truncated: bool = True, marker: str = "") -> Page:
    return Page([ObjectInfo(key, 0) for key in keys], truncated, marker)


def test_what_is_archived_is_told_of_its_entry() -> None:
    ranges = pages(page("a", "b", truncated=False)._replace(archived={"b": "GLACIER"}))
    assert [entry.archived for entry in ranges.scan(Lane())] == ["", "GLACIER"]


def test_an_empty_page_may_go_on_forwards() -> None:
    ranges = pages(page("a"), page(marker="b"), page("c", truncated=False))
    assert keys_of(ranges.scan(Lane())) == ["a", "c"]


@pytest.mark.parametrize(
    "answers",
    [
        [page("a", "b"), page("a", "b")],
        [page("a", "b"), page("b", "c")],
        [page("b", "a")],
        [page("b"), page("a", truncated=False)],
        [page("a"), page()],
        [page("a"), page(marker="a")],
    ],
)
def test_a_listing_that_goes_in_circles_is_not_followed(answers: list[Page]) -> None:
    with pytest.raises(Fatal) as caught:
        keys_of(pages(*answers, page("never", truncated=False)).scan(Lane()))
    assert caught.value.code == "ListingLoops"


def test_pages_without_keys_are_not_followed_for_ever() -> None:
    ever = (page(marker=f"{number:09}") for number in range(MOST_EMPTY + 1))
    with pytest.raises(Fatal) as caught:
        keys_of(pages(*ever, page("never", truncated=False)).scan(Lane()))
    assert caught.value.code == "ListingLoops"


def test_a_failure_comes_when_its_page_is_needed() -> None:
    broken = Transient("gone", code="ConnectionReset")
    walk = iter(pages(page("a", "b"), broken).scan(Lane()))
    assert [next(walk).cursor, next(walk).cursor] == ["a", "b"]
    with pytest.raises(Transient):
        next(walk)
