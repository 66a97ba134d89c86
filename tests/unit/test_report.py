"""What an operator reads: the original's block to the byte, totals that close, cures for all."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ossimport.auditlog import FailedGroup, Highlights, Slow
from ossimport.ledger.base import Job, RunningTask, Snapshot
from ossimport.model import Counts, JobState, Proof, Tally, TaskState
from ossimport.report import (
    cure_for,
    eta,
    human_bytes,
    human_time,
    progress_line,
    stat_json,
    stat_text,
    summary_text,
)
from ossimport.report.terminal import live

RUNNING_TASK = RunningTask(
    task_id="8528637A126676A4FD0D2F981ED5E0EF_1544176618182",
    worker="host-1:12:99",
    fence=1,
    expired=False,
    objects_done=1,
    objects_total=42,
    bytes_done=0,
    bytes_total=191048,
)
RUNNING = Snapshot(
    job=Job("local_test", 1, "f", b"", scan_finished=True),
    counts=Counts(
        listed=Tally(3_700, 4_100_000_000),
        copied=Tally(1_200, 41_000_000),
        skipped=Tally(20, 150_000),
        failed=Tally(5, 20_000),
        vanished=Tally(2, 3_000),
        excluded=Tally(7, 27_000),
    ),
    proof={Proof.NONE: 0, Proof.SIZE: 1, Proof.CRC64: 1_000, Proof.SOURCE: 199},
    tasks={
        TaskState.PENDING: 3,
        TaskState.DISPATCHED: 0,
        TaskState.RUNNING: 1,
        TaskState.SUCCEED: 4,
        TaskState.FAILED: 2,
    },
    running=(RUNNING_TASK,),
    objects_per_second=120.5,
    bytes_per_second=82_300_000.0,
    elapsed=61.25,
)
ENDED = replace(
    RUNNING,
    job=replace(RUNNING.job, state=JobState.SUCCEED),
    counts=Counts(listed=Tally(3_700, 4_100), copied=Tally(3_700, 4_100)),
    proof={Proof.CRC64: 3_700},
    tasks={TaskState.SUCCEED: 9},
    running=(),
    elapsed=100.0,
)
NOTHING = replace(
    ENDED,
    job=replace(ENDED.job, state=JobState.ABORT, reason="NothingFound: no object was found"),
    counts=Counts(),
    proof={},
    tasks={},
)
TREE = Path("master/jobs/local_test")


def test_stat_prints_the_originals_block_to_the_byte() -> None:
    text = stat_text([RUNNING])
    block, _, _ = text.partition("\n\n")
    assert block == (
        "-------------- job stats ---------------\n"
        "---------------- job stat ------------------\n"
        "JobName:local_test\n"
        "JobState:Running\n"
        "PendingTasks:3\n"
        "DispatchedTasks:1\n"
        "RunningTasks:1\n"
        "SucceedTasks:4\n"
        "FailedTasks:2\n"
        "ScanFinished:true\n"
        "RunningTasks Progress:\n"
        "8528637A126676A4FD0D2F981ED5E0EF_1544176618182:0/191048 1/42\n"
        "----------------------------------------"
    )


def test_stat_prints_our_totals_below() -> None:
    assert stat_text([RUNNING]).partition("\n\n")[2] == (
        "local_test  objects          bytes\n"
        "listed        3,700  4,100,000,000    4.1 GB\n"
        "copied        1,200     41,000,000   41.0 MB\n"
        "skipped          20        150,000  150.0 kB\n"
        "failed            5         20,000   20.0 kB\n"
        "vanished          2          3,000    3.0 kB\n"
        "excluded          7         27,000   27.0 kB\n"
        "left          2,466  4,058,800,000    4.1 GB\n"
        "proof: 199 by CRC64 and the source's own checksum, 1,000 by CRC64, 1 by size only\n"
        "speed: 82.3 MB/s, 120.5 objects/s\n"
        "time: 0:01:01 so far, 0:00:49 to go"
    )


def test_several_jobs_share_one_header_and_one_footer() -> None:
    other = replace(ENDED, job=replace(ENDED.job, name="other", scan_finished=False))
    lines = stat_text([RUNNING, other]).split("\n")
    assert lines.count("-------------- job stats ---------------") == 1
    assert lines.count("---------------- job stat ------------------") == 2
    assert lines.count("-" * 40) == 1
    assert [line for line in lines if line.startswith("JobName:")] == [
        "JobName:local_test",
        "JobName:other",
    ]
    assert "ScanFinished:false" in lines
    header = lines.index("RunningTasks Progress:", lines.index("JobName:other"))
    assert lines[header + 1] == "-" * 40


def test_stat_without_a_job_says_what_the_original_says() -> None:
    assert stat_text([]) == "no jobs is running or finished."
    assert stat_json([]) == {"jobs": []}


def test_stat_for_programs_has_the_promised_shape() -> None:
    found = json.loads(json.dumps(stat_json([RUNNING])))
    assert found == {
        "jobs": [
            {
                "jobName": "local_test",
                "jobType": "import",
                "state": "Running",
                "reason": "",
                "priority": 5,
                "scanFinished": True,
                "round": None,
                "tasks": {"pending": 3, "dispatched": 0, "running": 1, "succeed": 4, "failed": 2},
                "objects": {
                    "listed": 3700,
                    "copied": 1200,
                    "skipped": 20,
                    "failed": 5,
                    "vanished": 2,
                    "excluded": 7,
                    "left": 2466,
                },
                "bytes": {
                    "listed": 4_100_000_000,
                    "copied": 41_000_000,
                    "skipped": 150_000,
                    "failed": 20_000,
                    "vanished": 3_000,
                    "excluded": 27_000,
                    "left": 4_058_800_000,
                },
                "proof": {"3": 199, "2": 1000, "1": 1},
                "unkept": {"objects": 0},
                "speed": {"objectsPerSecond": 120.5, "bytesPerSecond": 82_300_000.0},
                "etaSeconds": 49.317,
                "elapsedSeconds": 61.25,
                "running": [
                    {
                        "taskId": "8528637A126676A4FD0D2F981ED5E0EF_1544176618182",
                        "worker": "host-1:12:99",
                        "objectsDone": 1,
                        "objectsTotal": 42,
                        "bytesDone": 0,
                        "bytesTotal": 191048,
                        "helpers": 0,
                    }
                ],
            }
        ]
    }


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 10**9), min_size=6, max_size=6),
    st.lists(st.integers(0, 10**15), min_size=6, max_size=6),
)
def test_every_sum_that_is_printed_closes(objects: list[int], sizes: list[int]) -> None:
    tallies = [Tally(*pair) for pair in zip(objects, sizes, strict=True)]
    counts = Counts(Tally(sum(objects), sum(sizes)), *tallies[:5])
    snapshot = replace(RUNNING, counts=counts)
    text = summary_text(snapshot, Highlights(), TREE)
    for kind in ("objects:", "bytes:  "):
        (line,) = (line for line in text.split("\n") if line.startswith(f"  {kind}"))
        whole, parts = line.removeprefix(f"  {kind}").replace(",", "").split("=")
        assert int(whole.split()[0]) == sum(int(part.split()[0]) for part in parts.split("+"))
    (job,) = json.loads(json.dumps(stat_json([snapshot])))["jobs"]
    for kind in ("objects", "bytes"):
        assert 2 * job[kind]["listed"] == sum(job[kind].values())


# -- time to go ------------------------------------------------------------------------------------


def test_the_later_of_two_estimates_counts() -> None:
    slow_objects = replace(RUNNING, objects_per_second=1.0)
    assert eta(slow_objects) == 2466.0
    slow_bytes = replace(RUNNING, bytes_per_second=1e6)
    assert eta(slow_bytes) == pytest.approx(4058.8)


@pytest.mark.parametrize(
    "snapshot",
    [
        replace(RUNNING, job=replace(RUNNING.job, scan_finished=False)),
        replace(RUNNING, objects_per_second=0.0),
        replace(RUNNING, bytes_per_second=0.0),
        replace(RUNNING, job=replace(RUNNING.job, state=JobState.ABORT)),
    ],
)
def test_nobody_knows_the_time_to_go(snapshot: Snapshot) -> None:
    assert eta(snapshot) is None
    if snapshot.job.state is JobState.RUNNING:
        assert "unknown to go" in stat_text([snapshot])
    else:
        assert "to go" not in stat_text([snapshot])
    (job,) = json.loads(json.dumps(stat_json([snapshot])))["jobs"]
    assert job["etaSeconds"] is None


def test_nothing_is_to_go_when_nothing_is_left() -> None:
    assert eta(ENDED) == 0.0
    only_empty = Counts(listed=Tally(4, 0), copied=Tally(2, 0))
    empty_left = replace(RUNNING, counts=only_empty, bytes_per_second=0.0, objects_per_second=2.0)
    assert eta(empty_left) == 1.0


# -- lines -----------------------------------------------------------------------------------------


def test_one_line_in_a_pipe_says_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    line = progress_line(RUNNING, 1_795_410_305.0)
    assert re.fullmatch(r"\d\d:\d\d:\d\d .*", line)
    assert line[9:] == (
        "local_test Running 33% 1,234/3,700 objects 41.2 MB/4.1 GB 82.3 MB/s ETA 0:00:49 failed 5"
    )


def test_a_line_says_what_a_job_waits_for() -> None:
    waiting = replace(RUNNING, job=replace(RUNNING.job, reason="waiting: the disk\nis full"))
    assert progress_line(waiting, 0.0).endswith(" failed 5; waiting: the disk\\x0ais full")


def test_a_line_makes_no_percentage_of_totals_that_still_grow() -> None:
    scanning = replace(RUNNING, job=replace(RUNNING.job, scan_finished=False))
    assert " Running scanning 1,234/3,700 objects " in progress_line(scanning, 0.0)
    assert "ETA unknown" in progress_line(scanning, 0.0)


def test_a_hundred_percent_means_all() -> None:
    nearly = Counts(listed=Tally(100_000, 1), copied=Tally(99_999, 1))
    assert " 99% " in progress_line(replace(RUNNING, counts=nearly), 0.0)
    assert " 100% " in progress_line(ENDED, 0.0)
    assert " 0% " in progress_line(NOTHING, 0.0)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1000, "1.0 kB"),
        (1024, "1.0 kB"),
        (41_200_000, "41.2 MB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (4.1e9, "4.1 GB"),
        (5e22, "50000.0 EB"),
    ],
)
def test_sizes_are_decimal(size: float, text: str) -> None:
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (3_661, "1:01:01"), (1e6, "277:46:40")]
)
def test_spans_are_hours_minutes_and_seconds(seconds: float, text: str) -> None:
    assert human_time(seconds) == text


# -- the end ---------------------------------------------------------------------------------------


def test_the_summary_of_a_success() -> None:
    highlights = Highlights((Slow(12.5, 4096, "slow\n.jpg"), Slow(1.0, 1, "b")))
    assert summary_text(ENDED, highlights, TREE) == (
        "Job local_test: Succeed after 0:01:40\n"
        "  objects: 3,700 listed = 3,700 copied + 0 skipped + 0 failed + 0 vanished + 0 excluded"
        " + 0 left\n"
        "  bytes:   4,100 listed = 4,100 copied + 0 skipped + 0 failed + 0 vanished + 0 excluded"
        " + 0 left\n"
        "  proof:   of 3,700 copied: 3,700 by CRC64\n"
        "  speed:   4.1 kB copied, 41 B/s and 37.0 objects/s on average\n"
        "  slowest objects:\n"
        "       12.500 s     4.1 kB  slow\\x0a.jpg\n"
        "        1.000 s        1 B  b\n"
        "  logs: master/jobs/local_test/*_tasks/*/audit.log has a line for every object\n"
        "  next: nothing; every object listed is accounted for"
    )


def test_a_success_with_vanished_objects_says_where_their_names_are() -> None:
    counts = Counts(listed=Tally(10, 9), copied=Tally(8, 8), vanished=Tally(2, 1))
    text = summary_text(replace(ENDED, counts=counts), Highlights(), TREE)
    assert "next: see that what vanished was meant to go" in text
    assert "succeed_tasks/*/audit.log" in text


def test_a_job_that_takes_nothing_says_so_loudly() -> None:
    everything = ENDED.counts.listed
    counts = Counts(listed=everything, excluded=everything)
    assert "NOTHING WAS TAKEN" in summary_text(replace(ENDED, counts=counts), Highlights(), TREE)
    assert "NOTHING" not in summary_text(ENDED, Highlights(), TREE)


def test_what_could_not_be_kept_is_told_with_where_to_look() -> None:
    lost = replace(RUNNING, unkept=1_200)
    words = "metadata: 1,200 copied without all that the source keeps beside the bytes"
    where = "see unkept= in master/jobs/local_test/*_tasks/*/audit.log"
    assert f"\n{words}, {where}\n" in stat_text([lost])
    text = summary_text(lost, Highlights(), TREE)
    assert f"\n  {words}\n" in text
    assert "audit.log has a line for every object\n        unkept= in such a line" in text
    (job,) = json.loads(json.dumps(stat_json([lost])))["jobs"]
    assert job["unkept"] == {"objects": 1_200}
    for other in (stat_text([RUNNING]), summary_text(RUNNING, Highlights(), TREE)):
        assert "unkept" not in other


def test_the_summary_of_a_failure_groups_names_and_cures() -> None:
    failed = replace(RUNNING, job=replace(RUNNING.job, state=JobState.FAILED))
    groups = {
        "Odd": FailedGroup(1, ("x",), "never seen"),
        "Timeout": FailedGroup(4, ("a", "b\\x0a"), "no answer"),
    }
    text = summary_text(failed, Highlights((), groups), TREE)
    assert text.index("4 Timeout: no answer") < text.index("1 Odd: never seen")
    assert f"cure: {cure_for('Timeout')}" in text
    assert "      b\\x0a\n      ... and 2 more\n" in text
    assert "master/jobs/local_test/failed_tasks/*/error.list" in text
    assert "excluded.list" in text
    assert "2 vanished: gone from the source" in text
    assert text.endswith("bash console.sh retry local_test")
    assert "first lists only" not in text
    assert "first lists only" in summary_text(failed, Highlights((), groups, False), TREE)


def test_a_failure_has_one_cure_and_not_two() -> None:
    failed = replace(RUNNING, job=replace(RUNNING.job, state=JobState.FAILED))
    groups = {
        "InvalidKey": FailedGroup(1, ("x",), "OSS cannot hold x. Cure: rename it"),
        "Odd": FailedGroup(1, ("y",), "never seen. Cure: wait for a fortnight"),
    }
    text = summary_text(failed, Highlights((), groups), TREE)
    assert f"1 InvalidKey: OSS cannot hold x\n      cure: {cure_for('InvalidKey')}\n" in text
    assert "1 Odd: never seen\n      cure: wait for a fortnight\n" in text
    assert text.lower().count("cure:") == 2


@pytest.mark.parametrize("state", [JobState.ABORT, JobState.SUCCEED, JobState.FAILED])
def test_a_job_that_found_nothing_says_so_loudly(state: JobState) -> None:
    nothing = replace(NOTHING, job=replace(NOTHING.job, state=state))
    text = summary_text(nothing, Highlights(), TREE)
    assert "NOTHING WAS FOUND" in text
    assert cure_for("NothingFound") in text
    assert "accounted for" not in text
    assert text.endswith("bash console.sh clean local_test; submit it again")
    assert "NOTHING" not in summary_text(ENDED, Highlights(), TREE)


def test_a_stopped_job_says_why_on_one_line() -> None:
    stopped = replace(
        RUNNING, job=replace(RUNNING.job, state=JobState.ABORT, reason="NoSuchBucket: b\n\x1b[2J")
    )
    for text in (summary_text(stopped, Highlights(), TREE), stat_text([stopped])):
        assert "reason: NoSuchBucket: b\\x0a\\x1b[2J" in text
    assert "mend the reason, then: bash console.sh retry local_test" in summary_text(
        stopped, Highlights(), TREE
    )


def test_stat_says_what_to_do_about_a_job_that_ended_badly() -> None:
    failed = replace(RUNNING, job=replace(RUNNING.job, state=JobState.FAILED))
    assert stat_text([failed]).endswith(
        "\nnext: mend what failed_tasks/*/error.list and scan_failures.list of"
        " master/jobs/local_test name, then: bash console.sh retry local_test"
    )
    assert stat_text([NOTHING]).endswith("bash console.sh clean local_test; submit it again")
    for snapshot in (RUNNING, ENDED):
        assert "next:" not in stat_text([snapshot])


def test_a_job_that_goes_on_says_how_to_look_at_it() -> None:
    assert "bash console.sh stat" in summary_text(RUNNING, Highlights(), TREE)


# -- cures -----------------------------------------------------------------------------------------


def test_every_code_that_our_own_modules_raise_has_a_cure() -> None:
    package = Path(__file__).parents[2] / "ossimport"
    ours = [path for path in package.rglob("*.py") if "sandbox" not in path.parts]
    sources = "".join(path.read_text() for path in ours)
    codes = set(re.findall(r'code="([A-Za-z_]+)"', sources))
    assert {"NotFound", "SourceChanged", "ChecksumMismatch"} <= codes
    general = cure_for("no such code")
    assert {code for code in codes if cure_for(code) == general} == set()


def test_a_code_has_one_cure_whoever_names_it() -> None:
    assert cure_for("NoSuchKey") == cure_for("NotFound")
    assert cure_for("EACCES") == cure_for("AccessDenied")
    assert all(cure_for(code) != cure_for("") for code in ("ENFILE", "BadRequest", "InvalidDigest"))
    assert "request id" in cure_for("")


# -- the terminal ----------------------------------------------------------------------------------


def show(snapshot: Snapshot) -> str:
    console = Console(width=100, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(live(snapshot))
    return capture.get()


def test_the_live_view_shows_totals_speed_and_running_tasks() -> None:
    text = show(RUNNING)
    for part in (
        "local_test  Running  33%  1,234/3,700 objects  41.2 MB/4.1 GB",
        "82.3 MB/s",
        "ETA 0:00:49",
        "failed 5",
        "host-1:12:99",
        "1/42 objects",
    ):
        assert part in text
    assert "more running" not in text


def test_the_live_view_bounds_the_tasks_and_takes_no_text_for_markup() -> None:
    tasks = [RUNNING_TASK._replace(worker=f"[red]w{number}") for number in range(11)]
    aborted = replace(RUNNING.job, reason="[bold]b", scan_finished=False)
    text = show(replace(RUNNING, running=tasks, job=aborted))
    assert text.count("[red]w") == 8
    assert "... and 3 more running tasks" in text
    assert "[bold]b" in text
    assert "still scanning" in text
