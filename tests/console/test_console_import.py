"""import: the whole way, and every way out of it."""

import json
import os
import pty
import select
import shutil
import signal
import time
from contextlib import suppress

import pytest

from ossimport.config import load_system
from ossimport.console import one_click
from ossimport.console.ask import Manner
from ossimport.console.jobs import load_job_file
from ossimport.console.one_click import OneClick
from ossimport.errors import ServiceError
from ossimport.service.processes import wait_until
from tests.servers.installation import PATIENCE_S, Installation

pytestmark = pytest.mark.slow

CLEAN = "Clean the previous job, Yes or No: "
RESUME = "Resume the previous job, Yes or No: "
RETRY = "Retry the failed tasks, Yes or No: "
STOP = "Stop import service, Yes or No: "

# No OSS key begins with a backslash: it fails, however often it is tried.
IMPOSSIBLE = "\\impossible"


def fill_with_one_failure(installation: Installation) -> None:
    installation.fill(3)
    installation.write_job(destPrefix="")
    (installation.source / IMPOSSIBLE).write_bytes(b"x")


def running(installation: Installation) -> bool:
    return "supervisor" in installation.pids()


def test_yes_migrates_and_stops_and_a_second_time_begins_anew(installation: Installation) -> None:
    installation.fill(100)
    for round_ in range(2):
        answer = installation.run("import", "--yes", answers=None)
        assert answer.returncode == 0, answer.stderr
        assert "submit job:local_test success!" in answer.stdout
        assert "JobState:Succeed" in answer.stdout
        assert "100 listed = 100 copied + 0 skipped + 0 failed" in answer.stdout
        assert "Import to oss completed." in answer.stdout
        assert "Yes or No" not in answer.stdout
        assert ("Clean job:local_test completed." in answer.stdout) == bool(round_)
        assert ("local_test is there from before (Succeed)" in answer.stdout) == bool(round_)
        assert "Error" not in answer.stdout + answer.stderr
        assert not running(installation)
    assert "JobState:Succeed" in (installation.wd / "logs" / "job_stat.log").read_text()
    assert installation.stat()["objects"]["copied"] == 100


@pytest.mark.parametrize("option", ["--yes", "--no-input"])
def test_a_service_that_ran_before_goes_on(installation: Installation, option: str) -> None:
    installation.fill(1)
    assert installation.run("start").returncode == 0
    answer = installation.run("import", option)
    assert answer.returncode == 0
    assert "The import service ran before, and goes on." in answer.stdout
    assert "Stop import service completed." not in answer.stdout
    assert running(installation)


def test_answers_come_from_a_pipe(installation: Installation) -> None:
    installation.fill(2)
    first = installation.run("import", answers="what\nno\n")
    assert first.returncode == 0
    assert f"{STOP}Answer yes or no\n{STOP}" in first.stdout
    assert running(installation)

    declined = installation.run("import", answers="no\n")
    assert declined.returncode == 1
    assert CLEAN in declined.stdout
    assert RESUME not in declined.stdout  # it has ended: nothing is left to resume
    assert running(installation)  # this run did not start it

    cleaned = installation.run("import", answers="yes\nyes\n")
    assert cleaned.returncode == 0
    assert "Clean job:local_test completed." in cleaned.stdout
    assert "Stop import service completed." in cleaned.stdout
    assert not running(installation)


def test_failed_objects_are_retried_on_request_and_leave_exit_code_2(
    installation: Installation,
) -> None:
    fill_with_one_failure(installation)
    answer = installation.run("import", answers="yes\nno\n")
    assert answer.returncode == 2
    assert answer.stdout.count(RETRY) == 2
    assert "Retry has been submitted." in answer.stdout
    assert answer.stdout.count("JobState:Failed") == 2
    assert "4 listed = 3 copied + 0 skipped + 1 failed" in answer.stdout
    assert not running(installation)

    both_no = installation.run("import", answers="no\nno\n")
    assert both_no.returncode == 1
    assert CLEAN in both_no.stdout
    assert RESUME in both_no.stdout
    assert not running(installation)

    resumed = installation.run("import", answers="no\nyes\nno\n")
    assert resumed.returncode == 2
    assert "resume job:local_test" in resumed.stdout


def test_yes_retries_failed_objects_once(installation: Installation) -> None:
    fill_with_one_failure(installation)
    answer = installation.run("import", "--yes")
    assert answer.returncode == 2
    assert answer.stdout.count("Retry has been submitted.") == 1
    assert not running(installation)


@pytest.mark.parametrize("option", [["--no-input"], []])
def test_without_anybody_to_answer_nothing_is_asked_retried_or_cleaned(
    installation: Installation, option: list[str]
) -> None:
    """The second case: no option, but an input that has ended."""
    fill_with_one_failure(installation)
    failed = installation.run("import", *option, answers=None)
    assert failed.returncode == 2
    assert "Retry has been submitted." not in failed.stdout
    assert failed.stdout.count("Yes or No") <= 1
    assert not running(installation)

    resumed = installation.run("import", *option, answers=None)
    assert resumed.returncode == 2
    assert "resume job:local_test" in resumed.stdout

    (installation.source / IMPOSSIBLE).unlink()
    installation.run("clean")
    assert installation.run("import", *option, answers=None).returncode == 0
    ended = installation.run("import", *option, answers=None)
    assert ended.returncode == 1
    assert "please clean it first" in ended.stderr
    assert installation.stat()["state"] == "Succeed"


def test_a_job_that_was_only_submitted_is_resumed(installation: Installation) -> None:
    installation.fill(2)
    assert installation.run("submit").returncode == 0
    answer = installation.run("import", "--yes")
    assert answer.returncode == 0
    assert "resume job:local_test" in answer.stdout
    assert "Clean job" not in answer.stdout


def test_a_redis_that_was_wiped_is_rebuilt_from_the_journal(installation: Installation) -> None:
    installation.fill(2)
    assert installation.run("import", "--yes").returncode == 0
    shutil.rmtree(installation.wd / "data" / "redis")
    shown = installation.run("stat")
    assert "no jobs is running or finished." in shown.stdout
    assert "Redis does not know local_test; master/jobs does." in shown.stderr
    refused = installation.run("submit")
    assert refused.returncode == 1
    assert "please clean it first" in refused.stderr
    assert installation.run("start").returncode == 0
    assert wait_until(lambda: bool(installation.run("retry", "local_test").stdout), PATIENCE_S)
    assert installation.stat()["objects"]["copied"] == 2


def test_yes_cleans_no_job_that_redis_has_lost_and_nobody_has_restored_yet(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.fill(2)
    assert installation.run("import", "--yes").returncode == 0
    shutil.rmtree(installation.wd / "data" / "redis")
    monkeypatch.setattr(one_click, "RESTORED_S", 0.0)
    system = load_system(installation.conf / "sys.properties")
    job = load_job_file(installation.job_file, system)
    run = OneClick(system, job, installation.job_file, Manner.YES, start=False)
    with pytest.raises(ServiceError, match="Redis has lost the job local_test, and no master"):
        run.run()
    assert (installation.wd / "master" / "jobs" / "local_test").is_dir()


def test_yes_cleans_an_unfinished_job_whose_file_says_something_else_now(
    installation: Installation,
) -> None:
    installation.fill(2)
    assert installation.run("submit").returncode == 0
    installation.write_job(destPrefix="elsewhere/")
    answer = installation.run("import", "--yes")
    assert answer.returncode == 0
    assert "Clean job:local_test completed." in answer.stdout


def test_a_bad_end_stops_what_was_started_and_destroys_nothing(
    installation: Installation,
) -> None:
    installation.fill(2)
    assert installation.run("import", "--yes").returncode == 0
    installation.write_job(destBucket="no-such-bucket")
    answer = installation.run("import", "--yes")
    assert answer.returncode == 3
    assert "NoSuchBucket" in answer.stderr
    assert not running(installation)
    assert installation.stat()["objects"]["copied"] == 2


def test_a_source_without_objects_is_no_silent_success(installation: Installation) -> None:
    answer = installation.run("import", "--yes")
    assert answer.returncode == 4
    assert "JobState:Abort" in answer.stdout
    assert "NothingFound" in answer.stderr
    assert not running(installation)
    installation.fill(1)
    assert installation.run("import", "--yes").returncode == 0


def slow_job(installation: Installation) -> None:
    """A job that takes half a minute, at 400 KB/s."""
    installation.configure(**{"workerMaxThroughput(KB/s)": 400})
    installation.fill(240, size=50_000)


def has_begun(installation: Installation) -> bool:
    jobs = installation.wd / "master" / "jobs" / "local_test"
    with suppress(FileNotFoundError):  # a task moves from one directory to the next
        return any(log.stat().st_size for log in jobs.rglob("audit.log"))
    return False


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_run_drains_and_the_next_goes_on(
    installation: Installation, times: int
) -> None:
    slow_job(installation)
    process = installation.begin("import", "--yes")
    assert wait_until(lambda: has_begun(installation), PATIENCE_S)
    for _ in range(times):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)  # a person's second Ctrl-C
    assert process.wait(PATIENCE_S) == 130
    said = (installation.home / "output").read_text()
    assert "Stopping the service; requests in flight end first." in said
    assert "bash import.sh" in said
    assert wait_until(lambda: not running(installation), PATIENCE_S)
    copied = installation.stat()["objects"]["copied"]
    assert 0 < copied < 240
    assert installation.stat()["tasks"]["running"] == 0

    installation.configure()
    answer = installation.run("import", "--yes")
    assert answer.returncode == 0
    assert "resume job:local_test" in answer.stdout
    assert "240 listed = 240 copied" in answer.stdout


def test_an_interrupted_run_says_what_the_service_of_others_does(
    installation: Installation,
) -> None:
    slow_job(installation)
    assert installation.run("start").returncode == 0
    process = installation.begin("import", "--yes")
    assert wait_until(lambda: has_begun(installation), PATIENCE_S)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    assert "bash console.sh pause local_test" in (installation.home / "output").read_text()
    assert running(installation)


def test_a_service_that_is_stopped_ends_the_watching(installation: Installation) -> None:
    slow_job(installation)
    process = installation.begin("import", "--yes")
    assert wait_until(lambda: has_begun(installation), PATIENCE_S)
    installation.stop()
    assert process.wait(PATIENCE_S) == 4
    assert (
        "The import service has ended before the job." in (installation.home / "output").read_text()
    )


def test_a_live_job_can_be_cleaned(installation: Installation) -> None:
    slow_job(installation)
    assert installation.run("submit").returncode == 0
    assert installation.run("start").returncode == 0
    assert wait_until(lambda: has_begun(installation), PATIENCE_S)
    assert installation.run("clean", "local_test").returncode == 0
    assert json.loads(installation.run("stat", "--json").stdout)["jobs"] == []
    assert not (installation.wd / "master" / "jobs" / "local_test").exists()

    installation.run("stop")
    installation.configure()
    assert installation.run("import", "--yes").returncode == 0
    assert installation.status()["processes"]["master"]["restarts"] == 0


def test_on_a_terminal_questions_are_answered_by_typing(installation: Installation) -> None:
    fill_with_one_failure(installation)
    master, terminal = pty.openpty()
    process = installation.begin("import", stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = read_until(master, RETRY)
    assert "JobState:Failed" in seen
    os.write(master, b"yes\n")
    read_until(master, RETRY)
    os.write(master, b"n\n")
    assert process.wait(PATIENCE_S) == 2
    os.close(master)


def read_until(terminal: int, text: str) -> str:
    """What the terminal shows, up to `text`."""
    seen = b""
    deadline = time.monotonic() + PATIENCE_S
    while text.encode() not in seen:
        ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
        assert ready, seen.decode(errors="replace")
        seen += os.read(terminal, 65536)
    return seen.decode(errors="replace")
