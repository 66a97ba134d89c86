"""Whole jobs within one region of one account: OSS copies by itself, and a witness counts bytes."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import oss2
import pytest

from ossimport.parts import COPIED_PART_SIZE
from ossimport.server_copy import ENOUGH_REFUSALS
from tests.flow.test_flow_oss import ODD_KEYS
from tests.servers.migration import Migration, migration
from tests.servers.witness import Witness, witness

pytestmark = pytest.mark.slow

PLAIN = 300
COUNT = PLAIN + len(ODD_KEYS)
HEADERS = {"Content-Type": "text/x-odd", "Cache-Control": "no-cache", "x-oss-meta-a": "b"}
GIB = 1 << 30
IN_FLIGHT = 20


class Demo(NamedTuple):
    """A job from `from/` to `in/` of one bucket, both asked for through the witness."""

    job: Migration
    seen: Witness


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with migration(
        tmp_path / "home", {"workerProcessNum": 1, "workerTaskThreadNum": IN_FLIGHT}
    ) as made:
        made.verb("start")
        with witness(made.sandbox_port) as seen:
            domain = f"http://127.0.0.1:{seen.port}"
            made.job |= {
                "srcType": "oss",
                "srcDomain": domain,
                "srcAccessKey": "sandbox",
                "srcSecretKey": "sandbox-secret",
                "srcBucket": "ossimport-demo",
                "srcPrefix": "from/",
                "destDomain": domain,
                "multipartUploadThreshold": "1m",
                "multipartUploadPartSize": "200k",
            }
            made.apply()
            yield Demo(made, seen)


def fill(bucket: oss2.Bucket) -> None:
    """Small objects, none, one that the worker would send in parts, and one made of parts."""
    rng = random.Random(3)
    for key in ODD_KEYS:
        bucket.put_object(f"from/{key}", key.encode(), HEADERS)
    for number in range(PLAIN):
        bucket.put_object(f"from/{number:03d} +%", b"%d" % number * (number % 5), HEADERS)
    bucket.put_object("from/large", rng.randbytes(3 << 20), HEADERS)
    upload_id = bucket.init_multipart_upload("from/parts", HEADERS).upload_id
    part = bucket.upload_part("from/parts", upload_id, 1, rng.randbytes(200_000))
    parts = [oss2.models.PartInfo(1, part.etag)]
    bucket.complete_multipart_upload("from/parts", upload_id, parts)


def test_no_byte_of_an_object_comes_through_the_worker(demo: Demo) -> None:
    bucket = demo.job.bucket()
    fill(bucket)

    demo.job.verb("submit", str(demo.job.job_file))

    job = demo.job.finish()
    assert job["state"] == "Succeed", demo.job.logs()
    assert job["proof"] == {"3": COUNT + 2, "2": 0, "1": 0}
    assert demo.job.stored("in/") == demo.job.stored("from/")
    for key in ("007 +%", "large", "parts"):
        kept = bucket.head_object(f"in/{key}").headers
        assert {name: kept[name] for name in HEADERS} == HEADERS
    preflight = demo.seen.of("GET")  # one byte each of a few objects, and their metadata with it
    assert 0 < len(preflight) < COUNT
    assert all(seen.answered <= 1 for seen in preflight)
    assert demo.seen.of("PUT") == []
    assert len(demo.seen.of("PUT", copies=True)) == COUNT + 2
    assert len(demo.seen.of("HEAD")) >= COUNT + 2  # one may be asked again
    assert sum(seen.received for seen in demo.seen.of("PUT", copies=True)) == 0
    assert demo.job.uploads() == []


def test_more_than_a_gigabyte_is_copied_in_parts(demo: Demo) -> None:
    bucket = demo.job.bucket()
    block = random.Random(4).randbytes(COPIED_PART_SIZE + 1)
    bucket.put_object("block", block)
    upload_id = bucket.init_multipart_upload("from/huge", HEADERS).upload_id
    parts = []  # of one block, over and over: the sandbox does not write it again
    for number in range(1, GIB // len(block) + 2):
        part = bucket.upload_part_copy(
            bucket.bucket_name, "block", None, "from/huge", upload_id, number
        )
        parts.append(oss2.models.PartInfo(number, part.etag))
    whole = bucket.complete_multipart_upload("from/huge", upload_id, parts)
    assert bucket.head_object("from/huge").content_length > GIB

    demo.job.verb("submit", str(demo.job.job_file))

    job = demo.job.finish()
    assert job["state"] == "Succeed", demo.job.logs()
    assert job["proof"] == {"3": 1, "2": 0, "1": 0}
    copied = bucket.head_object("in/huge")
    assert copied.server_crc == whole.crc
    assert {name: copied.headers[name] for name in HEADERS} == HEADERS
    assert sum(seen.answered for seen in demo.seen.of("GET")) == 1
    spans = [seen.headers["x-oss-copy-source-range"] for seen in demo.seen.of("PUT", copies=True)]
    assert len(set(spans)) == len(spans) == -(-len(block) * len(parts) // COPIED_PART_SIZE)
    assert f"bytes=0-{COPIED_PART_SIZE - 1}" in spans
    assert demo.seen.of("PUT") == []
    assert demo.job.uploads() == []


def test_what_may_not_be_copied_inside_goes_through_the_worker(demo: Demo) -> None:
    bucket = demo.job.bucket()
    fill(bucket)
    bucket.put_symlink("from/large", "from/link")
    bucket.append_object("from/log", 0, b"line")
    demo.seen.refuses = lambda seen: "x-oss-copy-source" in seen.headers

    demo.job.verb("submit", str(demo.job.job_file))

    job = demo.job.finish()
    assert job["state"] == "Succeed", demo.job.logs()
    assert job["proof"] == {"3": COUNT + 4, "2": 0, "1": 0}
    assert demo.job.stored("in/") == demo.job.stored("from/")
    tried = len(demo.seen.of("PUT", copies=True))
    assert ENOUGH_REFUSALS <= tried < ENOUGH_REFUSALS + IN_FLIGHT
    assert demo.job.logs().count("objects go through this worker from now on") == 1


def test_an_md5_to_be_recorded_is_made_of_bytes_that_are_read(demo: Demo) -> None:
    demo.job.verb("stop")
    demo.job.system["workerRecordMd5"] = "true"
    demo.job.apply()
    demo.job.verb("start")
    demo.job.bucket().put_object("from/a", b"hello")

    demo.job.verb("submit", str(demo.job.job_file))

    assert demo.job.finish()["state"] == "Succeed", demo.job.logs()
    kept = demo.job.bucket().head_object("in/a").headers
    assert kept["x-oss-meta-md5"] == "5d41402abc4b2a76b9719d911017c592"
    assert demo.seen.of("PUT", copies=True) == []
