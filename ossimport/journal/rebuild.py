"""Restore a ledger that is empty or behind from a job's tree."""

from typing import Protocol

from ossimport import manifest
from ossimport.errors import JobNotFound
from ossimport.journal.places import Place
from ossimport.journal.tree import Journal
from ossimport.ledger.base import ConsoleLedger, MasterLedger, PlannedTask
from ossimport.model import TaskState


class RebuildableLedger(ConsoleLedger, MasterLedger, Protocol):
    """The operator's and the master's thirds of a ledger."""


def rebuild(journal: Journal, ledger: RebuildableLedger) -> bool:
    """Make the ledger know all that the journal knows; False if it knew already.

    Idempotent, also after a crash in the middle: the scan's place is restored last, and a ledger
    whose scan stands before the journal's is rebuilt from the beginning. Tasks that a worker held
    are pending afterwards, and its claim is stale. Raises JobNotFound when the journal is empty,
    JobExists when the ledger has another job of this name.
    """
    job = journal.stored_job()
    if job is None:
        raise JobNotFound(f"{journal.root} holds no job. Cure: submit the job again.")
    scan = journal.scan_state()
    try:
        known = ledger.job(job.name)
    except JobNotFound:
        known = None
    if known is not None and known.created_ms == job.created_ms:
        if ledger.scan_state(job.name).seq >= scan.seq:
            return False
        ledger.forget_job(job.name)
    ledger.create_job(job)
    journal.remove_strays()
    for place in list(journal.places()):
        _restore(journal, ledger, job.name, place)
    journal.sync()
    if scan.seq or scan.finished:
        ledger.resume_at(job.name, scan, journal.resume_step())
    return True


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
    task = stored.task
    ledger.restore(
        job,
        PlannedTask(task.task_id, manifest.pack(task.objects), len(task.objects), task.size),
        state,
        marks=stored.marks,
        log_size=stored.log_size,
        objects=stored.totals.objects,
        bytes_=stored.totals.bytes,
        proof=stored.totals.proof,
    )
