"""The COS source keeps the contract against a server that recomputes signatures.

The same server is used by the service's own SDK.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from ossimport.config import SourceConfig
from ossimport.config.secret import Secret
from ossimport.crc64 import crc64
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, Verdict
from ossimport.sources import open_source
from ossimport.sources.base import Checksum, Source
from ossimport.sources.cos import Access, CosSource
from ossimport.transport import Endpoint, Proxies, Transport
from tests.contract.at_oss import at_oss
from tests.contract.source_contract import SourceContract, World
from tests.servers.cos import CosServer

_check: type[Source] = CosSource
_numbers = count(1)
BUCKET = "photos-1250000000"
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
    "x" * 1023,
    "\u4e2d" * 341,
]


@pytest.fixture(scope="module")
def service() -> Iterator[CosServer]:
    with CosServer() as running:
        running.buckets[BUCKET] = {}
        yield running


def access_to(service: CosServer, **changed: Any) -> Access:
    """The bucket with the right settings, but for those that are `changed`."""
    access = Access(
        Endpoint("http", "127.0.0.1", service.port), BUCKET, service.secret_id, service.secret_key
    )
    return access._replace(**changed)


class CosWorld(World):
    """A part of the bucket."""

    def __init__(self, service: CosServer, page_size: int) -> None:
        self.service = service
        self.prefix = f"world-{next(_numbers)}/"
        self._page_size = page_size

    def open(self) -> Source:
        return CosSource(access_to(self.service), self.prefix, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.service.put(BUCKET, self.prefix + key, body, mtime=mtime_ns // 10**9)

    def remove(self, key: str) -> None:
        del self.service.buckets[BUCKET][self.prefix + key]

    def broken(self) -> Source:
        return CosSource(access_to(self.service, secret_key="wrong"), self.prefix)


class TestCosSource(SourceContract):
    @pytest.fixture(params=[2, 1000])
    def world(self, request: pytest.FixtureRequest, service: CosServer) -> CosWorld:
        return CosWorld(service, request.param)


@pytest.fixture
def world(service: CosServer) -> CosWorld:
    return CosWorld(service, 1000)


@pytest.mark.parametrize("encoding", [True, False])
@pytest.mark.parametrize("below", [True, False])
async def test_odd_names_are_listed_and_read_as_they_are(below: bool, encoding: bool) -> None:
    with CosServer() as service:
        service.encoding = encoding
        prefix = "below/" if below else ""
        # What XML cannot hold can only be listed encoded.
        keys = [key for key in ODD_KEYS if encoding or key.isprintable()]
        for key in keys:
            service.put(BUCKET, prefix + key, key.encode())
        source = CosSource(access_to(service), prefix, page_size=4)
        infos = [entry.info for entry in source.scan(Lane())]
        assert [info.key for info in infos] == sorted(keys)
        for info in infos:
            assert (await source.read(info, 1, 0)).body == b""
            assert (await source.read(info, 0, info.size)).body == info.key.encode()
            assert (await source.stat(info.key)).size == info.size
        await source.close()


async def test_the_bucket_is_in_the_name_of_the_host_or_in_the_path() -> None:
    region = "cos.ap-shanghai.myqcloud.com"
    with CosServer(token="temporary") as service:
        service.put(BUCKET, "a b", b"body")
        access = access_to(service, security_token="temporary")
        proxies = Proxies({"http": f"http://127.0.0.1:{service.port}"})
        for endpoint, transport in (
            (Endpoint("http", region, 80), Transport(proxies=proxies)),
            (Endpoint("http", f"{BUCKET}.{region}", 80), Transport(proxies=proxies)),
            (access.endpoint, Transport()),
        ):
            source = CosSource(access._replace(endpoint=endpoint), "", transport)
            info = await source.stat("a b")
            assert (await source.read(info, 0, 4)).body == b"body"
            await source.close()
            await transport.close()
        hosts = {request.hostname for request in service.requests}
        assert hosts == {f"{BUCKET}.{region}", "127.0.0.1"}
        source = CosSource(access._replace(security_token="old"), "")
        with pytest.raises(Fatal, match="srcSecurityToken"):
            source.check()
        await source.close()


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("ap-shanghai", "cos.ap-shanghai.myqcloud.com:80"),
        ("sh", "cos.ap-shanghai.myqcloud.com:80"),
        ("cossh", "cos.ap-shanghai.myqcloud.com:80"),
        ("gz", "cos.ap-guangzhou.myqcloud.com:80"),
        ("tj", "cos.ap-beijing-1.myqcloud.com:80"),
        ("http://gateway:8080", "gateway:8080"),
        ("https://ap-shanghai", "cos.ap-shanghai.myqcloud.com:443"),
        ("cos.ap-beijing.tencentcos.cn", "cos.ap-beijing.tencentcos.cn:80"),
        ("https://cos.accelerate.myqcloud.com", "cos.accelerate.myqcloud.com:443"),
        ("http://gateway.example:8080", "gateway.example:8080"),
        ("http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("http://localhost:9000", "localhost:9000"),
    ],
)
@pytest.mark.parametrize("name", [("photos", 1250000000), (BUCKET, 0), (BUCKET, 1250000000)])
def test_srcdomain_is_a_region_or_a_host(domain: str, host: str, name: tuple[str, int]) -> None:
    config = SourceConfig(
        type="cos",
        access_key="id",
        secret_key=Secret("key"),
        security_token=Secret("token"),
        domain=domain,
        bucket=name[0],
        app_id=name[1],
    )
    opened: Any = open_source(config, scan_depth=1, scratch=Path())
    cos = opened._objects
    is_plain = host.startswith(("127.", "localhost"))
    expected = (host, f"/{BUCKET}/") if is_plain else (f"{BUCKET}.{host}", "/")
    assert (cos._endpoint.authority, cos._root) == expected
    assert cos._token == {"x-cos-security-token": "token"}
    asyncio.run(opened.close())


async def test_what_travels_with_an_object_comes_with_it(world: CosWorld) -> None:
    headers = {
        "content-type": "text/x-odd",
        "cache-control": "no-cache",
        "content-disposition": "attachment; filename=a.txt",
        "content-encoding": "identity",
        "content-language": "zh-CN",
        "expires": "Wed, 08 Jul 2026 16:57:01 GMT",
        "x-cos-meta-color": "bl\u00e5",
    }
    world.service.put(BUCKET, f"{world.prefix}key", b"body", headers)
    source = world.open()
    (entry,) = source.scan(Lane())
    whole = await source.read(entry.info, 0, 4)
    assert {name.lower(): value for name, value in at_oss(whole).items()} == {
        name.replace("x-cos-meta-", "x-oss-meta-"): value for name, value in headers.items()
    }
    assert whole.checksum == Checksum("crc64", str(crc64(b"body")))
    nothing = await source.read(entry.info, 0, 0)
    part = await source.read(entry.info, 1, 2)
    assert (at_oss(nothing), nothing.checksum) == (at_oss(whole), whole.checksum)
    assert (part.body, at_oss(part), part.checksum) == (b"od", at_oss(whole), whole.checksum)
    assert (await source.stat("key")).crc64 == crc64(b"body")
    await source.close()


async def test_an_archived_object_fails_with_a_cure_and_does_not_stop_the_job(
    world: CosWorld,
) -> None:
    world.service.put(BUCKET, f"{world.prefix}old", b"body").archived = True
    source = world.open()
    (entry,) = source.scan(Lane())
    with pytest.raises(Permanent, match="Cure: the object is archived: restore it") as caught:
        await source.read(entry.info, 0, 4)
    assert caught.value.code == "InvalidObjectState"
    source.check()
    await source.close()


def test_the_marker_of_the_prefix_is_no_object(world: CosWorld) -> None:
    world.put("", b"", 0)
    world.put("a", b"", 0)
    marker, entry = world.open().scan(Lane())
    assert (marker.verdict, marker.code) == (Verdict.EXCLUDED, "PrefixMarker")
    assert entry.info.key == "a"


@pytest.mark.parametrize(
    ("changed", "code", "cure"),
    [
        ({"secret_key": "wrong-secret"}, "SignatureDoesNotMatch", "srcSecretKey"),
        ({"secret_id": "wrong-id"}, "InvalidAccessKeyId", "srcAccessKey"),
        ({"bucket": "photos-1"}, "NoSuchBucket", "srcBucket and appId"),
    ],
)
async def test_a_wrong_setting_stops_the_job_at_every_call(
    service: CosServer, world: CosWorld, changed: dict[str, str], code: str, cure: str
) -> None:
    world.put("key", b"body", 0)
    right = world.open()
    (entry,) = right.scan(Lane())
    await right.close()
    source = CosSource(access_to(service, **changed), world.prefix)
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
        assert (error.op, error.code, error.request_id) == (op, code, "R-1")
        assert cure in str(error)
        assert "wrong-secret" not in repr(error) + str(error)
    await source.close()


@pytest.mark.parametrize("off", [-3 * 3600, 16 * 60])
def test_a_clock_that_is_off_is_told_and_worth_another_try(service: CosServer, off: float) -> None:
    source = CosSource(access_to(service), "", clock=lambda: time.time() + off)
    with pytest.raises(Transient, match="set this host's clock"):
        list(source.scan(Lane()))


@pytest.mark.parametrize("off", [-3600, 299])
def test_clocks_may_differ(world: CosWorld, off: float) -> None:
    world.put("key", b"", 0)
    access = access_to(world.service)
    source = CosSource(access, world.prefix, clock=lambda: time.time() + off)
    assert [entry.info.key for entry in source.scan(Lane())] == ["key"]


@pytest.mark.parametrize("seed", range(5))
def test_a_scan_that_is_killed_again_and_again_sees_every_key_once(
    service: CosServer, seed: int
) -> None:
    choice = random.Random(seed)
    names = {choice.randbytes(choice.randrange(1, 9)).decode("latin-1") for _ in range(2000)}
    world = CosWorld(service, 100)
    for name in names:
        world.put(name, b"", 0)
    seen: list[str] = []
    lanes = [Lane()]
    while lanes:
        lane = lanes.pop(choice.randrange(len(lanes)))
        scan = world.open().scan(lane)
        for entry in scan:
            seen.append(entry.info.key)
            if choice.random() < 0.01 and (given := scan.split()):
                lanes.append(given)
            if choice.random() < 0.005:
                lanes.append(Lane(entry.cursor, scan.until))
                break
    assert sorted(seen) == sorted(names)


def sdk(service: CosServer, **changed: str) -> Any:
    """The service's own client, for the host with the bucket in it, at the server's address."""
    settings = {"Region": "ap-shanghai", "SecretId": "cos-id", "SecretKey": "cos-secret"} | changed
    config = CosConfig(**settings, Scheme="http", IP="127.0.0.1", Port=service.port)
    return CosS3Client(config, retry=0)


async def test_the_service_s_own_sdk_can_use_the_server_and_we_read_what_it_wrote() -> None:
    with CosServer(token="t") as service:
        service.buckets[BUCKET] = {}
        client = sdk(service, Token="t")
        keys = ["plain", "a/b c+d%", "\u4e2d\u6587", "a/./b", "x&y=z"]
        for key in keys:
            client.put_object(
                Bucket=BUCKET, Key=key, Body=key.encode(), ContentType="text/x", Metadata={}
            )
        listed = client.list_objects(Bucket=BUCKET, MaxKeys=2)
        assert listed["IsTruncated"] == "true"
        rest = client.list_objects(Bucket=BUCKET, Marker=listed["NextMarker"])
        found = [entry["Key"] for page in (listed, rest) for entry in page["Contents"]]
        assert found == sorted(keys)
        for key in keys:
            body = client.get_object(Bucket=BUCKET, Key=key, Range="bytes=1-")["Body"]
            assert body.get_raw_stream().read() == key.encode()[1:]
            head = client.head_object(Bucket=BUCKET, Key=key)
            assert head["x-cos-hash-crc64ecma"] == str(crc64(key.encode()))
        for wrong in ({"SecretKey": "wrong"}, {"SecretId": "wrong"}, {"Token": "wrong"}):
            with pytest.raises(CosServiceError):
                sdk(service, **({"Token": "t"} | wrong)).list_objects(Bucket=BUCKET)

        source = CosSource(access_to(service, security_token="t"), "")
        for entry in source.scan(Lane()):
            payload = await source.read(entry.info, 0, entry.info.size)
            assert bytes(payload.body) == entry.info.key.encode()
            assert at_oss(payload)["Content-Type"] == "text/x"
        await source.close()


def test_pages_are_asked_for_behind_the_last_key(service: CosServer) -> None:
    world = CosWorld(service, 2)
    for key in ("a", "b", "c", "d", "e"):
        world.put(key, b"", 0)
    begin = len(service.requests)
    list(world.open().scan(Lane()))
    asked = [request.params for request in service.requests[begin:]]
    assert [params.get("marker", "") for params in asked] == [
        "",
        f"{world.prefix}b",
        f"{world.prefix}d",
    ]
    assert all(one | {"marker": ""} == other | {"marker": ""} for one, other in pairwise(asked))
