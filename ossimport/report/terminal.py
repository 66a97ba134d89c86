"""The view of a running job on a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ossimport.ledger.base import RunningTask, Snapshot
from ossimport.naming import display, one_line
from ossimport.report.numbers import done, human_bytes, human_eta, human_time, percent
from ossimport.report.words import terms
from ossimport.wording import counted

_SHOWN_TASKS = 8
_COLOURS = {
    "copied": "green",
    "match": "green",
    "repaired": "green",
    "failed": "red",
    "unmatched": "red",
    "vanished": "yellow",
}


def live(snapshot: Snapshot) -> RenderableType:
    """Totals with a bar, speed, time to go, the outcomes and the running tasks."""
    job, listed, so_far = snapshot.job, snapshot.counts.listed, done(snapshot)
    share = f"{percent(snapshot)}%" if job.scan_finished else "still scanning"
    parts: list[RenderableType] = [
        Text.assemble(
            (job.name, "bold"),
            f"  {job.state}  {share}  {so_far.objects:,}/{listed.objects:,} objects  "
            f"{human_bytes(so_far.bytes)}/{human_bytes(listed.bytes)}",
        ),
        ProgressBar(total=max(listed.objects, 1), completed=so_far.objects),
        Text(
            f"{human_bytes(snapshot.bytes_per_second)}/s  "
            f"{snapshot.objects_per_second:,.0f} objects/s  ETA {human_eta(snapshot)}  "
            f"elapsed {human_time(snapshot.elapsed)}"
        ),
        Text("  ").join(
            Text(f"{name} {amount.objects:,}", _COLOURS.get(name, "") if amount.objects else "dim")
            for name, amount in terms(snapshot).items()
        ),
        _tasks(snapshot.running[:_SHOWN_TASKS]),
    ]
    hidden = len(snapshot.running) - _SHOWN_TASKS
    if hidden > 0:
        parts.append(Text(f"... and {counted(hidden, 'more running task')}", "dim"))
    if job.reason:
        parts.append(Text(one_line(job.reason), "red"))
    return Group(*parts)


def _tasks(running: Sequence[RunningTask]) -> Table:
    table = Table.grid(padding=(0, 2))
    for task in running:
        table.add_row(
            Text(task.task_id[:12], "dim"),
            Text(display(task.worker)),
            Text(f"{task.objects_done:,}/{task.objects_total:,} objects"),
            Text(f"{human_bytes(task.bytes_done)}/{human_bytes(task.bytes_total)}"),
        )
    return table
