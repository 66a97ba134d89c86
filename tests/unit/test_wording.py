"""One of a thing is not two of it."""

import pytest

from ossimport.audit.compare import size_difference
from ossimport.model import ObjectInfo
from ossimport.wording import counted


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 objects"), (1, "1 object"), (2, "2 objects"), (12345, "12345 objects")],
)
def test_a_number_and_its_noun_agree(number: int, words: str) -> None:
    assert counted(number, "object") == words


def test_an_audit_says_so_too() -> None:
    one, two = (ObjectInfo("a", size, 0) for size in (1, 2))
    found = size_difference(one, two)
    assert found is not None
    assert found.message == "the source has 1 byte, the destination 2 bytes"
