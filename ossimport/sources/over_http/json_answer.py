"""JSON that a service answers with: what is no answer to go by is a ValueError, whatever it is.

Any server may answer, and JSON can say more than a store can mean: sizes below nothing, halves of
characters, and brackets deep enough to end a process.
"""

import json
from typing import Any


def read_json(body: bytes | bytearray) -> Any:
    """Read an answer."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("it has too many brackets in brackets") from None


def name_of(value: object) -> str:
    """A name, or what else is asked with: it can be written down."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.20} is no name")
    if not value.isascii():
        value.encode()
    return value


def number_of(value: object) -> int:
    """A number of bytes, or of moments since 1970."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r:.20} is no number of anything")
    return value
