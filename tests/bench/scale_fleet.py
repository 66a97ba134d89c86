"""Workers that only report: python -m tests.bench.scale_fleet URL WORKERS FLUSHES

So many threads tell Redis what a worker tells it, and move nothing: take a message as Celery does,
claim, flush so many times, renew twice, finish, acknowledge. They stop when the job has ended.
"""

import functools
import json
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
import zstandard

from ossimport import auditlog
from ossimport.ledger.base import Claim, Flush
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.model import CopyResult, JobState, Mark, Outcome, Proof, TaskState
from ossimport.queue import QUEUE

JOB = "scale"
SIZE = 4096
LEASE_S = 30.0
RENEWALS = 2  # a task of 10,000 objects takes some 15 s, and a lease is renewed after a quarter
_COPIED = CopyResult(Outcome.COPIED, SIZE, Proof.CRC64, crc64=12345678901234567890, seconds=0.001)


class Report(NamedTuple):
    """What one flush says."""

    marks: bytes
    objects: int
    log: bytes
    log_size: int


@functools.cache
def reports(objects: int, flushes: int) -> Sequence[Report]:
    """The flushes of a task of so many objects. Made once: that is not what is measured."""
    step = max(1, -(-objects // flushes))
    marks = bytearray(objects)
    made = []
    for first in range(0, objects, step):
        these = range(first, min(first + step, objects))
        marks[these.start : these.stop] = bytes([Mark.COPIED_CRC64]) * len(these)
        text = "".join(
            auditlog.format_line(
                index, f"logs/0001/07/part-{index * 7919:010d}.gz", _COPIED, 1_700_000_000.0
            )
            for index in these
        ).encode()
        made.append(Report(bytes(marks), len(these), zstandard.compress(text, 1), len(text)))
    return made


def flush(number: int, report: Report) -> Flush:
    """The report as the flush of this number."""
    return Flush(
        number,
        report.marks,
        {Outcome.COPIED: report.objects},
        {Outcome.COPIED: report.objects * SIZE},
        {Proof.CRC64: report.objects},
        report.log,
        report.log_size,
    )


def carry_out(ledger: RedisLedger, claim: Claim, flushes: int) -> None:
    """Say of a task all that a worker says of it."""
    told = reports(len(claim.marks), flushes)
    for number, report in enumerate(told, start=1):
        ledger.record(claim, flush(number, report))
        if number * (RENEWALS + 1) // len(told) > (number - 1) * (RENEWALS + 1) // len(told):
            ledger.renew(claim, LEASE_S)
    ledger.finish(claim, TaskState.SUCCEED)


def work(url: str, number: int, flushes: int) -> None:
    """One worker, until the job has ended."""
    ledger = open_ledger(url)
    client: Any = redis.Redis.from_url(url)
    name = f"host{number}:{os.getpid()}:{threading.get_ident()}:0"
    while ledger.job(JOB).state is JobState.RUNNING:
        ledger.enlist(name, 1, LEASE_S)
        message = client.brpop([QUEUE], timeout=1)
        if message is None:
            continue
        envelope = json.loads(message[1])
        tag = envelope["properties"]["delivery_tag"]
        client.pipeline().zadd("unacked_index", {tag: 1}).hset("unacked", tag, message[1]).execute()
        claim = ledger.claim(JOB, envelope["headers"]["id"], name, LEASE_S)
        if isinstance(claim, Claim):
            carry_out(ledger, claim, flushes)
        client.pipeline().zrem("unacked_index", tag).hdel("unacked", tag).execute()
    ledger.close()


def main() -> None:
    """Run the threads to their end."""
    url, workers, flushes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    threads = [threading.Thread(target=work, args=(url, n, flushes)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
