"""Lanes of stores with opaque markers: whatever the cuts and crashes, every key is walked once."""

import random
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.errors import Fatal, Transient
from ossimport.listing import MOST_EMPTY
from ossimport.model import Lane, ObjectInfo, Scanned
from ossimport.sources.lanes import prefix_lanes
from ossimport.sources.lanes.name_order import NameOrder
from ossimport.sources.lanes.prefix_lanes import MarkedPage, PrefixLanes, PrefixScan

ORDERS: dict[str, Callable[[str], Any]] = {
    "utf-8": lambda name: name.encode("utf-8", "surrogatepass"),
    "utf-16": lambda name: name.encode("utf-16-be", "surrogatepass"),
    "directories": lambda name: name.split("/"),
}


class Store:
    """Keys listed a page at a time by markers that say nothing; counts pages and takes notes."""

    def __init__(
        self, keys: list[str], *, page_size: int = 3, depth: int = 9, order: str = "utf-8"
    ) -> None:
        self.order = ORDERS[order]
        self.keys = sorted(set(keys), key=self.order)
        self.page_size = page_size
        self.depth = depth
        self.asked: list[tuple[str, bool]] = []
        self._names: dict[str, str] = {}
        self.lanes = self.reopened()

    def reopened(self) -> PrefixLanes:
        """As another process would open it."""
        return PrefixLanes(self.fetch, self.depth)

    def fetch(self, prefix: str, one_level: bool, marker: str) -> "Future[MarkedPage]":
        self.asked.append((prefix, one_level))
        names: list[str] = []
        for key in self.keys:
            if key.startswith(prefix):
                slash = key.find("/", len(prefix))
                name = key[: slash + 1] if one_level and slash >= 0 else key
                if name not in names[-1:]:
                    names.append(name)
        if marker:
            # A marker is a place in the order, whether or not its key is there still.
            names = [n for n in names if self.order(n) >= self.order(self._names[marker])]
        page, rest = names[: self.page_size], names[self.page_size :]
        following = ""
        if rest:
            following = f"marker-{len(self._names)}"
            following = next((m for m, name in self._names.items() if name == rest[0]), following)
            self._names[following] = rest[0]
        present = set(self.keys)
        folders = [n for n in page if one_level and n.endswith("/") and n != prefix]
        objects = [n for n in page if n not in folders]
        assert present.issuperset(objects)
        answer: Future[MarkedPage] = Future()
        infos = [Scanned(ObjectInfo(n, 0), "") for n in objects]
        answer.set_result(MarkedPage(infos, folders, following))
        return answer


def keys_of(scan: PrefixScan) -> list[str]:
    return [entry.info.key for entry in scan]


def walk_with_accidents(store: Store, choice: random.Random, splits: float) -> list[str]:
    """Every lane ends at random, and goes on from its cursor; or gives a part away."""
    lanes, seen = [Lane()], []
    while lanes:
        lane = lanes.pop(choice.randrange(len(lanes)))
        scan = store.reopened().scan(lane)
        for entry in scan:
            seen.append(entry.info.key)
            lane = Lane(entry.cursor, scan.until)
            if choice.random() < splits and (given := scan.split()):
                assert given.until == lane.until
                lanes.append(given)
                lane = Lane(entry.cursor, scan.until)
            if choice.random() < 0.15:
                lanes.append(lane)
                break
    return seen


plain_names = st.one_of(  # of which all orders are the same
    st.text("ab0/", min_size=1, max_size=8),
    st.integers(0, 999).map(lambda n: f"d{n:06d}/x"),
    st.integers(0, 99).map(lambda n: f"{n % 7}/{n % 3}/{n}"),
)
names = st.one_of(
    plain_names,
    st.text("a/-.0", max_size=6),
    st.text(st.sampled_from(["a", "/", "\ufb01", "\U0001f600", "-"]), min_size=1, max_size=5),
)


@given(
    st.lists(names, max_size=50),
    st.randoms(use_true_random=False),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([*ORDERS]),
)
def test_cuts_and_crashes_lose_nothing_and_double_nothing(
    keys: list[str], choice: random.Random, page_size: int, depth: int, order: str
) -> None:
    store = Store(keys, page_size=page_size, depth=depth, order=order)
    assert sorted(walk_with_accidents(store, choice, 0.4)) == sorted(set(keys))


AMBIGUOUS = ["", "/", "0/", "a", "a-", "a-/", "a.", "a/", "b", "-", "a.b/c", "a/b", "a/-"]
AMBIGUOUS += ["\ufb01", "\ufb01/", "\ufb01\ufb01", "\ufb01\U0001f600", "\U0001f600", "\U0001f600/"]


def test_names_on_whose_order_stores_differ_are_walked_once_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefix_lanes, "_WORTH", 0)
    choice = random.Random(1)
    for _ in range(12_000):
        keys = choice.sample(AMBIGUOUS, choice.randrange(2, 7))
        order = choice.choice([*ORDERS])
        store = Store(keys, page_size=choice.randrange(1, 4), depth=1, order=order)
        assert sorted(walk_with_accidents(store, choice, 0.4)) == sorted(keys), (keys, order)


@given(st.lists(names, max_size=50), st.integers(1, 9), st.sampled_from([*ORDERS]))
def test_every_cursor_goes_on_behind_its_key_and_without_what_is_before(
    keys: list[str], page_size: int, order: str
) -> None:
    store = Store(keys, page_size=page_size, order=order)
    entries = list(store.lanes.scan(Lane()))
    assert [entry.info.key for entry in entries] == store.keys
    for index, entry in enumerate(entries):
        store.asked.clear()
        assert list(store.reopened().scan(Lane(entry.cursor))) == entries[index + 1 :]
        assert len(store.asked) == -(-len(entries) // page_size) - index // page_size
        until = list(store.reopened().scan(Lane("", entry.cursor)))
        assert until == entries[: index + 1]


@given(st.lists(plain_names, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_keys_that_come_and_go_do_not_disturb_the_others(
    keys: list[str], choice: random.Random
) -> None:
    staying = set(choice.sample(keys, len(keys) // 2))
    store = Store(keys)
    lanes, seen = [Lane()], []
    while lanes:
        lane = lanes.pop()
        scan = store.reopened().scan(lane)
        for entry in scan:
            seen.append(entry.info.key)
            lane = Lane(entry.cursor, scan.until)
            if given := scan.split():
                lanes.append(given)
                lane = Lane(entry.cursor, scan.until)
            if choice.random() < 0.5:
                there = [key for key in keys if key in staying or choice.random() < 0.5]
                store.keys = sorted(set(there))
                lanes.append(lane)
                break
    assert len(set(seen)) == len(seen)
    assert staying <= set(seen) <= set(keys)


def requests_of(store: Store, threads: int) -> tuple[int, list[int]]:
    """Walk with as many lanes at a time as there are threads; pages asked for, and the lanes' keys.

    Each takes one key after another; who is done has the next one split. After a lane had nothing
    to give it is let alone for a page.
    """
    scans = [store.lanes.scan(Lane())]
    walks, counts, pauses = [iter(scans[0])], [0], [0]
    live, seen = [0], []
    while live:
        for index in list(live):
            entry = next(walks[index], None)
            if entry is None:
                live.remove(index)
                continue
            counts[index] += 1
            seen.append(entry.info.key)
            if pauses[index]:
                pauses[index] -= 1
            elif len(live) < threads:
                if given := scans[index].split():
                    live.append(len(scans))
                    scans.append(store.lanes.scan(given))
                    walks.append(iter(scans[-1]))
                    counts.append(0)
                    pauses.append(0)
                else:
                    pauses[index] = store.page_size
    assert sorted(seen) == sorted(store.keys)
    return len(store.asked), counts


def test_a_scan_alone_asks_for_each_page_once() -> None:
    store = Store([f"{n:03d}/x" for n in range(90)], page_size=10)
    assert requests_of(store, 1) == (9, [90])


def test_a_small_bucket_costs_no_request_more() -> None:
    for size in range(4):
        store = Store([f"{n}/x" for n in range(size)], page_size=3)
        assert requests_of(store, 4) == (1, [size])


def test_in_doubt_a_key_is_listed_again_rather_than_left_out() -> None:
    order = NameOrder()
    assert order.number_before(["a.txt", "b"], "a.txt") == 1
    assert order.number_before(["a", "a.txt", "b"], "a/gone") == 1  # or a.txt comes behind it
    assert not order.is_behind("a.txt", "a/gone")
    order.hold([], ["a/x", "a.txt"])
    assert order.is_behind("a.txt", "a/gone")


def test_tiny_directories_are_not_worth_it() -> None:
    store = Store([f"{n:05d}/x" for n in range(5000)], page_size=100)
    requests, counts = requests_of(store, 4)
    assert requests <= 2 * 50
    assert counts == [5000]


def test_small_directories_are_shared_in_groups() -> None:
    store = Store([f"{n:04d}/{m}" for n in range(1000) for m in range(12)], page_size=500)
    requests, counts = requests_of(store, 4)
    assert requests < 3 * 24
    assert max(counts) < 5000


def test_large_directories_are_shared() -> None:
    keys = [f"{top}/{n:04d}" for top in "abcdefgh" for n in range(500)]
    requests, counts = requests_of(Store(keys, page_size=50), 4)
    assert requests < 80 * 2
    assert max(counts) <= 1500


@pytest.mark.parametrize(("depth", "is_shared"), [(1, False), (2, False), (3, True)])
def test_directories_are_cut_down_to_the_wanted_depth(depth: int, is_shared: bool) -> None:
    keys = [f"all/in/{top}/{n}" for top in "abcd" for n in range(50)]
    _, counts = requests_of(Store(keys, page_size=20, depth=depth), 4)
    assert (len(counts) > 1) is is_shared


def test_a_bucket_without_directories_costs_hardly_more_for_many_threads() -> None:
    store = Store([f"{n:05d}" for n in range(3000)], page_size=100)
    requests, counts = requests_of(store, 8)
    assert len(counts) == 1
    assert requests < 30 + 10


def test_directories_behind_many_objects_are_still_found() -> None:
    keys = [f"0-{n:05d}" for n in range(300)] + [f"z/{n}/{m}" for n in range(9) for m in range(40)]
    _, counts = requests_of(Store(keys, page_size=10), 4)
    assert len(counts) > 3


def test_one_split_looks_at_a_bounded_number_of_pages() -> None:
    store = Store([f"{n:03d}/{m:02d}" for n in range(200) for m in range(15)], page_size=3)
    scan = store.lanes.scan(Lane())
    for _ in zip(range(2900), scan, strict=False):
        pass
    tries = 0
    given = None
    while given is None:
        tries += 1
        before = len(store.asked)
        given = scan.split()
        assert len(store.asked) - before <= 2 * 20
    assert 3 <= tries < 9


class Scripted:
    """A store that answers with these pages, whatever it is asked."""

    def __init__(self, *pages: MarkedPage | Exception) -> None:
        self.left = list(pages)

    def fetch(self, prefix: str, one_level: bool, marker: str) -> "Future[MarkedPage]":
        future: Future[MarkedPage] = Future()
        page = self.left.pop(0)
        if isinstance(page, MarkedPage):
            future.set_result(page)
        else:
            future.set_exception(page)
        return future

    def scan(self) -> PrefixScan:
        return PrefixLanes(self.fetch, 1).scan(Lane())

    def keys(self) -> list[str]:
        return keys_of(self.scan())


def page(keys: Iterable[str], marker: str = "") -> MarkedPage:
    return MarkedPage([Scanned(ObjectInfo(key, 0), "") for key in keys], [], marker)


def test_empty_pages_are_followed_as_long_as_they_lead_somewhere() -> None:
    assert Scripted(page("", "1"), page("ab", "2"), page("", "3"), page("c")).keys() == [*"abc"]


@pytest.mark.parametrize(
    "pages",
    [
        [page("ab", "1"), page("ab", "2")],
        [page("ab", "1"), page("bc", "2")],
        [page("ba", "1")],
        [page("b", "1"), page("a")],
        [page("aa")],
        [page("a", "1"), page("b", "1")],
        [page("", "1"), page("", "1")],
        [page("", "1"), page("", "2"), page("", "1")],
        [page("ab", "1"), page("cd", "2"), page("ab", "1")],
    ],
)
def test_a_listing_that_goes_in_circles_is_not_followed(pages: list[MarkedPage]) -> None:
    with pytest.raises(Fatal, match="Cure: ") as caught:
        Scripted(*pages, page("", "8"), page("", "9"), page("y", "10"), page("z")).keys()
    assert caught.value.code == "ListingLoops"


def test_pages_without_keys_are_not_followed_for_ever() -> None:
    ever = (page("", f"{number}") for number in range(MOST_EMPTY + 1))
    with pytest.raises(Fatal) as caught:
        Scripted(*ever, page("z")).keys()
    assert caught.value.code == "ListingLoops"


def test_keys_that_were_not_asked_for_are_not_taken() -> None:
    level = MarkedPage([], ["a/", "b/"], "")
    lanes = PrefixLanes(Scripted(level, page("xy")).fetch, 1)
    with pytest.raises(Fatal) as caught:
        keys_of(lanes.scan(Lane('[[["", ""]], true]a/')))
    assert caught.value.code == "ListingLoops"


def test_a_folder_may_be_on_the_page_that_ends_in_it_and_on_the_next() -> None:
    pages = [
        MarkedPage([], ["a/", "b/"], "1"),
        page(["b/x"]),
        MarkedPage([], ["b/", "c/"], ""),
        page(["c/x"]),
    ]
    lanes = PrefixLanes(Scripted(*pages).fetch, 1)
    assert keys_of(lanes.scan(Lane('[[["", ""]], true]a/'))) == ["b/x", "c/x"]


def test_nothing_is_asked_for_behind_the_end_of_a_lane() -> None:
    store = Store([f"z/{n}/x" for n in range(9)] + ["zz/1"])
    lane = Lane('[[["", ""], ["z/", ""]], true]z/1/', "[true]z/")
    assert keys_of(store.lanes.scan(lane)) == [f"z/{n}/x" for n in range(2, 9)]
    assert ("", True) not in store.asked


def test_a_failure_comes_when_its_page_is_needed() -> None:
    scan = iter(Scripted(page("ab", "1"), Transient("gone", code="Timeout")).scan())
    assert [next(scan).info.key, next(scan).info.key] == ["a", "b"]
    with pytest.raises(Transient):
        next(scan)


def test_a_page_that_nobody_waits_for_any_more_is_given_up() -> None:
    waiting: Future[MarkedPage] = Future()
    answers = [Future[MarkedPage](), waiting]
    answers[0].set_result(page("ab", "1"))
    scan = iter(PrefixLanes(lambda *_: answers.pop(0), 1).scan(Lane()))
    next(scan)
    scan.close()  # type: ignore[attr-defined]  # a generator
    assert waiting.cancelled()


def test_lanes_are_in_order() -> None:
    store = Store([f"{n}/{m}" for n in range(5) for m in range(9)])
    scan = store.lanes.scan(Lane())
    walk = iter(scan)
    first = [next(walk).info.key]
    given = scan.split()
    assert given is not None
    first += [entry.info.key for entry in walk]
    later = keys_of(store.lanes.scan(given))
    assert all(one < other for one, other in pairwise(first + later))
    assert first + later == store.keys
