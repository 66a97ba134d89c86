"""The services of docker-compose.yml in real containers: `pytest -m engine tests/deploy`."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.servers.compose import COMPOSES, Containers, base_images, docker
from tests.servers.migration import wait_for

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(1800),
]  # a build, on a machine that may be busy

SLOWLY = "100KB/s"  # two objects of these tests per second: minutes for all of them
SERVICES = ("redis", "master", "worker", "flower", "sandbox")
Make = Callable[..., Containers]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Nothing runs before the test; afterwards nothing is left but the image."""
    images = base_images()
    made: list[Containers] = []

    def containers(which: str = "", **environment: str) -> Containers:
        made.append(Containers(tmp_path, images, which))
        made[-1].environment.update(environment)
        return made[-1]

    try:
        yield containers
    finally:
        for each in made:
            each.remove()


@pytest.mark.parametrize("which", ["v2", "1.29"])
def test_the_demo_runs_to_its_end_and_stops_everything(make: Make, which: str) -> None:
    if which not in COMPOSES:
        pytest.skip(f"there is no Compose {which} here")
    containers = make(which)
    (containers.source / "中文 name").write_bytes(b"content")
    (containers.source / "empty").touch()

    told = containers.compose("up", "--build", "--exit-code-from", "demo")

    assert "JobState:Succeed" in told
    assert "2 listed = 2 copied" in told
    codes = {name: containers.exit_code(name) for name in ("master", "worker", "flower", "redis")}
    assert codes == dict.fromkeys(codes, 0)  # 137 is the code of those who had to be killed
    containers.compose("up", "-d", "redis", "sandbox")
    assert containers.stored() == containers.sent()


def test_every_container_may_be_killed_while_a_job_runs(make: Make) -> None:
    containers = make()
    containers.fill(1000, 50_000)

    containers.compose("up", "-d", "--build", "--scale", "worker=2")
    containers.limit(SLOWLY)
    for service in ("worker", "master", "redis"):
        _await_progress(containers)
        assert containers.job()["objects"]["left"] > 0, "the job was over too soon"
        containers.crash(service)

    _assert_all_arrived(containers, 1000)


def test_workers_come_and_go_while_a_job_runs_and_stop_drains_them(make: Make) -> None:
    containers = make()
    containers.fill(1000, 50_000)

    containers.compose("up", "-d", "--build", "--scale", "worker=1")
    containers.limit(SLOWLY)
    _await_progress(containers)
    containers.compose("up", "-d", "--no-recreate", "--scale", "worker=3")
    assert len(containers.all("worker")) == 3
    _await_progress(containers)
    containers.compose("up", "-d", "--no-recreate", "--scale", "worker=1")
    assert len(containers.all("worker")) == 1
    _await_progress(containers)
    containers.compose("stop", "worker")

    assert containers.exit_code("worker") == 0  # 137: it had to be killed
    job = containers.job()
    assert job["tasks"]["running"] == 0  # handed back, so nobody waits for a lease
    assert job["objects"]["left"] > 0, "the job was over too soon"
    containers.compose("up", "-d", "--no-recreate", "worker")
    _assert_all_arrived(containers, 1000)


def test_containers_may_do_nothing_that_they_need_not(make: Make) -> None:
    containers = make(OSSIMPORT_LOG="json")
    containers.compose("up", "-d", "--build", *SERVICES)

    for service in SERVICES:
        wait_for(partial(_is_healthy, containers, service), f"health of {service}")
        found = containers.inspect(containers.one(service))
        environment = "\n".join(found["Config"]["Env"])
        for name, secret in containers.secrets.items():
            assert secret.strip() not in environment, f"{name} in {service}"
        assert found["HostConfig"]["Memory"] > 0
        assert _inside(containers, service, "id -u; id -G") not in ("0", "0\n0")
        assert _inside(containers, service, "touch /seen 2>&1 || true").endswith(
            "Read-only file system"
        )
        # No capability, whatever it does, and no way to any.
        status = dict(
            line.split(":\t", 1)
            for line in _inside(containers, service, "cat /proc/1/status").splitlines()
            if ":\t" in line
        )
        assert {status[key] for key in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"

    for service in ("master", "worker", "flower"):
        for line in docker("logs", containers.one(service)).splitlines():
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


def test_a_process_that_hangs_or_has_lost_redis_is_unhealthy(make: Make) -> None:
    containers = make()
    names = ("master", "worker")

    def all_are(health: str) -> bool:
        return all(containers.health(name) == health for name in names)

    containers.compose("up", "-d", "--build", *SERVICES)
    wait_for(partial(all_are, "healthy"), "the services")
    for name in names:
        docker("kill", "--signal", "STOP", containers.one(name))
    wait_for(partial(all_are, "unhealthy"), "hung processes to be noticed", 90)
    for name in names:
        docker("kill", "--signal", "CONT", containers.one(name))
    wait_for(partial(all_are, "healthy"), "processes that go on to be noticed", 90)
    docker("stop", containers.one("redis"))
    wait_for(partial(all_are, "unhealthy"), "the lack of Redis to be noticed", 120)
    docker("start", containers.one("redis"))
    wait_for(partial(all_are, "healthy"), "Redis to be noticed", 90)


def _is_healthy(containers: Containers, service: str) -> bool:
    return containers.health(service) == "healthy"


def _inside(containers: Containers, service: str, script: str) -> str:
    return docker("exec", containers.one(service), "sh", "-c", script).strip()


def _await_progress(containers: Containers) -> None:
    """Wait until more objects are copied."""
    before = containers.job()["objects"]["copied"]
    wait_for(lambda: containers.job()["objects"]["copied"] > before, "progress", 120)


def _assert_all_arrived(containers: Containers, objects: int) -> None:
    containers.limit("unlimited")
    assert containers.exit_code("demo") == 0
    counts = containers.job()["objects"]
    assert (counts["listed"], counts["copied"], counts["left"]) == (objects, objects, 0)
    assert containers.stored() == containers.sent()
