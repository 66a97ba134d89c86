"""What a job's tasks found that somebody should read, as the tasks end.

An audit's findings are the objects that do not match; those that it repaired are copied, and their
lines of audit.log say with a code what was wrong.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ossimport import auditlog
from ossimport.journal import files, places
from ossimport.journal.places import Place
from ossimport.journal.tree import Journal
from ossimport.model import CopyResult, Outcome, TaskState


class Finding(NamedTuple):
    """One object, and how it ended."""

    key: str
    result: CopyResult


class Findings:
    """Of one job. Each task's are told once."""

    def __init__(self, journal: Journal, *, repaired: bool) -> None:
        """`repaired`: tell of those objects too; else only of those that failed."""
        self._journal = journal
        self._states = [TaskState.FAILED, TaskState.SUCCEED] if repaired else [TaskState.FAILED]
        self._told: set[str] = set()

    def new(self) -> Iterator[Finding]:
        """Of the tasks that have ended since the last call."""
        for state in self._states:
            for place in places.ended(self._journal.root, state):
                if place.task_id not in self._told:
                    self._told.add(place.task_id)
                    yield from self._of(place)

    def unlisted(self) -> Iterator[Finding]:
        """Of the scan: what could not be listed."""
        for _, failure in self._journal.scan_failures():
            result = CopyResult(Outcome.FAILED, code=failure.code, message=failure.message)
            yield Finding(failure.key, result)

    def _of(self, place: Place) -> Iterator[Finding]:
        summary = self._journal.summary(place)
        if summary is not None and Outcome.COPIED not in summary.totals.objects:
            return
        found: dict[int, Finding] = {}
        log = files.read(self._journal.root / place.path / "audit.log") or b""
        for read in auditlog.read_log(log):
            if not isinstance(read, str):
                found.pop(read[0], None)
                continue
            line = auditlog.parse_line(read)
            if line is None or line.upload is not None:
                continue
            found.pop(line.number, None)
            result = line.result
            if result is None:
                continue
            is_repaired = result.outcome is Outcome.COPIED and bool(result.code)
            if is_repaired or result.outcome is Outcome.FAILED:
                found[line.number] = Finding(line.key, result)
        yield from (found[number] for number in sorted(found))
