"""One line about a running job, for a log or a pipe."""

import time

from ossimport.ledger.base import Snapshot
from ossimport.naming import one_line
from ossimport.report.numbers import done, human_bytes, human_eta, percent


def progress_line(snapshot: Snapshot, now: float) -> str:
    """Where the job stands at `now` (epoch seconds, shown in local time).

    `12:00:05 local_test Running 33% 1,234/3,700 objects 41.2 MB/4.1 GB 82.3 MB/s ETA 0:00:49
    failed 0`; `scanning` in place of the percentage while the totals still grow. A reason to wait
    is added.
    """
    job, listed, so_far = snapshot.job, snapshot.counts.listed, done(snapshot)
    reason = f"; {one_line(job.reason)}" if job.reason else ""
    share = f"{percent(snapshot)}%" if job.scan_finished else "scanning"
    return (
        f"{time.strftime('%H:%M:%S', time.localtime(now))} {job.name} {job.state} {share} "
        f"{so_far.objects:,}/{listed.objects:,} objects "
        f"{human_bytes(so_far.bytes)}/{human_bytes(listed.bytes)} "
        f"{human_bytes(snapshot.bytes_per_second)}/s ETA {human_eta(snapshot)} "
        f"failed {snapshot.counts.failed.objects:,}{reason}"
    )
