"""A whole job from a list of URLs: two servers in turns, and lines that are wrong."""

import random
from pathlib import Path

import pytest

from ossimport.sources.http_url import encode_name
from tests.servers.migration import migration
from tests.servers.nginx import run_nginx

pytestmark = pytest.mark.slow

NAMES = [
    "plain.txt",
    "double//slash",
    "percent%20sign%",
    "plus+and&equals=?#",
    "quote'\"`$(x)",
    "back\\slash",
    " blanks ",
    "\u4e2d\u6587/\u6587\u4ef6\u540d.txt",
    "emoji \U0001f389/\U0001f388.png",
    "x" * 250,
]


def test_a_list_becomes_objects_and_its_bad_lines_failures(tmp_path: Path) -> None:
    path = tmp_path / "http.csv"
    path.touch()
    rng = random.Random(4)
    with (
        run_nginx(tmp_path / "nginx") as nginx,
        migration(tmp_path / "home", multipartUploadThreshold="1m") as made,
    ):
        made.job |= {
            "srcType": "http",
            "httpListFilePath": path,
            "httpSizeColumn": 3,
            "scanThreadCount": 2,
            "multipartUploadThreshold": "1m",
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        made.verb("start")
        bucket = made.bucket()
        bucket.put_bucket_acl("public-read")
        bodies = {name: name.encode() for name in NAMES}
        bodies |= {f"flat/{n:03d}.txt": b"%d" % n * n for n in range(200)}
        bodies |= {"large": rng.randbytes((1 << 20) + 7), "empty": b""}
        servers = {
            "n/": nginx.url("plain"),
            "h/": nginx.url("nohead"),
            "o/": _url(made.sandbox_port),
        }
        lines, expected = ["prefix,path,size"], {}
        for number, (name, body) in enumerate(bodies.items()):
            nginx.put(name, body)
            bucket.put_object(f"from/{name}", body)
            where = list(servers)[number % 3]
            size = len(body) if number % 2 else ""
            lines.append(f'{servers[where]},"{encode_name(name)}",{size}')
            expected[name] = body
        path.write_text("\n".join([*lines, "wrong,", f"{nginx.url()},flat/gone,5", ""]))

        made.verb("submit", str(made.job_file))

        job = made.finish()
        assert job["state"] == "Failed", made.logs()
        assert job["objects"] == {
            "listed": len(bodies) + 3,
            "copied": len(bodies),
            "excluded": 1,
            "vanished": 0,
            "failed": 2,
            "skipped": 0,
            "left": 0,
        }
        stored = made.stored("in/")
        assert sorted(stored) == sorted(expected)
        assert bucket.get_object("in/large").read() == expected["large"]
        # Mended where it stands, the line is taken up again; so is what was missing.
        nginx.put("flat/gone", b"5 now")
        path.write_text(path.read_text().replace("wrong,", f"{nginx.url()},flat/001.txt"))
        made.verb("retry", "local_test")
        job = made.wait_until(lambda job: job["state"] == "Succeed")
        assert job["objects"]["copied"] == len(bodies) + 2


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/ossimport-demo/from/"
