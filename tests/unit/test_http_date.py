"""Times that services say: in nanoseconds that 64 bits hold, or none."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.http_date import http_date_ns, whole_seconds_ns

LATEST = 9_223_372_036  # in April of 2262


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000 * 10**9),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -(10**9)),
        ("", 0),
        ("today", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999999999", 0),
    ],
)
def test_what_is_no_date_is_none(text: str, nanoseconds: int) -> None:
    assert http_date_ns(text) == nanoseconds


@pytest.mark.parametrize("sign", [1, -1])
def test_what_64_bits_do_not_hold_is_no_time(sign: int) -> None:
    assert whole_seconds_ns(sign * LATEST) == sign * LATEST * 10**9
    assert whole_seconds_ns(sign * (LATEST + 1)) == 0


@given(st.integers(-2_000_000_000, LATEST))
def test_any_second_is_read(seconds: int) -> None:
    text = format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
    assert http_date_ns(text) == seconds * 10**9


@pytest.mark.parametrize(
    "text",
    [
        "Thu, 01 Jan 1970 00:00:01 GMT",
        "Thu, 1 Jan 1970 00:00:01 GMT",
        "Xyz, 14 Nov 2023 22:13:20 GMT",
        "14 Nov 2023 22:13:20 GMT",
        "Tue, 14 Nov 2023 22:13:20 +0100",
        "Tue, 14 Nov 2023 22:13 GMT",
        "Tue, 14-Nov-2023 22:13:20 GMT",
    ],
)
def test_a_date_is_read_however_it_is_written(text: str) -> None:
    assert http_date_ns(text) == int(parsedate_to_datetime(text).timestamp()) * 10**9


@pytest.mark.parametrize(
    "text",
    [
        "Tue, 31 Feb 2023 22:13:20 GMT",
        "Tue, 14 Nov 2023 24:00:00 GMT",
        "Tue, 14 Nov 2023 23:60:00 GMT",
        "Tue, 14 Xyz 2023 22:13:20 GMT",
    ],
)
def test_a_second_that_never_was_is_none(text: str) -> None:
    try:
        expected = int(parsedate_to_datetime(text).timestamp()) * 10**9
    except ValueError:
        expected = 0
    assert http_date_ns(text) == expected
