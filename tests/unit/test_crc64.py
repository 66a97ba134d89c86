"""CRC64 against the catalogue's check value, against oss2, and against itself in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oss2.utils import Crc64

from ossimport.crc64 import crc64, crc64_combine

CHECK = b"123456789"
CHECK_VALUE = 11051210869376104954


def test_check_value_of_the_catalogue() -> None:
    assert crc64(CHECK) == CHECK_VALUE
    assert crc64(b"") == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_gives_the_same_value(kind: type) -> None:
    assert crc64(kind(CHECK)) == CHECK_VALUE
    assert crc64(memoryview(kind(b"0" + CHECK + b"0"))[1:-1]) == CHECK_VALUE


@given(st.binary(max_size=300))
def test_equals_oss2(data: bytes) -> None:
    reference = Crc64()
    reference.update(data)
    assert crc64(data) == reference.crc


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_goes_on_from_an_earlier_value(first: bytes, second: bytes) -> None:
    assert crc64(second, crc64(first)) == crc64(first + second)


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_combined_parts_equal_the_whole(parts: list[bytes]) -> None:
    combined = 0
    for part in parts:
        combined = crc64_combine(combined, crc64(part), len(part))
    assert combined == crc64(b"".join(parts))


def test_combines_parts_of_megabytes() -> None:
    first, second = b"\x5a" * 3_000_001, b"\xa5" * 2_000_003
    assert crc64_combine(crc64(first), crc64(second), len(second)) == crc64(first + second)
