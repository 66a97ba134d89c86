"""import: one job from the job file to the summary, as import.sh of the original does it.

It never waits for an answer that cannot come: with --yes, with --no-input and at the end of
standard input it decides by itself.
"""

from contextlib import suppress
from pathlib import Path

import click

from ossimport.config import JobConfig, SystemConfig
from ossimport.console import actions
from ossimport.console.ask import Manner, ask
from ossimport.console.ends import preflight
from ossimport.console.jobs import announce, clean_with_words, load_job_file, retry_text
from ossimport.console.options import default_file, sys_hint, with_strict, with_system
from ossimport.console.outcome import DECLINED, DONE, FAILED_TASKS, INTERRUPTED, STOPPED
from ossimport.console.services import start_service, stop_service
from ossimport.console.watch import watch
from ossimport.errors import JobNotFound, OssImportError, ServiceError
from ossimport.journal import Journal
from ossimport.ledger.base import Ledger, Snapshot
from ossimport.model import JobState
from ossimport.service import borrow, control
from ossimport.service.processes import wait_until

RESTORED_S = 60.0  # a master restores the jobs that Redis has lost as soon as it starts


@click.command("import")
@click.argument("cfg", required=False, type=click.Path(path_type=Path))
@click.option("--job", "job_file", type=click.Path(path_type=Path), help="The job file, as CFG.")
@click.option("--yes", is_flag=True, help="Ask nothing; do what finishes the migration.")
@click.option("--no-input", is_flag=True, help="Ask nothing; clean and retry nothing.")
@click.option("--no-start", is_flag=True, help="Start nothing: a master and workers run elsewhere.")
@with_strict
@with_system
def import_(
    system: SystemConfig,
    cfg: Path | None,
    job_file: Path | None,
    *,
    yes: bool,
    no_input: bool,
    no_start: bool,
    strict: bool,
) -> int:
    """Submit a job, start the service, watch until all is copied, and report.

    Default: conf/local_job.cfg.
    """
    if yes and no_input:
        raise click.UsageError("--yes and --no-input exclude each other")
    if no_start and not system.redis_url:
        raise click.UsageError("--no-start needs redisUrl: the Redis of the others")
    if cfg and job_file:
        raise click.UsageError("name one job file")
    path = (cfg or job_file or default_file("local_job.cfg")).absolute()
    manner = Manner.YES if yes else Manner.NO_INPUT if no_input else Manner.ASK
    job = load_job_file(path, system, strict=strict)
    return OneClick(system, job, path, manner, start=not no_start).run()


class OneClick:
    """One run of `import`."""

    def __init__(
        self, system: SystemConfig, job: JobConfig, path: Path, manner: Manner, *, start: bool
    ) -> None:
        self._system = system
        self._job = job
        self._path = path
        self._manner = manner
        self._retried = False
        self._goes_on = False  # the job does, after this run
        self._serves = start  # else a service elsewhere does the work
        self._started = (
            start and control.supervisor(system) is None
        )  # by this run, so it is ours to stop

    def run(self) -> int:
        """Do all of it and return the exit code."""
        try:
            if self._serves:
                start_service(self._system, flower=False)
            with borrow.ledger(self._system) as ledger:
                code = self._run(ledger)
        except KeyboardInterrupt:
            return self._interrupted()
        except OssImportError:
            self._stop_if_started()
            raise
        if self._goes_on:
            return code
        if code != DONE:
            self._stop_if_started()
        elif self._wants_stop():
            self._stop()
        elif self._serves and self._manner is not Manner.ASK:
            click.echo("The import service ran before, and goes on.")
        return code

    def _run(self, ledger: Ledger) -> int:
        if not self._submit(ledger):
            return DECLINED
        while True:
            snapshot = watch(self._system, ledger, self._job.name, served_here=self._serves)
            if snapshot.job.next_round_ms:
                return self._round_is_over(snapshot)
            if snapshot.job.state is JobState.SUCCEED:
                is_import = self._job.job_type == "import"
                click.echo("Import to oss completed." if is_import else "Audit completed.")
                return DONE
            if snapshot.job.state is JobState.PAUSED:
                raise ServiceError(self._paused_text())
            if snapshot.job.state is JobState.ABORT:
                click.echo(f"The job has stopped: {snapshot.job.reason}", err=True)
                click.echo(self._way_on(), err=True)
                return STOPPED
            if not self._wants_retry():
                return FAILED_TASKS
            click.echo(retry_text(ledger, self._job.name))

    def _round_is_over(self, snapshot: Snapshot) -> int:
        """Leave an incremental job to the service, which is not to be stopped then."""
        self._goes_on = True
        click.echo(
            f"The job goes on, round after round, until: bash console.sh clean {self._job.name}"
            f"{sys_hint(self._system)}"
        )
        return FAILED_TASKS if snapshot.counts.failed.objects else DONE

    # -- the previous job ------------------------------------------------------------------------

    def _submit(self, ledger: Ledger) -> bool:
        """Submit the job, or take up the one that is there; False if the user wants neither."""
        taken = actions.taken(self._system, ledger, self._job.name)
        if taken:
            previous = self._previous(ledger)
            if previous is not None and previous.job.state is JobState.PAUSED:
                raise ServiceError(self._paused_text())
            click.echo(self._taken_text(previous))
            if not self._wants_clean(previous):
                return self._resume(ledger, previous) or self._declined()
        preflight(self._system, self._job)  # before anything is destroyed
        if taken:
            clean_with_words(self._system, ledger, self._job.name)
        actions.create_job(self._system, ledger, self._job)
        announce(self._system, self._path, self._job)
        return True

    def _taken_text(self, previous: Snapshot | None) -> str:
        """What to say of the previous job, before anything is asked."""
        if previous is None or not _is_resumable(previous):
            state = f" ({previous.job.state})" if previous else ""
            return (
                f"The job {self._job.name} is there from before{state}, and has nothing left to do."
            )
        counts = previous.counts
        return (
            f"The previous job {self._job.name} is not finished ({previous.job.state}): "
            f"{counts.copied.objects + counts.skipped.objects:,} of {counts.listed.objects:,}"
            " listed objects are there. Cleaning it forgets that; resuming goes on."
        )

    def _declined(self) -> bool:
        """Say what the user can do who wanted neither to clean nor to resume; False."""
        click.echo(f"Error: {actions.taken_text(self._job.name)}", err=True)
        return False

    def _previous(self, ledger: Ledger) -> Snapshot | None:
        """The job of this name; None if only its directory is there.

        Raises ServiceError for a job that Redis has lost and nobody has restored: it has work to
        go on with, which may not be thrown away because a master takes long.
        """
        name = self._job.name
        is_kept = Journal(actions.master_dir(self._system), name).stored_job() is not None
        if is_kept and not wait_until(lambda: name in ledger.jobs(), RESTORED_S):
            raise ServiceError(
                f"Redis has lost the job {name}, and no master has restored it from master/jobs."
                "\n    cure: run this again when bash console.sh stat shows the job; what holds the"
                f" master up is in its log. bash console.sh clean {name} forgets the job."
            )
        with suppress(JobNotFound):
            return ledger.snapshot(name)
        return None

    def _wants_clean(self, previous: Snapshot | None) -> bool:
        resumable = previous is not None and _is_resumable(previous)
        if self._manner is Manner.ASK:
            answer = self._ask("Clean the previous job")
            if answer is not None:
                return answer
        if self._manner is Manner.NO_INPUT:
            return False
        same = previous is not None and previous.job.fingerprint == self._job.fingerprint
        return not (resumable and same)

    def _wants_resume(self, previous: Snapshot) -> bool:
        if not _is_resumable(previous):
            return False
        if self._manner is Manner.ASK:
            answer = self._ask("Resume the previous job")
            return answer is not False
        return True

    def _resume(self, ledger: Ledger, previous: Snapshot | None) -> bool:
        if previous is None or not self._wants_resume(previous):
            return False
        if previous.job.fingerprint != self._job.fingerprint:
            click.echo(
                "Warning: the job goes on with the settings it was submitted with; the job file"
                " says something else now. Clean the job to use the new settings.",
                err=True,
            )
        else:
            preflight(self._system, self._job)
            actions.reseal_job(self._system, ledger, self._job)
        if previous.job.state is JobState.ABORT:
            actions.retry_job(ledger, self._job.name)
        click.echo(f"resume job:{self._job.name}")
        return True

    # -- questions -------------------------------------------------------------------------------

    def _ask(self, question: str) -> bool | None:
        """The answer; None, from then on, when nobody is there to give one."""
        answer = ask(question)
        if answer is None:
            self._manner = Manner.NO_INPUT
        return answer

    def _wants_retry(self) -> bool:
        if self._manner is Manner.ASK:
            return bool(self._ask("Retry the failed tasks"))
        once = self._manner is Manner.YES and not self._retried
        self._retried = True
        return once

    def _wants_stop(self) -> bool:
        if not self._serves:
            return False
        if self._manner is Manner.ASK:
            answer = self._ask("Stop import service")
            if answer is not None:
                return answer
        return self._started

    # -- the end ---------------------------------------------------------------------------------

    def _stop(self) -> None:
        stopped, _ = stop_service(self._system)
        if stopped:
            click.echo("Stop import service completed.")

    def _stop_if_started(self) -> None:
        if self._started:
            self._stop()

    def _interrupted(self) -> int:
        click.echo("\nInterrupted.", err=True)
        if self._started:
            click.echo("Stopping the service; requests in flight end first.", err=True)
            # A second Ctrl-C ends the waiting only: the service goes on stopping in order.
            with suppress(KeyboardInterrupt):
                self._stop()
        else:
            name = f"{self._job.name}{sys_hint(self._system)}"
            click.echo(
                "The service goes on, and so does the job if it was submitted; to hold it:"
                f" bash console.sh pause {name}",
                err=True,
            )
        click.echo(self._way_on(), err=True)
        return INTERRUPTED

    def _paused_text(self) -> str:
        name = self._job.name
        verb = f"bash console.sh resume {name}{sys_hint(self._system)}"
        return f"The job {name} is paused.\n    cure: {verb}, then import again"

    def _way_on(self) -> str:
        return f"To go on where it was: bash import.sh --job {self._path}{sys_hint(self._system)}"


def _is_resumable(previous: Snapshot) -> bool:
    """Something of it is left to do."""
    job = previous.job
    found_nothing = job.scan_finished and not previous.counts.listed.objects
    return job.state is JobState.RUNNING or not (job.state is JobState.SUCCEED or found_nothing)
