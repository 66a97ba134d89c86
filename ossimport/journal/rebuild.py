"""Restore a ledger that is empty or behind from a job's tree."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ossimport import manifest
from ossimport.errors import JobNotFound, LedgerBehind, ServiceError
from ossimport.journal.places import Place
from ossimport.journal.replay import StoredTask
from ossimport.journal.tree import Journal
from ossimport.ledger.base import (
    ConsoleLedger,
    MasterLedger,
    PlannedTask,
    PlanStep,
    ScanFailure,
)
from ossimport.model import Outcome, Tally, Task, TaskState


class RebuildableLedger(ConsoleLedger, MasterLedger, Protocol):
    """The operator's and the master's thirds of a ledger."""


def rebuild(
    journal: Journal, ledger: RebuildableLedger, *, beat: Callable[[], None] = lambda: None
) -> bool:
    """Make the ledger know all that the journal knows; False if no step of the scan was missing.

    An empty ledger gets everything; tasks that a worker held are pending then, its claim is stale,
    and what failed in a task that did not end is left again. A ledger that lacks the last steps of
    the scan gets those, and the scan failures that became lanes since; nothing else changes.
    Idempotent, also after a crash in the middle. It may take minutes: `beat` is called with every
    task that is restored. Raises JobNotFound when the journal is empty, JobExists when the ledger
    has another job of this name, ServiceError when the journal is damaged or the ledger loses steps
    anew meanwhile.
    """
    job = journal.stored_job()
    if job is None:
        raise JobNotFound(f"{journal.root} holds no job. Cure: submit the job again.")
    ledger.create_job(job)
    journal.remove_strays()
    known, scan = ledger.scan_state(job.name), journal.scan_state()
    if known.seq >= scan.seq:
        return False
    if known.seq:
        try:
            _catch_up(journal, ledger, job.name)
        except LedgerBehind as exc:
            raise ServiceError(
                f"{journal.root}: the ledger lost steps again while they were replayed from here. "
                "Cure: wait until Redis runs steadily and see that one master only drives the job; "
                "the replay is done again then."
            ) from exc
    else:
        _restore_all(journal, ledger, job.name, beat)
    return True


def _catch_up(journal: Journal, ledger: RebuildableLedger, job: str) -> None:
    """Plan again the steps that the ledger has not seen. Where lanes stood in between is not known,
    so the last step moves them all."""
    if ledger.scan_state(job).seq <= journal.rescanned_after():
        ledger.rescan_failures(job)  # else what was listed since would be listed once more
    known, scan = ledger.scan_state(job), journal.scan_state()
    places: dict[int, list[Place]] = {}
    for place in journal.places():
        seq = journal.step_of(place)
        if seq is not None:  # else the ledger that lacks the step lacks the cut, too
            places.setdefault(seq, []).append(place)
    failures: dict[int, list[ScanFailure]] = {}
    for seq, failure in journal.scan_failures():
        failures.setdefault(seq, []).append(failure)
    for seq in range(known.seq + 1, scan.seq + 1):
        tasks = [_whole(journal.task(place)) for place in places.get(seq, [])]
        step = PlanStep(seq, {}, tasks, failures=failures.get(seq, []))
        if seq == scan.seq:
            finished = dict.fromkeys(known.lanes.keys() - scan.lanes.keys())
            excluded, unchanged = journal.excluded(), journal.unchanged()
            snapshot = ledger.snapshot(job)
            counted = snapshot.counts.excluded
            step = replace(
                step,
                lanes={**finished, **scan.lanes},
                excluded=excluded.objects - counted.objects,
                excluded_bytes=excluded.bytes - counted.bytes,
                unchanged=Tally(
                    unchanged.objects - snapshot.unchanged.objects,
                    unchanged.bytes - snapshot.unchanged.bytes,
                ),
            )
        ledger.plan(job, step)
    if scan.finished:
        ledger.finish_scan(job, scan.seq)


def _restore_all(
    journal: Journal, ledger: RebuildableLedger, job: str, beat: Callable[[], None]
) -> None:
    for place in list(journal.places()):
        beat()
        _restore(journal, ledger, job, place)
    journal.sync()
    scan, excluded = journal.scan_state(), journal.excluded()
    failures = [failure for _, failure in journal.scan_failures()]
    step = PlanStep(
        scan.seq, {}, (), excluded.objects, excluded.bytes, failures, journal.unchanged()
    )
    ledger.resume_at(job, scan, step)


def _whole(task: Task) -> PlannedTask:
    return PlannedTask(task.task_id, manifest.pack(task.objects), len(task.objects), task.size)


def _restore(journal: Journal, ledger: RebuildableLedger, job: str, place: Place) -> None:
    summary = journal.summary(place)
    if summary is not None and not summary.totals.left:
        ledger.restore(
            job,
            PlannedTask(place.task_id, b"", summary.objects, summary.bytes),
            TaskState.SUCCEED,
            marks=b"",
            log_size=0,
            objects=summary.totals.objects,
            bytes_=summary.totals.bytes,
            proof=summary.totals.proof,
            unkept=summary.totals.unkept,
        )
        return
    stored = journal.stored(place)
    if not stored.own_objects:
        return  # the ledger lost the cut, and the task that it was cut off has them all
    if place.ended and not stored.totals.left:
        ledger.restore(
            job,
            stored.planned,
            stored.state,
            marks=stored.marks,
            log_size=stored.log_size,
            objects=stored.totals.objects,
            bytes_=stored.totals.bytes,
            proof=stored.totals.proof,
            unkept=stored.totals.unkept,
        )
    else:
        _reopen(journal, ledger, job, stored)


def _reopen(journal: Journal, ledger: RebuildableLedger, job: str, stored: StoredTask) -> None:
    """Make a task pending that did not end, or whose log lost lines after it ended.

    Its failed objects are left again: whether they failed before or after a retry put the task back
    is not known, and trying them once more costs least.
    """
    totals, task_id = stored.totals, stored.text.task_id
    ledger.restore(
        job,
        stored.planned,
        TaskState.RUNNING if stored.worker_host else TaskState.PENDING,
        marks=stored.retry_marks,
        log_size=stored.log_size,
        objects={o: number for o, number in totals.objects.items() if o is not Outcome.FAILED},
        bytes_={o: size for o, size in totals.bytes.items() if o is not Outcome.FAILED},
        proof=totals.proof,
        unkept=totals.unkept,
    )
    journal.released(task_id)
    journal.requeued(task_id)
