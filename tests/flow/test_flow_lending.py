"""One large object, whose parts several workers make; who holds it, who helps, and Redis may fail.

All together are held back until those have come that are waited for. Those that join are on another
host as far as anybody can see: nobody notices when they die but by their lease.
"""

import os
import random
import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from ossimport.ledger.redis import RedisLedger, open_ledger
from tests.servers.installation import PATIENCE_S
from tests.servers.migration import Migration, migration, wait_for

pytestmark = pytest.mark.slow

PARTS = 160
SIZE = PARTS * 101 * 1024 - 77


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Migration]:
    """A job of one object, caught when its only worker is at it."""
    with migration(
        tmp_path / "home",
        {"workerProcessNum": 1, "workerTaskThreadNum": 12},
        multipartUploadThreshold="1m",
        multipartUploadPartSize="101k",
    ) as made:
        made.write("large", random.Random(3).randbytes(SIZE))
        made.begin_job(limit=80_000)
        yield made


@contextmanager
def ledger_of(made: Migration) -> Iterator[RedisLedger]:
    """`stat` takes too long to catch what happens within seconds."""
    ledger = open_ledger(made.redis_url())
    yield ledger
    ledger.close()


def wait_for_helpers(made: Migration, number: int) -> None:
    with ledger_of(made) as ledger:
        wait_for(
            lambda: sum(task.helpers for task in ledger.running("local_test")) == number,
            f"{number} helpers",
        )


def parts_by(made: Migration, number: int) -> int:
    """How many parts the worker of that number has made for another, by its log."""
    log = made.home / f"wd{number}" / "logs" / "import.log"
    text = log.read_text() if log.exists() else ""
    return sum(int(count) for count in re.findall(r": helped: (\d+) parts .*$", text, re.M))


def ends_complete(made: Migration) -> None:
    made.limit(1_000_000)
    job = made.finish()
    assert job["state"] == "Succeed", job
    assert job["objects"]["copied"] == job["objects"]["listed"] == 1
    assert job["proof"]["2"] == 1
    assert made.stored() == made.sent()
    assert made.uploads() == []


def test_workers_that_join_make_parts_of_the_only_object(running: Migration) -> None:
    for number in range(2):
        running.join(number)
    wait_for_helpers(running, 2)
    ends_complete(running)
    for number in range(2):  # which they tell when they have looked for more
        wait_for(lambda: parts_by(running, number) >= 5, "five parts of each")  # noqa: B023 -- used at once


@pytest.mark.long
def test_a_helper_may_die(running: Migration) -> None:
    helpers = [running.join(number) for number in range(2)]
    wait_for_helpers(running, 2)
    helpers[0].kill()
    ends_complete(running)
    wait_for(lambda: parts_by(running, 1) >= 5, "five parts of who is left")
    assert "is gone" not in running.logs()


@pytest.mark.long
def test_the_holder_may_die_and_who_comes_next_has_what_others_made(running: Migration) -> None:
    running.join(0)
    wait_for_helpers(running, 1)
    with closing(Redis.from_url(running.redis_url())) as client:
        wait_for(lambda: any(client.scan_iter("oi:*:returned:*")), "parts to be returned")
    running.kill("worker")
    ends_complete(running)
    again = [line for line in running.logs().splitlines() if "is gone" in line]
    assert len(again) == 1


@pytest.mark.long
def test_who_helps_leaves_at_once_when_told_to(running: Migration) -> None:
    process = running.join(0)
    wait_for_helpers(running, 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    wait_for_helpers(running, 0)
    ends_complete(running)
    assert "is gone" not in running.logs()


@pytest.mark.long
def test_who_holds_leaves_and_another_goes_on(running: Migration) -> None:
    running.join(0)
    wait_for_helpers(running, 1)
    os.kill(running.pids()["worker"], signal.SIGTERM)
    ends_complete(running)
    assert "is gone" not in running.logs()


@pytest.mark.long
def test_redis_may_lose_everything_while_parts_are_lent(running: Migration) -> None:
    running.join(0)
    wait_for_helpers(running, 1)
    with closing(Redis.from_url(running.redis_url())) as client:
        client.flushall()
    with ledger_of(running) as ledger:
        wait_for(ledger.jobs, "the master to restore the job")
    running.limit(1_000_000)
    job = running.finish()
    assert job["state"] == "Succeed", job
    assert running.stored() == running.sent()
    # The upload that only Redis knew enough of to go on with is in the logs: it can be dropped.
    running.verb("clean")
    assert running.uploads() == []


@pytest.mark.long
def test_a_job_is_paused_while_parts_are_lent(running: Migration) -> None:
    running.join(0)
    wait_for_helpers(running, 1)
    running.verb("pause", "local_test")
    running.wait_until(lambda job: not job["running"])
    running.verb("resume", "local_test")
    ends_complete(running)
