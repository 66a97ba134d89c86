"""What one worker process keeps from task to task: its event loop, its connections, its engines.

Made in the process that uses it, after the fork: sockets and event loops must not be shared.
"""

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from celery.utils.log import current_process_index

from ossimport import identity
from ossimport.audit.auditor import Auditor
from ossimport.audit.compare import Mode
from ossimport.audit.extra import ExtraAuditor
from ossimport.budget import Budget
from ossimport.config import JobConfig, SourceConfig, SystemConfig, load_system
from ossimport.copying import CopyPolicy, Engine
from ossimport.credentials import keys_of
from ossimport.dest.opening import open_dest
from ossimport.engine import CopyEngine
from ossimport.errors import ConfigError, Fatal, JobNotFound, LedgerError, StaleClaim, Waiting
from ossimport.fidelity.arriving import keep_of
from ossimport.ledger.base import Claim, Held, Job, WorkerLedger
from ossimport.ledger.redis import open_ledger
from ossimport.limiter import Limiter
from ossimport.model import JobState, TaskState
from ossimport.patience import OUTAGE_S
from ossimport.seal import Sealer, cluster_key
from ossimport.server_copy import may_copy_inside
from ossimport.sources import open_source
from ossimport.sources.base import Origins, Source
from ossimport.throttle import Cell, bandwidth
from ossimport.transport import Transport
from workers.helping import LOAN_LEASE_S, Help
from workers.run_task import LEASE_S, TaskRun
from workers.verification import Checks

log = logging.getLogger(__name__)

# A task that was begun so often and never ended kills its worker, or hangs it.
MOST_CLAIMS = 50
FIRST_IN_FLIGHT = 60  # per worker, as the original always had; more and fewer are tried from there
KEPT_ENGINES = 4  # jobs that a process switches between without new connections


def part_of(number: int, processes: int, index: int) -> int:
    """What process `index` has of a number that a worker's processes share; never nothing."""
    return max(1, (number + processes - 1 - index) // processes)


class Leaving(Exception):
    """This worker takes no more messages: another one is to have it, at once."""


class Dealt(NamedTuple):
    """How a message was dealt with. `state` is None if the task goes on elsewhere."""

    state: TaskState | None
    text: str


class Runtime:
    """Runs tasks, one at a time."""

    def __init__(
        self,
        system: SystemConfig,
        redis_url: str,
        *,
        throttle: Cell,
        stopping: Callable[[], bool],
    ) -> None:
        self._system = system
        self._stopping = stopping
        self._host = identity.host_name(standalone=not system.redis_url)
        self._worker = identity.name_of_this_process(self._host)
        ledger = open_ledger(redis_url)
        self._ledger: WorkerLedger = ledger
        self._sealer: Sealer = cluster_key(system.home)
        self._loop = _new_loop()
        self._index = current_process_index(base=0) or 0  # among this worker's processes
        self._runners = part_of(system.task_threads, system.worker_processes, self._index)
        self._share = system.buffer_bytes // system.worker_processes
        self._cap = bandwidth(system.throughput, throttle) if system.throughput else None
        self._limiter = Limiter(ledger, self._worker, cap=self._cap)
        self._transport = self._make_transport()
        self._engines: dict[bytes, tuple[JobConfig, Engine]] = {}  # by sealed settings
        self._tuned = _changed_at(system.path)

    def run(self, job: str, task_id: str, progress: Callable[[str], None]) -> Dealt:
        """Deal with a message: claim the task and carry it out, or drop the message.

        Raises Fatal when the job had to be stopped, LedgerUnavailable when Redis does not answer,
        Leaving when this worker is to end.
        """
        if self._stopping():
            raise Leaving("left to another worker")
        self._tune()
        try:
            record = self._ledger.settings(job)
        except JobNotFound:
            return Dealt(None, "nothing to do")
        try:
            # Before the claim: a host without the right cluster key must not hold tasks.
            config, engine = self._loop.run_until_complete(self._ready_engine(record))
        except Waiting as exc:
            return self._wait(job, exc)
        except Fatal as exc:
            claim = self._claim(job, task_id)
            if isinstance(claim, Claim):
                self._ledger.stop_job(claim, f"{exc.code}: {exc}")
            raise
        claim = self._claim(job, task_id)
        if not isinstance(claim, Claim):
            return self._loop.run_until_complete(self._help(claim, job, task_id, engine, progress))
        if claim.claims > MOST_CLAIMS:
            self._ledger.stop_job(claim, f"Uncaught: task {task_id} was begun {claim.claims} times")
            raise Fatal(f"task {task_id} never ends; see logs/import.log", code="Uncaught")
        try:
            return self._loop.run_until_complete(self._carry_out(claim, config, engine, progress))
        except StaleClaim as exc:
            log.info("task %s is another worker's now: %s", task_id, exc)
            with suppress(LedgerError):  # it may be ours still, if Redis lost what we told it
                self._ledger.release(claim)
            return Dealt(None, "another worker's now")
        except Waiting as exc:
            return self._wait(job, exc)
        except Fatal:
            raise
        except BaseException:
            # A fault of ours, or the process is to end: nobody shall wait for the lease.
            with suppress(LedgerError):
                self._ledger.release(claim)
            raise

    def _tune(self) -> None:
        """Follow workerTaskThreadNum in sys.properties; all else there waits for a restart."""
        changed = _changed_at(self._system.path)
        if changed == self._tuned:
            return
        self._tuned = changed
        try:
            threads = load_system(self._system.path).task_threads
        except ConfigError as exc:
            _warn(f"{self._system.path} is not heeded until it is mended: {exc}")
            return
        if threads == self._system.task_threads:
            return
        log.info("workerTaskThreadNum is %d now", threads)
        self._system = replace(self._system, task_threads=threads)
        self._runners = part_of(threads, self._system.worker_processes, self._index)
        self._loop.run_until_complete(self._close_engines())
        self._transport = self._make_transport()

    async def _close_engines(self) -> None:
        while self._engines:
            _, engine = self._engines.popitem()[1]
            await engine.close()
        await self._transport.close()

    def _wait(self, job: str, why: Waiting) -> Dealt:
        let_wait(self._ledger, job, why)
        return Dealt(None, "the job waits")

    def _claim(self, job: str, task_id: str) -> Claim | Held | None:
        claim = self._ledger.claim(job, task_id, self._worker, LEASE_S)
        if isinstance(claim, Held) and identity.is_dead(claim.worker, self._host):
            claim = self._ledger.claim(job, task_id, self._worker, LEASE_S, dead=claim.fence)
        return claim

    async def _carry_out(
        self,
        claim: Claim,
        config: JobConfig,
        engine: Engine,
        progress: Callable[[str], None],
    ) -> Dealt:
        run = TaskRun(
            claim,
            engine,
            self._ledger,
            runners=self._runners,
            verify=_checks(config, engine),
            abort_on_uncaught=self._system.abort_on_uncaught,
            stopping=self._stopping,
            progress=progress,
        )
        async with self._limiter.working(claim.job):
            state = await run.run()
        return Dealt(state, run.describe())

    async def _help(
        self,
        held: Held | None,
        job: str,
        task_id: str,
        engine: Engine,
        progress: Callable[[str], None],
    ) -> Dealt:
        """Make parts of an object for the holder of the task, if he offers any."""
        if held is None:
            return Dealt(None, "nothing to do")
        borrow = self._ledger.borrow
        loan = borrow(job, task_id, self._worker, LOAN_LEASE_S, engine.parts.in_flight)
        if loan is None:
            return Dealt(None, f"held by {held.worker}")
        helping = Help(loan, engine.parts, self._ledger, stopping=self._stopping, progress=progress)
        async with self._limiter.working(job):
            await helping.run()
        return Dealt(None, helping.describe())

    async def _ready_engine(self, record: Job) -> tuple[JobConfig, Engine]:
        """The engine of a job, when there are credentials for both ends. Raises Waiting if not.

        Of a job that waits both ends must answer.
        """
        config, engine = await self._engine(record)
        for keys in (
            keys_of(config.source, "srcCredentials"),
            keys_of(config.dest, "destCredentials"),
        ):
            if keys.due <= time.time():
                await keys.get()
        if record.reason:
            async with self._limiter.working(record.name):
                for end in (engine.ends.at_source, engine.ends.at_dest):
                    await end.must_answer()
        return config, engine

    async def _engine(self, record: Job) -> tuple[JobConfig, Engine]:
        """The engine of a job, made once; connections stay open from task to task."""
        if record.settings in self._engines:
            self._engines[record.settings] = self._engines.pop(record.settings)  # used last
        else:
            if len(self._engines) >= KEPT_ENGINES:
                _, oldest = self._engines.pop(next(iter(self._engines)))
                await oldest.close()
            self._engines[record.settings] = self._make_engine(record)
        return self._engines[record.settings]

    def _make_engine(self, record: Job) -> tuple[JobConfig, Engine]:
        config = JobConfig.from_json(self._sealer.unseal(record.settings))
        engine = self._make_copy_engine(config)
        if config.job_type == "extra":
            return config, ExtraAuditor(engine)
        if config.job_type == "audit":
            mode = Mode(config.audit_mode)
            copies = self._open(config, config.dest.as_source) if mode is Mode.DEEP else None
            pace = self._cap.take if self._cap else None
            return config, Auditor(
                engine, mode, repair=config.audit_repair, copies=copies, pace=pace
            )
        return config, engine

    def _open(self, config: JobConfig, end: SourceConfig) -> Source:
        return open_source(
            end,
            scan_depth=config.scan_depth,
            scratch=self._system.working_dir / "run",
            transport=self._transport,
        )

    def _make_copy_engine(self, config: JobConfig) -> CopyEngine:
        source = self._open(config, config.source)
        dest = open_dest(config.dest, self._transport)
        policy = self._policy(config)
        # An MD5 to be recorded is made of bytes that pass through here.
        inside = may_copy_inside(config) and not policy.record_md5
        return CopyEngine(
            source,
            dest,
            policy,
            Budget(self._share),
            jitter=random.random,
            origins=source if inside and isinstance(source, Origins) else None,
        )

    def _make_transport(self) -> Transport:
        return Transport(
            max_connections=self._runners,
            first_connections=part_of(FIRST_IN_FLIGHT, self._system.worker_processes, self._index),
            way_to=self._limiter.way_to,
        )

    def _policy(self, config: JobConfig) -> CopyPolicy:
        return CopyPolicy(
            dest_prefix=config.dest.prefix,
            multipart_threshold=self._fit("multipartUploadThreshold", config.multipart_threshold),
            part_size=self._fit("multipartUploadPartSize", config.part_size),
            parts_in_flight=config.upload_threads,
            skip_existing=config.skip_existing,
            encrypt=config.dest.server_side_encryption,
            record_md5=self._system.record_md5,
            keep=keep_of(config),
        )

    def _fit(self, key: str, size: int) -> int:
        """A whole object or part is held in memory: no more than a quarter of this process's share,
        so that reading, sending and waiting can overlap."""
        most = self._share // 4
        if size > most:
            _warn(f"{key}={size} is lowered to {most}: a quarter of the buffer (javaHeapMaxSize)")
        return min(size, most)


def let_wait(ledger: WorkerLedger, job: str, why: Waiting) -> None:
    """Let a job say what it waits for. The master sends one of its tasks again after a while.

    An outage is waited for only so long; then the job is stopped.
    """
    log.warning("job %s waits: %s", job, why)
    reason = f"waiting: {why}"
    if why.code != "Outage":
        ledger.set_state(job, JobState.RUNNING, reason, only_if=JobState.RUNNING)
    elif ledger.outage(job, reason) >= OUTAGE_S:
        reason = f"Outage: for {OUTAGE_S:.0f} s {why}. Cure: see to it, then retry the job"
        ledger.set_state(job, JobState.ABORT, reason, only_if=JobState.RUNNING)


def _checks(config: JobConfig, engine: Engine) -> Checks | None:
    """What is seen of the objects that a task has copied; None if nothing is."""
    if not (config.audit_after and config.writes):
        return None
    # What an audit has found as it should be, it need not compare again.
    auditor = Auditor(engine, Mode.DETAILED) if isinstance(engine, CopyEngine) else None
    mode = min(Mode(config.audit_mode), Mode.DETAILED, key=list(Mode).index)
    return Checks(mode, config.last_modify * 10**9, auditor)


def _changed_at(path: Path) -> int:
    """When the file was written last; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@functools.cache
def _warn(text: str) -> None:
    """Log a warning, once."""
    log.warning(text)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 -- not there on Windows; the standard loop serves, slower
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
