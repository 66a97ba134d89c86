"""A master over a made-up source, with the real queue: python -m tests.bench.scale_master URL DIR N

It drives the job until it has ended, then writes as JSON what CPU seconds that took, without those
of starting, and how much memory.
"""

import json
import os
import sys
import time
from pathlib import Path

from ossimport import planner
from ossimport.dispatch import Queue
from ossimport.ledger.base import Job
from ossimport.ledger.redis import open_ledger
from ossimport.master import IDLE_S, Master
from ossimport.model import JobState
from ossimport.queue import Sender
from ossimport.scan_steps import JobPlan
from tests.bench.lone_master import MadeUpSource
from tests.bench.measure import memory


def main() -> None:
    """Drive the job to its end."""
    # In a job that is large tasks soon have their full size; here they have it from the beginning.
    planner.FIRST_OBJECTS, planner.FIRST_BYTES = 10_000, 10**12
    url, directory, objects = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    ledger, sender = open_ledger(url), Sender(url)

    def open_job(job: Job) -> JobPlan:
        return JobPlan(MadeUpSource(objects), "made up", 10_000, 10**12, 1)

    queue = Queue(sender.send, sender.waiting)
    master = Master(ledger, directory, queue, open_job, host="bench", slots=1)
    started, steps = time.process_time(), 0
    [name] = ledger.jobs()
    while ledger.job(name).state is JobState.RUNNING:
        steps += 1
        if not master.step():
            time.sleep(IDLE_S)
    spent = time.process_time() - started
    master.close()
    told = {"cpu": spent, "steps": steps, "memory": memory(os.getpid())[1]}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
