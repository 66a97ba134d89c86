"""The KS3 source keeps the contract against a server that recomputes signatures.

The same server is used by the service's own SDK, where that is installed.
"""

import random
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ossimport.config import SourceConfig
from ossimport.config.secret import Secret
from ossimport.crc64 import crc64
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, Scanned, Verdict
from ossimport.sources import open_source
from ossimport.sources.base import Checksum, Source
from ossimport.sources.ks3 import Access, Ks3Source
from ossimport.transport import Endpoint, Proxies, Transport
from tests.contract.at_oss import at_oss
from tests.contract.source_contract import SourceContract, World
from tests.servers.ks3 import Ks3Server

_check: type[Source] = Ks3Source
_numbers = count(1)
BUCKET = "photos"
ODD_KEYS = [
    "dir/",
    "dir//",
    "//",
    "///",
    "/leading",
    "a//b",
    "a///b",
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
def service() -> Iterator[Ks3Server]:
    with Ks3Server() as running:
        running.buckets[BUCKET] = {}
        yield running


def access_to(service: Ks3Server, **changed: Any) -> Access:
    """The bucket with the right settings, but for those that are `changed`."""
    access = Access(
        Endpoint("http", "127.0.0.1", service.port), BUCKET, service.access_key, service.secret_key
    )
    return access._replace(**changed)


class Ks3World(World):
    """A part of the bucket."""

    def __init__(self, service: Ks3Server, page_size: int) -> None:
        self.service = service
        self.prefix = f"world-{next(_numbers)}/"
        self._page_size = page_size

    def open(self) -> Source:
        return Ks3Source(access_to(self.service), self.prefix, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.service.put(BUCKET, self.prefix + key, body, mtime=mtime_ns // 10**9)

    def remove(self, key: str) -> None:
        del self.service.buckets[BUCKET][self.prefix + key]

    def broken(self) -> Source:
        return Ks3Source(access_to(self.service, secret_key="wrong"), self.prefix)


class TestKs3Source(SourceContract):
    @pytest.fixture(params=[2, 1000])
    def world(self, request: pytest.FixtureRequest, service: Ks3Server) -> Ks3World:
        return Ks3World(service, request.param)


@pytest.fixture
def world(service: Ks3Server) -> Ks3World:
    return Ks3World(service, 1000)


@pytest.mark.parametrize("encoding", [True, False])
@pytest.mark.parametrize("below", [True, False])
async def test_odd_names_are_listed_and_read_as_they_are(below: bool, encoding: bool) -> None:
    with Ks3Server() as service:
        service.encoding = encoding
        service.names_marker = encoding
        prefix = "below/" if below else ""
        # What XML cannot hold can only be listed encoded.
        keys = [key for key in ODD_KEYS if encoding or key.isprintable()]
        for key in keys:
            service.put(BUCKET, prefix + key, key.encode())
        source = Ks3Source(access_to(service), prefix, page_size=4)
        infos = [entry.info for entry in source.scan(Lane())]
        assert [info.key for info in infos] == sorted(keys)
        for info in infos:
            assert (await source.read(info, 1, 0)).body == b""
            assert (await source.read(info, 0, info.size)).body == info.key.encode()
            assert (await source.stat(info.key)).size == info.size
        await source.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_scan_killed_anywhere_goes_on_in_another_process(world: Ks3World, seed: int) -> None:
    choice = random.Random(seed)
    keys = {
        "".join(choice.choices("ab/ %+\u00e9\U0001f600", k=choice.randint(1, 6))) for _ in range(80)
    }
    for key in keys:
        world.put(key, b"", 0)
    lanes, seen = [Lane()], list[Scanned]()
    while lanes:
        lane = lanes.pop()
        scan = Ks3Source(access_to(world.service), world.prefix, page_size=5).scan(lane)
        for entry in scan:
            seen.append(entry)
            if choice.random() < 0.2 and (given := scan.split()):
                lanes.append(given)
            if choice.random() < 0.2:
                lanes.append(Lane(entry.cursor, scan.until))
                break
    assert sorted(entry.info.key for entry in seen) == sorted(keys)


async def test_the_bucket_is_in_the_name_of_the_host_or_in_the_path() -> None:
    region = "ks3-cn-beijing.ksyuncs.com"
    with Ks3Server(token="temporary") as service:
        service.put(BUCKET, "a//b c", b"body")
        access = access_to(service, security_token="temporary")
        for endpoint in (
            Endpoint("http", region, 80),
            Endpoint("http", f"{BUCKET}.{region}", 80),
            access.endpoint,
        ):
            transport = Transport()
            if endpoint.port == 80:
                proxies = Proxies({"http": f"http://127.0.0.1:{service.port}"})
                transport = Transport(proxies=proxies)
            source = Ks3Source(access._replace(endpoint=endpoint), "", transport)
            info = await source.stat("a//b c")
            assert (await source.read(info, 0, 4)).body == b"body"
            await source.close()
            await transport.close()
        with pytest.raises(Fatal, match="srcSecurityToken"):
            Ks3Source(access._replace(security_token="old"), "").check()


def test_a_bucket_of_another_region_is_told_with_its_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Ks3Server(region="cn-shanghai") as service:
        service.put(BUCKET, "key", b"body")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{service.port}")
        elsewhere = Endpoint("http", "ks3-cn-beijing.ksyuncs.com", 80)
        source = Ks3Source(access_to(service, endpoint=elsewhere), "")
        with pytest.raises(Fatal, match=r"the bucket is at ks3-cn-shanghai\.ksyuncs\.com"):
            source.check()


async def test_what_travels_with_an_object_comes_with_it(world: Ks3World) -> None:
    headers = {
        "Content-Type": "text/x-odd",
        "Cache-Control": "no-cache",
        "Content-Disposition": "attachment; filename=a.txt",
        "Content-Encoding": "identity",
        "Content-Language": "zh-CN",
        "Expires": "Wed, 08 Jul 2026 16:57:01 GMT",
    }
    stored = {name.lower(): value for name, value in headers.items()}
    key = f"{world.prefix}key"
    world.service.put(BUCKET, key, b"body", stored | {"x-kss-meta-color": "red"}, parts=2)
    source = world.open()
    (entry,) = source.scan(Lane())
    whole = await source.read(entry.info, 0, 4)
    assert at_oss(whole) == headers | {"x-oss-meta-color": "red"}
    assert whole.checksum == Checksum("crc64", str(crc64(b"body")))
    assert (await source.read(entry.info, 0, 0)).checksum == whole.checksum
    assert (await source.stat("key")).crc64 == crc64(b"body")
    await source.close()


async def test_an_archived_object_fails_with_a_cure_and_does_not_stop_the_job(
    world: Ks3World,
) -> None:
    world.service.put(BUCKET, f"{world.prefix}old", b"body").archived = True
    source = world.open()
    (entry,) = source.scan(Lane())
    with pytest.raises(Permanent, match="restore it") as caught:
        await source.read(entry.info, 0, 4)
    assert caught.value.code == "InvalidObjectState"
    source.check()
    await source.close()


@pytest.mark.parametrize("size", [0, 1])
def test_the_marker_of_the_prefix_is_no_object_unless_it_has_bytes(
    world: Ks3World, size: int
) -> None:
    world.put("", b"x" * size, 0)
    world.put("a", b"", 0)
    marker, entry = world.open().scan(Lane())
    assert (marker.info.key, entry.info.key) == ("", "a")
    assert marker.verdict == (Verdict.COPY if size else Verdict.EXCLUDED)
    world.remove("")


@pytest.mark.parametrize(
    ("changed", "code", "cure"),
    [
        ({"secret_key": "wrong-secret"}, "SignatureDoesNotMatch", "srcSecretKey"),
        ({"access_key": "wrong-access"}, "InvalidAccessKeyId", "srcAccessKey"),
        ({"bucket": "no-such-bucket"}, "NoSuchBucket", "srcBucket"),
    ],
)
async def test_a_wrong_setting_stops_the_job_at_every_call(
    service: Ks3Server, world: Ks3World, changed: dict[str, str], code: str, cure: str
) -> None:
    world.put("key", b"body", 0)
    (entry,) = world.open().scan(Lane())
    source = Ks3Source(access_to(service, **changed), world.prefix)
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


@pytest.mark.parametrize("off", [-16 * 60, 16 * 60])
def test_a_clock_that_is_off_is_told_and_worth_another_try(service: Ks3Server, off: float) -> None:
    source = Ks3Source(access_to(service), "", clock=lambda: time.time() + off)
    with pytest.raises(Transient, match="set this host's clock"):
        list(source.scan(Lane()))


def test_a_job_s_settings_open_the_bucket(service: Ks3Server, tmp_path: Path) -> None:
    service.put(BUCKET, "opened/key", b"body")
    config = SourceConfig(
        type="ks3",
        access_key=service.access_key,
        secret_key=Secret(service.secret_key),
        domain=f"http://127.0.0.1:{service.port}",
        bucket=BUCKET,
        prefix="opened/",
    )
    source = open_source(config, scan_depth=1, scratch=tmp_path)
    source.check()
    assert [entry.info.key for entry in source.scan(Lane())] == ["key"]


def test_the_service_s_own_sdk_uses_the_server() -> None:
    """Its pins do not go with ours: it is compared with where somebody has installed it."""
    connection = pytest.importorskip("ks3.connection", reason="ks3sdk is not installed")
    with Ks3Server() as service:
        service.buckets[BUCKET] = {}
        bucket = connection.Connection(
            service.access_key,
            service.secret_key,
            host="127.0.0.1",
            port=service.port,
            calling_format=connection.PathCallingFormat(),
            retry_policy=None,
        ).get_bucket(BUCKET)
        for key in ("a", "a//b", "/leading", "d/\u4e2d\u6587 +%"):
            bucket.new_key(key).set_contents_from_string(f"body of {key}")
        assert sorted(key.name for key in bucket.list(max_keys=2)) == sorted(
            ["a", "a//b", "/leading", "d/\u4e2d\u6587 +%"]
        )
        body = bucket.get_key("a//b").get_contents_as_string()
        assert body == b"body of a//b"
