"""The rounds of an incremental job: when one ends, what is kept of it, when the next begins.

A round begins `incrementalModeInterval` seconds after the one before began; one that takes longer
is followed at once. A round that a stopped service missed is begun when it starts again, once.
Before it ends, a round aborts the uploads that its failed objects have left, for the next one
begins new ones; and deletes at OSS what is gone from the source, if the job wants that.
"""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from ossimport import report
from ossimport.errors import ServiceError, StorageError
from ossimport.journal import Journal
from ossimport.ledger.base import Job, Ledger, Snapshot
from ossimport.model import JobState, Upload
from ossimport.naming import display, one_line
from ossimport.pruning import Fate, Gone, Pruned
from ossimport.scan_steps import Abort, JobPlan

log = logging.getLogger(__name__)

STRETCH = 200  # objects that are dealt with before a look at whether to go on deleting


class Rounds:
    """Ends and begins the rounds of one job: journal first, then ledger."""

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        open_job: Callable[[Job], JobPlan],
        *,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds since 1970."""
        self._ledger = ledger
        self._journal = journal
        self._open_job = open_job
        self._clock = clock
        self._tidying: _Tidying | None = None

    def catch_up(self, job: Job) -> bool:
        """Bring a ledger that lost the beginning of the last round to it; False if it has not."""
        stored = self._journal.stored_job()
        if stored is None or stored.fingerprint != job.fingerprint or stored.round <= job.round:
            return False
        log.warning("job %s: the ledger lacks round %d: begun there too", job.name, stored.round)
        self._ledger.begin_round(stored)
        return True

    def end(self, snapshot: Snapshot) -> None:
        """End a round in which nothing is left to copy; call it again until it has ended."""
        job = snapshot.job
        if self._tidying is None:
            self._tidying = self._begin_tidying(snapshot)
        if not self._tidying.is_done:
            return
        fates, trouble = self._tidying.fates, self._tidying.trouble
        for upload in self._tidying.aborted:
            self._ledger.forget_upload(job.name, upload)
        self._settle(job, fates)
        interval_ms = self._open_job(job).interval_s * 1000
        over = replace(job, next_round_ms=max(self._now_ms(), job.created_ms + interval_ms))
        self._journal.end_round(over, _report(snapshot, fates, trouble))
        reasons = [trouble] if trouble else []
        if not snapshot.counts.listed.objects:
            reasons.append("no object was found: check srcPrefix, srcBucket and importSince")
        if reasons:
            reason = f"round {job.round}: {'; '.join(reasons)}"
            self._ledger.set_state(job.name, JobState.RUNNING, reason, only_if=JobState.RUNNING)
        self._ledger.end_round(job.name, over.next_round_ms)
        self._tidying = None

    def stop(self) -> None:
        """Delete no more in this round, but for the stretch under way."""
        if self._tidying is not None:
            self._tidying.stop()

    def begin_if_due(self, job: Job) -> bool:
        """Begin the next round of a job whose last one is over, if it is time to."""
        now_ms = self._now_ms()
        if now_ms < job.next_round_ms:
            return False
        fresh = replace(job, created_ms=now_ms, round=job.round + 1, next_round_ms=0)
        self._journal.begin_round(fresh)
        self._ledger.begin_round(fresh)
        return True

    # -- what is of no use any more --------------------------------------------------------------

    def _begin_tidying(self, snapshot: Snapshot) -> "_Tidying":
        """Begin to tidy up; it is done at once if there is nothing to do."""
        job = snapshot.job
        plan = self._open_job(job)
        gone, trouble = self._gone(snapshot, plan.max_delete)
        record = self._journal.deletions(job.round)
        begun: frozenset[str] = frozenset()
        if gone:  # before this master was started, or before an outage ended the last round
            begun = record.begun() | self._journal.deletions(job.round - 1).begun()
        return _Tidying(
            self._ledger.uploads(job.name),
            plan.abort,
            [Gone(key, size, key in begun) for key, size in gone],
            lambda some: plan.prune(some, record.begin),
            trouble,
        )

    def _gone(self, snapshot: Snapshot, most: int) -> tuple[list[tuple[str, int]], str]:
        """What is to be deleted; and why nothing is, although something is gone."""
        job, catalog = snapshot.job, self._journal.catalog
        if catalog is None or not most or job.round == 1:
            return [], ""
        if self._journal.scan_failures():
            return [], "nothing was deleted, because the listing is not complete"
        gone = catalog.gone(job.round, most + 1)
        if gone and not snapshot.counts.listed.objects:
            # A source that is not mounted has none of its objects by name either.
            return [], "nothing was deleted, because the listing is empty"
        if len(gone) > most:
            return [], (
                "nothing was deleted, because more objects are gone from the source than"
                f" incrementalMaxDelete={most}. Cure: see that the source"
                " is all there; if it is, raise the key in the job file, import it again and resume"
            )
        return gone, ""

    def _settle(self, job: Job, fates: Sequence[Fate]) -> None:
        """Write down what was deleted, and forget what need not be looked for again."""
        if not fates:
            return
        lines = (
            f"{display(fate.key)}\t{fate.pruned}\t{one_line(fate.message)}\n" for fate in fates
        )
        record = self._journal.deletions(job.round)
        record.end("".join(lines).encode())
        if self._journal.catalog is not None:
            again = (Pruned.REFUSED, Pruned.STILL_THERE)
            self._journal.catalog.forget(f.key for f in fates if f.pruned not in again)
        if record.begun() <= {fate.key for fate in fates}:
            record.forget_begun()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _Tidying:
    """What one round does at OSS in its end, in a thread of its own: the master has other jobs."""

    def __init__(
        self,
        uploads: Sequence[Upload],
        abort: Abort,
        gone: Sequence[Gone],
        prune: Callable[[Sequence[Gone]], list[Fate]],
        trouble: str,
    ) -> None:
        """`trouble` is known before; what comes up with deletions is said in its place."""
        self.aborted: list[Upload] = []
        self.fates: list[Fate] = []
        self.trouble = trouble
        self._uploads, self._abort = uploads, abort
        self._gone, self._prune = gone, prune
        self._stopped = False
        self._thread: threading.Thread | None = None
        if uploads or gone:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    @property
    def is_done(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def stop(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        if self._uploads:
            self._abort_uploads()
        if self._gone:
            self._delete()

    def _abort_uploads(self) -> None:
        """What cannot be aborted now is tried again in the end of the next round."""
        try:
            self.aborted = self._abort(self._uploads)
        except (StorageError, ServiceError) as exc:
            log.warning("%d unfinished uploads stay behind: %s", len(self._uploads), exc)

    def _delete(self) -> None:
        gone = self._gone
        self.trouble = "the deletions did not come to their end, see logs/master.log"
        try:
            for begin in range(0, len(gone), STRETCH):
                if self._stopped:
                    self.trouble = "the job was stopped while objects were deleted"
                    return
                self.fates += self._prune(gone[begin : begin + STRETCH])
            self.trouble = ""
        except (StorageError, ServiceError) as exc:
            log.error("deletions were given up: %s", exc)
            self.trouble = f"not all that is gone was deleted: {exc}"


def _report(snapshot: Snapshot, fates: Sequence[Fate], trouble: str) -> bytes:
    """`stat --json` of the job, and what was deleted."""
    counted = Counter(fate.pruned.value for fate in fates)
    job = report.job_json(snapshot)
    told = {**job, "gone": {each.value: counted[each.value] for each in Pruned}, "note": trouble}
    return json.dumps(told, indent=1).encode() + b"\n"
