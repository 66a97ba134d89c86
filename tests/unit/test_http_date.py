"""Times that services say: in nanoseconds that 64 bits hold, or none."""

import pytest

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
