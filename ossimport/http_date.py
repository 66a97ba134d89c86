"""Times that services say, and dates in the headers of HTTP."""

from email.utils import parsedate_to_datetime
from functools import lru_cache

_MAX_NS = 2**63 - 1  # the year 2262


def whole_seconds_ns(seconds: int) -> int:
    """Nanoseconds since 1970; 0 for what 64 bits do not hold.

    A server that knows no time may say that of the year 1, or of 9999.
    """
    ns = seconds * 10**9
    return ns if -_MAX_NS <= ns <= _MAX_NS else 0


@lru_cache(maxsize=1024)  # objects come many to the second
def http_date_ns(text: str) -> int:
    """Nanoseconds since 1970; 0 for what is no date."""
    try:
        return whole_seconds_ns(int(parsedate_to_datetime(text).timestamp()))
    except (ValueError, OverflowError):
        return 0
