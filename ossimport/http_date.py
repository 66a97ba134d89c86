"""Dates in the headers of HTTP."""

from email.utils import parsedate_to_datetime
from functools import lru_cache


@lru_cache(maxsize=1024)  # objects come many to the second
def http_date_ns(text: str) -> int:
    """Nanoseconds since 1970; 0 for what is no date."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 10**9
    except ValueError:
        return 0
