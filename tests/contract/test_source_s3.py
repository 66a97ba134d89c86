"""The S3 source keeps the contract against two servers that are not ours, written to by boto3."""

import hashlib
import random
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from ossimport.errors import Fatal, StorageError, Transient
from ossimport.model import Lane, Scanned
from ossimport.sources.base import Checksum, Source, Tagged, Untold
from ossimport.sources.s3 import S3Source
from tests.contract.at_oss import at_oss
from tests.contract.source_contract import SourceContract, World
from tests.servers.s3 import RunningS3, needs_rclone, run_moto, run_rclone

_numbers = count(1)


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningS3]:
    with run_rclone(tmp_path_factory.mktemp("rclone") / "served") as running:
        yield running


@pytest.fixture(scope="module")
def moto() -> Iterator[RunningS3]:
    with run_moto() as running:
        yield running


class S3World(World):
    """A part of the server's bucket."""

    def __init__(self, service: RunningS3, page_size: int) -> None:
        self.service = service
        self.prefix = f"world-{next(_numbers)}/"
        self.client: Any = service.boto3()
        self._page_size = page_size

    def open(self) -> Source:
        return S3Source(self.service.access(), self.prefix, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        """Within one second: rclone's listings tell when it had the object, HEAD when it came."""
        second = -1
        while second != int(time.time()):
            second = int(time.time())
            self.client.put_object(Bucket=self.service.bucket, Key=self.prefix + key, Body=body)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.service.bucket, Key=self.prefix + key)

    def broken(self) -> Source:
        return S3Source(self.service._replace(secret_key="wrong-secret").access(), self.prefix)


class MotoWorld(S3World):
    """It takes any keys, so that a wrong bucket has to do."""

    def broken(self) -> Source:
        return S3Source(self.service._replace(bucket="no-such-bucket").access(), self.prefix)


@needs_rclone
class TestAgainstRclone(SourceContract):
    @pytest.fixture(params=[2, 1000])
    def world(self, request: pytest.FixtureRequest, rclone: RunningS3) -> Iterator[S3World]:
        world = S3World(rclone, request.param)
        yield world
        world.client.close()


class TestAgainstMoto(SourceContract):
    @pytest.fixture
    def world(self, moto: RunningS3) -> Iterator[MotoWorld]:
        world = MotoWorld(moto, 3)
        yield world
        world.client.close()


ODD_KEYS = [  # moto knows no name with a line feed
    "dir/",
    "dir//",
    "//",
    "/leading",
    "a//b",
    ".",
    "..",
    "./a",
    "../a",
    "a/.",
    "a/..",
    "a/../b",
    "a/./b",
    "100%",
    "%2F%2e",
    "a+b c&d=e?f#g;h",
    " ",
    "back\\slash",
    "quote'\"<>`|^[]{}",
    "control\x01\x1f\t",
    "caf\u00e9 cafe\u0301",
    "\u4e2d\u6587/\u6587\u4ef6",
    "\U0001f600",
    "\ufffe\uffff",
]


@pytest.fixture
def world(moto: RunningS3) -> Iterator[MotoWorld]:
    world = MotoWorld(moto, 5)
    yield world
    world.client.close()


async def test_odd_names_are_listed_and_read_as_they_are(world: MotoWorld) -> None:
    longest = "x" * (1023 - len(world.prefix))
    for key in [*ODD_KEYS, longest]:
        world.put(key, key.encode(), 0)
    source = world.open()
    entries = list(source.scan(Lane()))
    assert [entry.info.key for entry in entries] == sorted([*ODD_KEYS, longest])
    for entry in entries:
        assert (await source.stat(entry.info.key)).size == entry.info.size
        payload = await source.read(entry.info, 0, entry.info.size)
        assert payload.body == entry.info.key.encode()
    await source.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_scan_killed_anywhere_goes_on_in_another_process(world: MotoWorld, seed: int) -> None:
    choice = random.Random(seed)
    keys = {
        "".join(choice.choices("ab/ %+\u00e9\U0001f600", k=choice.randint(1, 6))) for _ in range(60)
    }
    for key in keys:
        world.put(key, b"", 0)
    lanes, seen = [Lane()], list[Scanned]()
    while lanes:
        lane = lanes.pop()
        scan = world.open().scan(lane)
        for entry in scan:
            seen.append(entry)
            if choice.random() < 0.2 and (given := scan.split()):
                lanes.append(given)
            if choice.random() < 0.2:
                lanes.append(Lane(entry.cursor, scan.until))
                break
    assert sorted(entry.info.key for entry in seen) == sorted(keys)


async def test_what_travels_with_an_object_comes_with_it(world: MotoWorld) -> None:
    headers = {
        "ContentType": "text/x-odd",
        "CacheControl": "no-cache",
        "ContentDisposition": "attachment; filename=a.txt",
        "ContentEncoding": "identity",
        "ContentLanguage": "zh-CN",
    }
    world.client.put_object(
        Bucket="bucket",
        Key=f"{world.prefix}key",
        Body=b"body",
        Metadata={"color": "red"},
        **headers,
    )
    source = world.open()
    (entry,) = source.scan(Lane())
    whole = await source.read(entry.info, 0, 4)
    names = ["Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding"]
    wanted = dict(zip([*names, "Content-Language"], headers.values(), strict=True))
    assert at_oss(whole) == wanted | {"x-oss-meta-color": "red"}
    assert whole.checksum == Checksum("md5", hashlib.md5(b"body").hexdigest())
    assert at_oss(await source.read(entry.info, 0, 0)) == at_oss(whole)
    await source.close()


async def test_the_tags_of_an_object_can_be_asked_for(world: MotoWorld) -> None:
    world.client.put_object(
        Bucket="bucket", Key=f"{world.prefix}k e", Body=b"body", Tagging="team=a%20b&empty="
    )
    source = world.open()
    assert isinstance(source, Tagged)
    (entry,) = source.scan(Lane())
    said = (await source.read(entry.info, 0, 4)).headers
    assert said["x-amz-tagging-count"] == "2"
    assert await source.tags(entry.info) == {"team": "a b", "empty": ""}
    await source.close()


async def test_old_versions_are_seen(world: MotoWorld) -> None:
    source = world.open()
    assert isinstance(source, Untold)
    for body in (b"first", b"second"):
        world.client.put_object(Bucket="bucket", Key=f"{world.prefix}key", Body=body)
    assert await source.untold(1000) == {}
    versioning = {"Status": "Enabled"}
    world.client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration=versioning)
    world.client.put_object(Bucket="bucket", Key=f"{world.prefix}key", Body=b"third")
    assert await source.untold(1000) == {"old versions": 1}
    world.client.put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Suspended"}
    )
    await source.close()


async def test_no_checksum_is_made_of_the_tag_of_parts(world: MotoWorld) -> None:
    client, where = world.client, {"Bucket": "bucket", "Key": f"{world.prefix}key"}
    upload = client.create_multipart_upload(**where)["UploadId"]
    tag = client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"body")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    source = world.open()
    (entry,) = source.scan(Lane())
    assert entry.info.etag.endswith("-1")
    payload = await source.read(entry.info, 0, 4)
    assert (payload.body, payload.checksum) == (b"body", None)
    assert at_oss(payload) == {"Content-Type": "binary/octet-stream"}
    await source.close()


@needs_rclone
@pytest.mark.parametrize(
    ("changed", "code", "cure"),
    [
        ({"secret_key": "wrong-secret"}, "SignatureDoesNotMatch", "srcSecretKey"),
        ({"access_key": "wrong-access-key"}, "InvalidAccessKeyId", "srcAccessKey"),
        ({"bucket": "no-such-bucket"}, "NoSuchBucket", "srcBucket"),
    ],
)
async def test_a_wrong_setting_stops_the_job_at_every_call(
    rclone: RunningS3, changed: dict[str, Any], code: str, cure: str
) -> None:
    world = S3World(rclone, 1000)
    world.put("key", b"body", 0)
    world.client.close()
    right = world.open()
    (entry,) = right.scan(Lane())
    await right.close()
    source = S3Source(rclone._replace(**changed).access(), world.prefix)
    errors: dict[str, StorageError] = {}
    with pytest.raises(Fatal) as caught:
        source.check()
    errors["check"] = caught.value
    with pytest.raises(Fatal) as caught:
        list(source.scan(Lane()))
    errors["scan"] = caught.value
    with pytest.raises(Fatal) as caught:
        await source.read(entry.info, 0, 4)
    errors["read"] = caught.value
    for op, error in errors.items():
        assert (error.op, error.code) == (op, code)
        assert cure in str(error)
        assert "wrong-secret" not in repr(error) + str(error)
    await source.close()


@needs_rclone
@pytest.mark.parametrize("off", [-16 * 60, 16 * 60])
def test_a_clock_that_is_off_is_told(rclone: RunningS3, off: float) -> None:
    source = S3Source(rclone.access(), "", clock=lambda: time.time() + off)
    with pytest.raises(Transient, match="set this host's clock"):
        list(source.scan(Lane()))
