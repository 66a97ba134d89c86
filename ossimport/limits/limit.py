"""A limit as an operator sets it, and what it holds for."""

import json
from typing import NamedTuple

from ossimport.limits.amounts import UNLIMITED
from ossimport.limits.timetable import Rates, Timetable, parse_timetable

ALL = "all"  # the scope of every job on every host
_JOB, _ENDPOINT = "job ", "endpoint "
MOST_ENDPOINTS = 64  # that have a limit: each costs every process a look per endpoint it talks to


class Limit(NamedTuple):
    """Rates that hold always, and a timetable that changes them."""

    rates: Rates = Rates()
    timetable: Timetable | None = None

    def at(self, moment: float) -> Rates:
        """What is allowed at a moment, in seconds since 1970. Nothing is None."""
        of_table = self.timetable.at(moment) if self.timetable is not None else Rates()
        return of_table.over(self.rates).over(Rates(UNLIMITED, UNLIMITED))

    def is_empty(self) -> bool:
        """Whether it limits nothing, ever."""
        return self.timetable is None and not {*self.rates} - {None, UNLIMITED}

    def to_json(self) -> str:
        """What `from_json` reads."""
        table = self.timetable
        data = {
            "bytes": _number(self.rates.bytes),
            "requests": _number(self.rates.requests),
            "schedule": table.text if table is not None else "",
            "zone": table.zone.key if table is not None else "",
        }
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> "Limit":
        """What `to_json` wrote. Raises ValueError, also where this host lacks the time zone."""
        try:
            data = json.loads(text)
            rates = Rates(data["bytes"], data["requests"])
            schedule, zone = data["schedule"], data["zone"]
        except (KeyError, TypeError) as exc:
            raise ValueError(f"{text!r} is no limit of this version") from exc
        return cls(rates, parse_timetable(schedule, zone) if schedule else None)


def _number(rate: float | None) -> float | None:
    """A rate that is not limited is one that is not set: JSON has no infinity."""
    return None if rate == UNLIMITED else rate


def job_scope(name: str) -> str:
    """The scope of one job."""
    return _JOB + name


def job_of(scope: str) -> str:
    """The job of a job's scope; empty for other scopes."""
    return scope[len(_JOB) :] if scope.startswith(_JOB) else ""


def endpoint_scope(host: str) -> str:
    """The scope of one host, or of all hosts under a domain."""
    return _ENDPOINT + host


def host_of(scope: str) -> str:
    """The host of an endpoint's scope; empty for other scopes."""
    return scope[len(_ENDPOINT) :] if scope.startswith(_ENDPOINT) else ""


def covers(host_limited: str, host: str, authority: str) -> bool:
    """Whether a limit of an endpoint holds for this one: `oss-cn-hangzhou.aliyuncs.com` covers
    every bucket's host below it; with a port it is that port only."""
    if ":" in host_limited:
        return authority == host_limited or authority.endswith(f".{host_limited}")
    return host == host_limited or host.endswith(f".{host_limited}")
