"""The verbs while no service runs: exit codes, texts, what they leave behind."""

import json
import resource
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ossimport import __version__
from ossimport.config import load_system
from ossimport.service import borrow
from tests.servers.installation import Installation, free_port

SUPPORT = """\
Support command:
    submit: submit job
    start: start import service
    stop: stop import service
    clean: clean old job
    stat: stat job
    retry: retry all failed tasks
    version: ossimport version
"""

EMPTY_BLOCK = """\
-------------- job stats ---------------
---------------- job stat ------------------
JobName:local_test
JobState:Running
PendingTasks:0
DispatchedTasks:0
RunningTasks:0
SucceedTasks:0
FailedTasks:0
ScanFinished:false
RunningTasks Progress:
----------------------------------------
"""


def test_version_is_quick_and_takes_the_capitalised_verb(installation: Installation) -> None:
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = installation.run("Version")
    assert answer.stdout == f"ossimport {__version__}\n"
    assert answer.returncode == 0
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime < 0.5  # 0.06 s of CPU


@pytest.mark.parametrize("wrong", [[], ["nonsense"], ["START"]])
def test_wrong_usage_prints_the_list_of_verbs(installation: Installation, wrong: list[str]) -> None:
    answer = installation.run(*wrong)
    assert answer.returncode == 1
    assert SUPPORT in answer.stdout + answer.stderr
    assert ("Error" in answer.stderr) == bool(wrong)
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "wrong",
    [["start", "--nonsense"], ["import", "--job"], ["stat", "--nonsense"], ["priority", "x"]],
)
def test_wrong_usage_of_a_verb_names_its_help_only(
    installation: Installation, wrong: list[str]
) -> None:
    answer = installation.run(*wrong)
    assert answer.returncode == 1
    assert f"Error: ossimport {wrong[0]}: " in answer.stderr
    assert f"cure: bash console.sh {wrong[0]} --help" in answer.stderr
    assert SUPPORT not in answer.stdout + answer.stderr


def test_help_lists_the_verbs_too(installation: Installation) -> None:
    answer = installation.run("--help")
    assert answer.returncode == 0
    assert SUPPORT in answer.stdout
    assert installation.run("import", "--help").returncode == 0


def test_a_missing_sys_properties_is_named(installation: Installation) -> None:
    answer = installation.run("stat", "--sys", "/nowhere/sys.properties")
    assert answer.returncode == 3
    assert "ossimport system configuration:/nowhere/sys.properties not found" in answer.stderr


def test_all_mistakes_of_a_job_file_are_told_at_once_and_nothing_is_started(
    installation: Installation,
) -> None:
    installation.write_job(
        srcPrefix=installation.source, destBucket="", taskObjectCountLimit="many"
    )
    for verb in (["submit"], ["import", "--yes"]):
        answer = installation.run(*verb)
        assert answer.returncode == 3
        assert "Error: the configuration has 3 mistakes" in answer.stderr
        for key in ("srcPrefix", "destBucket", "taskObjectCountLimit"):
            assert f"{key}=" in answer.stderr
        assert answer.stderr.count("cure: ") == 3
        assert not (installation.wd / "run" / "supervisor.pid").exists()
    assert "3 mistakes" in (installation.wd / "logs" / "submit.log").read_text()


@pytest.mark.parametrize(
    ("scheme", "host", "code", "cure"),
    [
        ("http", "127.0.0.1:{closed}", "ConnectionRefused", "check host and port in {key}, and"),
        ("https", "127.0.0.1:{plain}", "TlsError", "check the host in {key}, and write http://"),
        ("http", "no-such-host.invalid", "DnsFailure", "check {key}, and the name servers"),
    ],
)
def test_a_wrong_endpoint_is_refused_with_the_key_to_mend(
    installation: Installation, scheme: str, host: str, code: str, cure: str
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as plain:
        threading.Thread(target=plain.serve_forever, args=(0.02,), daemon=True).start()
        ports = {"closed": free_port(), "plain": plain.server_port}
        domain = f"{scheme}://{host.format(**ports)}"
        cos = {"srcAccessKey": "a", "srcSecretKey": "b", "srcBucket": "photos-1250000000"}
        installation.write_job(
            srcType="cos", srcPrefix="", srcDomain=domain, **cos, destDomain=domain
        )
        answer = installation.run("submit")
        plain.shutdown()
    assert answer.returncode == 3
    ends = answer.stderr.split("cannot be used: ")[1:]
    for told, key in zip(ends, ("srcDomain", "destDomain"), strict=True):
        assert told.startswith(f"{code}: ")
        assert f"\n    cure: {cure.format(key=key)}" in told


def test_a_job_is_submitted_looked_at_refused_twice_and_cleaned(
    installation: Installation,
) -> None:
    installation.fill(1)
    submitted = installation.run("submit")
    assert submitted.stdout == (
        f"submit job:{installation.job_file}\nsubmit job:local_test success!\n"
    )
    assert submitted.returncode == 0
    assert (installation.wd / "logs" / "submit.log").read_text() == submitted.stdout

    again = installation.run("submit", str(installation.job_file))
    assert again.returncode == 1
    assert "Error:" in again.stderr
    assert "please clean it first" in again.stderr
    assert "Error:" in (installation.wd / "logs" / "submit.log").read_text()

    shown = installation.run("stat", "detail")
    assert shown.stdout.startswith(EMPTY_BLOCK)
    assert installation.run("stat").stdout.startswith(EMPTY_BLOCK)
    assert "Import service is not running" in shown.stderr
    assert installation.stat()["state"] == "Running"

    retried = installation.run("retry", "local_test")
    assert retried.stdout == "None failed tasks for job:local_test.\n"
    assert (installation.wd / "logs" / "retry.log").read_text() == retried.stdout

    cleaned = installation.run("clean", "local_test")
    assert cleaned.stdout == (
        f"delete jobs dir:{installation.wd}/master/jobs/local_test/\n"
        "Clean job:local_test completed.\n"
    )
    assert cleaned.returncode == 0
    assert installation.pids() == {}


@pytest.mark.parametrize("named", [["local_test"], []])
def test_a_retry_of_a_paused_job_is_refused_with_the_way_on(
    installation: Installation, named: list[str]
) -> None:
    installation.fill(1)
    assert installation.run("submit").returncode == 0
    assert installation.run("pause").returncode == 0
    refused = installation.run("retry", *named)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("Error: job:local_test is paused, so nothing is tried again.")
    assert "cure: bash console.sh resume local_test" in refused.stderr
    assert (installation.wd / "logs" / "retry.log").read_text() == refused.stderr
    assert installation.run("resume").returncode == 0
    assert installation.run("retry", *named).returncode == 0


def test_stat_shows_the_jobs_that_are_named(installation: Installation) -> None:
    installation.fill(1)
    for name in ("job_one", "job_two", "job_three"):
        installation.write_job(f"{name}.cfg", jobName=name)
        assert installation.run("submit", str(installation.conf / f"{name}.cfg")).returncode == 0
    assert installation.run("stat").stdout.count("JobName:") == 3

    shown = installation.run("stat", "job_two")
    assert shown.stdout.count("JobName:") == 1
    assert "JobName:job_two\n" in shown.stdout
    assert "does not know" not in shown.stderr
    told = json.loads(installation.run("stat", "--json", "job_three", "job_one").stdout)
    assert [job["jobName"] for job in told["jobs"]] == ["job_one", "job_three"]

    for options in ([], ["--json"]):
        wrong = installation.run("stat", "job_one", "job_tow", *options)
        assert wrong.returncode == 1
        assert wrong.stdout == ""
        assert wrong.stderr == (
            "Error: There is no job of the name job_tow. There are: job_one, job_two, job_three.\n"
        )


def test_the_only_job_is_cleaned_with_its_audit(installation: Installation) -> None:
    installation.fill(1)
    assert installation.run("submit").returncode == 0
    with borrow.ledger(load_system(installation.conf / "sys.properties")) as ledger:
        job = ledger.job("local_test")
        for part in ("audit", "extra"):
            ledger.create_job(replace(job, name=f"local_test-{part}", job_type=part))
    cleaned = installation.run("clean")
    assert cleaned.returncode == 0
    assert cleaned.stdout.count("delete jobs dir:") == 3
    for name in ("local_test-audit", "local_test-extra", "local_test"):
        assert f"Clean job:{name} completed.\n" in cleaned.stdout
    assert json.loads(installation.run("stat", "--json").stdout)["jobs"] == []


def test_the_last_speed_of_a_service_that_is_stopped_is_not_shown(
    installation: Installation,
) -> None:
    installation.fill(1)
    assert installation.run("submit").returncode == 0
    with borrow.ledger(load_system(installation.conf / "sys.properties")) as ledger:
        ledger.set_speed("local_test", 5, 500)
    assert installation.stat()["speed"] == {"objectsPerSecond": 0.0, "bytesPerSecond": 0.0}
    assert "speed: 0 B/s, 0.0 objects/s\n" in installation.run("stat").stdout


def test_without_jobs_stat_retry_and_clean_say_so(installation: Installation) -> None:
    shown = installation.run("stat")
    assert shown.stdout == (
        f"[WARN]   List files dir not exist : {installation.wd}/master/jobs/\n"
        "no jobs is running or finished.\n"
    )
    assert shown.returncode == 0
    assert json.loads(installation.run("stat", "--json").stdout)["jobs"] == []
    assert installation.run("retry").stdout == "no jobs is running or finished.\n"
    other = ["clean", "other"], ["clean", "../../conf"], ["retry", "other"], ["stat", "other"]
    for verb in (["clean"], *other):
        answer = installation.run(*verb)
        assert answer.returncode == 1
        assert answer.stderr.startswith("Error: ")
    assert installation.job_file.exists()


def test_the_working_directory_is_shown_as_the_original_does_when_it_is_the_installation(
    installation: Installation,
) -> None:
    installation.configure(workingDir=".")
    installation.wd = installation.home
    installation.fill(1)
    assert installation.run("submit").returncode == 0
    assert installation.run("clean").stdout.startswith("delete jobs dir:./master/jobs/local_test/")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"destSecretKey": "not-the-secret"}, ["destination", "SignatureDoesNotMatch"]),
        ({"destAccessKey": "nobody"}, ["destination", "InvalidAccessKeyId"]),
        ({"destBucket": "no-such-bucket"}, ["destination", "NoSuchBucket"]),
        ({"destDomain": "http://127.0.0.1:1"}, ["destination", "127.0.0.1:1"]),
    ],
)
def test_an_end_that_does_not_answer_as_configured_is_found_before_anything_is_added(
    installation: Installation, wrong: dict[str, str], told: list[str]
) -> None:
    installation.fill(1)
    installation.write_job(**wrong)
    answer = installation.run("submit")
    assert answer.returncode == 3
    assert answer.stderr.startswith("Error: The destination")
    for text in told:
        assert text in answer.stderr
    assert "not-the-secret" not in answer.stdout + answer.stderr
    assert json.loads(installation.run("stat", "--json").stdout)["jobs"] == []
    assert installation.pids() == {}


def test_credentials_that_cannot_be_had_are_told_once(installation: Installation) -> None:
    keys = installation.home / "keys.json"
    keys.write_text("{")
    installation.fill(1)
    installation.write_job(
        destAccessKey="", destSecretKey="", destCredentials=f"file:{keys}", jobName="other_job"
    )
    answer = installation.run("submit")
    assert answer.returncode == 3
    assert answer.stderr.startswith("Error: The destination")
    assert answer.stderr.count("what came is not JSON with AccessKeyId") == 1


def test_no_secret_is_written_anywhere_in_clear(installation: Installation) -> None:
    installation.fill(1)
    assert installation.run("submit").returncode == 0
    for path in installation.wd.rglob("*"):
        if path.is_file():
            assert b"sandbox-secret" not in path.read_bytes(), path


def test_a_working_directory_that_cannot_be_written_is_named_with_the_cure(
    installation: Installation, tmp_path: Path
) -> None:
    installation.configure(workingDir="/proc/nowhere")
    for verb in ("start", "stat", "submit"):
        answer = installation.run(verb)
        assert answer.returncode == 3
        assert "workingDir=/proc/nowhere" in answer.stderr
        assert "cannot be written" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_stop_names_hosts_that_are_not_in_conf_workers(installation: Installation) -> None:
    answer = installation.run("stop", "local_test")
    assert answer.returncode == 1
    assert "conf/workers names no other host local_test; " in answer.stderr


def test_a_second_monitor_says_that_its_port_is_in_use(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        installation.configure(flowerPort=port)
        answer = installation.run("monitor")
    assert answer.returncode == 4
    assert f"Port {port} of 127.0.0.1 is in use" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_stop_of_what_never_ran_says_so(installation: Installation) -> None:
    answer = installation.stop()
    assert answer.stdout == "Import service is not running.\n"
    assert answer.returncode == 0
