"""A master of its own over a source that is made up: python -m tests.bench.lone_master URL DIR N

It drives the one job of the ledger at URL, writes the journal to DIR, and sends its messages to a
list in Redis. It says `ready`, and `ended` when the job has ended; then it waits for the end of
standard input, so that its memory can be read.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from ossimport.dispatch import Queue
from ossimport.ledger.base import Job
from ossimport.ledger.redis import open_ledger
from ossimport.master import IDLE_S, Master
from ossimport.model import JobState, Lane, ObjectInfo, Scanned
from ossimport.scan_steps import JobPlan
from ossimport.sources.memory import MemorySource

MESSAGES = "bench:messages"
SIZE = 4096
SLOTS = 2


class MadeUpSource(MemorySource):
    """So many objects with names like those of logs; nothing of it is in memory."""

    def __init__(self, objects: int) -> None:
        super().__init__()
        self._count = objects

    def scan(self, lane: Lane) -> "MadeUpScan":  # type: ignore[override]
        return MadeUpScan(self._count, lane)


class MadeUpScan:
    """A walk that cannot be split. See `base.Scan`."""

    until = ""

    def __init__(self, objects: int, lane: Lane) -> None:
        self._numbers = range(int(lane.cursor or 0), objects)

    def __iter__(self) -> Iterator[Scanned]:
        for number in self._numbers:
            key = f"logs/{number // 100_000:04d}/{number // 1000 % 100:02d}/part-{number:010d}.gz"
            info = ObjectInfo(key, SIZE, 1_700_000_000_000_000_000 + number * 1_000_003)
            yield Scanned(info, str(number + 1))

    def split(self) -> None:
        """There is nothing to give away."""


def main() -> None:
    """Drive the job to its end."""
    url, directory, objects = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    ledger = open_ledger(url)
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    queue = Queue(
        send=lambda job, task_id, message_id: client.rpush(MESSAGES, task_id),
        waiting=lambda: set(client.lrange(MESSAGES, 0, -1)),
    )

    def open_job(job: Job) -> JobPlan:
        return JobPlan(MadeUpSource(objects), "made up", 10_000, 10**9, 1)

    master = Master(ledger, directory, queue, open_job, host="bench", slots=SLOTS)
    print("ready", flush=True)
    while any(ledger.job(name).state is JobState.RUNNING for name in ledger.jobs()):
        if not master.step():
            time.sleep(IDLE_S)
    print("ended", flush=True)
    sys.stdin.read()
    master.close()


if __name__ == "__main__":
    main()
