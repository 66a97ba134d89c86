"""Drive all jobs, and be ready to take over those of another master.

The master keeps no state that it could lose. Everything it knows stands in the journal (what was
planned) and in the ledger (what became of it).
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ossimport import identity
from ossimport.config import JobConfig, SystemConfig
from ossimport.dispatch import Queue, Window, deal, whom_to_ask
from ossimport.driver import JobDriver
from ossimport.errors import (
    JobNotFound,
    LedgerUnavailable,
    OssImportError,
    PreflightError,
    ServiceError,
)
from ossimport.filters import Filters
from ossimport.journal import Journal, LimitsFile, rebuild
from ossimport.ledger.base import Job, Ledger
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.model import JobState, Upload
from ossimport.pruning import IN_FLIGHT, Fate, Gone, abort, prune
from ossimport.queue import Sender
from ossimport.scan_steps import JobPlan
from ossimport.seal import cluster_key
from ossimport.sources import open_listing, open_source
from ossimport.transport import Transport

log = logging.getLogger(__name__)

LEASE_S = 15.0
OUTAGE_PAUSE_S = 1.0  # between two looks while Redis does not answer
TROUBLE_S = 5.0  # between two looks at a job whose disk or settings are in the way
ASK_S = 0.5  # between two looks for tasks that idle workers could have a share of
KEEP_LIMITS_S = 1.0
IDLE_S = 0.1  # between two looks when nothing happened; a look costs about a millisecond


class Master:
    """Drives every job whose lease it gets; a second master is a hot spare."""

    def __init__(
        self,
        ledger: Ledger,
        master_dir: Path,
        queue: Queue,
        open_job: Callable[[Job], JobPlan],
        *,
        host: str,
        slots: int,
        beat: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._dir = master_dir
        self._queue = queue
        self._open_job = open_job
        self._host = host
        self._own_slots = slots
        self._window = Window(ledger, clock)
        self._beat = beat
        self._asked = -ASK_S
        self._clock = clock
        self._wall_clock = wall_clock
        self._holder = identity.name_of_this_process(host)
        self._drivers: dict[str, JobDriver] = {}
        self._limits = LimitsFile(master_dir)
        self._keeps_limits_at = 0.0
        self._restored = False
        self._looks_again_at = 0.0
        self._outage = ""  # what was said of it last
        self._waits: dict[str, float] = {}  # jobs in trouble, and when to look at them again

    def step(self) -> bool:
        """Move every job on; True if anything happened. LedgerUnavailable is waited out."""
        if self._clock() < self._looks_again_at:
            return False
        try:
            if not self._restored:
                self._restore_lost()
            self._keep_limits()
            self._window.look()
            names = self._ledger.jobs()
            for gone in self._drivers.keys() - set(names):
                self._drivers.pop(gone).close()
                self._restored = False  # cleaned, and its journal with it; or lost by Redis
            busy = any([self._drive(name) for name in names])
            busy = self._deal() or busy
        except LedgerUnavailable as exc:
            if str(exc) != self._outage:  # once, not each second of it
                log.warning("%s", exc)
            self._outage = str(exc)
            self._looks_again_at = self._clock() + OUTAGE_PAUSE_S
            # What comes back may be older than what we knew: look at everything anew.
            self._restored = False
            for driver in self._drivers.values():
                driver.distrust()
            return False
        if self._outage:
            log.warning("Redis answers again")
            self._outage = ""
        self._beat()
        return busy

    def close(self) -> None:
        """Stop scanning and give the leases back."""
        for name, driver in self._drivers.items():
            driver.close()
            self._drop(name)
        self._drivers.clear()

    def _restore_lost(self) -> None:
        """Put back the jobs that the journal has and the ledger has not: Redis came up empty."""
        known, journalled = set(self._ledger.jobs()), Journal.jobs(self._dir)
        try:
            # First: nobody works on a job that is there without its limit.
            self._ledger.restore_limits(self._limits.stored_for(journalled))
        except ServiceError as exc:
            log.error("limits cannot be restored: %s", exc)
        for name in journalled:
            if name not in known:
                log.warning("job %s: not in Redis, restored from %s", name, self._dir)
                try:
                    rebuild(Journal(self._dir, name), self._ledger, beat=self._beat)
                except ServiceError as exc:
                    log.error("job %s cannot be restored: %s", name, exc)
        self._restored = True

    def _keep_limits(self) -> None:
        """Write the limits down once in a while."""
        if self._clock() < self._keeps_limits_at:
            return
        self._keeps_limits_at = self._clock() + KEEP_LIMITS_S
        try:
            self._limits.keep(self._ledger.limits())
        except ServiceError as exc:
            log.error("limits are not written down: %s", exc)

    def _drive(self, name: str) -> bool:
        """Move one job on. Its troubles are its own: they are told, and the others go on."""
        if self._clock() < self._waits.get(name, 0.0):
            return False
        try:
            if name not in self._drivers and self._at_rest(name):
                return False
            busy = self._step(name)
            driver = self._drivers.get(name)
            if not busy and driver is not None and driver.has_ended and self._at_rest(name):
                self._drivers.pop(name).close()  # whoever cleans the job waits for the lease
                self._drop(name)
            return busy
        except JobNotFound:
            return False  # cleaned in this moment
        except LedgerUnavailable:
            raise
        except OssImportError as exc:
            log.error("job %s waits: %s", name, exc)
            self._waits[name] = self._clock() + TROUBLE_S
            driver = self._drivers.pop(name, None)
            if driver is not None:
                driver.close()
            reason = f"waiting: {exc}"
            self._ledger.set_state(name, JobState.RUNNING, reason, only_if=JobState.RUNNING)
            return False

    def _slots(self) -> int:
        """How many tasks run at the same time, on all workers; before any is there, on this host.

        Threads that scan ask too: they must not meet a ledger that does not answer.
        """
        return self._window.slots or self._own_slots

    def _deal(self) -> bool:
        """Let the jobs send messages, as many as the workers need; True if there were any."""
        demands = [each.demand for each in self._drivers.values() if each.demand]
        given = deal(self._window.room(demands), demands)
        for name, number in given.items():
            try:
                self._drivers[name].dispatch(number)
            except JobNotFound:
                continue  # cleaned in this moment
        if not given and self._window.idle and self._clock() - self._asked >= ASK_S:
            self._asked = self._clock()
            self._ask_for_shares(self._window.idle)
        return bool(given)

    def _ask_for_shares(self, idle: int) -> None:
        """Nothing is pending and workers are idle: let them help those that are not."""
        running = [(name, task) for name, each in self._drivers.items() for task in each.running]
        for (name, task_id, fence, offered), takers in whom_to_ask(idle, running).items():
            try:
                if offered:
                    self._drivers[name].call_helpers(task_id, takers)
                else:
                    self._ledger.ask_share(name, task_id, fence, takers, 3 * ASK_S)
            except JobNotFound:
                continue  # cleaned in this moment

    def _at_rest(self, name: str) -> bool:
        """The job has ended, and all that workers said of it is written down."""
        ended = self._ledger.job(name).state not in (JobState.RUNNING, JobState.PAUSED)
        return ended and not self._ledger.outbox(name, 1)

    def _hold(self, name: str) -> bool:
        held = self._ledger.hold_job(name, self._holder, LEASE_S)
        self._beat()  # a step of one job may take long
        return held

    def _drop(self, name: str) -> None:
        try:
            self._ledger.drop_job(name, self._holder)
        except (JobNotFound, LedgerUnavailable) as exc:
            log.warning("job %s: the lease runs out by itself: %s", name, exc)

    def _step(self, name: str) -> bool:
        if not self._hold(name):
            spare = self._drivers.pop(name, None)
            if spare is not None:
                log.warning("job %s: another master drives it now", name)
                spare.close()
            return False
        driver = self._drivers.get(name)
        if driver is None:
            driver = self._drivers[name] = JobDriver(
                self._ledger.job(name),
                self._ledger,
                Journal(self._dir, name),
                self._queue,
                self._open_job,
                host=self._host,
                slots=self._slots,
                hold=partial(self._hold, name),
                clock=self._clock,
                wall_clock=self._wall_clock,
            )
        return driver.step()


def run_master(
    system: SystemConfig,
    redis_url: str,
    *,
    stopping: Callable[[], bool],
    beat: Callable[[], None],
) -> None:
    """Drive jobs until `stopping`; then give the leases back.

    Calls `beat` when it begins, and then again and again as long as it works and Redis answers.
    """
    sealer = cluster_key(system.home)
    sender = Sender(redis_url)

    def open_job(job: Job) -> JobPlan:
        config = JobConfig.from_json(sealer.unseal(job.settings))
        scratch = system.working_dir / "run"
        scanned = config.scanned
        return JobPlan(
            open_listing(scanned, scan_depth=config.scan_depth, scratch=scratch),
            source_name=f"srcPrefix={scanned.prefix}",
            max_objects=config.task_objects,
            max_bytes=config.task_bytes,
            scan_threads=config.scan_threads,
            # Later rounds know from the catalog what the first one left out.
            select=Filters(
                config.filter, import_since=config.import_since if job.round == 1 else 0
            ).select,
            interval_s=config.incremental_interval_s,
            max_delete=config.incremental_max_delete,
            prune=lambda gone, begin: asyncio.run(_prune(config, scratch, gone, begin)),
            abort=lambda uploads: asyncio.run(_abort(config, uploads)),
        )

    journals = system.working_dir / "master"
    ledger = open_ledger(redis_url)
    _tell_of(ledger)
    master = Master(
        ledger,
        journals,
        Queue(sender.send, sender.waiting),
        open_job,
        host=identity.host_name(standalone=not system.redis_url),
        slots=system.worker_processes,
        beat=beat,
    )
    gc.freeze()  # what is there now stays, so the collector need not look at it again
    gc.set_threshold(20_000, 20, 100)  # objects are made by the million, and free of cycles
    log.info("the master waits for jobs, and keeps their journals in %s", journals)
    beat()
    try:
        while not stopping():
            if not master.step():
                time.sleep(IDLE_S)
    finally:
        master.close()
        log.info("the master has stopped; what it was doing goes on when it is started again")


def _tell_of(ledger: RedisLedger) -> None:
    """Log what is not as it should be with the server. It may become so while we wait for it."""
    try:
        for warning in ledger.examine():
            log.warning("%s", warning)
    except (PreflightError, LedgerUnavailable) as exc:
        log.error("%s", exc)


async def _prune(
    config: JobConfig,
    scratch: Path,
    gone: Sequence[Gone],
    begin: Callable[[Sequence[str]], None],
) -> list[Fate]:
    """On an event loop of its own: both ends are opened for it, and closed."""
    from ossimport.dest.opening import opened  # noqa: PLC0415 -- oss2 is slow to import

    transport = Transport(max_connections=IN_FLIGHT)
    source = open_source(
        config.source, scan_depth=config.scan_depth, scratch=scratch, transport=transport
    )
    try:
        async with opened(config.dest, connections=IN_FLIGHT) as dest:
            return await prune(source, dest, config.dest.prefix, gone, begin)
    finally:
        await source.close()
        await transport.close()


async def _abort(config: JobConfig, uploads: Sequence[Upload]) -> list[Upload]:
    """Abort uploads; return those that were. The others may be aborted later."""
    from ossimport.dest.opening import opened  # noqa: PLC0415 -- oss2 is slow to import

    async with opened(config.dest) as dest:
        left = await abort(dest, uploads)
    for upload, why in left:
        log.warning("%s: upload %s stays behind: %s", upload.key, upload.upload_id, why)
    kept = {upload.upload_id for upload, _ in left}
    return [upload for upload in uploads if upload.upload_id not in kept]
