"""What is said when a job has ended, or when its operator stops looking."""

from collections.abc import Mapping
from pathlib import Path

from ossimport.auditlog import Highlights
from ossimport.ledger.base import Snapshot
from ossimport.naming import display, one_line
from ossimport.report.cures import cure_for, told
from ossimport.report.numbers import human_bytes, human_time
from ossimport.report.stat import next_step, proof_words, round_words, unkept_words
from ossimport.report.words import terms

_SLOWEST = 3


def summary_text(snapshot: Snapshot, highlights: Highlights, tree: Path) -> str:
    """The end of a job: state, the sum, the proof, what was slow, what failed, what to do next.

    `tree` is the job's directory below `master/jobs/`.
    """
    job, counts = snapshot.job, snapshot.counts
    lines = [f"Job {job.name}: {job.state} after {human_time(snapshot.elapsed)}"]
    if job.incremental:
        lines.append(f"  round: {round_words(snapshot)}")
    if job.reason:
        lines.append(f"  reason: {one_line(job.reason)}")
    if job.scan_finished and not counts.listed.objects:
        lines += _nothing_found()
    if counts.listed.objects and counts.listed.objects == counts.excluded.objects:
        lines.append("  NOTHING WAS TAKEN: the job's filters leave out every object")
    named = terms(snapshot)
    objects = _equation(counts.listed.objects, {n: t.objects for n, t in named.items()})
    lines.append(f"  objects: {objects}")
    sizes = _equation(counts.listed.bytes, {n: t.bytes for n, t in named.items()})
    lines.append(f"  bytes:   {sizes}")
    if counts.copied.objects:
        lines.append(f"  proof:   of {counts.copied.objects:,} copied: {proof_words(snapshot)}")
        lines.append(f"  speed:   {_mean_speed(snapshot)}")
    if snapshot.unkept:
        lines.append(f"  metadata: {unkept_words(snapshot)}")
    if counts.vanished.objects:
        lines.append(
            f"  {counts.vanished.objects:,} vanished: gone from the source between scan and copy"
        )
    lines += _slowest(highlights)
    lines += _failures(snapshot, highlights)
    lines += _logs(snapshot, tree)
    lines.append(f"  next: {next_step(snapshot, 'what is named above')}")
    return "\n".join(lines)


def _nothing_found() -> list[str]:
    line = "!" * 72
    return [
        line,
        "  NOTHING WAS FOUND: the source lists no object, so nothing was done.",
        f"  cure: {cure_for('NothingFound')}",
        line,
    ]


def _equation(listed: int, named: Mapping[str, int]) -> str:
    return f"{listed:,} listed = " + " + ".join(f"{n:,} {name}" for name, n in named.items())


def _mean_speed(snapshot: Snapshot) -> str:
    copied, seconds = snapshot.counts.copied, max(snapshot.elapsed, 0.001)
    return (
        f"{human_bytes(copied.bytes)} copied, {human_bytes(copied.bytes / seconds)}/s and "
        f"{copied.objects / seconds:,.1f} objects/s on average"
    )


def _slowest(highlights: Highlights) -> list[str]:
    if not highlights.slowest:
        return []
    return [
        "  slowest objects:",
        *(
            f"    {slow.seconds:9.3f} s  {human_bytes(slow.size):>9}  {display(slow.key)}"
            for slow in highlights.slowest[:_SLOWEST]
        ),
    ]


def _failures(snapshot: Snapshot, highlights: Highlights) -> list[str]:
    if not highlights.failed_by_code:
        return []
    word = "failed" if snapshot.job.job_type == "import" else "unmatched"
    lines = [f"  {word} objects:"]
    if not highlights.complete:
        lines = [f"  {word} objects (the first lists only; all are in the logs named below):"]
    most_first = sorted(highlights.failed_by_code.items(), key=lambda item: -item[1].objects)
    for code, group in most_first:
        what, cure = told(code, group.message)
        lines.append(f"    {group.objects:,} {code or 'without a code'}: {what}")
        lines.append(f"      cure: {cure}")
        lines += [f"      {key}" for key in group.keys]
        more = group.objects - len(group.keys)
        if more:
            lines.append(f"      ... and {more:,} more")
    return lines


def _logs(snapshot: Snapshot, tree: Path) -> list[str]:
    counts = snapshot.counts
    lines = [f"  logs: {tree}/*_tasks/*/audit.log has a line for every object"]
    if snapshot.unkept:
        lines.append("        unkept= in such a line names what could not be kept of the object")
    if counts.failed.objects:
        lines.append(f"        {tree}/failed_tasks/*/error.list names what failed")
    if counts.excluded.objects:
        lines.append(f"        {tree}/excluded.list names what was excluded")
    return lines
