"""What arrives beside the bytes: real workers, real requests, read back with the stock SDK."""

import os
from collections.abc import Iterator
from pathlib import Path

import oss2
import pytest

from tests.servers.migration import Migration, migration

pytestmark = pytest.mark.slow

DESCRIBED = {
    "Content-Type": "text/x-odd",
    "Cache-Control": "no-cache",
    "x-oss-meta-owner": "me",
    "x-oss-meta-secret": "hush",
    "x-oss-tagging": "team=a%20b&cost%2Fcentre=1",
    "x-oss-storage-class": "IA",
}
BODIES = {"small": b"body", "large": os.urandom((1 << 20) + 5)}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Migration]:
    """A job from `from/` to `in/` of one bucket; the service, and the sandbox with it, running."""
    with migration(tmp_path / "home", multipartUploadThreshold="1m") as made:
        made.job |= {
            "srcType": "oss",
            "srcDomain": f"http://localhost:{made.sandbox_port}",
            "srcAccessKey": "sandbox",
            "srcSecretKey": "sandbox-secret",
            "srcBucket": "ossimport-demo",
            "srcPrefix": "from/",
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        made.verb("start")
        yield made


def tags_of(bucket: oss2.Bucket, key: str) -> dict[str, str]:
    return dict(bucket.get_object_tagging(key).tag_set.tagging_rule)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])  # the latter: OSS copies by itself
def test_a_job_decides_what_arrives(demo: Migration, host: str) -> None:
    bucket = demo.bucket()
    for key, body in BODIES.items():
        bucket.put_object(f"from/{key}", body, DESCRIBED)
    demo.job |= {
        "srcDomain": f"http://{host}:{demo.sandbox_port}",
        "destAccessKey": "sandbox",
        "preserveMeta": "tags, headers, user, mtime",
        "destStorageClass": "source",
        "destAcl": "public-read",
        "metaMap": "owner -> author; !secret; Content-Language=de",
    }
    demo.apply()

    demo.verb("submit", "--strict", str(demo.job_file))

    job = demo.finish()
    assert (job["state"], job["unkept"]) == ("Succeed", {"objects": 0}), demo.logs()
    assert demo.stored("in/") == demo.stored("from/")
    for key in BODIES:
        kept = bucket.head_object(f"in/{key}").headers
        changed = bucket.head_object(f"from/{key}").last_modified
        assert {name.lower(): kept[name] for name in kept if name.startswith("x-oss-meta-")} == {
            "x-oss-meta-author": "me",
            "x-oss-meta-mtime": str(changed),
        }
        assert (kept["Content-Type"], kept["Content-Language"]) == ("text/x-odd", "de")
        assert (kept["Cache-Control"], kept["x-oss-storage-class"]) == ("no-cache", "IA")
        assert tags_of(bucket, f"in/{key}") == {"team": "a b", "cost/centre": "1"}
        assert bucket.get_object_acl(f"in/{key}").acl == "public-read"


def test_a_job_tells_before_it_starts_what_would_be_lost(demo: Migration) -> None:
    demo.bucket().put_object("from/key", b"body", DESCRIBED)

    out = demo.verb("submit", "--strict", str(demo.job_file), code=3)

    wanted = "1 of 1 object looked at would lose x-oss-tagging-count"
    assert f"{wanted}\n    cure: preserveMeta=headers,user,mtime,tags" in out
    assert "would lose x-oss-storage-class\n    cure: destStorageClass=source" in out
    assert "The job is strict" in out
    assert not demo.tree.exists()

    out = demo.verb("submit", str(demo.job_file))
    assert f"Warning: {wanted}. Cure: preserveMeta=" in out
    assert "Note: never copied, and not counted: ACL" in out
    job = demo.finish()
    assert (job["state"], job["unkept"]) == ("Succeed", {"objects": 1})


def test_what_is_found_late_fails_in_a_strict_job(demo: Migration) -> None:
    for number in range(40):  # of which every other one is looked at
        headers = DESCRIBED if number == 1 else {}
        demo.bucket().put_object(f"from/{number:02d}", b"body", headers)

    demo.verb("submit", "--strict", str(demo.job_file))

    job = demo.finish()
    assert (job["state"], job["objects"]["copied"], job["objects"]["failed"]) == ("Failed", 39, 1)
    (errors,) = (path.read_text() for path in demo.tree.glob("failed_tasks/*/error.list"))
    assert "NotAllKept" in errors
    assert "x-oss-tagging-count, x-oss-storage-class" in errors


def test_files_are_looked_at_for_what_no_object_can_have(tmp_path: Path) -> None:
    with migration(tmp_path / "home") as demo:
        demo.write("a/file", b"body")
        (demo.source / "link").symlink_to("a/file")
        attributes = True
        try:
            os.setxattr(demo.source / "a" / "file", "user.color", b"red")
        except OSError:
            attributes = False  # not on this file system
        demo.verb("start")

        out = demo.verb("submit", "--strict", str(demo.job_file), code=3)
        assert "among the first 1000 entries: symbolic links" in out
        assert ("entries: extended attributes" in out) == attributes
        dry = demo.verb("submit", "--dry-run", "--strict", str(demo.job_file), code=3)
        assert "among the first 1000 entries: symbolic links" in dry
        out = demo.verb("submit", str(demo.job_file))
        assert "Note: never copied, and not counted: owner, permissions" in out
        job = demo.finish()
        assert (job["state"], job["objects"]["excluded"]) == ("Succeed", 1)
