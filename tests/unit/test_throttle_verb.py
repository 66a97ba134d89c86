"""What the verb `throttle` takes, refuses, sets and shows, over a ledger in memory."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tzlocal

from ossimport.config import SystemConfig, load_job, load_system
from ossimport.console import actions, main
from ossimport.ledger.base import Ledger
from ossimport.ledger.memory import MemoryLedger
from ossimport.limits.leases import Ask
from ossimport.limits.limit import MOST_ENDPOINTS, endpoint_scope
from ossimport.service import borrow
from tests.servers.installation import Installation

Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def made(tmp_path: Path, ledger: MemoryLedger) -> Installation:
    """An installation with a job; nothing of it runs."""
    made = Installation(tmp_path)
    system = load_system(made.conf / "sys.properties")
    actions.create_job(system, ledger, load_job(made.job_file, system))
    return made


@pytest.fixture
def verb(
    made: Installation,
    ledger: MemoryLedger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Verb:
    @contextmanager
    def borrowed(system: SystemConfig) -> Iterator[Ledger]:
        yield ledger

    monkeypatch.setattr(borrow, "ledger", borrowed)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["throttle", *arguments, "--sys", str(made.conf / "sys.properties")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bytes", "5MB/s"], "Say whose limit it is"),
        (["nobody", "--bytes", "5MB/s"], "There is no job of the name nobody"),
        (["--all", "local_test", "--off"], "--all is of all jobs"),
        (["--all", "--off", "--qps", "5"], "leave out --qps"),
        (["--all", "--bytes", "5Mb/s"], "--bytes: '5Mb/s' may be bits"),
        (["--all", "--qps", "0"], "at least 1qps"),
        (["--all", "--schedule", "9-18=5MB/s, mon=7"], "neither a span"),
        (["--all", "--schedule", "mon=5MB/s", "--zone", "Mars"], "'Mars' is no time zone"),
        (["--all", "--zone", "UTC"], "--zone is of a timetable"),
        (["--endpoint", "http://a/b", "--qps", "5"], "this is no host"),
        (["--endpoint", "source", "--qps", "5"], "of which job?"),
        (["local_test", "--endpoint", "a.b", "--qps", "5"], "leave out local_test"),
        (["local_test", "--endpoint", "source", "--qps", "5"], "names no host of its source"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_cure(
    verb: Verb, arguments: list[str], said: str
) -> None:
    code, out, err = verb(*arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert verb() == (0, "Nothing is limited.\n", "")


def test_what_is_not_named_stays(verb: Verb) -> None:
    assert verb("local_test", "--bytes", "5MB/s")[1] == "limit of job local_test: 5MB/s\n"
    assert verb("local_test", "--qps", "70")[1] == "limit of job local_test: 5MB/s, 70qps\n"
    assert verb("local_test", "--bytes", "unlimited")[1] == "limit of job local_test: 70qps\n"
    schedule = "09:00-18:00=20MB/s, weekends=unlimited"
    out = verb("local_test", "--schedule", schedule, "--zone", "Asia/Shanghai")[1]
    assert f"    timetable (Asia/Shanghai): {schedule}; else 70qps\n" in out
    assert ", until " in out
    assert "timetable (UTC)" in verb("local_test", "--zone", "UTC")[1]
    assert verb("local_test", "--schedule", "")[1] == "limit of job local_test: 70qps\n"
    assert verb("local_test", "--qps", "unlimited")[1] == "Nothing is limited.\n"


def test_the_zone_of_this_host_is_taken_and_shown(
    verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tzlocal, "get_localzone_name", lambda: "America/New_York")
    assert (
        "timetable (America/New_York): sat=1MB/s\n" in verb("--all", "--schedule", "sat=1MB/s")[1]
    )


def test_ends_of_a_job_are_hosts_for_all_jobs(verb: Verb, made: Installation) -> None:
    where = f"endpoint 127.0.0.1:{made.sandbox_port}, for all jobs"
    verb("local_test", "--endpoint", "destination", "--qps", "70")
    verb("--all", "--bytes", "1MB/s")
    assert verb("--endpoint", "Example.COM", "--qps", "7")[1].splitlines() == [
        "limit of all jobs together: 1MB/s",
        f"limit of {where}: 70qps",
        "limit of endpoint example.com, for all jobs: 7qps",
    ]
    verb("--endpoint", "example.com", "--off")
    verb("local_test", "--endpoint", "destination", "--off")
    assert verb("--all", "--off")[1] == "Nothing is limited.\n"


def test_endpoints_with_a_limit_are_bounded(verb: Verb, ledger: MemoryLedger) -> None:
    for number in range(MOST_ENDPOINTS):
        assert verb("--endpoint", f"h{number}", "--qps", "5")[0] == 0
    code, _, err = verb("--endpoint", "one-more", "--qps", "5")
    assert (code, "remove one" in err) == (1, True)
    assert verb("--endpoint", "h3", "--qps", "6")[0] == 0
    assert endpoint_scope("one-more") not in ledger.limits().texts


def test_programs_are_told_the_same(verb: Verb, ledger: MemoryLedger) -> None:
    verb("--all", "--bytes", "5MB/s", "--schedule", "daily=7MB/s", "--zone", "UTC")
    ledger.lease_shares("j", ledger.limits().version, "w1", 9.0, [Ask("all bytes", 7e6, 1e9)])
    assert "7MB/s; shared by 1 worker process\n" in verb()[1]
    assert json.loads(verb("--json")[1]) == {
        "set": [
            {
                "scope": "all",
                "bytesPerSecond": 5e6,
                "requestsPerSecond": None,
                "schedule": "daily=7MB/s",
                "timeZone": "UTC",
                "now": {"bytesPerSecond": 7e6, "requestsPerSecond": None},
                "until": None,
            }
        ],
        "slowedDown": [],
    }
