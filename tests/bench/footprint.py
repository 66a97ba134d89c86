"""The case of memory: workers for small and for large objects, master and Redis for ever more."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
import zstandard

from ossimport import auditlog, manifest
from ossimport.ledger.base import Claim, Flush, Job
from ossimport.ledger.redis import open_ledger
from ossimport.model import CopyResult, JobState, Mark, Outcome, Proof, TaskState
from tests.bench.bench import MIB, SMALL, Bench
from tests.bench.cheap_server import ROOT
from tests.bench.figures import Table
from tests.bench.lone_master import MESSAGES, SIZE
from tests.bench.measure import memory as memory_of
from tests.bench.product import CHILD, product
from tests.servers.valkey import valkey

GIANT = 2 << 30
GIANTS = 3
FLUSH_OBJECTS = 1000
_JOB = Job("bench", 1_700_000_000_000, "fingerprint", b"sealed")
_COPIED = CopyResult(Outcome.COPIED, SIZE, Proof.CRC64, crc64=12345678901234567890, seconds=0.001)
STILL_S = 3.0  # without a new task: the master waits for workers


def memory(bench: Bench) -> list[Table]:
    """Resident memory of workers, then of the master and of Redis."""
    return [_workers(bench), _growing(bench)]


def _workers(bench: Bench) -> Table:
    few, many = bench.counts(SMALL)
    _, small = bench.tree(SMALL, few, many)
    giants = _sparse(bench)
    title = "resident MiB at most, one worker process"
    table = Table("memory of workers", title)
    runs: list[tuple[str, Path, dict[str, object]]] = [
        (f"{many:,} objects of 4 KiB", small, {}),
        (f"{GIANTS} of {GIANT >> 30} GiB", giants, {}),
        (
            f"{GIANTS} of {GIANT >> 30} GiB, javaHeapMaxSize=128m",
            giants,
            {"javaHeapMaxSize": "128m"},
        ),
    ]
    for row, source, settings in runs:
        bench.console.print(f"memory: {row}", highlight=False)
        with bench.server() as server, product(bench.home(), server, settings=settings) as ours:
            idle = ours.resident()
            ours.upload(source, bench.fresh("null"))
            busy = ours.resident()
        found = {"worker idle": idle[CHILD][1], "worker": busy[CHILD][1]}
        found |= {name: busy[name][1] for name in ("celery parent", "master", "redis")}
        table.add(row, {name: size / MIB for name, size in found.items()})
    return table


def _sparse(bench: Bench) -> Path:
    """A directory with large files that take no room."""
    directory = bench.directory / "giants"
    directory.mkdir()
    for number in range(GIANTS):
        with (directory / f"{number}").open("wb") as file:
            file.truncate(GIANT)
    return directory


def _growing(bench: Bench) -> Table:
    table = Table(
        "memory of master and Redis",
        "MiB at most, for ever more objects: a made-up source, and workers that only report",
    )
    counts = [10**power for power in range(5, 10) if 10**power <= bench.most]
    for count in counts:
        for keeps_up in (True, False):
            row = f"{count:,} objects, workers {'keep up' if keeps_up else 'begin late'}"
            bench.console.print(f"memory: {row}", highlight=False)
            table.add(row, _grown(bench, count, keeps_up))
    table.notes.append(
        "Workers that begin late: the master has planned as far ahead as it does, and waits."
    )
    return table


def _grown(bench: Bench, objects: int, keeps_up: bool) -> dict[str, float]:
    with valkey() as server, _client(server.url) as client:
        open_ledger(server.url).create_job(_JOB)
        began = time.monotonic()
        with _master(server.url, bench.home(), objects) as master:
            assert master.stdout
            master.stdout.readline()  # it is ready
            idle, _ = memory_of(master.pid)
            if not keeps_up:
                _await_still(server.url)
            _report_all(server.url, client)
            master.stdout.readline()  # it has ended the job
            _, most = memory_of(master.pid)
            told = client.info("memory")
            return {
                "master, beginning": idle / MIB,
                "master": most / MIB,
                "Redis, used_memory_peak": told["used_memory_peak"] / MIB,
                "Redis, at the end": told["used_memory"] / MIB,
                "seconds": time.monotonic() - began,
            }


@contextmanager
def _master(url: str, directory: Path, objects: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.bench.lone_master", url, str(directory), str(objects)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
        assert process.stdin
        process.stdin.close()
        process.wait()
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def _await_still(url: str) -> None:
    """Wait until the master plans nothing more."""
    ledger = open_ledger(url)
    seq, since = -1, time.monotonic()
    while time.monotonic() - since < STILL_S:
        now = ledger.scan_state(_JOB.name).seq
        if now != seq:
            seq, since = now, time.monotonic()
        time.sleep(0.1)


def _client(url: str) -> Any:
    """Redis, with an interface that has no types."""
    return redis.Redis.from_url(url, decode_responses=True)


def _report_all(url: str, client: Any) -> None:
    """Be all workers: claim what is sent, say that all of it was copied."""
    ledger = open_ledger(url)
    worker = f"bench:{os.getpid()}:{threading.get_ident()}:0"
    while ledger.job(_JOB.name).state is JobState.RUNNING:
        message = client.blpop([MESSAGES], timeout=0.2)
        if message is None:
            continue
        claim = ledger.claim(_JOB.name, message[1], worker, 30)
        if not isinstance(claim, Claim):
            continue
        for flush in _flushes(claim):
            ledger.record(claim, flush)
        ledger.finish(claim, TaskState.SUCCEED)


def _flushes(claim: Claim) -> Iterator[Flush]:
    """What a worker would write down of the task, a thousand objects at a time."""
    objects = manifest.unpack(claim.manifest)
    marks = bytearray(len(objects))
    for number, first in enumerate(range(0, len(objects), FLUSH_OBJECTS), start=1):
        these = objects[first : first + FLUSH_OBJECTS]
        marks[first : first + len(these)] = bytes([Mark.COPIED_CRC64]) * len(these)
        text = "".join(
            auditlog.format_line(first + index, info.key, _COPIED, 1_700_000_000.0)
            for index, info in enumerate(these)
        ).encode()
        yield Flush(
            number,
            bytes(marks),
            {Outcome.COPIED: len(these)},
            {Outcome.COPIED: len(these) * SIZE},
            {Proof.CRC64: len(these)},
            zstandard.compress(text, 1),
            len(text),
        )
