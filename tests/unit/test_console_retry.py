"""What `retry` says of a job that it can do nothing about."""

from pathlib import Path

import pytest

from ossimport.console.jobs import retry_text
from ossimport.errors import JobNotReady, Permanent
from ossimport.model import ObjectInfo
from tests.unit.cluster import JOB, Cluster


def test_a_job_that_goes_on_is_not_said_to_have_none_failed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, max_objects=1)
    for key in ("a", "b"):
        cluster.source.put(key, b"1")

    def refuse(info: ObjectInfo) -> None:
        raise Permanent("no", code="AccessDenied")

    cluster.source.on_read = refuse
    cluster.submit()
    assert retry_text(cluster.ledger, JOB.name) == f"None failed tasks for job:{JOB.name}."
    while not cluster.messages:
        cluster.master.step()
    cluster.deliver()
    with pytest.raises(JobNotReady, match="goes on, and 1 object failed so far"):
        retry_text(cluster.ledger, JOB.name)
    assert cluster.work().counts.failed.objects == 2
    assert retry_text(cluster.ledger, JOB.name) == "Retry has been submitted."
