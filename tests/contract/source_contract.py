"""What every source must do. A new source's test file is a subclass with a `world`.

class TestMySource(SourceContract):
    @pytest.fixture
    def world(self, ...) -> World: ...
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable

import pytest

from ossimport.audit.auditor import Auditor
from ossimport.audit.compare import Mode
from ossimport.audit.extra import ExtraAuditor
from ossimport.budget import Budget
from ossimport.copying import CopyPolicy, Engine
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Fatal, Permanent
from ossimport.model import Lane, ObjectInfo, Outcome, Scanned, Upload, Verdict
from ossimport.sources.base import Listable, Source

# Without both `a` and `a/b`: a file system cannot hold them.
KEYS = [
    "A",
    "a.txt",
    "a/b",
    "a/b c+d%20e&f=g?#.bin",
    "a/c/d/e",
    "a0",
    "b/'quotes\"<&>",
    "b/emoji-😀",
    "b/empty",
    "b/中文.txt",
    "c/deep/er/and/deeper/x",
    "c/~tilde",
    "d/\ufb01",
    "z",
]
EARLY, LATE = 1_600_000_000_000_000_000, 1_700_000_000_000_000_000


class World(ABC):
    """A store that a test can change, and the source that reads it."""

    @abstractmethod
    def open(self) -> Source:
        """Open the source, as another process would."""

    @abstractmethod
    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        """Write an object. A store that sets times itself may ignore `mtime_ns`."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove an object."""

    def broken(self) -> Source | None:
        """A source whose settings are wrong; None if there is nothing to get wrong."""
        return None


def body_of(key: str) -> bytes:
    """Different bytes, of different lengths, for every key; none for `empty`."""
    return b"" if key.endswith("empty") else f"body of {key}\n".encode() * (len(key) + 1)


def keys_of(entries: list[Scanned]) -> list[str]:
    assert {entry.verdict for entry in entries} <= {Verdict.COPY}
    return [entry.info.key for entry in entries]


class SourceContract:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    @pytest.fixture
    def full(self, world: World) -> World:
        for key in KEYS:
            world.put(key, body_of(key), EARLY)
        return world

    def test_a_scan_lists_every_object_once(self, full: World) -> None:
        entries = list(full.open().scan(Lane()))
        assert sorted(keys_of(entries)) == sorted(KEYS)
        assert {e.info.key: e.info.size for e in entries} == {k: len(body_of(k)) for k in KEYS}

    def test_two_scans_see_the_same_in_the_same_order(self, full: World) -> None:
        source = full.open()
        assert list(source.scan(Lane())) == list(source.scan(Lane()))

    def test_an_empty_source_has_no_entries(self, world: World) -> None:
        world.put("a/only", b"x", EARLY)
        world.remove("a/only")
        source = world.open()
        source.check()
        assert list(source.scan(Lane())) == []

    def test_a_scan_goes_on_behind_every_cursor(self, full: World) -> None:
        source = full.open()
        entries = list(source.scan(Lane()))
        for index, entry in enumerate(entries):
            rest = list(full.open().scan(Lane(entry.cursor)))
            assert rest == entries[index + 1 :]

    def test_a_scan_ends_with_the_entry_at_until(self, full: World) -> None:
        source = full.open()
        entries = list(source.scan(Lane()))
        for index, entry in enumerate(entries):
            assert list(source.scan(Lane("", entry.cursor))) == entries[: index + 1]

    def test_the_cursor_of_a_removed_object_still_works(self, full: World) -> None:
        entries = list(full.open().scan(Lane()))
        for index, entry in enumerate(entries):
            full.remove(entry.info.key)
            # The cursors of the others may name other pages now.
            rest = list(full.open().scan(Lane(entry.cursor)))
            assert [e.info for e in rest] == [e.info for e in entries[index + 1 :]]

    def test_a_scan_may_be_left_at_any_entry(self, full: World) -> None:
        source = full.open()
        for count in range(len(KEYS)):
            scan = iter(source.scan(Lane()))
            for _ in range(count):
                next(scan)
            del scan  # warnings are errors: a file left open would show

    @pytest.mark.parametrize("seed", range(20))
    def test_splits_and_restarts_lose_nothing_and_double_nothing(
        self, full: World, seed: int
    ) -> None:
        choice = random.Random(seed)
        source = full.open()
        lanes, seen = [Lane()], []
        while lanes:
            lane = lanes.pop(choice.randrange(len(lanes)))
            scan = source.scan(lane)
            for entry in scan:
                seen.append(entry)
                lane = Lane(entry.cursor, scan.until)
                if choice.random() < 0.3 and (given := scan.split()):
                    lanes.append(given)
                    assert given.until == lane.until
                    lane = Lane(entry.cursor, scan.until)
                if choice.random() < 0.2:
                    lanes.append(lane)
                    break
        assert sorted(e.info for e in seen) == sorted(e.info for e in source.scan(Lane()))

    def test_a_scan_says_where_it_ends(self, full: World) -> None:
        entries = list(full.open().scan(Lane()))
        assert full.open().scan(Lane()).until == ""
        assert full.open().scan(Lane("", entries[3].cursor)).until == entries[3].cursor

    async def test_stat_describes_an_object_as_the_scan_does(self, full: World) -> None:
        source = full.open()
        for entry in source.scan(Lane()):
            assert (await source.stat(entry.info.key))[:3] == entry.info[:3]
        await source.close()

    async def test_a_source_that_lists_behind_keys_lists_what_a_scan_does(
        self, full: World
    ) -> None:
        source = full.open()
        if not isinstance(source, Listable):
            pytest.skip("it cannot begin behind any key")
        infos = sorted((entry.info for entry in source.scan(Lane())), key=lambda info: info.key)
        for limit in (1, 2, len(infos) + 1):
            assert await source.list("", limit) == infos[:limit]
        for index, info in enumerate(infos):
            assert await source.list(info.key, 2) == infos[index + 1 : index + 3]
            assert (await source.list(info.key[:-1], 1))[0].key <= info.key
        await source.close()

    async def test_read_returns_exactly_the_wanted_bytes(self, full: World) -> None:
        source = full.open()
        for entry in source.scan(Lane()):
            whole = body_of(entry.info.key)
            size = len(whole)
            for offset, length in {(0, size), (0, size // 2), (size // 2, size - size // 2)}:
                payload = await source.read(entry.info, offset, length)
                assert bytes(payload.body) == whole[offset : offset + length]
        await source.close()

    async def test_read_refuses_a_version_that_was_overwritten(self, full: World) -> None:
        source = full.open()
        for entry in source.scan(Lane()):
            key = entry.info.key
            for body in (b"longer" + body_of(key), body_of(key)[:-1], body_of(key).swapcase()):
                if len(body) != entry.info.size or body != body_of(key):
                    full.put(key, body, LATE)
                    size = entry.info.size
                    await self.refused(source, entry.info, 0, size, code="SourceChanged")
                    await self.refused(source, entry.info, 0, size // 2, code="SourceChanged")
        await source.close()

    async def test_stat_finds_the_version_that_can_be_read_instead(self, full: World) -> None:
        source = full.open()
        full.put("a/b", b"the new version", LATE)
        info = await source.stat("a/b")
        assert bytes((await source.read(info, 4, 3)).body) == b"new"
        await source.close()

    async def test_a_removed_object_is_not_found(self, full: World) -> None:
        source = full.open()
        infos = [entry.info for entry in source.scan(Lane())]
        for info in infos:
            full.remove(info.key)
            await self.refused(source, info, 0, info.size, code="NotFound")
            with pytest.raises(Permanent) as caught:
                await source.stat(info.key)
            assert (caught.value.code, caught.value.key) == ("NotFound", info.key)
        await source.close()

    async def test_close_may_be_called_twice(self, full: World) -> None:
        source = full.open()
        await source.stat("A")
        await source.close()
        await source.close()

    def test_check_passes_on_a_source_that_can_be_read(self, full: World) -> None:
        full.open().check()

    def test_check_names_the_cure_for_wrong_settings(self, world: World) -> None:
        source = world.broken()
        if source is None:
            pytest.skip("nothing to configure")
        with pytest.raises(Fatal, match="Cure: "):
            source.check()
        with pytest.raises(Fatal, match="Cure: "):
            list(source.scan(Lane()))

    async def test_an_audit_finds_what_became_of_its_copies(self, full: World) -> None:
        source, dest = full.open(), MemoryDestination()
        infos = {entry.info.key: entry.info for entry in source.scan(Lane())}
        policy = CopyPolicy("to/", multipart_threshold=100, part_size=40)
        engine = CopyEngine(source, dest, policy, Budget(1000), jitter=lambda: 0.0)

        async def save(upload: Upload | None) -> None: ...

        async def told(auditor: Engine, infos: Iterable[ObjectInfo]) -> dict[str, str]:
            listed = await auditor.look_ahead(list(infos), begun_before=False)
            results = [await auditor.copy(info, save=save, listed=listed) for info in infos]
            codes = {i.key: r.code for i, r in zip(infos, results, strict=True)}
            return {key: code for key, code in codes.items() if code}

        for info in infos.values():
            assert (await engine.copy(info, save=save)).outcome is Outcome.COPIED
        for mode in (Mode.SIMPLE, Mode.GENERAL, Mode.DETAILED):
            assert await told(Auditor(engine, mode), infos.values()) == {}

        small, large = "a/b", "b/emoji-\U0001f600"  # sent whole, and in parts
        assert len(body_of(small)) <= policy.multipart_threshold < len(body_of(large))
        for key in (small, large):
            held = dest.objects[f"to/{key}"]
            await dest.put(f"to/{key}", b"?" + held.body[1:], held.headers)
        held = dest.objects["to/z"]
        await dest.put("to/z", held.body, {**held.headers, "content-type": "text/other"})
        del dest.objects["to/A"]
        codes = {"A": "Missing", "z": "HeaderDiffers"}
        assert await told(Auditor(engine, Mode.GENERAL), infos.values()) == codes
        codes |= dict.fromkeys((small, large), "ContentDiffers")
        assert await told(Auditor(engine, Mode.DETAILED), infos.values()) == codes

        odd = [ObjectInfo(key, 1) for key in ("a/", "c/deep", "nothing", "zz")]
        extra = await told(ExtraAuditor(engine), [*infos.values(), *odd])
        assert extra == dict.fromkeys((info.key for info in odd), "Extra")
        await source.close()

    async def refused(
        self, source: Source, info: ObjectInfo, offset: int, length: int, *, code: str
    ) -> None:
        with pytest.raises(Permanent) as caught:
            await source.read(info, offset, length)
        error = caught.value
        assert (error.code, error.op, error.key) == (code, "read", info.key)
        assert str(error).isprintable()
