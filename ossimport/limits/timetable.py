"""A timetable of rates: `09:00-18:00=20MB/s, weekends=unlimited`, in a time zone.

A rule is `[DAYS] [FROM-TO]=RATE [RATE]`, and rules are separated by commas. Of the rules that fit
a moment the last one counts, for bytes and for requests each; where none fits, what is set without
a timetable. A span that ends before it begins goes over midnight and belongs to the day on which
it begins. Pure: the time is passed in.
"""

import re
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ossimport.limits.amounts import bytes_text, parse_bytes, parse_requests, requests_text

_DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_GROUPS = {"daily": range(7), "weekdays": range(5), "weekends": range(5, 7)}
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", re.ASCII)
_DAY = 24 * 60
_MOST_RULES = 50
_LOOK_AHEAD = timedelta(days=8)
_EXAMPLE = "such as 09:00-18:00=20MB/s, weekends=unlimited"


class Rates(NamedTuple):
    """What is set for a moment; None: nothing."""

    bytes: float | None = None
    requests: float | None = None

    def over(self, other: "Rates") -> "Rates":
        """These, and where they say nothing the others."""
        return Rates(
            other.bytes if self.bytes is None else self.bytes,
            other.requests if self.requests is None else self.requests,
        )


class Rule(NamedTuple):
    """One line of the timetable. Minutes of the day; `begin == end` is the whole day."""

    days: frozenset[int]  # Monday is 0
    begin: int
    end: int
    rates: Rates
    text: str

    def fits(self, weekday: int, minute: int) -> bool:
        """Whether it counts on this day of the week at this minute of the day."""
        if self.begin < self.end:
            return weekday in self.days and self.begin <= minute < self.end
        if self.begin == self.end:
            return weekday in self.days
        yesterday = (weekday - 1) % 7
        return (weekday in self.days and minute >= self.begin) or (
            yesterday in self.days and minute < self.end
        )


class Timetable(NamedTuple):
    """Rules, and the zone that their times are of."""

    rules: tuple[Rule, ...]
    zone: ZoneInfo

    @property
    def text(self) -> str:
        """What `parse_timetable` makes the same of."""
        return ", ".join(rule.text for rule in self.rules)

    def at(self, moment: float) -> Rates:
        """What it says at a moment, in seconds since 1970."""
        local = datetime.fromtimestamp(moment, self.zone)
        found = Rates()
        for rule in self.rules:
            if rule.fits(local.weekday(), local.hour * 60 + local.minute):
                found = rule.rates.over(found)
        return found

    def next_change(self, moment: float) -> datetime | None:
        """When it says something else for the first time after a moment; None: not within a week.

        Clocks that are put forward or back are seen to: each edge is looked at as it really is.
        """
        now = datetime.fromtimestamp(moment, self.zone)
        edges = sorted({edge for rule in self.rules for edge in (rule.begin, rule.end)} | {0})
        first = datetime.combine(now.date(), time())
        found = []
        for day in range(_LOOK_AHEAD.days + 1):
            for edge in edges:
                naive = first + timedelta(days=day, minutes=edge % _DAY)
                found.append(naive.replace(tzinfo=self.zone).astimezone(UTC))
        present = self.at(moment)
        for edge_time in sorted(found):
            if edge_time.timestamp() > moment and self.at(edge_time.timestamp()) != present:
                return edge_time.astimezone(self.zone)
        return None


def parse_timetable(text: str, zone: str) -> Timetable:
    """Read a timetable. Raises ValueError with every mistake, each with its cure, one per line."""
    problems: list[str] = []
    try:
        zone_info: ZoneInfo | None = ZoneInfo(zone)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        zone_info = None
        problems.append(
            f"{zone!r} is no time zone that this host knows: name one such as Europe/Berlin,"
            " Asia/Shanghai or UTC; if it is right, install the package tzdata"
        )
    rules: list[Rule] = []
    for part in re.split(r"[,;\n]", text):
        if part.strip():
            try:
                rules.append(_parse_rule(part.strip()))
            except ValueError as exc:
                problems.append(str(exc))
    if not rules and not problems:
        problems.append(f"the timetable has no rule: write some, {_EXAMPLE}")
    if len(rules) > _MOST_RULES:
        problems.append(f"the timetable has {len(rules)} rules: at most {_MOST_RULES} are possible")
    if problems or zone_info is None:
        raise ValueError("\n".join(problems))
    return Timetable(tuple(rules), zone_info)


def _parse_rule(text: str) -> Rule:
    when, equals, what = text.partition("=")
    if not equals:
        raise ValueError(f"rule {text!r} has no '=': write WHEN=RATE, {_EXAMPLE}")
    begin = end = 0
    span = _SPAN.search(when)
    if span is not None:
        begin, end = _minute(text, span[1], span[2]) % _DAY, _minute(text, span[3], span[4])
        if begin == end:
            raise ValueError(f"rule {text!r}: the span is empty; for the whole day leave it out")
        when = f"{when[: span.start()]} {when[span.end() :]}"
    days = _days(text, when.split(), has_span=span is not None)
    return Rule(frozenset(days), begin, end, _rates(text, what), _tidy(text))


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _minute(rule: str, hour: str, minute: str) -> int:
    total = int(hour) * 60 + int(minute)
    if int(minute) > 59 or total > _DAY:
        raise ValueError(f"rule {rule!r}: {hour}:{minute} is no time; write 00:00 to 24:00")
    return total


def _days(rule: str, words: list[str], *, has_span: bool) -> set[int]:
    if not words:
        if has_span:
            return set(range(7))
        raise ValueError(f"rule {rule!r} does not say when: write a span or days, {_EXAMPLE}")
    days: set[int] = set()
    for word in "+".join(words).lower().split("+"):
        first, dash, last = word.partition("-")
        if word in _GROUPS:
            days.update(_GROUPS[word])
        elif first in _DAY_NAMES and (last in _DAY_NAMES or not dash):
            begin = _DAY_NAMES.index(first)
            length = (_DAY_NAMES.index(last) - begin) % 7 + 1 if dash else 1
            days.update((begin + day) % 7 for day in range(length))
        else:
            raise ValueError(
                f"rule {rule!r}: {word!r} is neither a span like 09:00-18:00 nor days: write mon,"
                " mon-fri, weekdays, weekends or daily; several with a + between them"
            )
    return days


def _rates(rule: str, text: str) -> Rates:
    words = text.split()
    if not words:
        raise ValueError(f"rule {rule!r} has no rate: write 20MB/s, 500qps, both or unlimited")
    if [word.lower() for word in words] == ["unlimited"]:
        return Rates(parse_bytes(words[0]), parse_requests(words[0]))
    rates = Rates()
    for word in words:
        try:
            if word.lower().endswith(("qps", "requests/s")):
                rate = Rates(requests=parse_requests(word))
            else:
                rate = Rates(bytes=parse_bytes(word))
        except ValueError as exc:
            raise ValueError(f"rule {rule!r}: {exc}") from None
        if None not in (rate.bytes, rates.bytes) or None not in (rate.requests, rates.requests):
            raise ValueError(f"rule {rule!r} has two rates of one kind: keep one")
        rates = rate.over(rates)
    return rates


def rates_text(rates: Rates) -> str:
    """What is set, for people."""
    said = []
    if rates.bytes is not None:
        said.append(bytes_text(rates.bytes))
    if rates.requests is not None:
        said.append(requests_text(rates.requests))
    return ", ".join(said) or "unlimited"
