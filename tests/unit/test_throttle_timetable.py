"""What an operator may write for rates and timetables, what it means, and what is said else."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ossimport.limits.amounts import (
    UNLIMITED,
    bytes_text,
    parse_bytes,
    parse_requests,
    requests_text,
)
from ossimport.limits.limit import Limit, covers
from ossimport.limits.timetable import Rates, Timetable, parse_timetable

BERLIN = "Europe/Berlin"
OFFICE = "09:00-18:00=20MB/s, weekends=unlimited"


def table(text: str, zone: str = BERLIN) -> Timetable:
    return parse_timetable(text, zone)


def at(text: str, moment: str, zone: str = BERLIN) -> Rates:
    """What holds at a local time."""
    local = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone))
    return table(text, zone).at(local.timestamp())


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50MB/s", 50e6),
        ("50 MB/s", 50e6),
        ("1.5GB/s", 1.5e9),
        ("800KiB/s", 800 * 1024),
        ("2MiB", 2 << 20),
        ("1000B/s", 1000),
        ("10mBps", 10e6),
        ("Unlimited", UNLIMITED),
    ],
)
def test_rates_of_bytes(text: str, rate: float) -> None:
    assert parse_bytes(text) == rate
    assert parse_bytes(bytes_text(rate)) == pytest.approx(rate, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("50Mb/s", "bits"),
        ("50Mbit/s", "bits"),
        ("50", "write it as 50MB/s"),
        ("fast", "write it as 50MB/s"),
        ("-5MB/s", "write it as 50MB/s"),
        ("nanB/s", "write it as 50MB/s"),
        ("0MB/s", "pause"),
        ("999B/s", "at least 1KB/s"),
        ("11TB/s", "at most 10TB/s"),
    ],
)
def test_what_is_no_rate_of_bytes_is_told_with_its_cure(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_bytes(text)


def test_rates_of_requests() -> None:
    for text, rate in (("2000", 2000), ("2000qps", 2000), ("1.5 requests/s", 1.5), ("5/s", 5)):
        assert parse_requests(text) == rate
        assert parse_requests(requests_text(rate)) == rate
    assert parse_requests("unlimited") == UNLIMITED
    for wrong in ("0", "fast", "10MB/s", "1e3", "200000000"):
        with pytest.raises(ValueError, match="qps"):
            parse_requests(wrong)


@pytest.mark.parametrize(
    ("moment", "rate"),
    [
        ("2026-11-25 08:59:59", None),  # a Wednesday
        ("2026-11-25 09:00", 20e6),
        ("2026-11-25 17:59:59", 20e6),
        ("2026-11-25 18:00", None),
        ("2026-11-28 10:00", UNLIMITED),
        ("2026-11-29 23:59", UNLIMITED),
        ("2026-11-30 00:00", None),
    ],
)
def test_the_last_rule_that_fits_counts(moment: str, rate: float | None) -> None:
    assert at(OFFICE, moment).bytes == rate


def test_days_spans_and_kinds_of_rates() -> None:
    text = (
        "mon-thu 22:00-06:00=5MB/s 100qps; fri+sun=1MB/s\n"
        "sat 00:00-24:00=7qps, sun-mon 12:00-12:01=9qps"
    )
    assert at(text, "2026-11-23 23:00") == Rates(5e6, 100)  # Monday night
    assert at(text, "2026-11-24 05:59") == Rates(5e6, 100)
    assert at(text, "2026-11-24 06:00") == Rates()
    assert at(text, "2026-11-27 05:00") == Rates(1e6, 100)  # the night of Thursday, on Friday
    assert at(text, "2026-11-28 23:59") == Rates(None, 7)
    assert at(text, "2026-11-29 12:00") == Rates(1e6, 9)
    assert at(text, "2026-11-30 12:00") == Rates(None, 9)
    assert at("daily=1MB/s, weekdays=2MB/s", "2026-11-29 12:00") == Rates(1e6)


def test_local_time_is_kept_where_clocks_are_put_forward_and_back() -> None:
    for day in ("2026-03-28", "2026-03-29", "2026-10-25", "2026-10-26"):
        assert at("09:00-18:00=1MB/s", f"{day} 09:00").bytes == 1e6
        assert at("09:00-18:00=1MB/s", f"{day} 18:00").bytes is None
    # An hour that does not exist is not missed for longer than itself.
    spring = table("02:30-04:00=1MB/s")
    begin = datetime.fromisoformat("2026-03-29T01:59:59+01:00").timestamp()
    change = spring.next_change(begin)
    assert change is not None
    assert change.isoformat() in {"2026-03-29T03:30:00+02:00", "2026-03-29T03:00:00+02:00"}


def test_it_says_when_it_changes_next() -> None:
    def following(moment: str) -> str:
        zone = ZoneInfo(BERLIN)
        local = datetime.fromisoformat(moment).replace(tzinfo=zone)
        found = table(OFFICE).next_change(local.timestamp())
        return f"{found:%a %H:%M}" if found is not None else "never"

    assert following("2026-11-25 10:00") == "Wed 18:00"
    assert following("2026-11-25 18:00") == "Thu 09:00"
    assert following("2026-11-27 18:00") == "Sat 00:00"
    assert following("2026-11-29 03:00") == "Mon 00:00"
    assert table("daily=1MB/s").next_change(0.0) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rule"),
        ("09:00-18:00", "no '='"),
        ("=20MB/s", "does not say when"),
        ("09:00-18:00=", "has no rate"),
        ("25:00-26:00=1MB/s", "25:00 is no time"),
        ("09:00-09:60=1MB/s", "09:60 is no time"),
        ("09:00-09:00=1MB/s", "empty"),
        ("9-18=1MB/s", "'9-18' is neither"),
        ("monday=1MB/s", "'monday' is neither"),
        ("mon-=1MB/s", "'mon-' is neither"),
        ("mon=1Mb/s", "bits"),
        ("mon=1MB/s 2MB/s", "two rates"),
        ("mon=stop", "no rate of bytes"),
        ("mon=0qps", "pause"),
        (",".join(["mon=1MB/s"] * 51), "at most 50"),
    ],
)
def test_every_mistake_is_told_with_its_cure(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        table(text)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="no time zone") as caught:
        parse_timetable("9-18=1MB/s, mon=fast, tue=1MB/s", "Mars/Olympus")
    assert len(str(caught.value).splitlines()) == 3
    for zone in ("", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(ValueError, match="no time zone"):
            parse_timetable("mon=1MB/s", zone)


def test_a_limit_survives_its_way_through_the_ledger() -> None:
    for limit in (
        Limit(),
        Limit(Rates(50e6, None)),
        Limit(Rates(UNLIMITED, 2000)),
        Limit(Rates(1e6), table("mon-fri 22:00-06:00 = 5MB/s 100qps,  weekends=unlimited")),
    ):
        read = Limit.from_json(limit.to_json())
        for moment in range(1_700_000_000, 1_700_000_000 + 8 * 86400, 1800):
            assert read.at(moment) == limit.at(moment)
    for wrong in ("", "null", "{}", '{"bytes": 1}', "[]"):
        with pytest.raises(ValueError, match="Expecting|no limit|time zone"):
            Limit.from_json(wrong)


def test_the_timetable_goes_before_what_always_holds() -> None:
    limit = Limit(Rates(1e6, 10), table(OFFICE))
    wednesday = datetime(2026, 11, 25, 10, tzinfo=ZoneInfo(BERLIN)).timestamp()
    assert limit.at(wednesday) == Rates(20e6, 10)
    assert limit.at(wednesday + 9 * 3600) == Rates(1e6, 10)
    assert limit.at(wednesday + 3 * 86400) == Rates(UNLIMITED, UNLIMITED)
    assert Limit(Rates(UNLIMITED, None)).is_empty()
    assert not limit.is_empty()


def test_which_hosts_a_limit_of_an_endpoint_covers() -> None:
    oss = "oss-cn-hangzhou.aliyuncs.com"
    assert covers(oss, oss, f"{oss}:80")
    assert covers(oss, f"bucket.{oss}", f"bucket.{oss}:443")
    assert covers("aliyuncs.com", oss, f"{oss}:80")
    assert not covers(oss, f"x{oss}", f"x{oss}:80")
    assert not covers("com.aliyuncs", oss, f"{oss}:80")
    assert covers("10.0.0.7:9000", "10.0.0.7", "10.0.0.7:9000")
    assert not covers("10.0.0.7:9000", "10.0.0.7", "10.0.0.7:9001")
    assert covers("10.0.0.7", "10.0.0.7", "10.0.0.7:9001")
    assert covers("[fd00::7]:9000", "fd00::7", "[fd00::7]:9000")
