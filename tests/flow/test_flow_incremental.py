"""Incremental jobs with real workers: rounds over a tree that changes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ossimport.config import load_system
from ossimport.ledger import packing
from ossimport.ledger.keys import JobKeys
from ossimport.ledger.redis import RedisLedger
from ossimport.model import ObjectInfo, Upload
from ossimport.service import borrow
from tests.servers.migration import Migration, migration, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Migration]:
    with migration(tmp_path / "home", isIncremental="true", incrementalModeInterval=2) as job:
        yield job


def after(made: Migration, number: int) -> Any:
    """A state in which a round is over, `number` or a later one."""

    def is_over(job: dict[str, Any]) -> bool:
        now = job["round"]
        return bool(now["number"] >= number and now["isOver"])

    return made.wait_until(is_over)


def test_changes_arrive_round_after_round_until_the_job_is_cleaned(made: Migration) -> None:
    for key in ("same", "longer", "mv/here", "sub/dir/gone"):
        made.write(key, key.encode())
    old = made.source / "older"
    old.write_bytes(b"from elsewhere")
    os.utime(old, (1_500_000_000, 1_500_000_000))
    out = made.import_job()
    assert "round: 1 is over, the next one begins at" in out
    assert "The job goes on" in out
    assert made.stored() == made.sent()

    made.write("longer", b"longer than before")
    made.write("fresh/file", b"new")
    (made.source / "older").rename(made.source / "mv" / "here")  # keeps its time
    (made.source / "sub/dir/gone").unlink()
    number = after(made, made.look()["round"]["number"] + 1)["round"]["number"]
    stored, sent = made.stored(), made.sent()
    assert {key: stored[key] for key in sent} == sent
    assert set(stored) - set(sent) == {"older", "sub/dir/gone"}  # nothing is deleted at OSS
    reports = [
        json.loads((made.tree / "rounds" / str(n) / "report.json").read_text())
        for n in range(1, number + 1)
    ]
    assert reports[0]["objects"]["copied"] == 5
    assert sum(report["objects"]["copied"] for report in reports) == 8

    # The schedule outlives the service.
    made.verb("stop")
    made.write("while stopped", b"1")
    made.verb("start")
    after(made, number + 2)
    assert "while stopped" in made.stored()
    assert "JobState:Running" in made.verb("stat")

    out = made.verb("clean", "local_test")
    kept = list((made.wd / "master" / "history" / "local_test").iterdir())
    assert str(kept[0]) in out
    assert (kept[0] / "rounds" / "1" / "report.json").exists()
    assert not (kept[0] / "catalog.db").exists()


def test_what_fails_in_a_round_is_copied_in_a_later_one(made: Migration) -> None:
    made.write("good", b"1")
    made.write("/".join(letter * 250 for letter in "abcd") + "/long enough to fail", b"1")
    made.write("other", b"1")
    out = made.import_job(code=2)
    assert "failed" in out
    assert "the next round copies what is missing, new or changed" in out
    before = made.look()["round"]["number"]
    job = after(made, before + 1)
    assert job["objects"]["failed"] == 1
    assert job["round"]["unchanged"] == 2
    assert "next round" in made.verb("retry", "local_test")


def test_what_is_gone_from_the_source_is_deleted_if_the_job_says_so(made: Migration) -> None:
    made.job["incrementalMaxDelete"] = 1
    made.apply()
    for key in ("stays", "goes", "sub/goes too"):
        made.write(key, key.encode())
    made.import_job()
    for key in ("goes", "sub/goes too"):
        (made.source / key).unlink()
    wait = made.wait_until(lambda job: "incrementalMaxDelete=1" in job["reason"])
    assert wait["state"] == "Running"
    assert len(made.stored()) == 3
    made.write("goes", b"again")
    made.wait_until(lambda job: set(made.keys()) == {"stays", "goes"})

    def lists() -> list[str]:
        return [path.read_text() for path in made.tree.glob("rounds/*/deleted.list")]

    wait_for(lambda: lists() == ["sub/goes too\tDeleted\t\n"], "the list of what was deleted")


def test_the_upload_that_a_failed_object_left_is_aborted_when_its_round_ends(
    made: Migration,
) -> None:
    made.write("a", b"1")
    made.verb("submit", str(made.job_file))
    system = load_system(made.conf / "sys.properties")
    with borrow.sandbox_for(system, "127.0.0.1", made.sandbox_port):
        upload_id = made.bucket().init_multipart_upload("in/large").upload_id
        assert made.uploads() == ["in/large"]
    at = JobKeys("local_test")
    left = Upload("in/large", upload_id, 1, ObjectInfo("large", 1), {})
    with borrow.ledger(system) as ledger:
        assert isinstance(ledger, RedisLedger)
        ledger._client.hset(at.uploads("T"), "0", packing.pack_upload(left))
        ledger._client.sadd(at.uploading, "T")
        assert ledger.uploads("local_test") == [left]
    made.import_job()
    assert made.uploads() == []
    with borrow.ledger(system) as ledger:
        assert ledger.uploads("local_test") == []
