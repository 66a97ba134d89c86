"""Times that services say, and dates in the headers of HTTP."""

import re
from email.utils import parsedate_to_datetime
from functools import lru_cache

_MAX_NS = 2**63 - 1  # the year 2262
_USUAL = re.compile(
    r"(\w{3}, [0-3][0-9] \w{3} [0-9]{4}) ([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]) GMT", re.ASCII
)


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
        usual = _USUAL.fullmatch(text)
        if usual is None:
            return whole_seconds_ns(_seconds(text))
        day, hours, minutes, seconds = usual.groups()
        clock = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
        return whole_seconds_ns(_midnight(day) + clock)
    except (ValueError, OverflowError):
        return 0


@lru_cache(maxsize=1024)  # and where they do not, many to the day
def _midnight(day: str) -> int:
    return _seconds(f"{day} 00:00:00 GMT")


def _seconds(text: str) -> int:
    return int(parsedate_to_datetime(text).timestamp())
