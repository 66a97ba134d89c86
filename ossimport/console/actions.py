"""What can be done to a job, without words: create, look at, retry, clean."""

import time
from collections.abc import Sequence
from pathlib import Path

from ossimport.config import JobConfig, SystemConfig
from ossimport.console.ends import abort_uploads
from ossimport.errors import ConfigError, JobNotFound, StorageError
from ossimport.journal import Journal
from ossimport.ledger.base import Job, Ledger, Snapshot
from ossimport.model import JobState, Upload
from ossimport.seal import cluster_key
from ossimport.service.processes import wait_until

MASTER_LETS_GO_S = 20.0  # at once if it lives; else its lease runs out
WORKERS_LET_GO_S = 10.0  # they look at their claims each 7.5 s
HOLDER, HOLD_S = "console clean", 60.0


def master_dir(system: SystemConfig) -> Path:
    """Where the journals of all jobs are."""
    return system.working_dir / "master"


def taken(system: SystemConfig, ledger: Ledger, name: str) -> bool:
    """A job of this name is there: in the ledger, or in the journal only if Redis has lost it."""
    return name in ledger.jobs() or name in journalled(system)


def journalled(system: SystemConfig) -> list[str]:
    """Names of the jobs that have a journal here."""
    return Journal.jobs(master_dir(system))


def taken_text(name: str) -> str:
    """What to say then."""
    return (
        f"A job of the name {name} is there already, please clean it first:"
        f" bash console.sh clean {name}"
    )


def unknown_job(system: SystemConfig, name: str, known: Sequence[str]) -> JobNotFound:
    """What to raise when an operator names a job that the ledger does not know."""
    if name in journalled(system):
        return JobNotFound(
            f"Redis does not know the job {name}; master/jobs does."
            "\n    cure: bash console.sh start; a master restores what Redis has lost"
        )
    there = f"There are: {', '.join(known)}" if known else "There is none at all"
    return JobNotFound(f"There is no job of the name {name}. {there}.")


def submitted(system: SystemConfig, ledger: Ledger, name: str) -> JobConfig:
    """The settings that a job was submitted with. Raises JobNotFound."""
    known = ledger.jobs()
    if name not in known:
        raise unknown_job(system, name, known)
    return JobConfig.from_json(cluster_key(system.home).unseal(ledger.job(name).settings))


def parts_of(ledger: Ledger, whole: str) -> list[str]:
    """Jobs that `audit` has made of this one: its audit, and its search for extra objects."""
    wanted = {
        f"{whole}-audit": "audit",
        f"{whole}-extra": "extra",
        f"{whole.removesuffix('-audit')}-extra": "extra",
    }
    return [
        name for name in ledger.jobs() if name in wanted and _type(ledger, name) == wanted[name]
    ]


def _type(ledger: Ledger, name: str) -> str:
    try:
        return ledger.job(name).job_type
    except JobNotFound:
        return ""  # cleaned in this moment


def create_job(system: SystemConfig, ledger: Ledger, job: JobConfig) -> None:
    """Add the job, its settings sealed. Raises JobExists."""
    ledger.create_job(
        Job(
            name=job.name,
            created_ms=time.time_ns() // 1_000_000,
            fingerprint=job.fingerprint,
            incremental=job.incremental,
            settings=cluster_key(system.home).seal(job.to_json()),
            job_type=job.job_type,
            priority=job.priority,
        )
    )


def reseal_job(system: SystemConfig, ledger: Ledger, job: JobConfig) -> None:
    """Let a job of the same fingerprint go on with the credentials and the tuning of `job`."""
    ledger.reseal(job.name, cluster_key(system.home).seal(job.to_json()))


def snapshots(ledger: Ledger) -> list[Snapshot]:
    """One look at every job, oldest first."""
    found = []
    for name in ledger.jobs():
        try:
            found.append(ledger.snapshot(name))
        except JobNotFound:
            continue  # cleaned in this moment
    return found


def retry_job(ledger: Ledger, name: str) -> bool:
    """Have the job's failed objects done again; False if there is nothing to do again."""
    was_running = ledger.job(name).state is JobState.RUNNING
    failed = ledger.request_retry(name)
    return bool(failed) or (not was_running and ledger.job(name).state is JobState.RUNNING)


def resume_job(ledger: Ledger, name: str) -> bool:
    """Let a paused job go on; False if it is not paused."""
    # What had to be said of it before, of its last round or of what it waits for, still holds.
    reason = ledger.job(name).reason
    return ledger.set_state(name, JobState.RUNNING, reason, only_if=JobState.PAUSED)


def clean_job(
    system: SystemConfig, ledger: Ledger, name: str, *, archive: bool
) -> tuple[list[tuple[Upload, str]], Path | None]:
    """Remove every trace of the job but the objects at OSS, also while the service works on it.

    Returns the multipart uploads that could not be dropped at OSS, and why; and where its records
    are, if they are archived.
    """
    if not taken(system, ledger, name):
        raise JobNotFound(f"There is no job of the name {name}; bash console.sh stat names all.")
    left: list[tuple[Upload, str]] = []
    if name in ledger.jobs():
        ledger.set_state(name, JobState.ABORT, "being cleaned")
        # Nobody goes on with an Abort job.
        wait_until(lambda: ledger.hold_job(name, HOLDER, HOLD_S), MASTER_LETS_GO_S)
        wait_until(lambda: _all_idle(ledger, name), WORKERS_LET_GO_S)
        left = _drop_uploads(system, ledger, name)
    # In this order: a ledger that comes up without the job would be rebuilt from its journal.
    journal = Journal(master_dir(system), name)
    kept = journal.archive() if archive else None
    journal.remove()
    ledger.forget_job(name)
    return left, kept


def _all_idle(ledger: Ledger, name: str) -> bool:
    return all(task.expired for task in ledger.running(name))


def _drop_uploads(system: SystemConfig, ledger: Ledger, name: str) -> list[tuple[Upload, str]]:
    # A ledger that was rebuilt does not know them all; the logs do.
    known = {upload.upload_id: upload for upload in Journal(master_dir(system), name).uploads()}
    uploads = list({**known, **{each.upload_id: each for each in ledger.uploads(name)}}.values())
    if not uploads:
        return []
    try:
        settings = cluster_key(system.home).unseal(ledger.job(name).settings)
        return abort_uploads(system, JobConfig.from_json(settings).dest, uploads)
    except (ConfigError, StorageError) as error:
        return [(upload, str(error)) for upload in uploads]
