"""How long work lies still when workers come and go: python -m tests.bench.handover [CASE]...

Real are master, Valkey, Celery's workers and their processes; the destination is a cheap server
that answers after a second. docs/scale.md has the results.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from tests.bench import report
from tests.bench.cheap_server import cheap_server
from tests.bench.figures import Results, Table
from tests.bench.handover_scene import DELAY_MS, LOST_PATIENCE_S, Run, Scene, Worker
from tests.bench.measure import machine
from workers.run_task import LEASE_S

SOON_S = 0.5  # into a task: before its holder is asked for a share


def join(run: Run, table: Table) -> None:
    """A worker comes while tasks wait."""
    run.worker().await_ready()
    run.submit(tasks=40)
    run.watch.claim(lambda: [claim.pid for claim in run.watch.seen])
    joined, began = run.worker(), time.time()
    ready = joined.await_ready()
    claimed = run.watch.claim(lambda: joined.pool)
    table.add(
        "a worker joins while tasks wait: ready -> first object", {"s": run.first(claimed) - ready}
    )
    table.add("  its start -> ready", {"s": ready - began})


def share(run: Run, table: Table) -> None:
    """A worker comes while the only task that is left is carried out."""
    run.worker().await_ready()
    run.submit(tasks=1)
    run.watch.claim(lambda: [claim.pid for claim in run.watch.seen])
    joined = run.worker()
    ready = joined.await_ready()
    claimed = run.watch.claim(lambda: joined.pool)
    table.add(
        "a worker joins the last task: ready -> first object", {"s": run.first(claimed) - ready}
    )


def leave(run: Run, table: Table) -> None:
    """SIGTERM to the holder of a task, while another worker is idle."""
    leaving, staying = _one_of_two(run, partial(run.submit, tasks=1))
    told = leaving.leave()
    leaving.process.wait()
    gone = time.time()
    taken = run.watch.claim(lambda: staying.pool)
    table.add("SIGTERM, another is idle -> its first object", {"s": run.first(taken) - told})
    table.add("  SIGTERM -> the worker is gone", {"s": gone - told})


def leave_large(run: Run, table: Table) -> None:
    """SIGTERM to the holder of one large object, while another worker is idle."""
    leaving, staying = _one_of_two(run, run.submit_large)
    told = leaving.leave()
    leaving.process.wait()
    gone = time.time()
    taken = run.watch.claim(lambda: staying.pool)
    table.add("SIGTERM in a large object, another is idle -> its claim", {"s": taken.at - told})
    table.add("  SIGTERM -> this worker is gone", {"s": gone - told})


def _one_of_two(run: Run, submit: Callable[[], None]) -> tuple[Worker, Worker]:
    """Who holds the only task, and who is idle; so soon that it is not shared yet."""
    both = [run.worker(), run.worker()]
    for worker in both:
        worker.await_ready()
    submit()
    claimed = run.watch.claim(lambda: both[0].pool + both[1].pool)
    holder, idle = both if claimed.pid in both[0].pool else reversed(both)
    _sleep_until(claimed.at + SOON_S)
    return holder, idle


def busy(run: Run, table: Table) -> None:
    """SIGTERM to the holder of a task, while the other worker has one of its own."""
    leaving, staying = run.worker(), run.worker()
    for worker in (leaving, staying):
        worker.await_ready()
    run.submit(tasks=2)
    own = run.watch.claim(lambda: staying.pool)
    run.watch.claim(lambda: leaving.pool)
    time.sleep(2.0)
    told = leaving.leave()
    taken = run.watch.claim(lambda: staying.pool, since=told)
    began = run.first(taken) - run.watch.ended[own.fence]
    table.add("SIGTERM, the other is in a task: its end -> first object", {"s": began})


def lost(run: Run, table: Table) -> None:
    """kill -9 of all processes of a worker on another host."""
    both = [run.worker(), run.worker()]
    for worker in both:
        worker.await_ready()
    run.submit(tasks=2)
    leaving, staying = both
    mine = run.watch.claim(lambda: leaving.pool)
    run.watch.claim(lambda: staying.pool)
    time.sleep(1.0)
    ends = run.lease_end(mine)
    killed = leaving.vanish()
    taken = run.watch.claim(lambda: staying.pool, since=killed, seconds=LOST_PATIENCE_S)
    while taken.task_id != mine.task_id:  # others may have been taken first
        taken = run.watch.claim(
            lambda: staying.pool, since=taken.at + 1e-6, seconds=LOST_PATIENCE_S
        )
    began = run.first(taken)
    table.add(f"kill -9 of a host -> first object (lease {LEASE_S:.0f} s)", {"s": began - killed})
    table.add("  end of the lease -> first object", {"s": began - ends})


def process(run: Run, table: Table) -> None:
    """kill -9 of one process of a worker on another host."""
    _kill_one(run, table, "kill -9 of one process, another host -> first object", here=False)


def process_here(run: Run, table: Table) -> None:
    """kill -9 of one process of a worker on the master's host."""
    _kill_one(run, table, "kill -9 of one process, the master's host -> first object", here=True)


def _kill_one(run: Run, table: Table, row: str, *, here: bool) -> None:
    worker = run.worker(here=here)
    worker.await_ready()
    run.submit(tasks=1)
    claimed = run.watch.claim(lambda: worker.pool)
    _sleep_until(claimed.at + SOON_S)
    os.kill(claimed.pid, signal.SIGKILL)
    killed = time.time()
    taken = run.watch.claim(
        lambda: [claim.pid for claim in run.watch.seen if claim.pid != claimed.pid], since=killed
    )
    table.add(row, {"s": run.first(taken) - killed})


def _sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.time()))


CASES: dict[str, Callable[[Run, Table], None]] = {
    "join": join,
    "share": share,
    "leave": leave,
    "leave-large": leave_large,
    "busy": busy,
    "lost": lost,
    "process": process,
    "process-here": process_here,
}


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)), metavar="[CASE]...")
@click.option("--runs", default=5, show_default=True, help="How often each is measured, in turn.")
@click.option(
    "--json",
    "json_file",
    default="build/handover.json",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the figures go.",
)
def main(*, cases: tuple[str, ...], runs: int, json_file: Path) -> None:
    """Measure, and print medians with the least and the most.

    Cases: join, share, leave, leave-large, busy, lost, process, process-here. Default: all.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    console = Console()
    if not console.is_terminal:
        console.width = 120
    command = " ".join(["python -m tests.bench.handover", *sys.argv[1:]])
    results = Results({**machine(), "load before": f"{os.getloadavg()[0]:.1f}"}, command)
    table = Table("handover", "seconds; tasks of 16 s, workers of one process")
    results.tables.append(table)
    with (
        tempfile.TemporaryDirectory(prefix="ossimport-bench-") as directory,
        cheap_server(Path(directory), delay_ms=DELAY_MS) as server,
        Scene(Path(directory), server) as scene,
    ):
        for number in range(runs):
            for name in cases or CASES:
                console.print(f"{name}: run {number + 1}", highlight=False)
                with scene.run() as run:
                    CASES[name](run, table)
                results.save(json_file)
    report.show(table, console)
    console.print(", ".join(f"{key} {value}" for key, value in results.machine.items()))


if __name__ == "__main__":
    main()
