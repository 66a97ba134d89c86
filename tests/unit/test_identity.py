"""Who is dead: only a process of which this very system can know it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ossimport.identity import Identity, is_dead, name_of, name_of_this_process, start_time
from ossimport.journal import worker_host

ROOT = Path(__file__).parents[2]
TELL = "from ossimport.identity import name_of_this_process as n; print(n('here'), flush=True)"


def ended_process() -> Identity:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        return Identity(process.pid, start_time(process.pid))


def with_system(name: str, system: str) -> str:
    host, pid, _, started = name.split(":", 3)
    return f"{host}:{pid}:{system}:{started}"


def test_this_process_is_not_dead() -> None:
    assert not is_dead(name_of_this_process("here"), "here")


def test_its_name_begins_with_the_host_and_the_pid() -> None:
    name = name_of_this_process("here")
    assert name.startswith(f"here:{os.getpid()}:")
    assert worker_host(name) == "here"
    assert len(name) < 60


def test_a_process_keeps_its_name() -> None:
    assert name_of_this_process("here") == name_of_this_process("here")


def test_an_ended_process_of_this_host_is_dead() -> None:
    name = name_of(ended_process(), "here")
    assert is_dead(name, "here")
    assert not is_dead(name, "there")


def test_another_process_of_the_same_pid_does_not_keep_a_name_alive() -> None:
    assert is_dead(name_of(Identity(os.getpid(), "before"), "here"), "here")


def test_a_process_that_another_one_of_this_host_names_is_known() -> None:
    told = [sys.executable, "-c", TELL]
    name = subprocess.run(told, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    assert is_dead(name, "here")


def test_a_start_time_may_have_colons() -> None:
    dead = Identity(999_999_999, "Mon Jan  1 10:00:00 2024")
    assert is_dead(name_of(dead, "here"), "here")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no PID namespaces")
def test_a_process_of_another_container_or_boot_is_never_dead() -> None:
    name = name_of(ended_process(), "here")
    assert not is_dead(with_system(name, "0123456789ab"), "here")


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_processes_of_two_pid_namespaces_do_not_judge_each_other() -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces can be made here")
    told = [*unshare, sys.executable, "-c", TELL]
    name = subprocess.run(told, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    assert name.startswith("here:1:")
    assert not is_dead(name, "here")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no PID namespaces")
def test_where_the_system_cannot_be_told_nobody_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> str:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "readlink", refuse)
    assert not is_dead(name_of(ended_process(), "here"), "here")
    assert name_of_this_process("here").startswith(f"here:{os.getpid()}:")


@pytest.mark.parametrize("name", ["", "here", "here:", "here:1:then", "here:::"])
def test_a_name_that_says_no_process_is_not_dead(name: str) -> None:
    assert not is_dead(name, "here")


@pytest.mark.parametrize("pid", ["", "x", "-1", "²", "1.5"])
def test_a_name_without_a_pid_is_not_dead(pid: str) -> None:
    host, _, system, started = name_of_this_process("here").split(":", 3)
    assert not is_dead(f"{host}:{pid}:{system}:{started}", "here")
