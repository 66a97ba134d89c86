"""Whole jobs from bucket to bucket: real server, real workers, read back with the stock SDK."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.migration import Migration, migration

pytestmark = pytest.mark.slow

ODD_KEYS = [
    "plain.txt",
    "dir/",
    "dir//double/",
    "with content/",
    "/leading",
    "a/./b",
    "a/../b",
    ".",
    "..",
    "./x",
    "percent%20sign%",
    "plus+and&equals=?#",
    "quote'\"`$(x)",
    "back\\slash",
    " blanks ",
    "中文/文件名.txt",
    "emoji 🎉/🎈.png",
    "tab\tin it",
    "x" * (1023 - len("from/")),
]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Migration]:
    """A job from `from/` to `in/` of one bucket, and the service, the sandbox with it, running.

    Both ends are the same host by two names, so that OSS does not copy by itself.
    """
    with migration(tmp_path / "home", multipartUploadThreshold="1m") as made:
        made.job |= {
            "srcType": "oss",
            "srcDomain": f"http://localhost:{made.sandbox_port}",
            "srcAccessKey": "sandbox",
            "srcSecretKey": "sandbox-secret",
            "srcBucket": "ossimport-demo",
            "srcPrefix": "from/",
            "scanThreadCount": 4,
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        made.verb("start")
        yield made


def test_everything_arrives_whatever_it_is_called_and_however_large(demo: Migration) -> None:
    bucket = demo.bucket()
    for key in ODD_KEYS:
        bucket.put_object(f"from/{key}", b"" if key.endswith("dir/") else key.encode())
    for number in range(1100):  # more than a page
        bucket.put_object(f"from/flat-{number:04d}", b"%d" % number * (number % 7))
    headers = {"Content-Type": "text/x-odd", "Cache-Control": "no-cache", "x-oss-meta-a": "b"}
    rng = random.Random(2)
    for size in (0, 1, (1 << 20) + 1, 3 << 20):
        bucket.put_object(f"from/size-{size}", rng.randbytes(size), headers)
    bucket.put_symlink("from/plain.txt", "from/link")

    demo.verb("submit", str(demo.job_file))

    job = demo.finish()
    assert job["state"] == "Succeed", demo.logs()
    assert demo.stored("in/") == demo.stored("from/")
    assert job["proof"] == {"3": job["objects"]["copied"], "2": 0, "1": 0}

    demo.write_job("audit.cfg", **{**demo.job, "auditMode": "detailed"})
    audited = json.loads(demo.verb("audit", str(demo.conf / "audit.cfg"), "--extra", "--json"))
    assert (audited["objects"]["match"], audited["objects"]["extra"]) == (
        job["objects"]["copied"],
        0,
    )
    demo.bucket().put_object("in/flat-0008", b"x" * len(bucket.get_object("in/flat-0008").read()))
    demo.bucket().put_object("in/zzz", b"nobody sent it")
    shown = demo.verb("audit", str(demo.conf / "audit.cfg"), "--extra", code=2)
    assert "differ: flat-0008 (ContentDiffers: " in shown
    assert "extra: zzz (Extra: " in shown
    for size in (0, 1, (1 << 20) + 1, 3 << 20):
        kept = bucket.head_object(f"in/size-{size}").headers
        assert {name: kept[name] for name in headers} == headers


def test_what_cannot_be_copied_is_told_and_the_rest_arrives(demo: Migration) -> None:
    bucket = demo.bucket()
    bucket.put_object("from/", b"")
    bucket.put_object("from/good", b"good")
    bucket.put_object("from/control\x01", b"an old client has left it there")
    bucket.put_object("from/archived", b"cold", {"x-oss-storage-class": "Archive"})

    demo.verb("submit", str(demo.job_file))

    assert demo.finish()["state"] == "Failed"
    objects = demo.look()["objects"]
    assert (objects["copied"], objects["failed"], objects["excluded"]) == (1, 2, 1)
    (errors,) = (path.read_text() for path in demo.tree.glob("failed_tasks/*/error.list"))
    assert "InvalidKey" in errors
    assert "InvalidObjectState" in errors
    assert demo.stored("in/") == {"good": demo.stored("from/good")[""]}


def test_what_does_not_arrive_is_counted_and_named(demo: Migration) -> None:
    bucket = demo.bucket()
    bucket.put_object("from/copied inside", b"body", {"x-oss-tagging": "a=b"})
    bucket.append_object("from/through the worker", 0, b"line", {"x-oss-tagging": "a=b"})
    bucket.put_object("from/whole", b"body", {"x-oss-meta-mtime": "12.5"})

    demo.verb("submit", str(demo.job_file))

    job = demo.finish()
    assert (job["state"], job["objects"]["copied"]) == ("Succeed", 3), demo.logs()
    assert job["unkept"] == {"objects": 2}
    assert "metadata: 2 copied without all" in demo.verb("stat")
    (log,) = (path.read_text() for path in demo.tree.glob("succeed_tasks/*/audit.log"))
    named = [line for line in log.split("\n") if line.endswith(" unkept=x-oss-tagging-count")]
    assert sorted(" ".join(line.split(" Detail:")[0].split()[3:]) for line in named) == [
        "copied inside",
        "through the worker",
    ]
    for name in ("copied inside", "through the worker"):
        changed = bucket.head_object(f"from/{name}").last_modified
        assert bucket.head_object(f"in/{name}").headers["x-oss-meta-mtime"] == str(changed)
    assert bucket.head_object("in/whole").headers["x-oss-meta-mtime"] == "12.5"


def test_a_source_that_cannot_be_read_is_refused_at_once(demo: Migration) -> None:
    demo.job["srcSecretKey"] = "wrong"
    demo.apply()
    out = demo.verb("submit", str(demo.job_file), code=3)
    assert "SignatureDoesNotMatch" in out
    assert "srcSecretKey" in out
