"""Limits come back from the journal when Redis has lost them, before any job does."""

from pathlib import Path

import pytest

from ossimport.errors import ServiceError
from ossimport.journal import LimitsFile
from ossimport.ledger.memory import MemoryLedger
from ossimport.limits.leases import LimitTable
from ossimport.limits.limit import ALL, job_scope
from tests.unit.cluster import JOB, Cluster


def test_a_ledger_that_was_wiped_gets_its_limits_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    cluster.source.put("a", b"a")
    cluster.ledger.create_job(JOB)
    cluster.ledger.set_limit(ALL, "of all")
    cluster.ledger.set_limit(job_scope(JOB.name), "of the job")
    cluster.master.step()
    table = cluster.ledger.limits()
    orders: list[str] = []

    class Empty(MemoryLedger):
        def restore_limits(self, table: LimitTable) -> None:
            orders.append("limits")
            super().restore_limits(table)

        def create_job(self, job: object) -> None:
            orders.append("job")
            super().create_job(job)  # type: ignore[arg-type]

    cluster.ledger = Empty(clock=lambda: cluster.now)
    cluster.new_master().step()
    assert orders == ["limits", "job"]
    assert cluster.ledger.limits() == table


def test_what_a_later_master_wrote_is_not_overwritten(tmp_path: Path) -> None:
    later = LimitTable(9, {ALL: "later"})
    LimitsFile(tmp_path).keep(later)
    LimitsFile(tmp_path).keep(LimitTable(0, {}))
    LimitsFile(tmp_path).keep(LimitTable(8, {ALL: "earlier"}))
    assert LimitsFile(tmp_path).stored() == later
    LimitsFile(tmp_path).keep(LimitTable(9, {}))  # a job went, and its limit with it
    assert LimitsFile(tmp_path).stored() == LimitTable(9, {})


def test_the_limit_of_a_job_that_is_gone_is_not_for_the_next_of_its_name(tmp_path: Path) -> None:
    LimitsFile(tmp_path).keep(LimitTable(9, {job_scope("a"): "x", job_scope("b"): "y"}))
    assert LimitsFile(tmp_path).stored_for(["b"]) == LimitTable(9, {job_scope("b"): "y"})


@pytest.mark.parametrize("text", ["", "[]", '{"version": -1, "limits": {}}', '{"version": 1}'])
def test_a_damaged_file_is_told_with_its_cure(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits.json").write_text(text)
    with pytest.raises(ServiceError, match="limits.json is damaged.*ossimport throttle"):
        LimitsFile(tmp_path).stored()
