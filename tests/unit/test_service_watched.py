"""A program that is kept running. The clock is the test's, the processes are real."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from ossimport.service import programs
from ossimport.service.processes import PidFile, wait_until
from ossimport.service.programs import Program
from ossimport.service.watched import Watched

LIVE = "import time; time.sleep(60)"
DIE = "raise SystemExit(7)"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); " + LIVE


class Stage:
    """A watched program whose code and readiness the test decides."""

    def __init__(self, working_dir: Path) -> None:
        (working_dir / "run").mkdir()
        self.working_dir = working_dir
        self.code = LIVE
        self.is_ready = False
        self.is_loading = False
        self.spawned: list[subprocess.Popen[bytes]] = []
        program = Program(
            "worker",
            spawn=self.spawn,
            ready=lambda: self.is_ready,
            loading=lambda: self.is_loading,
        )
        self.output = (working_dir / "log").open("w")
        self.watched = Watched(program, working_dir, self.output)

    def spawn(self, output: IO[str]) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, "-c", self.code], stdout=output, stderr=output)
        self.spawned.append(process)
        return process

    def die(self) -> None:
        """Kill the running process and wait until it can be seen dead."""
        self.spawned[-1].kill()
        self.spawned[-1].wait()

    def state(self) -> str:
        return str(self.watched.status()["state"])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    for process in made.spawned:
        process.kill()
        process.wait()
    made.output.close()


def test_it_is_started_once_and_running_when_it_is_ready(stage: Stage) -> None:
    stage.watched.look(0.0)
    stage.watched.look(1.0)
    assert stage.state() == "starting"
    stage.is_ready = True
    stage.watched.look(2.0)
    assert stage.state() == "running"
    assert len(stage.spawned) == 1
    pid = stage.spawned[0].pid
    assert stage.watched.status()["pid"] == pid
    noted = PidFile(stage.working_dir, "worker").read()
    assert noted is not None
    assert noted.pid == pid


def test_a_dead_one_is_started_again_after_pauses_that_double_up_to_half_a_minute(
    stage: Stage,
) -> None:
    now = 0.0
    stage.watched.look(now)
    for pause in (1, 2, 4, 8, 16, 30, 30):
        stage.die()
        stage.watched.look(now)
        before = len(stage.spawned)
        stage.watched.look(now + pause - 0.01)
        assert len(stage.spawned) == before
        now += pause
        stage.watched.look(now)
        assert len(stage.spawned) == before + 1
    assert stage.watched.status()["restarts"] == 7


def test_five_deaths_make_it_failing_and_a_healthy_minute_forgives_them(stage: Stage) -> None:
    now = 0.0
    stage.is_ready = True
    for death in range(5):
        stage.watched.look(now)
        stage.watched.look(now)
        assert stage.state() == "running"
        stage.die()
        stage.watched.look(now)
        assert (stage.state() == "failing") == (death == 4)
        now += 16
    assert "exit code -9" in stage.watched.status()["trouble"]
    stage.watched.look(now)
    stage.watched.look(now + 1)
    assert stage.state() == "running"
    stage.watched.look(now + 61)
    stage.die()
    stage.watched.look(now + 62)
    assert stage.state() == "starting"
    stage.watched.look(now + 63)
    assert len(stage.spawned) == 7  # the pause is a second again


def test_deaths_before_it_was_ever_ready_are_counted_apart(stage: Stage) -> None:
    stage.code = DIE
    for now in (0.0, 10.0):
        stage.watched.look(now)
        stage.spawned[-1].wait()
        stage.watched.look(now)
    assert stage.watched.early_deaths == 2
    assert stage.watched.trouble == "ended with exit code 7"
    stage.code = LIVE
    stage.is_ready = True
    stage.watched.look(20.0)
    stage.watched.look(20.0)
    stage.die()
    stage.watched.look(21.0)
    assert stage.watched.early_deaths == 2


def test_one_that_never_becomes_ready_is_killed_unless_it_is_loading(stage: Stage) -> None:
    stage.is_loading = True
    stage.watched.look(0.0)
    stage.watched.look(3600.0)
    assert not wait_until(lambda: stage.spawned[0].poll() is not None, 0.3)
    stage.is_loading = False
    stage.watched.look(3601.0)
    assert wait_until(lambda: stage.spawned[0].poll() == -9, 60)


def test_one_that_hangs_is_killed_once_and_the_next_has_twice_as_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    for patience in (60, 120, 240, 480, 600, 600):
        stage.watched.look(now)
        process, kills = stage.spawned[-1], []
        with monkeypatch.context() as patch:
            patch.setattr(process, "kill", lambda: kills.append(now))  # noqa: B023 -- called here
            now += patience
            stage.watched.look(now)
            assert not kills
            for _ in range(3):  # until it is dead
                now += 1
                stage.watched.look(now)
            assert len(kills) == 1
        stage.die()
        stage.watched.look(now)
        now += 30
    stage.is_ready = True
    stage.watched.look(now)
    stage.watched.look(now)
    stage.watched.look(now + 61)
    stage.is_ready = False
    stage.die()
    stage.watched.look(now + 62)
    stage.watched.look(now + 63)
    stage.watched.look(now + 63 + 61)
    assert stage.spawned[-1].wait() == -9


def test_one_that_cannot_be_spawned_counts_as_dead(stage: Stage) -> None:
    def refuse(output: IO[str]) -> "subprocess.Popen[bytes]":
        raise OSError("out of memory")

    watched = Watched(
        Program("worker", spawn=refuse, ready=lambda: True), stage.working_dir, stage.output
    )
    watched.look(0.0)
    assert watched.early_deaths == 1
    assert watched.trouble == "cannot be started: out of memory"


def test_ending_it_waits_for_the_grace_and_then_kills(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(programs.GRACE_S, "worker", 0.2)
    stage.watched.look(0.0)
    stage.watched.ask_to_end()
    stage.watched.wait_for_end()
    assert stage.spawned[0].returncode == -15
    assert not (stage.working_dir / "run" / "worker.pid").exists()
    stage.code = STUBBORN
    stage.watched.look(1.0)
    assert wait_until(lambda: "deaf" in (stage.working_dir / "log").read_text(), 60)
    stage.watched.ask_to_end()
    stage.watched.wait_for_end()
    assert stage.spawned[1].returncode == -9
