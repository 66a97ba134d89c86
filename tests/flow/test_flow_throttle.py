"""The operator's side of limits: the verb, while a job runs, and what stat shows of it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.installation import Installation

pytestmark = pytest.mark.slow

OBJECT = 50_000


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


def wait_for(made: Installation, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        stat = made.stat()
        if stat["state"] == state:
            return stat
    raise AssertionError(stat)


def test_a_limit_is_set_changed_lost_restored_and_removed_while_a_job_runs(
    made: Installation,
) -> None:
    made.fill(80, OBJECT)
    made.write_job(taskObjectCountLimit=10)
    assert made.run("submit").returncode == 0
    set_ = made.run("throttle", "local_test", "--bytes", "100KB/s", "--zone", "UTC")
    assert "--zone is of a timetable" in set_.stderr
    set_ = made.run("throttle", "local_test", "--bytes", "100KB/s")
    assert set_.stdout == "limit of job local_test: 100KB/s\n"
    began = time.monotonic()
    assert made.run("start").returncode == 0
    while not copied(made):
        assert time.monotonic() < began + 60
    rate = 0.0
    while rate < 20e3:  # of whole objects, as they are told of
        at, first = time.monotonic(), copied(made)
        time.sleep(3)
        rate = (copied(made) - first) / (time.monotonic() - at)
        assert rate < 200e3
        assert time.monotonic() < began + 90
    stat = made.run("stat").stdout
    assert "\nlimit of job local_test: 100KB/s; shared by 2 worker processes\n" in stat
    assert (made.wd / "master" / "limits.json").is_file()

    made.run("stop")
    # Redis loses everything; the journal has it.
    for name in ("appendonlydir", "dump.rdb"):
        for path in made.wd.rglob(name):
            path.rename(path.with_name(f"{name}.lost"))
    assert made.run("start").returncode == 0
    deadline = time.monotonic() + 90
    while "100KB/s" not in made.run("throttle").stdout:
        assert time.monotonic() < deadline

    assert made.run("throttle", "--all", "--schedule", "daily=unlimited").returncode == 0
    off = made.run("throttle", "local_test", "--off").stdout
    assert off.startswith("limit of all jobs together: unlimited now\n")
    assert "local_test" not in off
    stat_now = wait_for(made, "Succeed")
    assert stat_now["objects"]["copied"] == 80
    shown = json.loads(made.run("throttle", "--json").stdout)
    assert [each["scope"] for each in shown["set"]] == ["all"]
    assert shown == json.loads(made.run("stat", "--json").stdout)["limits"]
