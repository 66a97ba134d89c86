"""The memory source keeps the contract, and shows tests what they need to see."""

import pytest

from ossimport.errors import Transient
from ossimport.model import Lane, ObjectInfo, Verdict
from ossimport.sources.base import Checksum, Source
from ossimport.sources.memory import MemorySource
from tests.contract.source_contract import SourceContract, World

_check: type[Source] = MemorySource


class MemoryWorld(World):
    def __init__(self) -> None:
        self.source = MemorySource()

    def open(self) -> Source:
        return self.source

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.source.put(key, body, mtime_ns=mtime_ns)

    def remove(self, key: str) -> None:
        self.source.remove(key)


class TestMemorySource(SourceContract):
    @pytest.fixture
    def world(self) -> World:
        return MemoryWorld()


def test_odd_entries_are_listed_in_their_place() -> None:
    source = MemorySource()
    source.put("a", b"1")
    source.exclude("b", "Socket")
    source.fail("c", "AccessDenied")
    source.put("d", b"4")
    assert [(e.info.key, e.verdict, e.code) for e in source.scan(Lane())] == [
        ("a", Verdict.COPY, ""),
        ("b", Verdict.EXCLUDED, "Socket"),
        ("c", Verdict.FAILED, "AccessDenied"),
        ("d", Verdict.COPY, ""),
    ]


def test_the_lane_of_a_failed_entry_holds_what_appears_once_it_is_mended() -> None:
    source = MemorySource()
    source.put("a", b"1")
    source.fail("c", "AccessDenied")
    source.put("d", b"4")
    failed = next(e for e in source.scan(Lane()) if e.verdict is Verdict.FAILED)
    assert failed.rescan is not None
    source.remove("c")
    source.put("c", b"3")
    assert [e.info.key for e in source.scan(failed.rescan)] == ["c"]


async def test_reads_are_counted_and_can_be_made_to_fail_or_to_change_the_source() -> None:
    source = MemorySource(checksums=True)
    source.put("a", b"abc")
    info = await source.stat("a")
    payload = await source.read(info, 0, 3)
    assert payload.checksum == Checksum("md5", "900150983cd24fb0d6963f7d28e17f72")
    assert source.reads == [("a", 0, 3)]

    def lose_connection(_: ObjectInfo) -> None:
        raise Transient("gone for a moment", code="ConnectionReset")

    source.on_read = lose_connection
    with pytest.raises(Transient):
        await source.read(info, 0, 3)
    assert len(source.reads) == 2
