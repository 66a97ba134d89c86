"""Bytes and requests per second, as an operator writes and reads them."""

import math
import re

UNLIMITED = math.inf

_UNITS: dict[str, int] = {
    "b": 1,
    **{f"{letter}b": int(1e3) ** power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1 << 10 * power for power, letter in enumerate("kmgt", 1)},
}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)(?:/s|ps)?", re.ASCII | re.IGNORECASE)
_BITS = re.compile(r"b(?:its?)?(?:/s|ps)?$")  # a common slip, and an eighth of what was meant
_REQUESTS = re.compile(r"(\d+(?:\.\d+)?)\s*(?:qps|requests/s|/s)?", re.ASCII | re.IGNORECASE)
_LEAST_BYTES, _MOST_BYTES = 1000, 10**13
_LEAST_REQUESTS, _MOST_REQUESTS = 1, 10**8


def parse_bytes(text: str) -> float:
    """`50MB/s`, `1.5GiB/s`, `unlimited`. Raises ValueError: what is wrong, and how to mend it."""
    if text.strip().lower() == "unlimited":
        return UNLIMITED
    if _BITS.search(text.strip()):
        raise ValueError(f"{text!r} may be bits: write bytes with a capital B, such as 50MB/s")
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no rate of bytes: write it as 50MB/s, 800KiB/s or unlimited")
    amount = float(found[1]) * _UNITS[found[2].lower()]
    if not _LEAST_BYTES <= amount <= _MOST_BYTES:
        raise ValueError(
            f"{text!r} is out of range: at least 1KB/s (to stop a job is not a limit: pause it),"
            " at most 10TB/s"
        )
    return amount


def parse_requests(text: str) -> float:
    """`2000`, `2000qps`, `unlimited`. Raises ValueError: what is wrong, and how to mend it."""
    if text.strip().lower() == "unlimited":
        return UNLIMITED
    found = _REQUESTS.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no rate of requests: write it as 2000qps or unlimited")
    amount = float(found[1])
    if not _LEAST_REQUESTS <= amount <= _MOST_REQUESTS:
        raise ValueError(
            f"{text!r} is out of range: at least 1qps (to stop a job is not a limit: pause it),"
            " at most 100000000qps"
        )
    return amount


def bytes_text(rate: float) -> str:
    """A rate of bytes for people, exact enough to be typed in again."""
    if rate == UNLIMITED:
        return "unlimited"
    for letter, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("K", 1000)):
        if rate >= size:
            return f"{rate / size:.6g}{letter}B/s"
    return f"{rate:.6g}B/s"


def requests_text(rate: float) -> str:
    """A rate of requests for people."""
    return "unlimited" if rate == UNLIMITED else f"{rate:.10g}qps"
