"""Keys and headers as they can be sent, or the reason why they cannot."""

import re
from collections.abc import Mapping
from functools import lru_cache

from ossimport.config.meta_map import encode_meta
from ossimport.dest.base import Limits
from ossimport.errors import Permanent

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, "token"
_META = "x-oss-meta-"


def check_key(key: str, limits: Limits, op: str) -> None:
    """Raise Permanent(code="InvalidKey") for a key that the service could not store.

    `.` and `..` would be resolved on the way, and the request would address the bucket itself.
    """
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        problem = "is not UTF-8"
    else:
        if not encoded or key in {".", ".."}:
            problem = "cannot name an object"
        elif key[0] in "/\\":
            problem = "must not begin with / or \\"
        elif len(encoded) > limits.max_key_bytes:
            problem = f"has {len(encoded)} bytes; {limits.max_key_bytes} are allowed"
        else:
            return
    message = f"{op}: the object name {key!r} {problem}. Cure: rename it at the source"
    raise Permanent(message, code="InvalidKey", op=op, key=key)


def encode_headers(headers: Mapping[str, str], op: str, key: str) -> dict[str, str]:
    """Return headers as on the wire: names in lower case, values latin-1 without outer blanks.

    A value in latin-1 stays as it is. One that is not, or has control characters, is
    percent-encoded as UTF-8 in `x-oss-meta-*`, and in any other header raises
    Permanent(code="InvalidArgument"), as does a name that HTTP cannot carry.
    """
    encoded = {}
    for name, value in headers.items():
        lower = _wire_name(name)
        if not lower:
            problem = f"{name!r} cannot be the name of a header"
            raise Permanent(f"{op} of {key!r}: {problem}", code="InvalidArgument", op=op, key=key)
        plain = value.isascii() and value.isprintable()
        encoded[lower] = (value if plain else _encode_value(lower, value, op, key)).strip(" \t")
    return encoded


@lru_cache(maxsize=256)  # objects by the million, names of headers by the dozen
def _wire_name(name: str) -> str:
    """The name in lower case, or nothing if HTTP cannot carry it."""
    return name.lower() if _NAME.fullmatch(name) else ""


def _encode_value(name: str, value: str, op: str, key: str) -> str:
    encoded = encode_meta(value)
    if encoded == value or name.startswith(_META):
        return encoded
    problem = f"the value of {name} has characters that HTTP cannot carry: {value[:100]!r}"
    raise Permanent(
        f"{op} of {key!r}: {problem}. Cure: mend the object's {name} at the source",
        code="InvalidArgument",
        op=op,
        key=key,
    )
