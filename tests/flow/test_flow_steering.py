"""What an operator changes while jobs run, on a whole installation."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.migration import Migration, migration, wait_for

pytestmark = pytest.mark.slow

FILES = 1000


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Migration]:
    """A job that takes more than a minute as it is, caught when a part of it is done."""
    with migration(tmp_path / "home", taskObjectCountLimit=20) as made:
        rng = random.Random(5)
        for index in range(FILES):
            made.write(f"f{index}", rng.randbytes(10_000))
        made.begin_job(limit=100_000)
        made.wait_until(lambda job: job["objects"]["copied"] > 10)
        yield made


def test_a_paused_job_rests_survives_a_restart_and_goes_on(running: Migration) -> None:
    assert "is paused" in running.verb("pause", "local_test")
    held = running.wait_until(lambda job: not job["tasks"]["running"])
    assert held["state"] == "Paused"
    assert 10 < held["objects"]["copied"] < FILES
    assert "JobState:Paused" in running.verb("stat")
    assert "resume local_test" in running.verb("retry", "local_test", code=1)
    assert "is paused" in running.verb("import", "--yes", "--job", str(running.job_file), code=4)
    running.verb("stop")
    for path in sorted((running.wd / "data" / "redis").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    running.verb("start")
    again = running.wait_until(lambda job: job["objects"]["listed"] == FILES)
    assert (again["state"], again["objects"]["copied"]) == ("Paused", held["objects"]["copied"])
    running.limit(None)
    running.verb("resume", "local_test")
    assert running.finish()["state"] == "Succeed"
    assert running.stored() == running.sent()
    assert "only a Running job" in running.verb("pause", code=1)


def test_a_small_job_starts_beside_a_huge_one_and_the_urgent_one_ends_first(
    running: Migration,
) -> None:
    for index in range(2000):
        running.write(f"more/f{index}", b"x" * 10_000)
    huge = running.write_job("huge.cfg", jobName="job_huge", destPrefix="huge/")
    running.verb("submit", str(huge))
    for name, priority in (("small", 5), ("urgent", 9)):
        source = running.home / name
        source.mkdir()
        for index in range(20):
            (source / f"f{index}").write_bytes(b"x" * 1000)
        path = running.write_job(
            f"{name}.cfg",
            jobName=f"job_{name}",
            srcPrefix=str(source) + "/",
            destPrefix=f"{name}/",
            jobPriority=priority,
        )
        running.verb("submit", str(path))
    wait_for(lambda: _states(running)["job_urgent"] == "Succeed", "the urgent job")
    wait_for(lambda: _states(running)["job_small"] == "Succeed", "the small job")
    assert _states(running)["job_huge"] == "Running"


def _states(made: Migration) -> dict[str, str]:
    jobs = json.loads(made.run("stat", "--json").stdout)["jobs"]
    return {job["jobName"]: job["state"] for job in jobs}
