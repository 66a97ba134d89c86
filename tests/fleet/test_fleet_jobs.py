"""Whole jobs on several hosts, whose lines are cut, lossy and slow. Minutes of them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fleet.conftest import WHY_NOT
from tests.servers.fleet import Fleet, fleet
from tests.servers.migration import wait_for

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]

NAMES = ("w1", "w2", "w3")
OUTAGE_S = 8
PATIENCE_S = 300  # on a machine that may be busy


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path) -> Iterator[Fleet]:
    """Three hosts with all that they need, besides the master's."""
    with fleet(tmp_path_factory.mktemp("fleet"), *NAMES) as made:
        made.list_hosts("w1")
        made.verb("deploy", "--wheelhouse", str(wheelhouse))
        for name in NAMES[1:]:
            made.copy_installation(name)
        made.list_hosts(*NAMES)
        made.verb("deploy")
        yield made


@pytest.fixture
def three(installed: Fleet) -> Iterator[Fleet]:
    """Nothing runs there, no job is known, both ends are empty, and all lines are good."""
    for path in installed.source.iterdir():
        path.unlink()
    installed.empty_bucket()
    installed.list_hosts(*NAMES)
    yield installed
    for host in (*installed.hosts.values(), installed.oss, installed.redis):
        host.mend()
        host.slow_down(0)
        host.lose(0)
    installed.verb("stop")
    installed.verb("clean", code=None)


def finish_right(three: Fleet) -> float:
    """The job ends well: every object is there, is right, and is counted once. Says how long."""
    job = three.finish(PATIENCE_S)
    sent = three.sent()
    assert job["state"] == "Succeed", job
    assert job["objects"]["listed"] == job["objects"]["copied"] == len(sent)
    assert three.etags() == sent
    return float(job["elapsedSeconds"])


def wait_for_work_of(three: Fleet, *names: str) -> None:
    """Each of these hosts ends one more task."""
    before = three.done_by()
    wait_for(
        lambda: all(three.done_by()[n] > before[n] for n in names), f"work of {names}", PATIENCE_S
    )


def cut_off_at_work(three: Fleet, name: str) -> set[str]:
    """Cut a host off in the middle of a task; return those it holds. Between two it holds none."""
    while True:
        three.hosts[name].cut()
        running = three.look()["running"]
        if held := {task["taskId"] for task in running if task["worker"].startswith(f"{name}:")}:
            return held
        three.hosts[name].mend()
        wait_for_work_of(three, name)


def test_one_is_cut_off_and_comes_back_and_a_fourth_joins_while_a_job_runs(three: Fleet) -> None:
    three.fill(16_000)
    three.system["workerTaskThreadNum"] = 4
    three.job["taskObjectCountLimit"] = 30
    three.apply()
    three.verb("deploy")
    three.oss.slow_down(0.15)  # so that there is work until a fourth helps
    three.begin_job()
    wait_for_work_of(three, "master", *NAMES)

    lost = three.hosts["w2"]
    held = cut_off_at_work(three, "w2")
    assert f"{lost.address}  unreachable" in three.verb("stat")
    by_others = "*@master", "*@w1", "*@w3"
    wait_for(
        lambda: held <= _ended(three, *by_others), "its tasks to be done by others", PATIENCE_S
    )

    before = three.done_by()["w2"]
    lost.mend()
    wait_for(lambda: three.done_by()["w2"] > before, "it to work again", PATIENCE_S)

    three.add_host("w4")
    three.copy_installation("w4")
    three.list_hosts(*NAMES, "w4")
    assert f"{three.hosts['w4'].address}: deployed" in three.verb("deploy")
    three.verb("start")
    wait_for_work_of(three, "w4")
    assert three.look()["state"] == "Running"
    three.oss.slow_down(0)
    finish_right(three)


def _ended(three: Fleet, *patterns: str) -> set[str]:
    """Ids of the tasks that ended well in folders of these names."""
    folders = [f for p in patterns for f in (three.tree / "succeed_tasks").glob(p)]
    return {folder.name.rpartition("@")[0] for folder in folders}


def redis_is_gone(three: Fleet) -> Callable[[], None]:
    """For everybody."""
    three.redis.cut()
    return three.redis.mend


def one_has_no_redis(three: Fleet) -> Callable[[], None]:
    """It still reaches OSS."""
    three.hosts["w1"].forget(three.redis)
    return lambda: three.hosts["w1"].remember(three.redis)


def one_has_no_oss(three: Fleet) -> Callable[[], None]:
    """It still holds its tasks."""
    three.hosts["w2"].forget(three.oss)
    return lambda: three.hosts["w2"].remember(three.oss)


def test_a_job_ends_right_over_slow_and_lossy_lines_and_through_partitions(three: Fleet) -> None:
    three.fill(7_000, 2_000)
    three.system["workerTaskThreadNum"] = 2
    three.job["taskObjectCountLimit"] = 50
    three.apply()
    three.verb("deploy")
    for host in (*(three.hosts[name] for name in NAMES), three.redis, three.oss):
        host.slow_down(0.01)
        host.lose(0.01)
    three.begin_job()
    wait_for_work_of(three, *NAMES)
    for breakdown in (one_has_no_redis, one_has_no_oss, redis_is_gone):
        mend = breakdown(three)
        time.sleep(OUTAGE_S)
        mend()
    assert three.look()["state"] == "Running"  # or it was not there for all of that
    finish_right(three)


def test_four_workers_take_about_a_quarter_of_the_time_of_one(three: Fleet) -> None:
    """Over a line of 20 ms there and back, one request in flight each: the line is what counts."""
    three.fill(3_000)
    three.system["workerTaskThreadNum"] = 1
    three.job["taskObjectCountLimit"] = 20
    three.apply()
    three.verb("deploy")
    three.oss.slow_down(0.01)
    took = []
    for names in ((), NAMES):
        three.list_hosts(*names)
        three.empty_bucket()
        three.begin_job()
        took.append(finish_right(three))
        assert set(three.done_by()) == {"master", *names}
        three.verb("stop")
        three.verb("clean")
    said = f"one worker: {took[0]:.1f} s, four: {took[1]:.1f} s, {took[1] / took[0]:.2f} of it"
    assert took[1] < 0.45 * took[0], said
    print(said)
