"""pause, resume and priority: what an operator changes of a job that goes on."""

import click

from ossimport.config import SystemConfig
from ossimport.console import actions
from ossimport.console.jobs import only_job
from ossimport.console.options import with_system
from ossimport.errors import JobError
from ossimport.model import JobState
from ossimport.service import borrow


@click.command()
@click.argument("job", required=False)
@with_system
def pause(system: SystemConfig, job: str | None) -> None:
    """Hold a job: workers end the objects that they are at, and hand its tasks back.

    JOB may be left out where there is one only.
    """
    with borrow.ledger(system) as ledger:
        name = job or only_job(ledger)
        if not ledger.pause(name) and ledger.job(name).state is not JobState.PAUSED:
            raise JobError(
                f"job:{name} is {ledger.job(name).state}; only a Running job can be paused."
            )
    click.echo(f"Job:{name} is paused.")


@click.command()
@click.argument("job", required=False)
@with_system
def resume(system: SystemConfig, job: str | None) -> None:
    """Let a paused job go on where it was.

    JOB may be left out where there is one only.
    """
    with borrow.ledger(system) as ledger:
        name = job or only_job(ledger)
        if not actions.resume_job(ledger, name):
            state = ledger.job(name).state
            if state is not JobState.RUNNING:
                raise JobError(
                    f"job:{name} is {state}, not paused. To copy again what failed or was left:"
                    f" bash console.sh retry {name}"
                )
    click.echo(f"Job:{name} goes on.")


@click.command()
@click.argument("job")
@click.argument("number", type=click.IntRange(0, 9))
@with_system
def priority(system: SystemConfig, job: str, number: int) -> None:
    """Give a job a priority, 0 to 9. Tasks of the job with the higher one go first; usual is 5."""
    with borrow.ledger(system) as ledger:
        ledger.set_priority(job, number)
    click.echo(f"Job:{job} has the priority {number}.")
