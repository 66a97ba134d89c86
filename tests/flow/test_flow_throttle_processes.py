"""Eight real processes share limits over a real server: measured by what came at the other end.

Machines are slow now and then, and then less comes; more than is allowed never does.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ossimport.ledger.base import Job
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.limits.limit import ALL, Limit, job_scope
from ossimport.limits.timetable import Rates
from tests.servers.counting_sink import Sink, counting_sink
from tests.servers.installation import PATIENCE_S
from tests.servers.migration import wait_for
from tests.servers.valkey import Valkey, valkey

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
JOB = Job("photos", 1, "", b"")
PROCESSES = 8


@contextmanager
def senders(server: Valkey, sink: Sink, size: int, runners: int) -> Iterator[None]:
    """Eight processes that send, all of them by the time that this is entered."""
    began = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.servers.limited_sender", server.url, str(sink.port)]
            + [JOB.name, f"w{number}", str(size), str(runners)],
            stdin=subprocess.PIPE,
            cwd=ROOT,
        )
        for number in range(PROCESSES)
    ]
    try:
        ledger = open_ledger(server.url)
        wait_for(
            lambda: any(rate.holders == PROCESSES for rate in ledger.in_force()), "all senders"
        )
        ledger.close()
        yield
    finally:
        for process in began:
            process.kill()
            process.communicate()


@pytest.fixture
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture
def ledger(server: Valkey) -> Iterator[RedisLedger]:
    opened = open_ledger(server.url)
    opened.create_job(JOB)
    yield opened
    opened.close()


def limit(ledger: RedisLedger, scope: str, bytes_: float | None, qps: float | None = None) -> float:
    """Set a limit; return when that was done."""
    ledger.set_limit(scope, Limit(Rates(bytes_, qps)).to_json())
    return time.monotonic()


def test_what_comes_is_what_is_allowed_two_seconds_after_a_change(
    server: Valkey, ledger: RedisLedger
) -> None:
    limit(ledger, ALL, 4e6)
    with counting_sink() as sink, senders(server, sink, 100_000, 4):
        for rate in (2e6, 6e6):
            changed, calls = limit(ledger, ALL, rate), _calls(ledger)
            settles(sink, sink.bytes_per_s, rate, changed)
            seconds = time.monotonic() - changed
            assert _calls(ledger) - calls <= PROCESSES * seconds * 2.5
        # Without the server everybody goes on for two seconds, and then stops.
        server.kill()
        killed = time.monotonic()
        wait_for(lambda: is_quiet(sink, killed), "all to stop")
        server.restart()
        settles(sink, sink.bytes_per_s, 6e6, time.monotonic())


def settles(
    sink: Sink, measure: Callable[[float, float], float], rate: float, changed: float
) -> None:
    """From two seconds after the change on no more comes than `rate`, and soon hardly less.

    At once, unless the machine is slow.
    """
    begin = changed + 2
    while True:
        time.sleep(max(0.0, begin + 3 - time.monotonic()))
        came = measure(begin, begin + 3) / rate
        assert came < 1.05 * (1 + sink.lateness.seconds(begin - 1, begin + 3) / 3)
        if came > 0.75:
            return
        begin += 1
        assert begin < changed + PATIENCE_S, came


def is_quiet(sink: Sink, since: float) -> bool:
    """Nothing has come for a second and a half."""
    now = time.monotonic()
    return now > since + 1.5 and not sink.bytes_per_s(now - 1.5, now)


def _calls(ledger: RedisLedger) -> int:
    found = ledger._client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})
    return int(found["calls"])


def test_requests_are_limited_and_a_service_that_refuses_is_obeyed_by_all(
    server: Valkey, ledger: RedisLedger
) -> None:
    limit(ledger, job_scope(JOB.name), None, 200)
    with counting_sink() as sink, senders(server, sink, 500, 20):
        changed = limit(ledger, job_scope(JOB.name), None, 120)
        settles(sink, sink.requests_per_s, 120, changed)
        sink.takes = 60.0  # less than they have sent just now, on this machine
        freed = limit(ledger, job_scope(JOB.name), None)
        wait_for(lambda: obeyed(ledger) == [f"slow 127.0.0.1:{sink.port}"], "all to obey")
        seconds = range(int(time.monotonic() - freed))
        most = max(sink.requests_per_s(freed + n, freed + n + 1, taken=False) for n in seconds)
        assert most > sink.takes / 4
        wait_for(lambda: is_used_well(sink, most), "the service to be used and spared")


def obeyed(ledger: RedisLedger) -> list[str]:
    """The rates that a service has made known by refusals."""
    return [rate.rate for rate in ledger.in_force() if rate.obeyed is not None]


def is_used_well(sink: Sink, most: float) -> bool:
    """For six seconds it has been asked for much of what it takes, and has refused few requests."""
    now = time.monotonic()
    refused = sink.requests_per_s(now - 6, now, taken=False)
    return refused < most / 3 and sink.requests_per_s(now - 6, now) > sink.takes / 2
