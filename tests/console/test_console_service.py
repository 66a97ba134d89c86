"""start and stop: all of it or nothing, and what a kill -9 of each process comes to."""

import json
import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from ossimport.service.processes import wait_until
from tests.servers.installation import PATIENCE_S, Installation, free_port, is_running

pytestmark = pytest.mark.slow

ALL = {"supervisor", "redis", "sandbox", "worker", "master"}


def began_again(installation: Installation, name: str, old: int) -> bool:
    process = installation.status()["processes"][name]
    return bool(process["state"] == "running" and process["pid"] != old)


def test_start_waits_until_all_of_it_answers_and_stop_leaves_nothing(
    installation: Installation,
) -> None:
    installation.configure(flowerPort=free_port())
    started = installation.run("start")
    assert started.returncode == 0, started.stderr
    assert "Start import service completed." in started.stdout
    assert "Flower: http://127.0.0.1:" in started.stdout
    assert set(installation.pids()) == ALL | {"monitor"}
    assert all(p["state"] == "running" for p in installation.status()["processes"].values())

    again = installation.run("Start")
    assert again.returncode == 0
    assert "running already" in again.stdout

    pids = installation.pids()
    listed = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", ",".join(map(str, pids.values()))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    redis = json.loads((installation.wd / "run" / "redis.json").read_text())
    flower = (installation.wd / "run" / "flower.password").read_text().strip()
    for secret in (redis["password"], flower, "sandbox-secret"):
        assert secret not in listed
        for log in (installation.wd / "logs").iterdir():
            assert secret not in log.read_text(), log

    stopped = installation.stop()
    assert stopped.stdout == "Stop import service completed.\n"
    assert stopped.returncode == 0
    assert not any(is_running(pid) for pid in pids.values())
    assert installation.stop().stdout == "Import service is not running.\n"


def test_every_process_that_is_killed_is_started_again_and_redis_keeps_its_data(
    installation: Installation,
) -> None:
    installation.fill(1)
    installation.run("submit")
    assert installation.run("start").returncode == 0
    for name in ("redis", "master", "worker", "sandbox"):
        old = installation.kill(name)
        assert wait_until(lambda: began_again(installation, name, old), PATIENCE_S), name  # noqa: B023 -- used at once
    assert installation.stat()["jobName"] == "local_test"


def test_after_a_kill_of_the_supervisor_start_ends_the_orphans_and_begins_anew(
    installation: Installation,
) -> None:
    assert installation.run("start").returncode == 0
    installation.kill("supervisor")
    orphans = installation.pids()
    assert set(orphans) == ALL - {"supervisor"}
    assert installation.run("stat", "--json").returncode == 0  # asks the orphaned Redis
    assert set(installation.pids()) == set(orphans)

    assert installation.run("start").returncode == 0
    assert set(installation.pids()) == ALL
    assert not any(is_running(pid) for pid in orphans.values())

    installation.kill("supervisor")
    orphans = installation.pids()
    assert installation.stop().stdout == "Stop import service completed.\n"
    assert not any(is_running(pid) for pid in orphans.values())


def test_two_installations_do_not_disturb_each_other(
    installation: Installation, tmp_path: Path
) -> None:
    other_home = tmp_path / "other"
    other_home.mkdir()
    other = Installation(other_home)
    assert installation.run("start").returncode == 0
    try:
        assert other.run("start").returncode == 0
        other.write_job(jobName="other_job")
        other.fill(1)
        assert other.run("submit").returncode == 0
        assert json.loads(installation.run("stat", "--json").stdout)["jobs"] == []
        before = installation.pids()
        assert other.stop().returncode == 0
        assert installation.pids() == before
    finally:
        other.clear()


def copy_if_there(source: str, target: str) -> None:
    """What runs writes and renames meanwhile."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


def test_a_copy_of_a_running_installation_leaves_the_running_one_alone(
    installation: Installation, tmp_path: Path
) -> None:
    assert installation.run("start").returncode == 0
    before = installation.pids()
    copied = tmp_path / "copied"
    shutil.copytree(installation.wd, copied, copy_function=copy_if_there)
    installation.configure(workingDir=copied)
    assert installation.run("stop").stdout == "Import service is not running.\n"
    assert installation.run("stat", "--json").returncode == 0
    installation.configure()
    assert installation.pids() == before


def test_a_taken_sandbox_port_is_named_and_nothing_is_left_running(
    installation: Installation,
) -> None:
    with socket.create_server(("127.0.0.1", installation.sandbox_port)):
        answer = installation.run("start")
    assert answer.returncode == 3
    assert f"sandboxPort={installation.sandbox_port}" in answer.stderr
    assert "in use by another program" in answer.stderr
    assert "cure: " in answer.stderr
    assert installation.pids() == {}


def test_without_a_free_port_for_flower_the_service_runs_and_says_so(
    installation: Installation,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        installation.configure(flowerPort=port)
        started = installation.run("start")
        assert started.returncode == 0
        assert "Flower is not started" in started.stderr
        assert f"flowerPort={port}" in started.stderr
        assert "Flower is not started" in installation.run("stat").stderr
    assert set(installation.pids()) == ALL


def test_a_process_that_cannot_start_fails_the_start_with_its_last_words(
    installation: Installation,
) -> None:
    (installation.wd / "data").mkdir(parents=True)
    (installation.wd / "data" / "sandbox").write_text("a file where a directory belongs")
    answer = installation.run("start")
    assert answer.returncode == 4
    assert "The sandbox process does not start" in answer.stderr
    assert "ossimport2.log" in answer.stderr
    assert installation.pids() == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing_running(
    installation: Installation, number: signal.Signals
) -> None:
    starting = installation.begin("start")
    assert wait_until(lambda: "redis" in installation.pids(), PATIENCE_S)
    supervisor = installation.pids()["supervisor"]
    os.kill(starting.pid, number)
    starting.wait(PATIENCE_S)
    assert wait_until(lambda: not is_running(supervisor), PATIENCE_S)
    assert installation.pids() == {}


def test_two_starts_at_once_make_one_service(installation: Installation) -> None:
    both = [installation.begin("start") for _ in range(2)]
    assert [start.wait(PATIENCE_S) for start in both] == [0, 0]
    assert set(installation.pids()) == ALL
    assert installation.stop().returncode == 0
    assert installation.pids() == {}
