"""How far one master and one Redis go: python -m tests.bench.scale [CASE]...

Real are Valkey with its append-only file, master, journal, queue and every call of the ledger. Made
up are the source (names, no bytes) and the workers, which report and move nothing. Times are CPU
times of single processes, which a busy machine changes little. docs/scale.md has the results.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import redis
from rich.console import Console

from ossimport import manifest
from ossimport.journal import Journal, rebuild
from ossimport.ledger.base import Claim, Job, PlannedTask, PlanStep
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.model import Lane, ObjectInfo, Task
from ossimport.outbox import write_down
from ossimport.queue import Sender
from tests.bench import report
from tests.bench.cheap_server import ROOT
from tests.bench.figures import Results, Table
from tests.bench.measure import machine
from tests.bench.scale_fleet import JOB, SIZE, flush, reports
from tests.servers.valkey import Valkey, valkey

TASK_OBJECTS = 10_000
WORKERS = 50
FLUSHES = 8
PROCESSES = 2  # that share the simulated workers
_JOB = Job(JOB, 1_700_000_000_000, "fingerprint", b"sealed" * 200)


class Server:
    """A Valkey, and what it has used."""

    def __init__(self, server: Valkey) -> None:
        self.url = server.url
        self._client: Any = redis.Redis.from_url(server.url)

    def cpu(self) -> float:
        """Seconds so far, its threads and children included."""
        told = self._client.info("cpu")
        return float(
            sum(told[name] for name in told if name.startswith("used_cpu_") if "main" not in name)
        )

    def memory(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def peak(self) -> int:
        return int(self._client.info("memory")["used_memory_peak"])

    def received(self) -> int:
        return int(self._client.info("stats")["total_net_input_bytes"])

    def clear(self) -> None:
        self._client.flushall()


@contextmanager
def running_server() -> Iterator[Server]:
    with valkey() as server:
        yield Server(server)


def fleet(objects: int, runs: int, console: Console) -> list[Table]:
    """A whole job by simulated workers: at full speed, and slow, with a flush each half second."""
    table = Table(
        "fleet", f"{objects:,} objects, {WORKERS} simulated workers, real everything else"
    )
    back = Table("rebuild", "the same jobs: their journal on disk, and Redis rebuilt from it")
    for _ in range(runs):
        for row, flushes in (("1,000 objects per flush", 10), ("50 objects per flush", 200)):
            console.print(f"fleet: {row}", highlight=False)
            with tempfile.TemporaryDirectory() as directory, running_server() as server:
                table.add(row, _job(server, Path(directory), objects, flushes))
                back.add(row, _rebuilt(server, Path(directory), objects))
    return [table, back]


def _job(server: Server, directory: Path, objects: int, flushes: int) -> dict[str, float]:
    ledger = open_ledger(server.url)
    ledger.create_job(_JOB)
    before, received, began = server.cpu(), server.received(), time.monotonic()
    share = [sys.executable, "-m", "tests.bench.scale_fleet", server.url]
    helpers = [
        subprocess.Popen([*share, str(WORKERS // PROCESSES), str(flushes)], cwd=ROOT)
        for _ in range(PROCESSES)
    ]
    master = [sys.executable, "-m", "tests.bench.scale_master", server.url]
    try:
        done = subprocess.run(
            [*master, str(directory), str(objects)], cwd=ROOT, capture_output=True, check=True
        )
    finally:
        for helper in helpers:
            helper.wait()
    seconds, cpu = time.monotonic() - began, server.cpu() - before
    told = json.loads(done.stdout)
    found = ledger.snapshot(JOB)
    assert found.counts.copied.objects == objects, found
    tasks = sum(found.tasks.values())
    ledger.close()
    return {
        "tasks": tasks,
        "tasks/s": tasks / seconds,
        "Redis, ms/task": cpu / tasks * 1e3,
        "Redis, us/object": cpu / objects * 1e6,
        "master, ms/task": told["cpu"] / tasks * 1e3,
        "master, us/object": told["cpu"] / objects * 1e6,
        "master, steps/task": told["steps"] / tasks,
        "master, MiB": told["memory"] / 2**20,
        "Redis, MiB at most": server.peak() / 2**20,
        "to Redis, bytes/object": (server.received() - received) / objects,
    }


def _rebuilt(server: Server, directory: Path, objects: int) -> dict[str, float]:
    """The journal's room, then what it costs to make an empty Redis know it."""
    files = [Path(at, name) for at, _, names in os.walk(directory) for name in names]
    folders = sum(len(names) for _, names, _ in os.walk(directory))
    stats = [path.stat() for path in files]
    server.clear()
    ledger, before, began = open_ledger(server.url), server.cpu(), time.process_time()
    assert rebuild(Journal(directory, JOB), ledger)
    spent, of_redis = time.process_time() - began, server.cpu() - before
    assert ledger.snapshot(JOB).counts.copied.objects == objects
    ledger.close()
    return {
        "bytes/object": sum(stat.st_size for stat in stats) / objects,
        "on disk, bytes/object": sum(stat.st_blocks for stat in stats) * 512 / objects,
        "inodes/1,000 objects": (len(files) + folders) / objects * 1000,
        "rebuild, us/object": spent / objects * 1e6,
        "rebuild, Redis us/object": of_redis / objects * 1e6,
    }


def looks(objects: int, runs: int, console: Console) -> list[Table]:
    """What one look at a job costs master and Redis, by how many tasks are running."""
    table = Table("looks", "CPU us of one call: the master's process + Redis")
    for _ in range(runs):
        for count in (50, 800, 2000):
            console.print(f"looks: {count} running", highlight=False)
            with running_server() as server:
                table.add(f"{count} running tasks", _looks(server, count))
    return [table]


def _looks(server: Server, count: int) -> dict[str, float]:
    ledger = open_ledger(server.url)
    ledger.create_job(_JOB)
    _plan(ledger, count)
    for number, task_id in enumerate(ledger.dispatch(JOB, count)):
        assert isinstance(ledger.claim(JOB, task_id, f"host:1:{number}:0", 600), Claim)
    calls: dict[str, Callable[[], object]] = {
        "snapshot": lambda: ledger.snapshot(JOB),
        "running": lambda: ledger.running(JOB),
        "overdue": lambda: ledger.overdue(JOB, 10),
        "hold_job": lambda: ledger.hold_job(JOB, "m", 15),
        "jobs": ledger.jobs,
    }
    return {name: _cost(server, call, 200) for name, call in calls.items()}


def drain(objects: int, runs: int, console: Console) -> list[Table]:
    """What it costs the master to write down what running tasks flush, by how many there are."""
    table = Table("drain", f"writing down {FLUSHES} flushes of 50 objects of each running task")
    for _ in range(runs):
        for count in (50, 800):
            console.print(f"drain: {count} running", highlight=False)
            with running_server() as server, tempfile.TemporaryDirectory() as directory:
                table.add(f"{count} running tasks", _drained(server, Path(directory), count))
    return [table]


def _drained(server: Server, directory: Path, count: int) -> dict[str, float]:
    ledger, journal = open_ledger(server.url), Journal(directory, JOB)
    ledger.create_job(_JOB)
    journal.open(_JOB)
    info = [ObjectInfo(f"logs/{n:08d}", SIZE, n) for n in range(count)]
    tasks = [Task(JOB, f"T{n:040d}", (each,) * TASK_OBJECTS) for n, each in enumerate(info)]
    packed = {each: manifest.pack(task.objects) for each, task in zip(info, tasks, strict=True)}
    for first in range(0, count, 10):
        these = list(zip(info, tasks, strict=True))[first : first + 10]
        planned = [
            PlannedTask(task.task_id, packed[each], TASK_OBJECTS, task.size) for each, task in these
        ]
        lanes = {0: Lane(cursor=str(first))}
        step = PlanStep(first // 10 + 1, lanes, planned)
        journal.plan(step, [task for _, task in these], lanes, [])
        ledger.plan(JOB, step)
    ids = ledger.dispatch(JOB, count)
    claims = [ledger.claim(JOB, task_id, f"host:1:{n}:0", 600) for n, task_id in enumerate(ids)]
    while write_down(JOB, ledger, journal):
        pass
    told = reports(TASK_OBJECTS, 200)[:FLUSHES]
    for number, each in enumerate(told, start=1):
        for claim in claims:
            assert isinstance(claim, Claim)
            ledger.record(claim, flush(number, each))
    cpu, wall, of_redis = time.process_time(), time.monotonic(), server.cpu()
    while write_down(JOB, ledger, journal):
        pass
    events = count * FLUSHES
    spent, seconds = time.process_time() - cpu, time.monotonic() - wall
    ledger.close()
    return {
        "master, us/flush": spent / events * 1e6,
        "Redis, us/flush": (server.cpu() - of_redis) / events * 1e6,
        "flushes/s, disk included": events / seconds,
    }


def window(objects: int, runs: int, console: Console) -> list[Table]:
    """What a task that waits takes in Redis, with the names of three kinds of source; messages."""
    table = Table("window", "one task of 10,000 objects that waits in Redis")
    queue = Table("queue", "messages: to send one, and to read how many wait")
    for _ in range(runs):
        console.print("window", highlight=False)
        for row, key in _NAMES.items():
            with running_server() as server:
                ledger, before = open_ledger(server.url), server.memory()
                ledger.create_job(_JOB)
                packed = _plan(ledger, 100, key)
                used = (server.memory() - before) / 100
                table.add(row, {"manifest, kB": packed / 1e3, "Redis, kB": used / 1e3})
        for count in (50, 300, 2400):
            with running_server() as server:
                queue.add(f"{count} messages", _messages(server, count))
    return [table, queue]


def _messages(server: Server, count: int) -> dict[str, float]:
    sender = Sender(server.url)
    sender.send(JOB, "first")
    before = server.memory()
    sent = _cost(server, lambda: sender.send(JOB, "t" * 46), count)
    size = (server.memory() - before) / count
    return {
        "send, us": sent,
        "bytes in Redis": size,
        "waiting(), us": _cost(server, sender.waiting, 20),
    }


_NAMES: dict[str, Callable[[int], str]] = {
    "sequential logs": lambda n: f"logs/{n // 1000:04d}/part-{n:010d}.gz",
    "photographs": lambda n: f"p/{n % 97:02d}/{n * 2654435761 % 2**32:08x}/IMG_{n % 10000:04d}.jpg",
    "random names": lambda n: f"{n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}",
}


def _plan(ledger: RedisLedger, count: int, key: Callable[[int], str] | None = None) -> float:
    """Plan tasks; return the mean size of their object lists."""
    name = key or _NAMES["sequential logs"]
    total = 0
    for first in range(0, count, 10):
        tasks = []
        for number in range(first, min(first + 10, count)):
            numbers = range(number * TASK_OBJECTS, (number + 1) * TASK_OBJECTS)
            packed = manifest.pack(
                [
                    ObjectInfo(name(n), SIZE + n % 997, 1_700_000_000_000_000_000 + n)
                    for n in numbers
                ]
            )
            total += len(packed)
            tasks.append(PlannedTask(f"T{number:040d}", packed, TASK_OBJECTS, SIZE * TASK_OBJECTS))
        ledger.plan(JOB, PlanStep(first // 10 + 1, {0: Lane(cursor=str(first))}, tasks))
    return total / count


def _cost(server: Server, call: Callable[[], object], times: int) -> float:
    """CPU microseconds of a call, here and in Redis."""
    call()
    before, began = server.cpu(), time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began + server.cpu() - before) / times * 1e6


CASES = {"fleet": fleet, "looks": looks, "drain": drain, "window": window}


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)), metavar="[CASE]...")
@click.option("--objects", default=1_000_000, show_default=True, help="Of the job of `fleet`.")
@click.option("--runs", default=3, show_default=True, help="How often each is measured, in turn.")
@click.option(
    "--json",
    "json_file",
    default="build/scale.json",
    show_default=True,
    type=click.Path(path_type=Path),
)
def main(cases: tuple[str, ...], objects: int, runs: int, json_file: Path) -> None:
    """Measure what master and Redis spend for a fleet of workers that is simulated."""
    console = Console()
    names = cases or tuple(CASES)
    command = f"python -m tests.bench.scale {' '.join(names)} --objects {objects} --runs {runs}"
    results = Results(machine(), command)
    for name in names:
        for table in CASES[name](objects, runs, console):
            results.tables.append(table)
            report.show(table, console)
            results.save(json_file)


if __name__ == "__main__":
    main()
