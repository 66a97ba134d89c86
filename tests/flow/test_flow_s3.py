"""A whole job from `rclone serve s3`: real servers, real workers, read back with the stock SDK."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.migration import Migration, migration
from tests.servers.s3 import RunningS3, needs_rclone, run_rclone

pytestmark = [pytest.mark.slow, needs_rclone]


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[RunningS3]:
    with run_rclone(tmp_path / "served") as running:
        yield running


@pytest.fixture
def demo(tmp_path: Path, s3: RunningS3) -> Iterator[Migration]:
    """A job from `from/` of the bucket to `in/` of the sandbox."""
    with migration(tmp_path / "home", multipartUploadThreshold="1m") as made:
        made.job |= {
            "srcType": "s3",
            "srcDomain": s3.domain,
            "srcAccessKey": s3.access_key,
            "srcSecretKey": s3.secret_key,
            "srcBucket": s3.bucket,
            "srcPrefix": "from/",
            "scanThreadCount": 4,
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        yield made


def test_everything_arrives_and_is_proved(demo: Migration, s3: RunningS3, tmp_path: Path) -> None:
    rng = random.Random(4)
    bodies = {f"flat-{n:04d}": rng.randbytes(n % 7) for n in range(1100)}  # more than a page
    bodies |= {f"dir {n % 9}/\u4e2d\u6587+%{n}": b"%d" % n for n in range(100)}
    bodies |= {f"size-{size}": rng.randbytes(size) for size in ((1 << 20) + 1, 3 << 20)}
    for key, body in bodies.items():
        path = tmp_path / "served" / s3.bucket / "from" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    client = s3.boto3()
    client.put_object(
        Bucket=s3.bucket,
        Key="from/described",
        Body=b"body",
        ContentType="text/x-odd",
        CacheControl="no-cache",
        Metadata={"color": "red"},
    )
    client.close()

    demo.begin_job()

    job = demo.finish()
    assert job["state"] == "Succeed", demo.logs()
    copied = len(bodies) + 1
    assert (job["objects"]["listed"], job["objects"]["copied"]) == (copied, copied)
    assert job["proof"] == {"3": copied - 2, "2": 2, "1": 0}  # no MD5 comes of those of parts
    stored = demo.bucket()
    for key, body in bodies.items():
        if "size" in key or key.endswith("7"):
            assert stored.get_object(f"in/{key}").read() == body
    kept = stored.head_object("in/described").headers
    assert kept["Content-Type"] == "text/x-odd"
    assert (kept["Cache-Control"], kept["x-oss-meta-color"]) == ("no-cache", "red")

    demo.write_job("audit.cfg", **{**demo.job, "auditMode": "detailed"})
    audited = json.loads(demo.verb("audit", str(demo.conf / "audit.cfg"), "--extra", "--json"))
    assert (audited["objects"]["match"], audited["objects"]["extra"]) == (copied, 0)
    demo.bucket().put_object("in/flat-0006", b"\0" * len(bodies["flat-0006"]))
    demo.bucket().put_object("in/zzz", b"nobody sent it")
    shown = demo.verb("audit", str(demo.conf / "audit.cfg"), "--extra", code=2)
    assert "differ: flat-0006 (ContentDiffers: " in shown
    assert "extra: zzz (Extra: " in shown
