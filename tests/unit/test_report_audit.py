"""What an audit comes to: match, mismatch, or not known."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ossimport.auditlog import Highlights
from ossimport.ledger.base import Job, Snapshot
from ossimport.model import Counts, JobState, Tally
from ossimport.report import stat_json, stat_text, summary_text
from ossimport.report.audit import INCOMPLETE, MATCH, MISMATCH, AuditReport

JOB = Job("photos-audit", 1, "f", b"", job_type="audit", scan_finished=True)
COUNTS = Counts(listed=Tally(10, 100), skipped=Tally(10, 100))


def snapshot(
    state: JobState = JobState.SUCCEED, counts: Counts = COUNTS, **job: object
) -> Snapshot:
    changed: Job = replace(JOB, state=state, **job)  # type: ignore[arg-type]
    return Snapshot(changed, counts, {}, Counter(), (), 0.0, 0.0, 61.0, 1, 0)


def report(audited: Snapshot, other: Snapshot | None = None, **found: int) -> AuditReport:
    counted = Counter({name.replace("_", " "): number for name, number in found.items()})
    return AuditReport(Path("/wd/logs/r"), "detailed", False, audited, other, counted)


FAILED = Counts(listed=Tally(10, 100), skipped=Tally(8, 80), failed=Tally(2, 20))
LEFT = Counts(listed=Tally(10, 100), skipped=Tally(8, 80))
NOTHING = Counts()


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (report(snapshot()), MATCH),
        (report(snapshot(), repaired=3), MATCH),
        (report(snapshot(JobState.FAILED, FAILED), missing=2), MISMATCH),
        (report(snapshot(JobState.FAILED, FAILED), differ=1, not_audited=1), MISMATCH),
        (report(snapshot(JobState.FAILED, FAILED), not_audited=2), INCOMPLETE),
        (report(snapshot(JobState.ABORT, LEFT)), INCOMPLETE),
        (report(snapshot(JobState.ABORT, LEFT), differ=1), MISMATCH),
        (report(snapshot(JobState.PAUSED, LEFT)), INCOMPLETE),
        (report(snapshot(JobState.ABORT, COUNTS, scan_finished=False)), INCOMPLETE),
        (report(snapshot(JobState.ABORT, NOTHING)), INCOMPLETE),
        (report(snapshot(), snapshot()), MATCH),
        (report(snapshot(), snapshot(JobState.ABORT, NOTHING)), MATCH),
        (report(snapshot(), snapshot(JobState.FAILED, FAILED), extra=2), MISMATCH),
        (report(snapshot(), snapshot(JobState.ABORT, LEFT)), INCOMPLETE),
        (report(snapshot(), snapshot(JobState.ABORT, NOTHING, scan_finished=False)), INCOMPLETE),
    ],
)
def test_the_verdict(made: AuditReport, verdict: str) -> None:
    assert made.verdict == verdict
    assert made.json()["result"] == verdict
    assert f": {verdict.upper()} after 0:01:01" in made.text()


def test_the_text_sums_up_and_says_what_to_do() -> None:
    made = report(snapshot(JobState.FAILED, FAILED), missing=1, differ=1)
    assert made.text().splitlines() == [
        "Audit photos-audit (detailed): MISMATCH after 0:01:01",
        "  objects: 10 listed = 8 match + 0 repaired + 1 missing + 1 differ + 0 not audited"
        " + 0 vanished + 0 excluded + 0 left",
        "  report:  /wd/logs/r names each of the 2",
        "  next:    the same command with --repair copies what is missing or differs",
    ]


def test_the_original_words_stay_for_programs_and_people_read_match() -> None:
    found = snapshot(JobState.FAILED, FAILED)
    jobs: Any = stat_json([found])["jobs"]
    assert (jobs[0]["jobType"], jobs[0]["objects"]["skipped"]) == ("audit", 8)
    text = stat_text([found])
    summary = summary_text(found, Highlights(), Path("tree"))
    for shown in (text, summary):
        assert "match" in shown
        assert "unmatched" in shown
        assert "skipped" not in shown
        assert "proof" not in shown
