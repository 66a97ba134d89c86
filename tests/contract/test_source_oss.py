"""The OSS source keeps the contract against the sandbox: a real process, real sockets, V4 verified.

Its objects are written by stock oss2.
"""

import gc
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import oss2
import pytest

from ossimport.crc64 import crc64
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, Verdict
from ossimport.oss.bucket import Access, OssBucket
from ossimport.oss.refusals import SOURCE
from ossimport.sources.base import Checksum, Origins, Source, Tagged
from ossimport.sources.oss import OssSource
from ossimport.transport import Endpoint, Transport
from tests.contract.at_oss import arrived, at_oss
from tests.contract.source_contract import SourceContract, World
from tests.servers.sandbox import RunningSandbox, run_sandbox

_check: type[Source] = OssSource
_numbers = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


def access_to(service: RunningSandbox, **changed: Any) -> Access:
    """The sandbox's bucket with the right settings, but for those that are `changed`."""
    access = Access(
        endpoint=Endpoint("http", "127.0.0.1", service.port),
        bucket=service.bucket,
        region=service.region,
        access_key=service.access_key,
        secret_key=service.secret_key,
    )
    return access._replace(**changed)


class OssWorld(World):
    """A part of the sandbox's bucket."""

    def __init__(self, service: RunningSandbox, page_size: int) -> None:
        self.service = service
        self.prefix = f"world-{next(_numbers)}/"
        self.bucket = service.oss2()
        self._page_size = page_size

    def open(self) -> Source:
        return OssSource(access_to(self.service), self.prefix, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.bucket.put_object(self.prefix + key, body)

    def remove(self, key: str) -> None:
        self.bucket.delete_object(self.prefix + key)

    def broken(self) -> Source:
        return OssSource(access_to(self.service, secret_key="wrong"), self.prefix)


class TestOssSource(SourceContract):
    @pytest.fixture(params=[2, 1000])
    def world(self, request: pytest.FixtureRequest, service: RunningSandbox) -> Iterator[OssWorld]:
        world = OssWorld(service, request.param)
        yield world
        world.bucket.session.session.close()


@pytest.fixture
def world(service: RunningSandbox) -> Iterator[OssWorld]:
    world = OssWorld(service, 1000)
    yield world
    world.bucket.session.session.close()


ODD_KEYS = [
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
    "line\r\nfeed",
    "caf\u00e9 cafe\u0301",
    "\u4e2d\u6587/\u6587\u4ef6",
    "\U0001f600",
    "\ufffe\uffff",
]


async def test_odd_names_are_listed_and_read_as_they_are(world: OssWorld) -> None:
    keys = [key for key in ODD_KEYS if key[0] not in "/\\"] + ["x" * 1023, "\u4e2d" * 341]
    source = OssSource(access_to(world.service), "", page_size=5)
    transport = Transport()
    bucket = OssBucket(access_to(world.service), transport, SOURCE)
    before = {entry.info.key for entry in source.scan(Lane())}
    for key in keys:  # oss2 cannot send . and ..
        assert (await bucket.send("PUT", "put", key, body=key.encode())).status == 200
    listed = [entry.info for entry in source.scan(Lane()) if entry.info.key not in before]
    assert [info.key for info in listed] == sorted(keys)
    for info in listed:
        assert (await source.read(info, 0, info.size)).body == info.key.encode()
        assert (await bucket.send("DELETE", "delete", info.key)).status == 204
    await source.close()
    await transport.close()


async def test_keys_are_odd_below_a_prefix_as_well(world: OssWorld) -> None:
    for key in ODD_KEYS:
        world.put(key, key.encode(), 0)
    source = world.open()
    entries = list(source.scan(Lane()))
    assert [entry.info.key for entry in entries] == sorted(ODD_KEYS)
    for entry in entries:
        assert (await source.read(entry.info, 1, 0)).body == b""
        assert (await source.stat(entry.info.key)).size == entry.info.size
        payload = await source.read(entry.info, 0, entry.info.size)
        assert payload.body == entry.info.key.encode()
    await source.close()


async def test_what_travels_with_an_object_comes_with_it(world: OssWorld) -> None:
    headers = {
        "Content-Type": "text/x-odd",
        "Cache-Control": "no-cache",
        "Content-Disposition": "attachment; filename=a.txt",
        "Content-Encoding": "identity",
        "Content-Language": "zh-CN",
        "Expires": "Wed, 08 Jul 2026 16:57:01 GMT",
        "x-oss-meta-color": "bl\u00e5",
    }
    world.bucket.put_object(
        f"{world.prefix}key", b"body", {k: v.encode("latin-1") for k, v in headers.items()}
    )
    source = world.open()
    (entry,) = source.scan(Lane())
    whole = await source.read(entry.info, 0, 4)
    assert at_oss(whole) == headers
    assert whole.checksum == Checksum("crc64", str(crc64(b"body")))
    nothing = await source.read(entry.info, 0, 0)
    assert (at_oss(nothing), nothing.checksum) == (at_oss(whole), whole.checksum)
    assert (await source.stat("key")).crc64 == crc64(b"body")
    await source.close()


async def test_a_link_is_copied_as_what_it_leads_to(world: OssWorld) -> None:
    world.put("target", b"behind the link", 0)
    world.bucket.put_symlink(f"{world.prefix}target", f"{world.prefix}link")
    source = world.open()
    link = next(entry.info for entry in source.scan(Lane()) if entry.info.key == "link")
    with pytest.raises(Permanent) as caught:
        await source.read(link, 0, link.size)
    assert caught.value.code == "SourceChanged"  # then the engine looks what is there
    info = await source.stat("link")
    assert (await source.read(info, 0, info.size)).body == b"behind the link"
    world.remove("target")
    with pytest.raises(Permanent, match="target is gone") as caught:
        await source.read(info, 0, info.size)
    assert caught.value.code == "SymlinkTargetNotExist"
    await source.close()


async def test_the_service_may_copy_what_it_has_as_it_is(world: OssWorld) -> None:
    headers = {"Content-Type": "text/x-odd", "x-oss-meta-a": "b"}
    world.bucket.put_object(f"{world.prefix}whole", b"body", headers)
    upload_id = world.bucket.init_multipart_upload(f"{world.prefix}parts", headers).upload_id
    part = world.bucket.upload_part(f"{world.prefix}parts", upload_id, 1, b"in parts")
    parts = [oss2.models.PartInfo(1, part.etag)]
    world.bucket.complete_multipart_upload(f"{world.prefix}parts", upload_id, parts)
    world.put("empty", b"", 0)
    source = world.open()
    assert isinstance(source, Origins)
    infos = {entry.info.key: entry.info for entry in source.scan(Lane())}
    for key, body in (("whole", b"body"), ("parts", b"in parts"), ("empty", b"")):
        origin = await source.origin(infos[key])
        assert origin is not None
        assert origin[:3] == (world.service.bucket, world.prefix + key, infos[key].etag)
        assert origin.crc64 == crc64(body)
        assert at_oss(origin) == headers or key == "empty"
        assert arrived(origin).unkept == ()
    await source.close()


async def test_tags_do_not_go_along_however_an_object_is_copied(world: OssWorld) -> None:
    world.bucket.put_object(f"{world.prefix}key", b"body", {"x-oss-tagging": "a=b"})
    source = world.open()
    assert isinstance(source, Origins)
    info = await source.stat("key")
    origin = await source.origin(info)
    assert origin is not None
    wanted = ("x-oss-tagging-count",)
    assert arrived(origin).unkept == arrived(await source.read(info, 0, 4)).unkept == wanted
    assert isinstance(source, Tagged)
    assert await source.tags(info) == {"a": "b"}
    world.remove("key")
    with pytest.raises(Permanent) as caught:
        await source.tags(info)
    assert (caught.value.code, caught.value.op) == ("NotFound", "tags")
    await source.close()


async def test_the_service_would_make_something_else_of_these(world: OssWorld) -> None:
    world.put("target", b"", 0)
    world.bucket.put_symlink(f"{world.prefix}target", f"{world.prefix}link")
    world.bucket.append_object(f"{world.prefix}log", 0, b"line")
    source = world.open()
    assert isinstance(source, Origins)
    for key in ("link", "log"):
        assert await source.origin(await source.stat(key)) is None
    untagged = (await source.stat("target"))._replace(etag="")
    assert await source.origin(untagged) is None, "no version could be meant"
    await source.close()


async def test_only_the_version_that_was_listed_may_be_copied(world: OssWorld) -> None:
    world.put("key", b"first", 0)
    source = world.open()
    assert isinstance(source, Origins)
    (entry,) = source.scan(Lane())
    world.put("key", b"other", 0)
    with pytest.raises(Permanent) as caught:
        await source.origin(entry.info)
    assert caught.value.code == "SourceChanged"
    world.remove("key")
    with pytest.raises(Permanent) as caught:
        await source.origin(entry.info)
    assert caught.value.code == "NotFound"
    await source.close()


async def test_an_archived_object_fails_with_a_cure_and_does_not_stop_the_job(
    world: OssWorld,
) -> None:
    headers = {"x-oss-storage-class": oss2.BUCKET_STORAGE_CLASS_ARCHIVE}
    world.bucket.put_object(f"{world.prefix}old", b"body", headers)
    source = world.open()
    (entry,) = source.scan(Lane())
    with pytest.raises(Permanent, match="restore it") as caught:
        await source.read(entry.info, 0, 4)
    assert caught.value.code == "InvalidObjectState"
    source.check()
    await source.close()


@pytest.mark.parametrize("size", [0, 1])
def test_the_marker_of_the_prefix_is_no_object_unless_it_has_bytes(
    world: OssWorld, size: int
) -> None:
    world.put("", b"x" * size, 0)
    world.put("a", b"", 0)
    source = world.open()
    marker, entry = source.scan(Lane())
    assert marker.info[:2] == ("", size)
    assert (marker.verdict, marker.code) == (
        (Verdict.COPY, "") if size else (Verdict.EXCLUDED, "PrefixMarker")
    )
    assert [e.info.key for e in source.scan(Lane(marker.cursor))] == ["a"]
    assert [e.info.key for e in source.scan(Lane("", marker.cursor))] == [""]
    source.check()
    world.remove("")


@pytest.mark.parametrize(
    ("changed", "code", "cure"),
    [
        ({"secret_key": "wrong-secret"}, "SignatureDoesNotMatch", "srcSecretKey"),
        ({"access_key": "wrong-access"}, "InvalidAccessKeyId", "srcAccessKey"),
        ({"bucket": "no-such-bucket"}, "NoSuchBucket", "srcBucket"),
        ({"region": "cn-beijing"}, "InvalidArgument", "srcRegion"),
    ],
)
async def test_a_wrong_setting_stops_the_job_at_every_call(
    service: RunningSandbox, world: OssWorld, changed: dict[str, str], code: str, cure: str
) -> None:
    world.put("key", b"body", 0)
    right = world.open()
    (entry,) = right.scan(Lane())
    await right.close()
    source = OssSource(access_to(service, **changed), world.prefix)
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
        assert error.request_id
        assert cure in str(error)
        assert "dest" not in str(error)
        assert "wrong-secret" not in repr(error) + str(error)
    await source.close()


@pytest.mark.parametrize("off", [-16 * 60, 16 * 60])
def test_a_clock_that_is_off_is_told_and_worth_another_try(
    service: RunningSandbox, off: float
) -> None:
    source = OssSource(access_to(service), "", clock=lambda: time.time() + off)
    with pytest.raises(Transient, match="set this host's clock"):
        list(source.scan(Lane()))


def test_a_source_that_is_forgotten_leaves_no_thread_behind(world: OssWorld) -> None:
    def count() -> int:
        return sum(thread.name == "source-loop" for thread in threading.enumerate())

    gc.collect()
    deadline = time.monotonic() + 30
    while count() and time.monotonic() < deadline:  # of other tests
        time.sleep(0.01)
    source = world.open()
    list(source.scan(Lane()))
    assert count() == 1
    del source
    while count() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert count() == 0
