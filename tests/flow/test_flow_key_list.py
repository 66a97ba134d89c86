"""Whole jobs whose keys come from files: real server, real workers, read back with stock oss2."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import oss2
import pytest

from tests.servers.migration import Migration, migration

pytestmark = pytest.mark.slow

KEYS = ["plain", "with blank", "plus+percent%", "中文/文件", "deep/er/name"]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Migration]:
    with migration(tmp_path / "home") as made:
        made.job |= {
            "srcType": "oss",
            "srcDomain": f"http://localhost:{made.sandbox_port}",
            "srcAccessKey": "sandbox",
            "srcSecretKey": "sandbox-secret",
            "srcBucket": "ossimport-demo",
            "srcPrefix": "from/",
            "scanThreadCount": 2,
        }
        made.apply()
        made.verb("start")
        for key in [*KEYS, "not in the list"]:
            made.bucket().put_object(f"from/{key}", key.encode() * 3)
        yield made


def test_a_list_of_keys_and_then_an_inventory_are_the_listing(demo: Migration) -> None:
    path = demo.home / "keys.gz"
    path.write_bytes(gzip.compress("".join(f"from/{key}\n" for key in [*KEYS, "gone"]).encode()))
    demo.job["keyListFile"] = path
    demo.apply()
    demo.verb("submit", str(demo.job_file))
    job = demo.finish()
    assert (job["state"], job["objects"]["copied"], job["objects"]["failed"]) == (
        "Failed",
        len(KEYS),
        1,
    )
    assert "NotFound" in (demo.tree / "scan_failures.list").read_text()
    assert set(demo.stored("in/")) == set(KEYS)
    demo.bucket().put_object("from/gone", b"back again")
    demo.verb("retry")
    job = demo.finish()
    assert (job["state"], job["objects"]["copied"]) == ("Succeed", len(KEYS) + 1), demo.logs()

    demo.verb("clean", "local_test")
    demo.job |= {
        "keyListFile": "",
        "inventoryFile": _inventory(demo),
        "destPrefix": "again/",
        "exclude": "deep/; gone",
    }
    demo.apply()
    demo.verb("submit", str(demo.job_file))
    job = demo.finish()
    assert job["state"] == "Succeed", demo.logs()
    assert job["objects"]["excluded"] == 2
    assert set(demo.stored("again/")) == {*KEYS[:4], "not in the list"}
    assert "ExcludedByName" in (demo.tree / "excluded.list").read_text()


def _inventory(demo: Migration) -> Path:
    """An inventory of two files, as OSS writes it."""
    rows = [
        [demo.bucket().bucket_name, quote(each.key), each.size, "2026-01-01T00:00:00Z", each.etag]
        for each in oss2.ObjectIteratorV2(demo.bucket(), prefix="from/")
    ]
    home = demo.home / "inventory"
    (home / "data").mkdir(parents=True)
    files = []
    for number, part in enumerate((rows[::2], rows[1::2])):
        path = home / "data" / f"{number}.csv.gz"
        with gzip.open(path, "wt", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows(part)
        files.append({"key": f"i/data/{path.name}", "size": path.stat().st_size})
    schema = "Bucket, Key, Size, LastModifiedDate, ETag"
    document = {"fileFormat": "CSV", "fileSchema": schema, "files": files}
    (home / "manifest.json").write_text(json.dumps(document))
    return home / "manifest.json"
