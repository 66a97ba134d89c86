"""audit: see whether the destination holds what the source has, and say what does not match.

It reads only, but with --repair. The audit of an import's job file is a job of its own beside the
import's, NAME-audit; --extra adds NAME-extra, which looks the other way round.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import click

from ossimport.audit.compare import NOT_AUDITED, RESULT_OF
from ossimport.config import FilterConfig, JobConfig, SystemConfig
from ossimport.config.keys import JOB_KEYS
from ossimport.config.kinds import Mistake
from ossimport.console import actions
from ossimport.console.ends import preflight
from ossimport.console.jobs import load_job_file
from ossimport.console.options import default_file, with_system
from ossimport.console.outcome import DONE, FAILED_TASKS, INTERRUPTED, STOPPED
from ossimport.console.services import start_service
from ossimport.console.watch import Show, follow, screen
from ossimport.errors import JobError, JobExists, JobNotFound, PreflightError
from ossimport.journal import Journal
from ossimport.journal.findings import Finding, Findings
from ossimport.ledger.base import Ledger, Snapshot
from ossimport.model import JobState, Outcome
from ossimport.naming import display, one_line
from ossimport.report.audit import INCOMPLETE, MATCH, MISMATCH, AuditReport
from ossimport.service import borrow, control

MOST_SHOWN = 100  # objects; the report file has them all
LOOK_S = 1.0  # between two looks at the tasks that have ended

_EXIT_CODES = {MATCH: DONE, MISMATCH: FAILED_TASKS, INCOMPLETE: STOPPED}


@click.command()
@click.argument("cfg", required=False, type=click.Path(path_type=Path))
@click.option("--repair", is_flag=True, help="Copy what is missing or differs; remove nothing.")
@click.option("--deep", is_flag=True, help="Read both ends and compare byte by byte.")
@click.option("--extra", is_flag=True, help="Find what only the destination has, as well.")
@click.option("--json", "as_json", is_flag=True, help="For programs: the result alone, as JSON.")
@click.option("--no-start", is_flag=True, help="Start nothing: a master and workers run elsewhere.")
@with_system
def audit(
    system: SystemConfig,
    cfg: Path | None,
    *,
    repair: bool,
    deep: bool,
    extra: bool,
    as_json: bool,
    no_start: bool,
) -> int:
    """Compare the destination with the source, as auditMode says. Default: conf/local_job.cfg.

    CFG is a job file, which need not be submitted; or the name of a job that stat shows, with the
    settings and keys that it was submitted with.

    Exit codes: 0 all match, 2 something does not, 4 not all could be compared.
    """
    if no_start and not system.redis_url:
        raise click.UsageError("--no-start needs redisUrl: the Redis of the others")
    job = _job_of(system, cfg)
    run = Audit(system, job, repair=repair, deep=deep, starts=not no_start, is_quiet=as_json)
    return run.run(extra=extra)


def _job_of(system: SystemConfig, cfg: Path | None) -> JobConfig:
    """The job of a file; of what is no file and could be a name, the submitted job of that name."""
    path = cfg or default_file("local_job.cfg")
    if cfg is None or cfg.exists() or cfg.suffix or cfg.name != str(cfg):
        return load_job_file(path.absolute(), system)
    with borrow.ledger(system) as ledger:
        job = actions.submitted(system, ledger, str(cfg))
    if job.job_type == "extra":
        raise JobError(f"{job.name} is a part of an audit. Cure: name the job, and add --extra")
    return job


def audit_of(job: JobConfig, *, repair: bool, deep: bool) -> JobConfig:
    """The job that audits what `job` copies, or is to audit anyway."""
    return replace(
        job,
        name=job.name if job.job_type == "audit" else _name(job.name, "audit"),
        job_type="audit",
        incremental=False,
        audit_mode="deep" if deep else job.audit_mode,
        audit_repair=repair,
    )


def extra_of(job: JobConfig) -> JobConfig:
    """The job that looks for the destination's objects at the source.

    Conditions of the job on its source's objects are none on the destination's.
    """
    return replace(
        job,
        name=_name(job.name, "extra"),
        job_type="extra",
        incremental=False,
        import_since=0,
        filter=FilterConfig(),
    )


def _name(name: str, suffix: str) -> str:
    (key,) = (key for key in JOB_KEYS if key.name == "jobName")
    try:
        own: str = key.kind(f"{name}-{suffix}")
    except Mistake as mistake:
        raise PreflightError(
            f"{name}-{suffix} cannot be the name of a job: {mistake.message}. Cure: shorten jobName"
        ) from None
    return own


class Audit:
    """One run of `audit`."""

    def __init__(
        self,
        system: SystemConfig,
        job: JobConfig,
        *,
        repair: bool,
        deep: bool,
        starts: bool,
        is_quiet: bool,
    ) -> None:
        self._system = system
        self._job = job
        self._audit = audit_of(job, repair=repair, deep=deep)
        self._starts = starts  # else a service elsewhere does the work
        self._started = starts and control.supervisor(system) is None  # by this run: ours to stop
        self._is_quiet = is_quiet
        self._shown = 0
        self._report_path = system.working_dir / "logs" / f"{self._audit.name}.report"

    def run(self, *, extra: bool) -> int:
        """Do all of it and return the exit code."""
        try:
            if self._starts and self._is_quiet:
                control.start(self._system, flower=False)
            elif self._starts:
                start_service(self._system, flower=False)
            with borrow.ledger(self._system) as ledger:
                report = self._run(ledger, extra_of(self._job) if extra else None)
            click.echo(json.dumps(report.json()) if self._is_quiet else report.text())
            return _EXIT_CODES[report.verdict]
        except KeyboardInterrupt:
            click.echo("\nInterrupted. The same command goes on where it was.", err=True)
            if not self._started:
                click.echo("The service goes on, and so does the audit: console.sh stat", err=True)
            return INTERRUPTED
        finally:
            if self._started:
                # A second Ctrl-C ends the waiting only: the service goes on stopping in order.
                with suppress(KeyboardInterrupt):
                    control.stop(self._system)

    def _run(self, ledger: Ledger, extra: JobConfig | None) -> AuditReport:
        if extra is None:
            for name in actions.parts_of(ledger, self._audit.name):
                actions.clean_job(self._system, ledger, name, archive=False)
                self._say(f"What an earlier audit looked for with --extra is forgotten: {name}")
        for job in (self._audit, extra):
            if job is not None:
                self._submit(ledger, job)
        with self._report_file() as file:
            report = AuditReport(
                self._report_path,
                self._audit.audit_mode,
                self._audit.audit_repair,
                ledger.snapshot(self._audit.name),
            )
            report.audited = self._follow(ledger, self._audit, report, file)
            if extra is not None:
                report.extra = self._follow(ledger, extra, report, file)
        return report

    def _submit(self, ledger: Ledger, job: JobConfig) -> None:
        """Submit the job. One of the same settings that has not ended goes on instead."""
        if actions.taken(self._system, ledger, job.name):
            previous = self._previous(ledger, job)
            if previous is not None:
                actions.reseal_job(self._system, ledger, job)
                self._say(f"The audit {job.name} that was begun before goes on.")
                return
            actions.clean_job(self._system, ledger, job.name, archive=False)
        preflight(self._system, job)
        actions.create_job(self._system, ledger, job)
        what = "destination" if job.job_type == "extra" else "source"
        self._say(f"Audit {job.name}: the {what} is listed, and looked for at the other end.")

    def _previous(self, ledger: Ledger, job: JobConfig) -> Snapshot | None:
        """The job of this name if it goes on. Raises JobExists if it is no audit."""
        try:
            previous = ledger.snapshot(job.name)
        except JobNotFound:
            known = Journal(actions.master_dir(self._system), job.name).stored_job()
            job_type = known.job_type if known else job.job_type
        else:
            job_type = previous.job.job_type
            goes_on = previous.job.state in {JobState.RUNNING, JobState.PAUSED}
            if goes_on and previous.job.fingerprint == job.fingerprint:
                return previous
        if job_type == "import":
            raise JobExists(
                f"{job.name} is the name of an import; its audit would need it. Cure: rename that"
                " job, or clean it"
            )
        return None

    # -- telling ---------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        if not self._is_quiet:
            click.echo(text)

    @contextmanager
    def _report_file(self) -> Iterator[TextIO]:
        self._report_path.parent.mkdir(parents=True, exist_ok=True)
        with self._report_path.open("w", encoding="utf-8") as file:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            file.write(f"# {stamp} {self._audit.name}: result, object, code, message\n")
            yield file

    def _follow(
        self, ledger: Ledger, job: JobConfig, report: AuditReport, file: TextIO
    ) -> Snapshot:
        """Wait for the end of the job, and tell what it finds as its tasks end."""
        journal = Journal(actions.master_dir(self._system), job.name)
        findings = Findings(journal, repaired=job.audit_repair)
        looked = 0.0

        def tell(found: Iterator[Finding]) -> None:
            for finding in found:
                self._tell(finding, report, file)

        def show(snapshot: Snapshot) -> None:
            nonlocal looked
            if time.monotonic() - looked >= LOOK_S:
                tell(findings.new())
                looked = time.monotonic()
            shown(snapshot)

        with self._screen() as shown:
            snapshot = follow(self._system, ledger, job.name, show, served_here=self._starts)
        tell(findings.new())
        tell(findings.unlisted())
        return snapshot

    @contextmanager
    def _screen(self) -> Iterator[Show]:
        if self._is_quiet:
            yield lambda snapshot: None
        else:
            with screen() as show:
                yield show

    def _tell(self, finding: Finding, report: AuditReport, file: TextIO) -> None:
        key, result = finding
        if result.outcome is Outcome.COPIED:
            word = "repaired"
        else:
            word = RESULT_OF.get(result.code, NOT_AUDITED)
        report.found[word] += 1
        fields = (word, display(key), display(result.code), one_line(result.message))
        file.write("\t".join(fields) + "\n")
        self._shown += 1
        if self._shown <= MOST_SHOWN:
            self._say(f"{word}: {fields[1]} ({fields[2]}: {fields[3]})")
        elif self._shown == MOST_SHOWN + 1:
            self._say(f"... and more: all are in {self._report_path}")
