"""kill -9 of every process in the middle of a job: it ends complete, and the sum always closes.

The workers are slowed down until then, so that each kill meets work in progress.
"""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.servers.migration import Migration, migration, wait_for

pytestmark = pytest.mark.slow

FILES = 400
LARGE = 3 << 20


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Migration]:
    """A job that takes most of a minute as it is, caught when a part of it is done."""
    with migration(
        tmp_path / "home",
        multipartUploadThreshold="1m",
        multipartUploadPartSize="200k",
        taskObjectCountLimit=60,
    ) as made:
        rng = random.Random(5)
        for index in range(FILES):
            made.write(f"d{index % 5}/f{index}", rng.randbytes(10_000))
        for index in range(2):
            made.write(f"large{index}", rng.randbytes(LARGE))
        made.begin_job(limit=200_000)
        made.wait_until(lambda job: job["objects"]["copied"] > 30)
        yield made


def ends_complete(made: Migration) -> None:
    arrives(made)
    assert made.uploads() == []


def arrives(made: Migration) -> None:
    made.limit(None)
    job = made.finish()
    assert job["state"] == "Succeed", job
    assert job["objects"]["copied"] == FILES + 2
    assert made.stored() == made.sent()


def kill_worker_child(made: Migration) -> None:
    os.kill(made.forked("worker")[0], signal.SIGKILL)


def kill_supervisor(made: Migration) -> None:
    made.kill("supervisor")
    made.verb("start")


def runs(made: Migration, name: str) -> bool:
    return name in made.pids()


def came_back(made: Migration, name: str, killed: int) -> bool:
    return made.pids().get(name, killed) != killed


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(kill_worker_child, id="a worker child"),
        pytest.param(lambda made: made.kill("worker"), id="a whole worker"),
        pytest.param(lambda made: made.kill("master"), id="the master"),
        pytest.param(lambda made: made.kill("redis"), id="the embedded server"),
        pytest.param(kill_supervisor, id="the supervisor"),
        pytest.param(lambda made: made.kill("sandbox"), id="the destination"),
    ],
)
def test_a_job_survives_the_death_of(kill: Callable[[Migration], None], running: Migration) -> None:
    kill(running)
    ends_complete(running)


def test_a_job_survives_a_stop_and_a_start(running: Migration) -> None:
    running.verb("stop")
    before = running.look()["objects"]
    assert 30 < before["copied"] < FILES + 2
    running.verb("start")
    ends_complete(running)


def test_a_job_survives_the_loss_of_everything_in_redis(running: Migration) -> None:
    running.verb("stop")
    done = running.look()["objects"]["copied"]
    for path in sorted((running.wd / "data" / "redis").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    running.verb("start")
    job = running.wait_until(lambda job: job["objects"]["copied"] >= done)
    assert job["objects"]["listed"] == FILES + 2
    arrives(running)
    # The uploads that only Redis knew enough of to go on with are in the logs: they can be dropped.
    running.verb("clean")
    assert running.uploads() == []


def test_several_kills_in_a_row(running: Migration) -> None:
    rng = random.Random(7)
    for _ in range(4):
        name = rng.choice(["worker", "master", "redis"])
        wait_for(partial(runs, running, name), f"the {name}")
        killed = running.kill(name)
        wait_for(partial(came_back, running, name, killed), f"a new {name}")
        if running.look()["state"] != "Running":
            break
    ends_complete(running)


def test_a_killed_import_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    slow: dict[str, object] = {"workerMaxThroughput(KB/s)": 1000}
    with migration(tmp_path / "home", slow, taskObjectCountLimit=60) as made:
        for index in range(300):
            made.write(f"f{index}", bytes([index % 256]) * 10_000)
        console = made.begin("import", "--yes", "--job", str(made.job_file))
        wait_for(partial(has_begun, made), "the first copies")
        console.kill()
        console.wait()
        assert "JobState:Succeed" in made.import_job()
        assert made.look()["objects"]["listed"] == 300
        made.verb("start")
        assert made.stored() == made.sent()


def has_begun(made: Migration) -> bool:
    jobs = json.loads(made.run("stat", "--json").stdout or "{}").get("jobs")
    return bool(jobs) and jobs[0]["objects"]["copied"] > 20
