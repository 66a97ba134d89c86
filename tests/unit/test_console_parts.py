"""Which jobs belong to another one, and what is said of files that belong to another user."""

from dataclasses import replace
from pathlib import Path

import pytest

from ossimport.console import main
from ossimport.console.actions import parts_of
from ossimport.console.jobs import only_job
from ossimport.errors import JobError
from ossimport.ledger.memory import MemoryLedger
from tests.unit.cluster import JOB


def test_what_belongs_to_another_user_is_named_with_its_owner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = tmp_path / "run" / "supervisor.pid"
    assert main._system_refused(PermissionError(13, "Permission denied", str(hidden))) == 4
    told = capsys.readouterr().err
    assert told.startswith(f"Error: {hidden}: Permission denied\n    cure: run this as ")
    assert f"to whom {tmp_path} belongs, or give all of the directory to" in told


def ledger_of(**types: str) -> MemoryLedger:
    """A ledger with a job of each name, `_` for -."""
    ledger = MemoryLedger(clock=lambda: 0.0)
    for number, (name, job_type) in enumerate(types.items()):
        job = replace(JOB, name=name.replace("_", "-"), job_type=job_type, created_ms=number + 1)
        ledger.create_job(job)
    return ledger


def test_an_audit_and_a_search_for_extra_objects_are_parts_of_their_job() -> None:
    ledger = ledger_of(photos="import", photos_audit="audit", photos_extra="extra", other="import")
    assert parts_of(ledger, "photos") == ["photos-audit", "photos-extra"]
    assert parts_of(ledger, "photos-audit") == ["photos-extra"]
    assert parts_of(ledger, "photos-extra") == parts_of(ledger, "other") == []


def test_an_import_that_is_called_so_is_a_part_of_nothing() -> None:
    ledger = ledger_of(photos="import", photos_audit="import", photos_extra="import")
    assert parts_of(ledger, "photos") == []


def test_a_job_with_its_parts_is_the_only_one_where_they_do_not_matter() -> None:
    ledger = ledger_of(photos="import", photos_audit="audit", photos_extra="extra")
    assert only_job(ledger, besides_parts=True) == "photos"
    with pytest.raises(JobError, match="several jobs"):
        only_job(ledger)
    assert only_job(ledger_of(photos_audit="audit"), besides_parts=True) == "photos-audit"
