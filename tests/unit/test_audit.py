"""What the destination does not hold is found, whatever else lies there and refuses."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport import listed
from ossimport.audit.arrived import NOTHING_WRITTEN, Absent, Expected, absent, unproved
from ossimport.dest.memory import MemoryDestination
from ossimport.errors import Permanent, Transient
from ossimport.listed import PAGE
from ossimport.model import ObjectInfo

T = TypeVar("T")


class Asked(MemoryDestination):
    """Counts the requests, and refuses each of `trouble` once."""

    def __init__(self) -> None:
        super().__init__()
        self.stats: list[str] = []
        self.lists: list[str] = []
        self.trouble: dict[str, Exception] = {}
        self.at_once = 0
        self.most_at_once = 0

    async def stat(self, key: str) -> ObjectInfo | None:
        self.stats.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            self._refuse(f"stat {key}")
            return await super().stat(key)
        finally:
            self.at_once -= 1

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        self.lists.append(after)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            self._refuse(f"list {after}")
            return await super().list(prefix, after, limit)
        finally:
            self.at_once -= 1

    def _refuse(self, request: str) -> None:
        error = self.trouble.pop(request, None)
        if error is not None:
            raise error

    async def fill(self, sizes: dict[str, int]) -> None:
        for key, size in sizes.items():
            await self.put(key, b"x" * size, {})


async def patiently(request: Callable[[], Awaitable[T]]) -> T:
    """Makes a request until it is not refused for a while."""
    while True:
        try:
            return await request()
        except Transient:
            continue


def keys(number: int, prefix: str = "to/k") -> list[str]:
    return [f"{prefix}{index:05d}" for index in range(number)]


def sizes_of(told: Absent) -> dict[str, int | None]:
    """Sizes instead of objects."""
    return {key: info.size if info else None for key, info in told.items()}


@pytest.fixture
def dest() -> Asked:
    return Asked()


def in_size(sizes: dict[str, int]) -> Expected:
    return {key: (size, NOTHING_WRITTEN) for key, size in sizes.items()}


async def test_nothing_expected_needs_no_request(dest: Asked) -> None:
    assert await absent(dest, "to/", {}, ask=patiently) == {}
    assert (dest.stats, dest.lists) == ([], [])


async def test_one_object_needs_one_request(dest: Asked) -> None:
    await dest.fill({"to/a": 3})
    assert await absent(dest, "to/", in_size({"to/a": 3}), ask=patiently) == {}
    assert (dest.stats, dest.lists) == (["to/a"], [])


async def test_what_is_missing_or_of_another_size_is_told(dest: Asked) -> None:
    await dest.fill({"to/a": 1, "to/c": 3, "to/d": 0, "to/e": 5})
    sizes = {"to/a": 2, "to/b": 2, "to/c": 3, "to/d": 1, "to/e": 5, "to/f": 0}
    told = await absent(dest, "to/", in_size(sizes), ask=patiently)
    assert sizes_of(told) == {"to/a": 1, "to/b": None, "to/d": 0, "to/f": None}
    assert (len(dest.stats), len(dest.lists)) == (0, 1)


async def test_many_objects_are_listed_by_the_thousand(dest: Asked) -> None:
    names = keys(2500)
    await dest.fill({key: 1 for key in names if key != names[1700]})
    told = await absent(dest, "to/", in_size(dict.fromkeys(reversed(names), 1)), ask=patiently)
    assert told == {names[1700]: None}
    assert dest.lists == [names[0][:-1], names[999], names[1999]]
    assert dest.stats == []


async def test_several_pages_are_asked_for_at_once(dest: Asked) -> None:
    names = keys(12 * PAGE)
    await dest.fill(dict.fromkeys(names, 1))
    assert await absent(dest, "to/", in_size(dict.fromkeys(names, 1)), ask=patiently) == {}
    assert len(dest.lists) == 12
    assert dest.most_at_once == listed.IN_FLIGHT


async def test_among_many_foreign_objects_the_rest_is_asked_for_one_by_one(dest: Asked) -> None:
    names = keys(4 * PAGE)
    await dest.fill(dict.fromkeys(names, 1))
    mine = names[:: len(names) // 40]
    del dest.objects[mine[30]]
    page = 40 + 10 + listed.SPARE
    told = await absent(dest, "to/", in_size(dict.fromkeys(mine, 1)), ask=patiently, in_flight=5)
    assert told == {mine[30]: None}
    assert len(dest.lists) == 2
    assert sorted(dest.stats) == [key for key in mine if key > names[2 * page - 1]]
    assert dest.most_at_once == 5


async def test_a_refused_request_is_made_again_alone(dest: Asked) -> None:
    names = keys(4 * PAGE)
    await dest.fill(dict.fromkeys(names, 1))
    mine = names[:: len(names) // 40]
    page = 40 + 10 + listed.SPARE
    refused = Transient("later", code="ServerError")
    trouble = [f"list {names[page - 1]}", f"stat {mine[-2]}", f"stat {mine[-1]}"]
    dest.trouble = dict.fromkeys(trouble, refused)
    assert await absent(dest, "to/", in_size(dict.fromkeys(mine, 1)), ask=patiently) == {}
    assert dest.trouble == {}
    assert dest.lists == [names[0][:-1], names[page - 1], names[page - 1]]
    rest = [key for key in mine if key > names[2 * page - 1]]
    assert sorted(dest.stats) == sorted([*rest, mine[-2], mine[-1]])


@pytest.mark.parametrize("request_", ["list to/k0000", "stat to/k00028", "stat to/k00035"])
async def test_what_is_not_asked_again_ends_the_comparison(
    dest: Asked, request_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "PAGE", 1)
    await dest.fill(dict.fromkeys(keys(40), 1))
    mine = in_size(dict.fromkeys(keys(40)[::7], 1))
    dest.trouble = {request_: Permanent("no", code="AccessDenied")}
    with pytest.raises(Permanent, match="no"):
        await absent(dest, "to/", mine, ask=patiently)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing goes on behind our back"


async def test_after_a_failure_the_other_objects_are_not_asked_for(
    dest: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "PAGE", 1)
    mine = keys(400)[::20]
    await dest.fill(dict.fromkeys(keys(400), 1))
    dest.trouble = {f"stat {mine[1]}": Permanent("no", code="AccessDenied")}
    with pytest.raises(Permanent, match="no"):
        await absent(dest, "to/", in_size(dict.fromkeys(mine, 1)), ask=patiently, in_flight=2)
    assert len(dest.stats) <= 4


async def test_an_object_that_another_one_has_replaced_is_told_by_its_etag(dest: Asked) -> None:
    await dest.fill({"to/a": 3, "to/b": 3})
    etag = dest.objects["to/a"].info.etag
    await dest.put("to/b", b"new", {})
    expected: Expected = {"to/a": (3, (etag, None)), "to/b": (3, (etag, None))}
    assert list(await absent(dest, "to/", expected, ask=patiently)) == ["to/b"]


async def test_other_bytes_of_the_same_size_are_told_by_their_crc64(dest: Asked) -> None:
    await dest.fill({"to/a": 3, "to/b": 3, "to/c": 3, "to/d": 3})
    crc64 = dest.objects["to/a"].info.crc64
    await dest.put("to/b", b"new", {})
    silent = dest.objects["to/d"]
    dest.objects["to/d"] = silent._replace(info=silent.info._replace(crc64=None))
    expected: Expected = {f"to/{name}": (3, ("", crc64)) for name in "abde"}
    told = await unproved(dest, expected, ask=patiently)
    assert sizes_of(told) == {"to/b": 3, "to/e": None}
    assert (len(dest.stats), dest.lists) == (4, [])


@settings(max_examples=60, deadline=None)
@given(
    there=st.dictionaries(st.text("ab/é𝄞", max_size=4), st.integers(0, 3), max_size=40),
    expected=st.dictionaries(st.text("ab/é𝄞", max_size=4), st.integers(0, 3), max_size=12),
    in_flight=st.integers(1, 4),
)
def test_it_tells_what_asking_for_every_object_would_tell(
    there: dict[str, int], expected: dict[str, int], in_flight: int
) -> None:
    async def compare() -> dict[str, int | None]:
        dest = Asked()
        await dest.fill({f"to/{key}": size for key, size in there.items()})
        await dest.fill({"at": 1, "tp": 1})  # before and behind the prefix
        wanted = in_size({f"to/{key}": size for key, size in expected.items()})
        return sizes_of(await absent(dest, "to/", wanted, ask=patiently, in_flight=in_flight))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed, "PAGE", 3)
        told = asyncio.run(compare())
    assert told == {
        f"to/{key}": there.get(key) for key, size in expected.items() if there.get(key) != size
    }
