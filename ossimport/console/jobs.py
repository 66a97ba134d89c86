"""submit, stat, retry and clean."""

import json
import time
from dataclasses import replace
from pathlib import Path

import click

from ossimport import report
from ossimport.config import JobConfig, SystemConfig, load_job
from ossimport.console import actions
from ossimport.console.ends import preflight
from ossimport.console.fleet import hosts_json, hosts_text
from ossimport.console.losses import tell_losses
from ossimport.console.options import default_file, sys_hint, with_strict, with_system
from ossimport.console.outcome import DECLINED, DONE, explain
from ossimport.errors import JobError, JobExists, JobNotReady, OssImportError
from ossimport.fleet.states import states
from ossimport.ledger.base import Ledger, Snapshot
from ossimport.model import JobState, Upload
from ossimport.service import borrow, control
from ossimport.wording import counted


@click.command()
@click.argument("cfg", required=False, type=click.Path(path_type=Path))
@click.option("--dry-run", "dry", is_flag=True, help="Only scan, and say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: for programs.")
@with_strict
@with_system
def submit(
    system: SystemConfig, cfg: Path | None, *, dry: bool, as_json: bool, strict: bool
) -> int | None:
    """Check a job file and both ends it names, and add the job. Default: conf/local_job.cfg."""
    path = (cfg or default_file("local_job.cfg")).absolute()
    if dry:
        from ossimport.console.dry_run import dry_run  # noqa: PLC0415 -- rich is slow to import

        job = load_job_file(path, system, strict=strict)
        if strict:
            tell_losses(system, job)
        return dry_run(system, job, as_json=as_json)
    if as_json:
        raise click.UsageError("--json goes with --dry-run")
    try:
        job = load_job_file(path, system, strict=strict)
        for warning in control.examine_redis(system):
            click.echo(f"Warning: {warning}", err=True)
        with borrow.ledger(system) as ledger:
            if actions.taken(system, ledger, job.name):
                raise JobExists(actions.taken_text(job.name))
            preflight(system, job)
            actions.create_job(system, ledger, job)
    except OssImportError as error:
        keep(system, "submit.log", explain(error))
        raise
    announce(system, path, job)
    return None


def load_job_file(path: Path, system: SystemConfig, *, strict: bool = False) -> JobConfig:
    """Load a job file and show its warnings. Raises ConfigError."""
    job = load_job(path, system)
    for warning in job.warnings:
        click.echo(f"Warning: {warning}", err=True)
    return replace(job, strict=strict)


def announce(system: SystemConfig, path: Path, job: JobConfig) -> None:
    """Say that the job is submitted, as the original does."""
    text = f"submit job:{path}\nsubmit job:{job.name} success!"
    click.echo(text)
    keep(system, "submit.log", text)


def keep(system: SystemConfig, name: str, text: str) -> None:
    """Write the last output of a verb into its log; a full disk does not spoil the verb."""
    path = system.working_dir / "logs" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    except OSError as error:
        click.echo(f"Warning: {path} is not written: {error.strerror}", err=True)


@click.command()
@click.argument("names", nargs=-1, metavar="[JOB]...")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_system
def stat(system: SystemConfig, names: tuple[str, ...], as_json: bool) -> None:
    """Show every job: state, tasks, objects, bytes, speed; then the limits, and the other hosts.

    With names, those jobs and no hosts. (`stat detail`, as the original has it, is the same as
    `stat`.)
    """
    with borrow.ledger(system) as ledger:
        there = actions.snapshots(ledger)
        limits = (ledger.limits(), ledger.in_force(), time.time())
    if not system.redis_url and control.supervisor(system) is None:
        # The last speed that a master told; with redisUrl, one may run on another host.
        there = [replace(each, objects_per_second=0.0, bytes_per_second=0.0) for each in there]
    found = _chosen(system, there, () if names == ("detail",) else names)
    hosts = states(system) if found is there else []
    if as_json:
        more: dict[str, object] = {"limits": report.limits_json(*limits)}
        if hosts:
            more["hosts"] = hosts_json(hosts)
        click.echo(json.dumps(report.stat_json(found) | more))
    else:
        if not found:
            jobs_dir = actions.master_dir(system) / "jobs"
            click.echo(f"[WARN]   List files dir not exist : {jobs_dir}/")
        click.echo(report.stat_text(found))
        if limited := report.limits_text(*limits):
            click.echo("\n".join(["", *limited]))
        if hosts:
            click.echo(hosts_text(hosts))
    for hint in _hints(system, there):
        click.echo(f"Warning: {hint}", err=True)


def _chosen(system: SystemConfig, there: list[Snapshot], names: tuple[str, ...]) -> list[Snapshot]:
    """The jobs of these names; without names, all. Raises JobNotFound."""
    if not names:
        return there
    known = [snapshot.job.name for snapshot in there]
    for name in names:
        if name not in known:
            raise actions.unknown_job(system, name, known)
    return [snapshot for snapshot in there if snapshot.job.name in names]


def _hints(system: SystemConfig, found: list[Snapshot]) -> list[str]:
    """What an operator who looks at the jobs should also know of the service."""
    hints = []
    status = control.status(system)
    lost = set(actions.journalled(system)) - {snapshot.job.name for snapshot in found}
    if status:
        hints += status.troubles
    elif not system.redis_url and any(s.job.state is JobState.RUNNING for s in found):
        # (With redisUrl, masters may run on other hosts.)
        hints.append(
            "Import service is not running. Start it with: bash console.sh start" + sys_hint(system)
        )
    if lost:
        hints.append(
            f"Redis does not know {', '.join(sorted(lost))}; master/jobs does. A master restores"
            " what Redis has lost when it starts: bash console.sh start"
        )
    return hints


@click.command()
@click.argument("job", required=False)
@with_system
def retry(system: SystemConfig, job: str | None) -> int:
    """Copy the failed objects of a job again; of all jobs, if none is named.

    Exit codes: 0 done, or nothing had failed; 1 a job is paused, or has not ended yet.
    """
    lines, refused = [], []
    with borrow.ledger(system) as ledger:
        for name in [job] if job else ledger.jobs():
            try:
                lines.append(retry_text(ledger, name))
            except JobNotReady as error:
                refused.append(explain(error))
    if not lines and not refused:
        lines = [report.stat_text([])]
    for line in lines:
        click.echo(line)
    for line in refused:
        click.echo(line, err=True)
    keep(system, "retry.log", "\n".join([*lines, *refused]))
    return DECLINED if refused else DONE


def retry_text(ledger: Ledger, name: str) -> str:
    """Ask for a retry of one job, and say what came of it as the original does.

    Raises JobNotReady of a job that is paused, or that goes on and has failed objects.
    """
    if actions.retry_job(ledger, name):
        return "Retry has been submitted."
    snapshot = ledger.snapshot(name)
    job, failed = snapshot.job, snapshot.counts.failed.objects
    if failed and job.incremental and job.state is JobState.RUNNING:
        return f"Failed objects of job:{name} are copied again in its next round."
    if job.state is JobState.PAUSED:
        raise JobNotReady(
            f"job:{name} is paused, so nothing is tried again."
            f"\n    cure: bash console.sh resume {name}; retry it when it has ended"
        )
    if job.state is JobState.RUNNING and failed:
        raise JobNotReady(
            f"job:{name} goes on, and {counted(failed, 'object')} failed so far; nothing is tried"
            f" again before it has ended.\n    cure: then bash console.sh retry {name}"
        )
    return f"None failed tasks for job:{name}."


@click.command()
@click.argument("job", required=False)
@click.option("--no-archive", is_flag=True, help="Remove its records and logs for good.")
@with_system
def clean(system: SystemConfig, job: str | None, *, no_archive: bool) -> None:
    """Forget a job, not the objects at OSS. Its records and logs move to master/history.

    With a job goes what the verb `audit` has made of it, NAME-audit and NAME-extra. JOB may be
    left out where there is one only.
    """
    with borrow.ledger(system) as ledger:
        name = job or only_job(ledger, besides_parts=True)
        clean_with_words(system, ledger, name, archive=not no_archive)


def only_job(ledger: Ledger, *, besides_parts: bool = False) -> str:
    """The name of the job, if there is one job only, or one with its parts. Raises JobError."""
    names = ledger.jobs()
    if besides_parts:
        parts = {part for name in names for part in actions.parts_of(ledger, name)}
        names = [name for name in names if name not in parts]
    if not names:
        raise JobError(report.stat_text([]))
    if len(names) > 1:
        raise JobError(f"There are several jobs, name one of them: {', '.join(names)}")
    return names[0]


def clean_with_words(
    system: SystemConfig, ledger: Ledger, name: str, *, archive: bool = True
) -> None:
    """Clean a job and its parts, and say so as the original does."""
    home = "." if system.working_dir == system.home else str(system.working_dir)
    for each in (*actions.parts_of(ledger, name), name):
        left, kept = actions.clean_job(system, ledger, each, archive=archive)
        click.echo(f"delete jobs dir:{home}/master/jobs/{each}/")
        if kept:
            click.echo(f"Its records and logs are kept in {kept}/")
        for upload, why in left:
            click.echo(f"Warning: {_remains(upload, why)}", err=True)
        click.echo(f"Clean job:{each} completed.")


def _remains(upload: Upload, why: str) -> str:
    return (
        f"an unfinished multipart upload remains at OSS: key {upload.key}, upload id"
        f" {upload.upload_id} ({why}). Its parts are billed until it is aborted."
    )
