"""Restore a ledger that is empty or behind from a job's tree."""

from dataclasses import replace
from typing import Protocol

from ossimport import manifest
from ossimport.errors import JobNotFound
from ossimport.journal.places import Place
from ossimport.journal.tree import Journal
from ossimport.ledger.base import (
    ConsoleLedger,
    MasterLedger,
    PlannedTask,
    PlanStep,
    ScanFailure,
    ScanState,
)
from ossimport.model import Task, TaskState


class RebuildableLedger(ConsoleLedger, MasterLedger, Protocol):
    """The operator's and the master's thirds of a ledger."""


def rebuild(journal: Journal, ledger: RebuildableLedger) -> bool:
    """Make the ledger know all that the journal knows; False if no step of the scan was missing.

    An empty ledger gets everything; tasks that a worker held are pending then, and its claim is
    stale. A ledger that lacks the last steps of the scan gets those, and nothing else changes.
    Idempotent, also after a crash in the middle. Raises JobNotFound when the journal is empty,
    JobExists when the ledger has another job of this name.
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
        _catch_up(journal, ledger, job.name, known)
    else:
        _restore_all(journal, ledger, job.name)
    return True


def _catch_up(journal: Journal, ledger: RebuildableLedger, job: str, known: ScanState) -> None:
    """Plan again the steps that the ledger has not seen. Where lanes stood in between is not known,
    so the last step moves them all."""
    scan = journal.scan_state()
    places: dict[int, list[Place]] = {}
    for place in journal.places():
        places.setdefault(journal.step_of(place), []).append(place)
    failures: dict[int, list[ScanFailure]] = {}
    for seq, failure in journal.scan_failures():
        failures.setdefault(seq, []).append(failure)
    for seq in range(known.seq + 1, scan.seq + 1):
        tasks = [_planned(journal.task(place)[0]) for place in places.get(seq, [])]
        step = PlanStep(seq, {}, tasks, failures=failures.get(seq, []))
        if seq == scan.seq:
            finished = dict.fromkeys(known.lanes.keys() - scan.lanes.keys())
            excluded, counted = journal.excluded(), ledger.snapshot(job).counts.excluded
            step = replace(
                step,
                lanes={**finished, **scan.lanes},
                excluded=excluded.objects - counted.objects,
                excluded_bytes=excluded.bytes - counted.bytes,
            )
        ledger.plan(job, step)
    if scan.finished:
        ledger.finish_scan(job)


def _restore_all(journal: Journal, ledger: RebuildableLedger, job: str) -> None:
    for place in list(journal.places()):
        _restore(journal, ledger, job, place)
    journal.sync()
    scan, excluded = journal.scan_state(), journal.excluded()
    failures = [failure for _, failure in journal.scan_failures()]
    step = PlanStep(scan.seq, {}, (), excluded.objects, excluded.bytes, failures)
    ledger.resume_at(job, scan, step)


def _planned(task: Task) -> PlannedTask:
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
        )
        return
    stored = journal.stored(place)
    state = stored.state
    if not place.ended:
        journal.released(place.task_id)
        state = TaskState.PENDING
    elif stored.totals.left:
        # Part of its log is lost. What has no outcome on record is copied again.
        journal.requeued(place.task_id)
        state = TaskState.PENDING
    ledger.restore(
        job,
        _planned(stored.task),
        state,
        marks=stored.marks,
        log_size=stored.log_size,
        objects=stored.totals.objects,
        bytes_=stored.totals.bytes,
        proof=stored.totals.proof,
    )
