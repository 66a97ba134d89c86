"""What is limited, and what of it is in force. Pure: the ledger's words in, text out."""

import math
from collections.abc import Sequence
from datetime import datetime

from ossimport.limits.amounts import bytes_text, requests_text
from ossimport.limits.leases import InForce, LimitTable
from ossimport.limits.limit import ALL, Limit, host_of
from ossimport.limits.timetable import Rates, rates_text

_SLOW = "slow "


def limits_text(table: LimitTable, shared: Sequence[InForce], moment: float) -> list[str]:
    """One line for each limit and for each endpoint that is obeyed; none if nothing is limited."""
    lines = []
    for scope, limit in _limits(table):
        if isinstance(limit, str):
            lines.append(f"limit of {_words(scope)}: cannot be read here ({limit})")
            continue
        lines.append(f"limit of {_words(scope)}: {_now_text(limit, moment)}{_users(scope, shared)}")
        if limit.timetable is not None:
            always = f"; else {rates_text(limit.rates)}" if limit.rates != Rates() else ""
            zone = limit.timetable.zone.key
            lines.append(f"    timetable ({zone}): {limit.timetable.text}{always}")
    for each in _obeyed(shared):
        name = each.rate.removeprefix(_SLOW)
        lines.append(
            f"slowed down: {name} refuses requests because they are too many;"
            f" {requests_text(round(each.obeyed or 0, 1))} are sent by all workers together"
        )
    return lines


def limits_json(
    table: LimitTable, shared: Sequence[InForce], moment: float
) -> dict[str, list[dict[str, object]]]:
    """The same for programs. None: not limited."""
    found: list[dict[str, object]] = []
    for scope, limit in _limits(table):
        if isinstance(limit, str):
            found.append({"scope": scope, "error": limit})
            continue
        now, timetable, change = limit.at(moment), limit.timetable, _change(limit, moment)
        found.append(
            {
                "scope": scope,
                "bytesPerSecond": limit.rates.bytes,
                "requestsPerSecond": limit.rates.requests,
                "schedule": timetable.text if timetable is not None else "",
                "timeZone": timetable.zone.key if timetable is not None else "",
                "now": {
                    "bytesPerSecond": _finite(now.bytes),
                    "requestsPerSecond": _finite(now.requests),
                },
                "until": change.isoformat() if change is not None else None,
            }
        )
    slowed: list[dict[str, object]] = [
        {"endpoint": each.rate.removeprefix(_SLOW), "requestsPerSecond": each.obeyed}
        for each in _obeyed(shared)
    ]
    return {"set": found, "slowedDown": slowed}


def _limits(table: LimitTable) -> list[tuple[str, Limit | str]]:
    found: list[tuple[str, Limit | str]] = []
    for scope in sorted(table.texts, key=lambda scope: (scope != ALL, scope)):
        try:
            found.append((scope, Limit.from_json(table.texts[scope])))
        except ValueError as exc:
            found.append((scope, str(exc)))
    return found


def _obeyed(shared: Sequence[InForce]) -> list[InForce]:
    found = [each for each in shared if each.obeyed is not None]
    return sorted(found, key=lambda each: each.rate)


def _words(scope: str) -> str:
    if scope == ALL:
        return "all jobs together"
    return f"endpoint {host_of(scope)}, for all jobs" if host_of(scope) else scope


def _now_text(limit: Limit, moment: float) -> str:
    now = limit.at(moment)
    parts = []
    if now.bytes is not None and now.bytes < math.inf:
        parts.append(bytes_text(now.bytes))
    if now.requests is not None and now.requests < math.inf:
        parts.append(requests_text(now.requests))
    text = ", ".join(parts) or "unlimited now"
    change = _change(limit, moment)
    return f"{text}, until {change:%a %H:%M %Z}" if change is not None else text


def _change(limit: Limit, moment: float) -> datetime | None:
    return limit.timetable.next_change(moment) if limit.timetable is not None else None


def _users(scope: str, shared: Sequence[InForce]) -> str:
    names = {f"{scope} bytes", f"{scope} requests"}
    holders = max((each.holders for each in shared if each.rate in names), default=0)
    if not holders:
        return ""
    return f"; shared by {holders} worker process{'es' if holders > 1 else ''}"


def _finite(rate: float | None) -> float | None:
    return None if rate == math.inf else rate
