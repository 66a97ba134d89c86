"""A task's object list comes back from bytes exactly, and bad bytes are refused."""

import os

import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ossimport import manifest
from ossimport.errors import LedgerError
from ossimport.model import ObjectInfo

text = st.text(st.characters(exclude_categories=()), max_size=20)
objects = st.builds(
    ObjectInfo,
    key=text | st.binary(max_size=20).map(os.fsdecode),
    size=st.integers(0, 2**63 - 1),
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    etag=text,
    crc64=st.none() | st.integers(0, 2**64 - 1),
)


@given(st.lists(objects, max_size=20))
def test_every_list_comes_back_as_it_was(infos: list[ObjectInfo]) -> None:
    unpacked = manifest.unpack(manifest.pack(infos))
    assert unpacked == infos
    assert all(type(info) is ObjectInfo for info in unpacked)


@given(st.lists(objects, max_size=20))
def test_equal_lists_give_equal_bytes(infos: list[ObjectInfo]) -> None:
    copies = [ObjectInfo(*info) for info in infos]
    assert manifest.pack(tuple(copies)) == manifest.pack(infos)


def test_names_that_differ_only_in_how_they_are_broken_stay_apart() -> None:
    proper, raw = "\u00e9", os.fsdecode(b"\xc3") + os.fsdecode(b"\xa9")
    infos = [ObjectInfo(proper, 1), ObjectInfo(raw, 1)]
    assert proper != raw
    assert manifest.unpack(manifest.pack(infos)) == infos


def test_ten_thousand_objects_take_a_few_bytes_each() -> None:
    infos = [
        ObjectInfo(f"dir{i // 1000:04}/file-{i:06}.dat", i * 37 % 9000, 10**18 + i * 7919)
        for i in range(10_000)
    ]
    assert len(manifest.pack(infos)) < 10 * len(infos)


def compressed(value: object) -> bytes:
    return zstandard.ZstdCompressor().compress(msgpack.packb(value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not compressed at all",
        manifest.pack([ObjectInfo("a", 1)])[:-5],
        zstandard.ZstdCompressor().compress(b"\xc1 is no msgpack"),
        compressed(7),
        compressed([]),
        compressed([manifest.FORMAT + 1, ["a"], [1], [2], [""], [None]]),
        compressed([manifest.FORMAT, ["a"], [1]]),
        compressed([manifest.FORMAT, ["a", "b"], [1], [2], [""], [None]]),
        compressed([manifest.FORMAT, 1, 2, 3, 4, 5]),
    ],
)
def test_bytes_that_pack_did_not_make_are_refused_with_a_cure(data: bytes) -> None:
    with pytest.raises(LedgerError, match="Cure: "):
        manifest.unpack(data)


def test_flipped_bits_never_make_another_list() -> None:
    infos = [ObjectInfo(f"key{i}", i, i, f"etag{i}") for i in range(50)]
    packed = manifest.pack(infos)
    refused = 0
    for bit in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert manifest.unpack(bytes(damaged)) == infos
        except LedgerError:
            refused += 1
    assert refused > 7 * len(packed)  # zstd does not use every bit


def test_a_list_that_would_fill_the_memory_is_refused_unopened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(2 << 20))
    assert len(bomb) < 1000
    monkeypatch.setattr(manifest, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(LedgerError, match="at most 1048576 are allowed"):
        manifest.unpack(bomb)


def test_a_list_that_hides_its_size_is_refused() -> None:
    params = zstandard.ZstdCompressor(write_content_size=False)
    with pytest.raises(LedgerError, match="claims -1 bytes"):
        manifest.unpack(params.compress(bytes(10)))
