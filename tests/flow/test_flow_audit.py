"""Whole audits through the console: real workers, the sandbox, and what was tampered with."""

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.migration import Migration, migration, wait_for

pytestmark = pytest.mark.slow

LARGE = random.Random(3).randbytes(3 << 20)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migration]:
    """A finished import of small and large objects; the service goes on running."""
    home = tmp_path_factory.mktemp("audit") / "home"
    with migration(home, multipartUploadThreshold="1m", multipartUploadPartSize="200k") as made:
        for number in range(1100):
            made.write(f"dir{number % 3}/plain{number:04d}", b"%d" % number)
        for name in ("flipped", "truncated", "header", "missing", "older", "odd name \u4e2d"):
            made.write(name, f"body of {name}".encode())
        made.write("large", LARGE)
        made.write("large-flipped", LARGE)
        made.begin_job()
        assert made.finish()["state"] == "Succeed", made.logs()
        yield made


def audit(made: Migration, *options: str, code: int, mode: str = "general", **keys: str) -> Any:
    """The JSON of an audit, whose numbers add up."""
    made.write_job("audit.cfg", **{**made.job, "auditMode": mode, **keys})
    done = made.run("audit", str(made.conf / "audit.cfg"), "--json", *options)
    assert done.returncode == code, done.stdout + done.stderr + made.logs()
    result = json.loads(done.stdout)
    objects = dict(result["objects"])
    extra = objects.pop("extra")
    assert (extra is None) == ("--extra" not in options)
    assert objects.pop("listed") == sum(objects.values())
    return result


def findings(result: Any) -> dict[str, str]:
    """Results and codes by object, out of the report file."""
    lines = Path(result["report"]).read_text().splitlines() if result["report"] else []
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert all(message for *_, message in rows)
    return {key: f"{word} {code}" for word, key, code, _ in rows}


def test_what_was_copied_matches_and_stat_says_so(copied: Migration) -> None:
    count = len(copied.sent())
    deep = audit(copied, "--deep", "--extra", code=0)
    assert (deep["auditMode"], deep["objects"]["match"]) == ("deep", count)
    assert (deep["result"], deep["objects"]["extra"], deep["report"]) == ("match", 0, None)
    jobs = {job["jobName"]: job for job in json.loads(copied.verb("stat", "--json"))["jobs"]}
    assert jobs["local_test"]["objects"]["copied"] == count, "the import's job stays"
    assert jobs["local_test-audit"]["jobType"] == "audit"
    assert jobs["local_test-audit"]["objects"]["skipped"] == count
    assert re.search(rf"^match +{count:,} ", copied.verb("stat"), re.MULTILINE)


def test_a_job_is_audited_by_its_name_and_the_search_for_extra_objects_goes_with_its_audit(
    copied: Migration,
) -> None:
    def names() -> set[str]:
        return {job["jobName"] for job in json.loads(copied.verb("stat", "--json"))["jobs"]}

    both = {"local_test-audit", "local_test-extra"}
    done = json.loads(copied.verb("audit", "local_test", "--extra", "--json"))
    assert (done["jobName"], done["result"]) == ("local_test-audit", "match")
    assert names() >= both
    assert "--extra is forgotten: local_test-extra" in copied.verb("audit", "local_test")
    assert names() & both == {"local_test-audit"}
    copied.verb("audit", "local_test", "--extra")
    refused = copied.verb("audit", "local_test-extra", code=1)
    assert "local_test-extra is a part of an audit" in refused
    cleaned = copied.verb("clean", "local_test-audit")
    assert all(f"Clean job:{name} completed." in cleaned for name in both)
    assert not names() & both
    wrong = copied.verb("audit", "local_tset", code=1)
    assert "There is no job of the name local_tset. There are: local_test" in wrong


def test_each_kind_of_mismatch_is_found_named_and_repaired(copied: Migration) -> None:
    bucket = copied.bucket()
    sent = copied.sent()

    def put(key: str, body: bytes, **headers: str) -> None:
        """Replace an object, as by another writer who keeps what the import wrote beside it."""
        held = bucket.head_object(f"in/{key}").headers
        kept = {n: v for n, v in held.items() if n.lower().startswith("x-oss-meta-")}
        kept["Content-Type"] = held["Content-Type"]
        bucket.put_object(f"in/{key}", body, headers={**kept, **headers})

    put("flipped", b"body of flippex")
    put("truncated", b"body of trunc")
    put("header", b"body of header", **{"Content-Type": "text/wrong"})
    put("large-flipped", LARGE[:-1] + bytes([LARGE[-1] ^ 1]))
    bucket.delete_object("in/missing")
    older = copied.source / "older"
    body = older.read_bytes()
    os.utime(older, ns=(older.stat().st_atime_ns, older.stat().st_mtime_ns + 10**9))
    bucket.put_object("in/extra/object", b"who put it here?")

    by_size = {"truncated": "differ SizeDiffers", "missing": "missing Missing"}
    by_attributes = {"header": "differ HeaderDiffers", "older": "differ OlderCopy"}
    by_bytes = dict.fromkeys(("flipped", "large-flipped"), "differ ContentDiffers")

    simple = audit(copied, mode="simple", code=2)
    assert findings(simple) == by_size
    general = audit(copied, mode="general", code=2)
    assert findings(general) == by_size | by_attributes
    detailed = audit(copied, "--extra", mode="detailed", code=2)
    everything = by_size | by_attributes | by_bytes
    assert findings(detailed) == everything | {"extra/object": "extra Extra"}
    assert detailed["objects"]["match"] == len(sent) - len(everything)
    assert (detailed["objects"]["missing"], detailed["objects"]["differ"]) == (1, 5)

    shown = copied.verb("audit", str(copied.conf / "audit.cfg"), "--repair", code=0)
    assert re.search(r"^repaired: missing \(Missing: before: ", shown, re.MULTILINE)
    assert f"= {len(sent) - 6:,} match + 6 repaired + 0 missing" in shown
    again = audit(copied, "--extra", mode="detailed", code=2)
    assert findings(again) == {"extra/object": "extra Extra"}, "extra objects are never removed"
    bucket.delete_object("in/extra/object")
    assert older.read_bytes() == body
    assert copied.stored() == copied.sent()


def test_a_user_who_may_only_read_can_audit_and_cannot_repair(copied: Migration) -> None:
    reader = {"destAccessKey": "sandbox-reader"}
    bucket = copied.bucket()
    assert audit(copied, "--deep", "--extra", code=0, **reader)["result"] == "match"
    assert audit(copied, mode="detailed", code=0, **reader)["result"] == "match"
    bucket.delete_object("in/missing")
    assert findings(audit(copied, mode="simple", code=2, **reader)) == {
        "missing": "missing Missing"
    }
    refused = copied.run("audit", str(copied.conf / "audit.cfg"), "--repair")
    assert refused.returncode == 3
    assert "AccessDenied" in refused.stderr
    assert not bucket.object_exists("in/missing")
    copied.write("missing", b"body of missing")
    assert audit(copied, "--repair", code=0)["objects"]["repaired"] == 1
    assert copied.uploads() == []


def test_a_job_of_the_type_audit_is_submitted_like_any_other(copied: Migration) -> None:
    file = copied.write_job(
        "job.cfg",
        **{**copied.job, "jobType": "audit", "jobName": "my_audit", "auditMode": "detailed"},
        destAccessKey="sandbox-reader",
        isSkipExistFile="true",  # both mean nothing to an audit
        lastModify="1",
    )
    copied.verb("submit", str(file))

    def mine() -> Any:
        jobs = json.loads(copied.verb("stat", "--json"))["jobs"]
        return next(job for job in jobs if job["jobName"] == "my_audit")

    wait_for(lambda: mine()["state"] != "Running", "the end of the audit")
    assert (mine()["state"], mine()["objects"]["skipped"]) == ("Succeed", len(copied.sent()))
    # The file by `audit`: it is an audit itself, and gets no other name.
    done = copied.run("audit", str(file), "--json")
    assert (done.returncode, json.loads(done.stdout)["jobName"]) == (0, "my_audit")


def test_what_cannot_be_compared_is_no_match_and_no_mismatch(copied: Migration) -> None:
    path = copied.source / "odd name \u4e2d"
    if os.geteuid() == 0:
        pytest.skip("root can read everything")
    path.chmod(0)
    try:
        result = audit(copied, mode="detailed", code=4)
    finally:
        path.chmod(0o644)
    assert (result["result"], result["objects"]["notAudited"]) == ("incomplete", 1)
    assert findings(result) == {"odd name \u4e2d": "not audited AccessDenied"}


def test_an_empty_source_is_no_match(copied: Migration, tmp_path: Path) -> None:
    result = audit(copied, code=4, srcPrefix=f"{tmp_path}/")
    assert (result["result"], result["state"]) == ("incomplete", "Abort")
    assert "NothingFound" in result["reason"]
