"""The end of an audit, for people and for programs."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ossimport.ledger.base import Snapshot
from ossimport.model import Counts, JobState
from ossimport.naming import one_line
from ossimport.report.numbers import human_time
from ossimport.wording import plural

MATCH, MISMATCH, INCOMPLETE = "match", "mismatch", "incomplete"


@dataclass(slots=True)
class AuditReport:
    """What an audit found. `found` counts the objects that are in the report file by result."""

    path: Path
    mode: str
    repair: bool
    audited: Snapshot
    extra: Snapshot | None = None  # of the search for objects that only the destination has
    found: Counter[str] = field(default_factory=Counter)

    @property
    def verdict(self) -> str:
        """MISMATCH if any object is known not to match; INCOMPLETE if not all were compared."""
        if any(self.found[result] for result in ("missing", "differ", "extra")):
            return MISMATCH
        nothing = not self.audited.counts.listed.objects
        if nothing or not _is_whole(self.audited) or self.found["not audited"]:
            return INCOMPLETE
        return MATCH if self.extra is None or _is_whole(self.extra) else INCOMPLETE

    def text(self) -> str:
        """The verdict, the sums, and what to do next."""
        job, counts, found = self.audited.job, self.audited.counts, self.found
        elapsed = human_time(self.audited.elapsed)
        mode = f"{self.mode}, repairing" if self.repair else self.mode
        terms = " + ".join(f"{n:,} {name}" for name, n in self._terms(counts).items())
        lines = [
            f"Audit {job.name} ({mode}): {self.verdict.upper()} after {elapsed}",
            f"  objects: {counts.listed.objects:,} listed = {terms}",
        ]
        for snapshot in (self.audited, self.extra):
            if snapshot is not None and snapshot.job.reason:
                lines.append(f"  reason:  {one_line(snapshot.job.reason)}")
        if self.extra is not None:
            listed = self.extra.counts.listed.objects
            lines.append(
                f"  extra:   {found['extra']:,} of {listed:,} {plural(listed, 'object')} at the"
                f" destination {'is' if found['extra'] == 1 else 'are'} not at the source"
            )
        if found:
            lines.append(f"  report:  {self.path} names each of the {sum(found.values()):,}")
        lines.append(f"  next:    {self._next()}")
        return "\n".join(lines)

    def _terms(self, counts: Counts) -> dict[str, int]:
        return {
            "match": counts.skipped.objects,
            "repaired": counts.copied.objects,
            "missing": self.found["missing"],
            "differ": self.found["differ"],
            "not audited": self.found["not audited"],
            "vanished": counts.vanished.objects,
            "excluded": counts.excluded.objects,
            "left": counts.left.objects,
        }

    def _next(self) -> str:
        for snapshot in (self.audited, self.extra):
            if snapshot is not None and snapshot.job.state is JobState.PAUSED:
                return f"bash console.sh resume {snapshot.job.name}, then the same command again"
        if self.verdict == INCOMPLETE:
            return "mend what kept objects from being compared, then audit again"
        if self.found["missing"] or self.found["differ"]:
            if self.repair:
                return "the report says why these could not be repaired"
            return "the same command with --repair copies what is missing or differs"
        if self.found["extra"]:
            return "look into the report: extra objects are never removed"
        return "nothing; the destination holds what the source has"

    def json(self) -> dict[str, object]:
        """The same for programs."""
        terms = self._terms(self.audited.counts)
        terms["notAudited"] = terms.pop("not audited")
        objects: dict[str, object] = {"listed": self.audited.counts.listed.objects, **terms}
        objects["extra"] = None if self.extra is None else self.found["extra"]
        return {
            "jobName": self.audited.job.name,
            "state": self.audited.job.state.value,
            "reason": self.audited.job.reason,
            "auditMode": self.mode,
            "repair": self.repair,
            "result": self.verdict,
            "objects": objects,
            "report": str(self.path) if self.found else None,
        }


def _is_whole(snapshot: Snapshot) -> bool:
    """All that there is was listed and looked at, if it was nothing."""
    running = snapshot.job.state in {JobState.RUNNING, JobState.PAUSED}
    return snapshot.job.scan_finished and not running and not snapshot.counts.left.objects
