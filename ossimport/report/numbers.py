"""Numbers for people. Sizes are decimal: 1 kB = 1,000 bytes, 1 MB = 1,000,000 bytes."""

from ossimport.ledger.base import Snapshot
from ossimport.model import Counts, JobState, Tally

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def human_bytes(size: float) -> str:
    """A size with one decimal: `999 B`, `1.0 kB`, `41.2 MB`."""
    if abs(size) < 999.5:
        return f"{size:.0f} B"
    scaled = size
    for unit in _UNITS:
        scaled /= 1000
        if abs(scaled) < 999.95 or unit == _UNITS[-1]:
            break
    return f"{scaled:.1f} {unit}"


def human_time(seconds: float) -> str:
    """A span as `H:MM:SS`; hours go on above 24."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def human_eta(snapshot: Snapshot) -> str:
    """The time to go, or `unknown`."""
    seconds = eta(snapshot)
    return "unknown" if seconds is None else human_time(seconds)


def eta(snapshot: Snapshot) -> float | None:
    """Seconds to go at the present speed.

    None while nobody can know: the scan still finds objects, nothing moves, or the job is stopped
    with objects left. Objects and bytes each give an estimate; the later one counts.
    """
    left = snapshot.counts.left
    job = snapshot.job
    if job.scan_finished and not left.objects:
        return 0.0
    if not job.scan_finished or job.state is not JobState.RUNNING:
        return None
    needs = ((left.objects, snapshot.objects_per_second), (left.bytes, snapshot.bytes_per_second))
    if any(amount and speed <= 0 for amount, speed in needs):
        return None
    return max(amount / speed for amount, speed in needs if amount)


def done(snapshot: Snapshot) -> Tally:
    """What has an outcome, whichever."""
    counts = snapshot.counts
    return Tally(
        counts.listed.objects - counts.left.objects, counts.listed.bytes - counts.left.bytes
    )


def percent(snapshot: Snapshot) -> int:
    """Objects done of those listed; 100 only when none is left."""
    listed = snapshot.counts.listed.objects
    return done(snapshot).objects * 100 // listed if listed else 0


def outcomes(counts: Counts) -> dict[str, Tally]:
    """The terms that sum up to what is listed."""
    return {
        "copied": counts.copied,
        "skipped": counts.skipped,
        "failed": counts.failed,
        "vanished": counts.vanished,
        "excluded": counts.excluded,
        "left": counts.left,
    }
