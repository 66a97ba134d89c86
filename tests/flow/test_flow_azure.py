"""A whole job from a container of Azure: real workers, read back with the stock SDK of OSS."""

import hashlib
import random
from pathlib import Path

import pytest

from tests.servers.azure import AzureServer
from tests.servers.migration import migration

pytestmark = pytest.mark.slow

ODD_KEYS = [
    "plain.txt",
    "dir/",
    "dir//double/",
    "a/./b",
    "a/../b",
    "percent%20sign%",
    "plus+and&equals=?#",
    " blanks ",
    "中文/文件名.txt",
    "emoji 🎉/🎈.png",
]


def test_everything_arrives_whatever_it_is_called_and_however_large(tmp_path: Path) -> None:
    rng = random.Random(3)
    blobs = {key: b"" if key == "dir/" else key.encode() for key in ODD_KEYS}
    blobs |= {f"{n % 9}/{n:04d}": b"%d" % n * n for n in range(300)}
    blobs |= {f"size-{size}": rng.randbytes(size) for size in (0, 1, (1 << 20) + 1, 3 << 20)}
    with (
        AzureServer() as server,
        migration(tmp_path / "home", multipartUploadThreshold="1m") as made,
    ):
        for key, body in blobs.items():
            headers = {"content-type": "text/x", "x-ms-meta-color": "blue"}
            server.put("photos", f"from/{key}", body, headers)
        made.job |= {
            "srcType": "azure",
            "srcDomain": server.domain,
            "srcAccessKey": server.account,
            "srcSecretKey": server.key,
            "srcBucket": "photos",
            "srcPrefix": "from/",
            "scanThreadCount": 4,
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        made.begin_job()

        job = made.finish()

        assert job["state"] == "Succeed", made.logs()
        assert made.stored() == {key: hashlib.md5(body).hexdigest() for key, body in blobs.items()}
        assert job["proof"] == {"3": len(blobs) - 2, "2": 2, "1": 0}  # two came in parts
        head = made.bucket().head_object("in/plain.txt")
        assert head.headers["Content-Type"] == "text/x"
        assert head.headers["x-oss-meta-color"] == "blue"
