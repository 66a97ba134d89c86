"""Requests go on with new credentials when the service takes the old ones no more."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ossimport.credentials import Credentials, Keys
from ossimport.dest.oss import OssDestination
from ossimport.errors import Fatal, Waiting
from ossimport.model import Lane, ObjectInfo
from ossimport.oss.bucket import Access as OssAccess
from ossimport.sandbox.auth import Temporary
from ossimport.sources.oss import OssSource
from ossimport.sources.s3 import Access, S3Source
from ossimport.sources.s3_place import find
from ossimport.transport import Endpoint, Transport
from tests.servers.sandbox import RunningSandbox, run_sandbox


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


def keys_of(*handed_out: Credentials) -> Keys:
    """Keys that get these one after the other, the last one again and again."""
    left = list(handed_out)

    def fetch() -> Credentials:
        return left.pop(0) if len(left) > 1 else left[0]

    return Keys(fetch, end="destCredentials", reference="file:/f", patience_s=0.05, poll_s=0.01)


def temporary(service: RunningSandbox, life: float) -> Credentials:
    """Keys of the sandbox that do not say when they expire."""
    found = Temporary(service.secret_key).issue(time.time() + life)
    return Credentials(found["AccessKeyId"], found["AccessKeySecret"], found["SecurityToken"])


def opened(service: RunningSandbox, keys: Keys, transport: Transport) -> OssDestination:
    return OssDestination(
        endpoint=Endpoint("http", "127.0.0.1", service.port),
        bucket=service.bucket,
        region=service.region,
        keys=keys,
        transport=transport,
    )


@pytest.mark.parametrize("op", ["put", "stat", "list", "upload", "check"])
async def test_every_kind_of_request_is_made_again(service: RunningSandbox, op: str) -> None:
    transport = Transport()
    keys = keys_of(*(temporary(service, life) for life in (-1, 3600, 3601)))
    dest = opened(service, keys, transport)
    try:
        if op == "put":
            assert (await dest.put(op, b"x", {})).etag
        elif op == "stat":
            assert await dest.stat("none") is None
        elif op == "list":
            assert await dest.list("none", "") == []
        elif op == "check":
            await dest.check()
        else:
            upload = await dest.start_upload(op, {})
            keys.refuse(keys.current, "test")
            part = await dest.upload_part(op, upload, 1, b"x" * 200_000)
            assert (await dest.finish_upload(op, upload, {1: part.etag})).etag
        assert keys.current.security_token
    finally:
        await dest.close()
        await transport.close()


async def test_without_others_the_job_is_to_wait(service: RunningSandbox) -> None:
    transport = Transport()
    dest = opened(service, keys_of(temporary(service, -1)), transport)
    try:
        for request in (dest.put("a", b"x", {}), dest.start_upload("a", {})):
            with pytest.raises(Waiting, match=r"refused \(SecurityTokenExpired\)"):
                await request
    finally:
        await dest.close()
        await transport.close()


async def test_others_that_are_refused_as_well_stop_the_job(service: RunningSandbox) -> None:
    transport = Transport()
    wrong = [temporary(service, -number) for number in range(1, 20)]
    dest = opened(service, keys_of(*wrong), transport)
    try:
        for request in (dest.put("a", b"x", {}), dest.start_upload("a", {})):
            with pytest.raises(Fatal, match="SecurityTokenExpired") as caught:
                await request
            assert not isinstance(caught.value, Waiting)
    finally:
        await dest.close()
        await transport.close()


def test_a_scan_of_oss_goes_on(service: RunningSandbox) -> None:
    for number in range(5):
        service.oss2().put_object(f"scan/{number}", b"x")
    keys = keys_of(temporary(service, -1), temporary(service, 3600))
    endpoint = Endpoint("http", "127.0.0.1", service.port)
    access = OssAccess(endpoint, service.bucket, service.region, "", "", keys=keys)
    source = OssSource(access, "scan/", page_size=2)
    try:
        assert len(list(source.scan(Lane()))) == 5
    finally:
        asyncio.run(source.close())


class S3(BaseHTTPRequestHandler):
    """A bucket of one object, which takes one access key."""

    protocol_version = "HTTP/1.1"
    good = "k1"

    def do_GET(self) -> None:
        found = re.search(r"Credential=([^/]+)/", self.headers["Authorization"])
        if found is None or found[1] != self.good:
            self._answer(400, b"<Error><Code>ExpiredToken</Code><Message>m</Message></Error>")
        elif "list-type" in self.path:
            self._answer(
                200,
                b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>4"
                b"</Size><LastModified>2023-11-14T22:13:20Z</LastModified><ETag>e</ETag></Contents>"
                b"</ListBucketResult>",
            )
        elif "Range" in self.headers:
            self._answer(206, b"b", {"Content-Range": "bytes 0-0/4"})
        else:
            self._answer(200, b"body")

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"ETag": '"e"', **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def s3() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), S3) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("op", ["scan", "stat", "read"])
async def test_s3_goes_on_with_new_credentials(s3: str, op: str) -> None:
    keys = keys_of(Credentials("k0", "s", "t"), Credentials("k1", "s", "t"))
    transport = Transport()
    source = S3Source(Access(find(s3, "bucket"), "", "", keys=keys), "", transport)
    try:
        if op == "scan":
            entries = await asyncio.to_thread(lambda: list(source.scan(Lane())))
            assert [entry.info.key for entry in entries] == ["a"]
        elif op == "stat":
            assert (await source.stat("a")).size == 4
        else:
            assert (await source.read(ObjectInfo("a", 4, 0, "e"), 0, 4)).body == b"body"
        assert keys.current.access_key == "k1"
    finally:
        await source.close()
        await transport.close()


async def test_s3_without_others_is_to_wait(s3: str) -> None:
    transport = Transport()
    keys = keys_of(Credentials("k0", "s", "t"))
    source = S3Source(Access(find(s3, "bucket"), "", "", keys=keys), "", transport)
    try:
        with pytest.raises(Waiting, match=r"refused \(ExpiredToken\)"):
            await source.stat("a")
    finally:
        await source.close()
        await transport.close()
