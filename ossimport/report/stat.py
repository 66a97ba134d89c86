"""`stat`: the original's block, our totals below it, and the same for programs."""

import time
from collections.abc import Sequence

from ossimport.ledger.base import Snapshot
from ossimport.model import JobState, Proof, TaskState
from ossimport.naming import one_line
from ossimport.report.numbers import (
    eta,
    human_bytes,
    human_eta,
    human_time,
    outcomes,
)
from ossimport.report.words import terms
from ossimport.wording import plural

NO_JOBS = "no jobs is running or finished."

_HEADER = f"{'-' * 14} job stats {'-' * 15}"
_JOB_HEADER = f"{'-' * 16} job stat {'-' * 18}"
_FOOTER = "-" * 40


def stat_text(snapshots: Sequence[Snapshot]) -> str:
    """The original's block for all jobs, then the totals of each."""
    if not snapshots:
        return NO_JOBS
    lines = [_HEADER]
    for snapshot in snapshots:
        lines += _block(snapshot)
    lines.append(_FOOTER)
    for snapshot in snapshots:
        lines += ["", *totals(snapshot)]
    return "\n".join(lines)


def _block(snapshot: Snapshot) -> list[str]:
    """One job as the original prints it, where a running task is a dispatched one too."""
    job, tasks = snapshot.job, snapshot.tasks
    running = tasks.get(TaskState.RUNNING, 0)
    return [
        _JOB_HEADER,
        f"JobName:{job.name}",
        f"JobState:{job.state}",
        f"PendingTasks:{tasks.get(TaskState.PENDING, 0)}",
        f"DispatchedTasks:{tasks.get(TaskState.DISPATCHED, 0) + running}",
        f"RunningTasks:{running}",
        f"SucceedTasks:{tasks.get(TaskState.SUCCEED, 0)}",
        f"FailedTasks:{tasks.get(TaskState.FAILED, 0)}",
        # Of an incremental job the original never says so: its scans have no end.
        f"ScanFinished:{'true' if job.scan_finished and not job.incremental else 'false'}",
        "RunningTasks Progress:",
        *(
            f"{task.task_id}:{task.bytes_done}/{task.bytes_total} "
            f"{task.objects_done}/{task.objects_total}"
            for task in snapshot.running
        ),
    ]


def totals(snapshot: Snapshot) -> list[str]:
    """A table of objects and bytes by outcome, with speed and time below it."""
    job = snapshot.job
    rows = [(job.name, "objects", "bytes", "")]
    for name, amount in {"listed": snapshot.counts.listed, **terms(snapshot)}.items():
        rows.append((name, f"{amount.objects:,}", f"{amount.bytes:,}", human_bytes(amount.bytes)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}"
        f"  {row[3]:>{widths[3]}}".rstrip()
        for row in rows
    ]
    if job.incremental:
        lines.append(f"round: {round_words(snapshot)}")
    if job.job_type == "import" or snapshot.counts.copied.objects:
        lines.append(f"proof: {proof_words(snapshot)}")
    if snapshot.unkept:
        where = f"master/jobs/{job.name}/*_tasks/*/audit.log"
        lines.append(f"metadata: {unkept_words(snapshot)}, see unkept= in {where}")
    if job.state is JobState.RUNNING and not job.next_round_ms:
        lines.append(
            f"speed: {human_bytes(snapshot.bytes_per_second)}/s, "
            f"{snapshot.objects_per_second:,.1f} objects/s"
        )
        lines.append(f"time: {human_time(snapshot.elapsed)} so far, {human_eta(snapshot)} to go")
    elif job.state is JobState.PAUSED:
        lines.append(f"time: {human_time(snapshot.elapsed)} so far")
        lines.append(f"paused, until: bash console.sh resume {job.name}")
    else:
        since = "beginning" if job.incremental else "submit"
        lines.append(f"time: {human_time(snapshot.elapsed)} from {since} to end")
    if job.reason:
        lines.append(f"reason: {one_line(job.reason)}")
    if job.job_type == "import" and job.state in (JobState.FAILED, JobState.ABORT):
        lists = f"failed_tasks/*/error.list and scan_failures.list of master/jobs/{job.name} name"
        lines.append(f"next: {next_step(snapshot, f'what {lists}')}")
    return lines


def proof_words(snapshot: Snapshot) -> str:
    """How well the copied objects are proved to have arrived."""
    meanings = {
        Proof.SOURCE: "by CRC64 and the source's own checksum",
        Proof.CRC64: "by CRC64",
        Proof.SIZE: "by size only",
        Proof.NONE: "not proved",
    }
    known = [
        f"{snapshot.proof[level]:,} {meaning}"
        for level, meaning in meanings.items()
        if snapshot.proof.get(level)
    ]
    return ", ".join(known) or "nothing was copied"


def round_words(snapshot: Snapshot) -> str:
    """Which round of an incremental job it is, what it found unchanged, and when the next begins.

    The time is local.
    """
    job = snapshot.job
    words = f"{job.round}"
    if job.next_round_ms:
        begins = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.next_round_ms / 1000))
        words += f" is over, the next one begins at {begins}"
    if snapshot.unchanged.objects:
        same = snapshot.unchanged.objects
        since = "is unchanged since it came" if same == 1 else "are unchanged since they came"
        words += f"; {same:,} {plural(same, 'skipped object')} {since}"
    return words


def next_step(snapshot: Snapshot, failed: str) -> str:
    """What the operator does now; `failed` is where it was said what has failed, and why."""
    job, counts = snapshot.job, snapshot.counts
    if job.next_round_ms:
        mend = f"mend {failed}; " if counts.failed.objects else "nothing; "
        return f"{mend}the next round copies what is missing, new or changed"
    if job.scan_finished and not counts.listed.objects:
        return f"mend the job file, then: bash console.sh clean {job.name}; submit it again"
    if job.state is JobState.SUCCEED and counts.vanished.objects:
        return (
            "see that what vanished was meant to go: the lines with Vanished in "
            "succeed_tasks/*/audit.log name it; if the source still has it, clean the job and "
            "submit it again"
        )
    if job.state is JobState.SUCCEED:
        return "nothing; every object listed is accounted for"
    if job.state in (JobState.FAILED, JobState.ABORT):
        what = failed if job.state is JobState.FAILED else "the reason"
        return f"mend {what}, then: bash console.sh retry {job.name}"
    way_on = "bash console.sh start goes on if it is stopped"
    if job.state is JobState.PAUSED:
        way_on = f"bash console.sh resume {job.name} lets it go on"
    return f"bash console.sh stat shows how it goes; {way_on}"


def unkept_words(snapshot: Snapshot) -> str:
    """How many of the copied objects lost something on the way."""
    return f"{snapshot.unkept:,} copied without all that the source keeps beside the bytes"


def stat_json(snapshots: Sequence[Snapshot]) -> dict[str, object]:
    """The same for programs. `tasks` counts every task once; `etaSeconds` is None when unknown."""
    return {"jobs": [job_json(snapshot) for snapshot in snapshots]}


def job_json(snapshot: Snapshot) -> dict[str, object]:
    """One job of `stat_json`."""
    job = snapshot.job
    amounts = {"listed": snapshot.counts.listed, **outcomes(snapshot.counts)}
    seconds = eta(snapshot)
    return {
        "jobName": job.name,
        "jobType": job.job_type,
        "state": job.state.value,
        "reason": job.reason,
        "priority": job.priority,
        "scanFinished": job.scan_finished,
        "round": {
            "number": job.round,
            "isOver": job.next_round_ms > 0,
            "nextBegins": job.next_round_ms / 1000 or None,
            "unchanged": snapshot.unchanged.objects,
        }
        if job.incremental
        else None,
        "tasks": {state.value: snapshot.tasks.get(state, 0) for state in TaskState},
        "objects": {name: amount.objects for name, amount in amounts.items()},
        "bytes": {name: amount.bytes for name, amount in amounts.items()},
        "proof": {
            level.value: snapshot.proof.get(level, 0)
            for level in (Proof.SOURCE, Proof.CRC64, Proof.SIZE)
        },
        "unkept": {"objects": snapshot.unkept},
        "speed": {
            "objectsPerSecond": round(snapshot.objects_per_second, 3),
            "bytesPerSecond": round(snapshot.bytes_per_second, 3),
        },
        "etaSeconds": None if seconds is None else round(seconds, 3),
        "elapsedSeconds": round(snapshot.elapsed, 3),
        "running": [
            {
                "taskId": task.task_id,
                "worker": task.worker,
                "objectsDone": task.objects_done,
                "objectsTotal": task.objects_total,
                "bytesDone": task.bytes_done,
                "bytesTotal": task.bytes_total,
                "helpers": task.helpers,
            }
            for task in snapshot.running
        ],
    }
