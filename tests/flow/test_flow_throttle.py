"""The operator's side of limits: the verb, while a job runs, and what stat shows of it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.installation import Installation
from tests.servers.migration import wait_for

pytestmark = pytest.mark.slow

OBJECTS, SIZE = 400, 50_000  # which take some minutes at that rate
RATE = 100e3


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Installation]:
    home = tmp_path / "home"
    home.mkdir()
    installation = Installation(home, workerProcessNum=2)
    yield installation
    installation.clear()


def copied(made: Installation) -> int:
    found: int = made.stat()["bytes"]["copied"]
    return found


def test_a_limit_is_set_changed_lost_restored_and_removed_while_a_job_runs(
    made: Installation,
) -> None:
    made.fill(OBJECTS, SIZE)
    made.write_job(taskObjectCountLimit=10)
    assert made.run("submit").returncode == 0
    set_ = made.run("throttle", "local_test", "--bytes", "100KB/s", "--zone", "UTC")
    assert "--zone is of a timetable" in set_.stderr
    set_ = made.run("throttle", "local_test", "--bytes", "100KB/s")
    assert set_.stdout == "limit of job local_test: 100KB/s\n"
    began = time.monotonic()
    assert made.run("start").returncode == 0
    wait_for(lambda: copied(made), "the first object")
    rate = 0.0
    while rate < 0.2 * RATE:  # of whole objects, as they are told of
        at, first = time.monotonic(), copied(made)
        time.sleep(3)
        last = copied(made)
        rate = (last - first) / (time.monotonic() - at)
        assert last < 1.1 * RATE * (time.monotonic() - began)
    told = "\nlimit of job local_test: 100KB/s; shared by 2 worker processes\n"
    wait_for(lambda: told in made.run("stat").stdout, "both processes to share the limit")
    assert (made.wd / "master" / "limits.json").is_file()

    made.run("stop")
    # Redis loses everything; the journal has it.
    for name in ("appendonlydir", "dump.rdb"):
        for path in made.wd.rglob(name):
            path.rename(path.with_name(f"{name}.lost"))
    assert made.run("start").returncode == 0
    wait_for(lambda: "100KB/s" in made.run("throttle").stdout, "the limit to be restored")

    assert made.run("throttle", "--all", "--schedule", "daily=unlimited").returncode == 0
    off = made.run("throttle", "local_test", "--off").stdout
    assert off.startswith("limit of all jobs together: unlimited now\n")
    assert "local_test" not in off
    wait_for(lambda: made.stat()["state"] == "Succeed", "the end of the job")
    assert made.stat()["objects"]["copied"] == OBJECTS
    shown = json.loads(made.run("throttle", "--json").stdout)
    assert [each["scope"] for each in shown["set"]] == ["all"]
    assert shown == json.loads(made.run("stat", "--json").stdout)["limits"]
