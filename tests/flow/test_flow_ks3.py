"""A whole job from KS3: a server that recomputes signatures, real workers, read back by oss2."""

import hashlib
import random
from pathlib import Path

import pytest

from tests.servers.ks3 import Ks3Server
from tests.servers.migration import migration

pytestmark = pytest.mark.slow

BUCKET = "photos"
ODD_KEYS = [
    "plain.txt",
    "dir/",
    "dir//double/",
    "a///three",
    "with content/",
    "a/./b",
    "a/../b",
    "percent%20sign%",
    "plus+and&equals=?#",
    "quote'\"`$(x)",
    "back\\slash",
    " blanks ",
    "\u4e2d\u6587/\u6587\u4ef6\u540d.txt",
    "emoji \U0001f389/\U0001f388.png",
    "x" * (1023 - len("in/")),
]


def test_a_bucket_arrives_whole_and_proved(tmp_path: Path) -> None:
    rng = random.Random(5)
    bodies = {key: b"" if key.endswith("dir/") else key.encode() for key in ODD_KEYS}
    bodies |= {f"flat-{n:04d}": b"%d" % n * (n % 7) for n in range(1100)}  # more than a page
    bodies |= {f"size-{size}": rng.randbytes(size) for size in (0, (1 << 20) + 1, 3 << 20)}
    headers = {"content-type": "text/x-odd", "cache-control": "no-cache", "x-kss-meta-a": "b"}
    with (
        Ks3Server(token="temporary") as ks3,
        migration(tmp_path / "home", multipartUploadThreshold="1m") as made,
    ):
        for key, body in bodies.items():
            ks3.put(BUCKET, f"docs/{key}", body, headers, parts=2 if len(body) > 1 << 20 else 0)
        ks3.put(BUCKET, "docs/", b"")
        ks3.put(BUCKET, "elsewhere", b"not to be copied")
        ks3.put(BUCKET, "docs/cold", b"archived").archived = True
        made.job |= {
            "srcType": "ks3",
            "srcDomain": f"http://127.0.0.1:{ks3.port}",
            "srcAccessKey": ks3.access_key,
            "srcSecretKey": ks3.secret_key,
            "srcSecurityToken": ks3.token,
            "srcBucket": BUCKET,
            "srcPrefix": "docs/",
            "scanThreadCount": 4,
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        made.begin_job()

        job = made.finish()
        assert job["state"] == "Failed", made.logs()
        assert job["objects"] == {
            "listed": len(bodies) + 2,
            "copied": len(bodies),
            "failed": 1,
            "excluded": 1,
            "skipped": 0,
            "vanished": 0,
            "left": 0,
        }
        assert job["proof"] == {"3": len(bodies), "2": 0, "1": 0}
        assert made.stored("in/") == {
            key: hashlib.md5(body).hexdigest() for key, body in bodies.items()
        }
        kept = made.bucket().head_object(f"in/size-{3 << 20}").headers
        assert (kept["Content-Type"], kept["Cache-Control"]) == ("text/x-odd", "no-cache")
        assert kept["x-oss-meta-a"] == "b"
        (errors,) = (path.read_text() for path in made.tree.glob("failed_tasks/*/error.list"))
        assert "InvalidObjectState" in errors
