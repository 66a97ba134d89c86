"""The Qiniu source keeps the contract against a server that recomputes tokens by its reference."""

import asyncio
import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import qiniu
from qiniu.http.endpoint import Endpoint as SdkEndpoint
from qiniu.http.region import Region, ServiceName

from ossimport.errors import Fatal, StorageError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.sources.base import Checksum, Source
from ossimport.sources.qiniu import Access, QiniuSource
from ossimport.transport import Endpoint
from tests.contract.at_oss import at_oss
from tests.contract.bucket_answers import answer, answering
from tests.contract.source_contract import SourceContract, World
from tests.servers.qiniu import QiniuServer, hash_of

_check: type[Source] = QiniuSource
_numbers = count(1)
ODD_KEYS = [
    "//",
    "//double//",
    "/leading",
    "dir/",
    ".",
    "..",
    "a/./b",
    "a/../b",
    "percent%20sign%",
    "plus+and&equals=?#;",
    " blanks ",
    "control\x01\t\n",
    "back\\slash",
    "\U0001f600",
    "\ufb01",
    "x" * 700,
]


def access_to(server: QiniuServer, **changed: Any) -> Access:
    here = Endpoint("http", "127.0.0.1", server.port)
    access = Access((here,), server.bucket, server.access_key, server.secret_key)
    return access._replace(**changed)


class QiniuWorld(World):
    def __init__(self, server: QiniuServer, page_size: int, use_head: bool) -> None:
        self.server = server
        self._page_size = page_size
        self._use_head = use_head

    def open(self) -> Source:
        access = access_to(self.server, use_head=self._use_head)
        return QiniuSource(access, "pre/", depth=9, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.server.put(self.server.bucket, f"pre/{key}", body, mtime=mtime_ns // 10**9)

    def remove(self, key: str) -> None:
        del self.server.buckets[self.server.bucket][f"pre/{key}"]

    def broken(self) -> Source:
        return QiniuSource(access_to(self.server, secret_key="wrong"), "pre/")


@pytest.fixture
def server() -> Iterator[QiniuServer]:
    with QiniuServer() as running:
        yield running


class TestQiniuSource(SourceContract):
    @pytest.fixture(params=[(3, False), (1000, True)], ids=["3-stat", "1000-head"])
    def world(self, request: pytest.FixtureRequest, server: QiniuServer) -> QiniuWorld:
        return QiniuWorld(server, *request.param)


async def test_odd_keys_are_listed_described_and_read(server: QiniuServer) -> None:
    for key in ODD_KEYS:
        server.put("box", f"p/{key}", key.encode())
    for use_head in (False, True):
        source = QiniuSource(access_to(server, use_head=use_head), "p/")
        entries = list(source.scan(Lane()))
        assert sorted(entry.info.key for entry in entries) == sorted(ODD_KEYS)
        for entry in entries:
            info = entry.info
            assert (await source.stat(info.key))[:4] == info[:4]
            payload = await source.read(info, 0, info.size)
            assert bytes(payload.body) == info.key.encode()
            assert payload.checksum == Checksum("qetag", hash_of(info.key.encode()))
        await source.close()


async def test_headers_and_metadata_go_with_an_object(server: QiniuServer) -> None:
    headers = {"content-type": "text/x", "cache-control": "no-cache", "x-qn-meta-color": "blue"}
    server.put("box", "a", b"body", headers)
    source = QiniuSource(access_to(server), "")
    [entry] = source.scan(Lane())
    for length in (4, 0):
        payload = await source.read(entry.info, 0, length)
        assert at_oss(payload) == {
            "Content-Type": "text/x",
            "Cache-Control": "no-cache",
            "x-oss-meta-color": "blue",
        }
    await source.close()


def failure(server: QiniuServer, clock_offset: float = 0.0, **wrong: Any) -> StorageError:
    import time

    access = access_to(server, **wrong)
    source = QiniuSource(access, "", clock=lambda: time.time() + clock_offset)
    with pytest.raises(StorageError) as caught:
        source.check()
    asyncio.run(source.close())
    assert server.secret_key not in str(caught.value)
    return caught.value


def test_each_wrong_setting_has_its_own_words(server: QiniuServer) -> None:
    server.put("box", "key", b"body")
    rows: list[tuple[dict[str, Any], str, str]] = [
        ({"secret_key": "wrong"}, "BadToken", "srcSecretKey"),
        ({"access_key": "wrong"}, "BadToken", "srcAccessKey"),
        ({"bucket": "boxes"}, "NoSuchBucket", "srcBucket"),
    ]
    for wrong, code, cure in rows:
        fault = failure(server, **wrong)
        assert (type(fault), fault.code, fault.request_id) == (Fatal, code, "the-request")
        assert "Cure: " in str(fault)
        assert cure in str(fault)
    skewed = failure(server, clock_offset=-7200)
    assert (type(skewed), skewed.code) == (Transient, "RequestTimeTooSkewed")
    assert "set this host's clock" in str(skewed)
    server.can_read = False
    unread = failure(server)
    assert (type(unread), unread.code) == (Fatal, "AccessDenied")
    assert "srcDomain" in str(unread)


async def test_an_archived_object_must_be_restored(server: QiniuServer) -> None:
    server.put("box", "a", b"body").archived = True
    source = QiniuSource(access_to(server), "")
    [entry] = source.scan(Lane())
    with pytest.raises(StorageError, match="restore it") as caught:
        await source.read(entry.info, 0, 4)
    assert caught.value.code == "ObjectArchived"
    await source.close()


def test_the_service_is_asked_where_a_bucket_is(server: QiniuServer) -> None:
    server.put("box", "a", b"body")
    domain = Endpoint("http", "files.example.com", 80)
    here = Endpoint("http", "127.0.0.1", server.port)
    source = QiniuSource(access_to(server, domains=(domain,)), "", regions=here)
    assert [entry.info.key for entry in source.scan(Lane())] == ["a"]
    assert [entry.info.key for entry in source.scan(Lane())] == ["a"]
    asyncio.run(source.close())
    asked = [request.path for request in server.requests]
    assert asked == ["/v4/query", "/list", "/list"]
    with pytest.raises(Fatal, match="srcBucket") as caught:
        list(
            QiniuSource(access_to(server, domains=(domain,), bucket="b"), "", regions=here).scan(
                Lane()
            )
        )
    assert caught.value.code == "NoSuchBucket"


async def test_when_a_domain_fails_the_next_is_asked(server: QiniuServer) -> None:
    server.put("box", "a", b"body")
    here = Endpoint("http", "127.0.0.1", server.port)
    dead = Endpoint("http", "127.0.0.1", 1)
    source = QiniuSource(access_to(server, domains=(here, dead)), "")
    [entry] = source.scan(Lane())
    await source.close()
    source = QiniuSource(access_to(server, domains=(dead, here, dead)), "")
    reads = [source.read(entry.info, 0, 4) for _ in range(3)]
    failures = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(failure) for failure in failures] == [Transient] * 3
    for _ in range(3):
        assert bytes((await source.read(entry.info, 0, 4)).body) == b"body"
    await source.close()


async def test_a_domain_with_errors_of_its_own_is_left_too(server: QiniuServer) -> None:
    server.put("box", "a", b"body")
    with answering(answer("502 Bad", b"")) as (bad, heads):
        here = Endpoint("http", "127.0.0.1", server.port)
        source = QiniuSource(access_to(server, domains=(bad.endpoint, here)), "")
        info = ObjectInfo("a", 4, 0, hash_of(b"body"))
        with pytest.raises(Transient):
            await source.read(info, 0, 4)
        for _ in range(3):
            assert bytes((await source.read(info, 0, 4)).body) == b"body"
        await source.close()
        assert len(heads) == 1


def test_the_sdk_can_use_the_server_too(server: QiniuServer) -> None:
    for key in ODD_KEYS:
        server.put("box", key, key.encode())
    here = [SdkEndpoint(f"127.0.0.1:{server.port}", default_scheme="http")]
    names = (ServiceName.RS, ServiceName.RSF, ServiceName.API, ServiceName.IO, ServiceName.UC)
    region = Region(services=dict.fromkeys(names, here))
    auth = qiniu.Auth(server.access_key, server.secret_key)
    manager = qiniu.BucketManager(auth, regions=[region])
    seen, marker = [], None
    while True:
        page, is_end, _ = manager.list("box", marker=marker, limit=5)
        seen += [item["key"] for item in page["items"]]
        marker = page.get("marker")
        if is_end:
            break
    assert sorted(seen) == sorted(ODD_KEYS)
    said, _ = manager.stat("box", "dir/")
    assert said["hash"] == hash_of(b"dir/")
    page, _, _ = manager.list("box", delimiter="/")
    assert {"/", "dir/", "a/"} <= set(page["commonPrefixes"])
    wrong = qiniu.BucketManager(qiniu.Auth(server.access_key, "wrong"), regions=[region])
    assert wrong.stat("box", "dir/")[1].status_code == 401


def test_a_scan_that_is_killed_anywhere_goes_on_with_every_key_once(server: QiniuServer) -> None:
    choice = random.Random(8)
    keys = [f"{n % 5}/{n % 7}/{n:05d}" for n in range(600)] + ODD_KEYS
    for key in keys:
        server.put("box", key, b"")
    lanes, seen = [Lane()], []
    while lanes:
        lane = lanes.pop(choice.randrange(len(lanes)))
        source = QiniuSource(access_to(server), "", depth=2, page_size=50)
        scan = source.scan(lane)
        for entry in scan:
            seen.append(entry.info.key)
            lane = Lane(entry.cursor, scan.until)
            if choice.random() < 0.02 and (given := scan.split()):
                lanes.append(given)
                lane = Lane(entry.cursor, scan.until)
            if choice.random() < 0.02:
                lanes.append(lane)
                break
        asyncio.run(source.close())
    assert sorted(seen) == sorted(keys)
