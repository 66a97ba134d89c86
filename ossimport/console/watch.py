"""Look at a job until it ends: a live view on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import click
from rich.console import Console
from rich.live import Live

from ossimport.config import SystemConfig
from ossimport.console.actions import master_dir
from ossimport.console.jobs import keep
from ossimport.errors import LedgerUnavailable, ServiceError
from ossimport.journal import Journal
from ossimport.ledger.base import ConsoleLedger, Snapshot
from ossimport.model import JobState
from ossimport.report import progress_line, stat_text, summary_text
from ossimport.report.terminal import live
from ossimport.service import control

LOOK_S = 0.2
LINE_S = 5.0

Show = Callable[[Snapshot], None]


def watch(system: SystemConfig, ledger: ConsoleLedger, name: str, *, served_here: bool) -> Snapshot:
    """Show the job until it has ended, then its last block and summary; return the last look.

    Of an incremental job, a round that is over is an end.

    Raises ServiceError when the service is gone that served it here, JobNotFound when somebody
    cleans the job.
    """
    with screen() as show:
        snapshot = follow(system, ledger, name, show, served_here=served_here)
    block = stat_text([snapshot])
    keep(system, "job_stat.log", block)
    journal = Journal(master_dir(system), name)
    click.echo(block)
    click.echo()
    click.echo(summary_text(snapshot, journal.highlights(), journal.root))
    return snapshot


def follow(
    system: SystemConfig, ledger: ConsoleLedger, name: str, show: Show, *, served_here: bool
) -> Snapshot:
    """Show every look at the job until it, or its round, has ended. Raises as `watch` does."""
    kept_at = 0.0
    while True:
        snapshot = _look(ledger, name)
        if snapshot:
            show(snapshot)
            if snapshot.job.state is not JobState.RUNNING or snapshot.job.next_round_ms:
                return snapshot
            if time.monotonic() - kept_at >= LINE_S:
                keep(system, "job_stat.log", stat_text([snapshot]))
                kept_at = time.monotonic()
        if served_here and control.supervisor(system) is None:
            raise ServiceError(
                "The import service has ended before the job.\n"
                "    cure: bash console.sh start goes on with it, bash console.sh stat shows it"
            )
        time.sleep(LOOK_S)


def _look(ledger: ConsoleLedger, name: str) -> Snapshot | None:
    """None while Redis does not answer: the supervisor starts it again."""
    try:
        return ledger.snapshot(name)
    except LedgerUnavailable:
        return None


def screen() -> AbstractContextManager[Show]:
    """What shows a job: a live view on a terminal, else a line now and then."""
    return _live() if sys.stdout.isatty() else _lines()


@contextmanager
def _live() -> Iterator[Show]:
    with Live(console=Console(), auto_refresh=False, transient=True) as view:
        yield lambda snapshot: view.update(live(snapshot), refresh=True)


@contextmanager
def _lines() -> Iterator[Show]:
    shown_at = time.monotonic() - LINE_S

    def show(snapshot: Snapshot) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= LINE_S:
            click.echo(progress_line(snapshot, time.time()))
            shown_at = time.monotonic()

    yield show
