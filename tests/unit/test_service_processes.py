"""Pid files, and how processes are ended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ossimport.identity import Identity, start_time
from ossimport.service.processes import PidFile, end
from ossimport.service.programs import end_leftovers

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); "
OBEDIENT = "import time; print(1, flush=True); "


@contextmanager
def sleeper(code: str = OBEDIENT) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", f"{code}time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


@pytest.fixture
def working_dir(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def note(working_dir: Path, name: str, **changed: object) -> None:
    """Change what a pid file says."""
    path = working_dir / "run" / f"{name}.pid"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_pid_file_finds_its_process_until_that_ends(working_dir: Path) -> None:
    pid_file = PidFile(working_dir, "worker")
    assert pid_file.read() is None
    with sleeper() as process:
        pid_file.write(process.pid)
        assert pid_file.read() == Identity(process.pid, start_time(process.pid))
        process.kill()
        process.wait()
        assert pid_file.read() is None


def test_a_zombie_does_not_run(working_dir: Path) -> None:
    with sleeper() as process:
        identity = Identity(process.pid, start_time(process.pid))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not identity.alive


def test_a_stranger_that_got_the_pid_is_left_alone(working_dir: Path) -> None:
    with sleeper() as stranger:
        PidFile(working_dir, "worker").write(stranger.pid)
        note(working_dir, "worker", started="1")
        assert PidFile(working_dir, "worker").read() is None
        assert end_leftovers(working_dir) == []
        assert stranger.poll() is None


def test_a_copied_directory_does_not_own_the_processes_of_the_one_it_was_copied_from(
    working_dir: Path,
) -> None:
    with sleeper() as theirs:
        PidFile(working_dir, "worker").write(theirs.pid)
        note(working_dir, "worker", workingDir="/elsewhere")
        assert end_leftovers(working_dir) == []
        assert theirs.poll() is None


def test_what_a_killed_supervisor_left_behind_is_ended_in_order(working_dir: Path) -> None:
    with sleeper() as worker, sleeper() as master:
        PidFile(working_dir, "worker").write(worker.pid)
        PidFile(working_dir, "master").write(master.pid)
        assert end_leftovers(working_dir) == ["master", "worker"]
        assert worker.wait() == -15
        assert master.wait() == -15
    assert end_leftovers(working_dir) == []


def test_a_process_that_does_not_end_when_asked_is_killed() -> None:
    with sleeper() as process:
        assert end(Identity(process.pid, start_time(process.pid)), 10)
        assert process.wait() == -15
    with sleeper(STUBBORN) as process:
        assert not end(Identity(process.pid, start_time(process.pid)), 0.1)
        assert process.wait() == -9


def test_ending_a_process_that_is_gone_is_no_error() -> None:
    with sleeper() as process:
        identity = Identity(process.pid, start_time(process.pid))
    assert end(identity, 0.1)
