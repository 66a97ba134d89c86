"""Workers that join in the middle of a job, share its last task, leave it, and are lost.

All together are held back until those have joined that are waited for.
Those that join are on another host as far as anybody can see: nobody notices when they die but by
their lease.
"""

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.installation import PATIENCE_S
from tests.servers.migration import Migration, migration, wait_for
from workers.run_task import LEASE_S

pytestmark = pytest.mark.slow

FILES, SIZE = 12, 1_300_000  # one task: the first holds up to 16 MB


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Migration]:
    """A job of one task of large objects, caught when its only worker is at it."""
    with migration(
        tmp_path / "home",
        {"workerProcessNum": 1, "workerTaskThreadNum": 12},
        multipartUploadThreshold="1m",
        multipartUploadPartSize="200k",
    ) as made:
        rng = random.Random(3)
        for index in range(FILES):
            made.write(f"f{index:02d}", rng.randbytes(SIZE))
        made.begin_job(limit=80_000)
        made.wait_until(lambda job: job["tasks"]["running"])
        yield made


def holders(job: dict[str, Any]) -> set[str]:
    return {task["worker"] for task in job["running"]}


def parts(made: Migration) -> int:
    """How many tasks were cut off others, by the journal."""
    return sum(b" cut-from=" in path.read_bytes() for path in made.tree.glob("*_tasks/*/TASK"))


def ends_complete(made: Migration) -> None:
    arrives(made)
    assert made.uploads() == []


def arrives(made: Migration) -> None:
    made.limit(None)
    job = made.finish()
    assert job["state"] == "Succeed", job
    assert job["objects"]["copied"] == job["objects"]["listed"] == FILES
    assert job["tasks"]["failed"] == 0
    assert job["tasks"]["succeed"] == len(list(made.tree.glob("succeed_tasks/*/TASK")))
    assert made.stored() == made.sent()


def test_workers_that_join_share_the_only_task(running: Migration) -> None:
    for number in range(3):
        running.join(number)
    running.wait_until(lambda job: len(holders(job)) == 4)
    ends_complete(running)
    assert parts(running) >= 3


@pytest.mark.long
def test_who_gave_and_who_took_may_die(running: Migration) -> None:
    joined = [running.join(number) for number in range(2)]
    running.wait_until(lambda job: len(holders(job)) == 3)
    joined[0].kill()
    running.kill("worker")
    ends_complete(running)


@pytest.mark.long
def test_redis_may_lose_everything_when_tasks_are_shared(running: Migration) -> None:
    running.join(0)
    running.wait_until(lambda job: len(holders(job)) == 2)
    wait_for(lambda: any((running.tree / "dispatched").glob("*/*/TASK")), "the journal")
    running.verb("stop")
    for path in sorted((running.wd / "data" / "redis").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    running.verb("start")
    running.wait_until(lambda job: job["objects"]["listed"] == FILES)
    arrives(running)
    # The uploads that only Redis knew enough of to go on with are in the logs: they can be dropped.
    running.verb("clean")
    assert running.uploads() == []


@pytest.mark.long
def test_a_worker_that_leaves_gives_its_rest_to_another_within_seconds(running: Migration) -> None:
    process = running.join(0)
    running.wait_until(lambda job: len(holders(job)) == 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    ends_complete(running)
    assert "is gone" not in running.logs()  # nobody had to wait for a lease


@pytest.mark.long
def test_the_task_of_a_lost_host_is_taken_over_when_its_lease_has_run_out(
    running: Migration,
) -> None:
    process = running.join(0)
    job = running.wait_until(lambda job: len(holders(job)) == 2)
    (lost,) = (worker for worker in holders(job) if not worker.startswith("localhost:"))
    process.kill()
    running.wait_until(lambda job: lost not in holders(job), LEASE_S + 30)
    ends_complete(running)
