"""A whole job from a bucket of Qiniu: real workers, read back with the stock SDK of OSS."""

import hashlib
import random
from pathlib import Path

import pytest

from tests.servers.migration import migration
from tests.servers.qiniu import QiniuServer

pytestmark = pytest.mark.slow

ODD_KEYS = [
    "plain.txt",
    "dir/",
    "dir//double/",
    "a/./b",
    "a/../b",
    ".",
    "percent%20sign%",
    "plus+and&equals=?#",
    " blanks ",
    "中文/文件名.txt",
    "emoji 🎉/🎈.png",
]


def test_everything_arrives_whatever_it_is_called_and_however_large(tmp_path: Path) -> None:
    rng = random.Random(4)
    objects = {key: b"" if key == "dir/" else key.encode() for key in ODD_KEYS}
    objects |= {f"{n % 9}/{n:04d}": b"%d" % n * n for n in range(300)}
    objects |= {f"size-{size}": rng.randbytes(size) for size in (0, 1, (4 << 20) + 1, 6 << 20)}
    with (
        QiniuServer() as server,
        migration(tmp_path / "home", multipartUploadThreshold="5m") as made,
    ):
        for key, body in objects.items():
            headers = {"content-type": "text/x", "x-qn-meta-color": "blue"}
            server.put("box", f"from/{key}", body, headers)
        made.job |= {
            "srcType": "qiniu",
            "srcDomain": server.domain,
            "srcAccessKey": server.access_key,
            "srcSecretKey": server.secret_key,
            "srcBucket": "box",
            "srcPrefix": "from/",
            "scanThreadCount": 4,
            "multipartUploadPartSize": "1m",
        }
        made.apply()
        made.begin_job()

        job = made.finish()

        assert job["state"] == "Succeed", made.logs()
        sent = {key: hashlib.md5(body).hexdigest() for key, body in objects.items()}
        assert made.stored() == sent
        assert job["proof"] == {"3": len(objects) - 1, "2": 1, "1": 0}  # one came in parts
        head = made.bucket().head_object("in/plain.txt")
        assert head.headers["Content-Type"] == "text/x"
        assert head.headers["x-oss-meta-color"] == "blue"
