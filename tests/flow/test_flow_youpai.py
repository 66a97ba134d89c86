"""A whole job from UPYUN, in parts and in one piece, some of it through a CDN."""

import random
from pathlib import Path

import pytest

from tests.servers.migration import migration
from tests.servers.youpai import YoupaiServer

pytestmark = pytest.mark.slow

ODD_KEYS = [
    "plain.txt",
    "a/b/c/d/e",
    "percent%20sign%",
    "plus+and&equals=?#",
    "quote'\"`$(x)",
    "back\\slash",
    " blanks ",
    "\u4e2d\u6587/\u6587\u4ef6\u540d.txt",
    "emoji \U0001f389/\U0001f388.png",
    "x" * (1023 - len("from/")),
]


@pytest.mark.parametrize("cdn", [False, True])
def test_everything_arrives(tmp_path: Path, cdn: bool) -> None:
    rng = random.Random(6)
    with (
        YoupaiServer().running() as server,
        YoupaiServer().running() as edge,
        migration(tmp_path / "home", multipartUploadThreshold="1m") as made,
    ):
        edge.is_cdn, edge.files, edge.folders = True, server.files, server.folders
        made.job |= {
            "srcType": "youpai",
            "srcDomain": f"http://127.0.0.1:{server.port}",
            "srcAccessKey": server.operator,
            "srcSecretKey": "pass word",
            "srcBucket": server.service,
            "srcPrefix": "/from/",
            "isDownloadFromCdn": str(cdn).lower(),
            "cdnDomain": f"127.0.0.1:{edge.port}",
            "scanThreadCount": 4,
            "multipartUploadThreshold": "1m",
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        bodies = {key: key.encode() for key in ODD_KEYS}
        bodies |= {f"{n % 7}/{n:04d}": b"%d" % n * n for n in range(300)}
        bodies |= {"large": rng.randbytes((1 << 20) + 5), "empty": b""}
        for key, body in bodies.items():
            server.put(f"from/{key}", body, content_type="text/x", x_upyun_meta_who="me")
        server.put("elsewhere", b"not wanted")

        made.begin_job()

        job = made.finish()
        assert job["state"] == "Succeed", made.logs()
        bucket = made.bucket()
        assert sorted(made.stored("in/")) == sorted(bodies)
        assert all(bucket.get_object(f"in/{key}").read() == bodies[key] for key in bodies)
        assert bucket.head_object("in/large").headers["x-oss-meta-who"] == "me"
        assert bucket.head_object("in/large").headers["Content-Type"] == "text/x"
        # In parts there is no MD5 of the whole to compare.
        assert job["proof"] == {"3": len(bodies) - 1, "2": 1, "1": 0}
        read = [ask for ask in edge.asks if ask.method == "GET"]
        assert bool(read) is cdn
