"""Master, ledger, journal and workers in one process, over the in-memory ends, step by step."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ossimport.budget import Budget
from ossimport.copying import CopyPolicy
from ossimport.dest.memory import MemoryDestination
from ossimport.dispatch import Queue
from ossimport.engine import CopyEngine
from ossimport.errors import Fatal, StaleClaim
from ossimport.ledger.base import Claim, Job, Snapshot
from ossimport.ledger.memory import MemoryLedger
from ossimport.master import Master
from ossimport.model import JobState
from ossimport.scan_steps import JobPlan
from ossimport.sources.memory import MemorySource
from workers.run_task import TaskRun
from workers.verification import Checks

JOB = Job("local_test", 1_700_000_000_000, "fingerprint", b"sealed")
POLICY = CopyPolicy(dest_prefix="to/", multipart_threshold=1 << 20, part_size=1 << 20, attempts=2)

SCANS_S = 60.0  # how long a thread that scans may say nothing, on a busy machine


class Cluster:
    """One job, `work` done until nothing moves. Time stands still unless `now` is changed."""

    def __init__(self, directory: Path, *, max_objects: int = 10, max_bytes: int = 10**9) -> None:
        self.now = 1_700_000_000.0
        self.source = MemorySource()
        self.dest = MemoryDestination(clock=lambda: self.now)
        self.ledger = MemoryLedger(clock=lambda: self.now)
        self.ledger.enlist("here", 50, 10**9)
        self.messages: list[str] = []
        self.sent: list[str] = []
        self.policy = POLICY
        self.verify: Checks | None = Checks()
        self.stopping: Callable[[], bool] = lambda: False
        self.copies = 0
        self.directory = directory
        self._plan = JobPlan(self.source, "memory", max_objects, max_bytes, 2)
        self.master = self.new_master()

    def new_master(self) -> Master:
        """Another master; the one before it is simply not stepped any more."""
        self._others = set(threading.enumerate())
        return Master(
            self.ledger,
            self.directory,
            Queue(self._send, lambda: set(self.messages)),
            lambda job: self._plan,
            host="here",
            slots=2,
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
        )

    def _send(self, job: str, task_id: str, message_id: str) -> None:
        self.sent.append(task_id)
        self.messages.append(task_id)

    def submit(self) -> None:
        self.ledger.create_job(JOB)

    def claim(self, task_id: str, worker: str = "") -> Claim | None:
        """A worker's claim; None if the message is to be dropped."""
        claim = self.ledger.claim(JOB.name, task_id, worker or f"here:{os.getpid()}:now", 30)
        return claim if isinstance(claim, Claim) else None

    def run(self, claim: Claim) -> None:
        """Carry out a claimed task."""

        async def carry_out() -> None:
            engine = CopyEngine(
                self.source,
                self.dest,
                self.policy,
                Budget(1 << 24),
                jitter=lambda: 0.0,
                sleep=pause,
            )
            run = TaskRun(
                claim,
                engine,
                self.ledger,
                runners=3,
                verify=self.verify,
                abort_on_uncaught=False,
                stopping=self.stopping,
                progress=lambda text: None,
            )
            await run.run()

        async def pause(seconds: float) -> None:
            await asyncio.sleep(0)

        try:
            asyncio.run(carry_out())
        except (Fatal, StaleClaim):
            return

    def deliver(self, times: int = 1) -> None:
        """Give the oldest message to a worker, `times` over."""
        task_id = self.messages.pop(0)
        for _ in range(times):
            claim = self.claim(task_id)
            if claim is not None:
                self.run(claim)

    def _scans(self) -> bool:
        """Whether a thread of the master is at its scan."""
        mine = set(threading.enumerate()) - self._others
        return any(thread.name.startswith(f"scan-{JOB.name}-") for thread in mine)

    def work(self, times: int = 1) -> Snapshot:
        """Step the master and deliver messages until neither has anything to do."""
        idle, moved, scans = 0, time.monotonic(), True
        while idle < 20 or (scans and time.monotonic() < moved + SCANS_S):
            scans = self._scans()  # asked first: what a thread found before it ended is taken
            busy = self.master.step()
            while self.messages:
                self.deliver(times)
                busy = True
            idle = 0 if busy else idle + 1
            if busy:
                moved = time.monotonic()
            else:
                time.sleep(0.002)  # for the threads that scan
            if idle < 20:
                self.now += 1.1
            if self.snapshot().job.state is not JobState.RUNNING:
                idle += 1
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        """The job, its sum checked."""
        snapshot = self.ledger.snapshot(JOB.name)
        assert snapshot.counts.left.objects >= 0
        return snapshot

    def stored(self) -> dict[str, bytes]:
        return {key.removeprefix("to/"): o.body for key, o in self.dest.objects.items()}
