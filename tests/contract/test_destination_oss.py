"""OSS's client keeps the contract against the sandbox: a real process, real sockets, V4 verified.

What it stored is read back by stock oss2.
"""

import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import oss2
import pytest
from oss2.credentials import StaticCredentialsProvider

from ossimport.dest.oss import OssDestination
from ossimport.errors import Fatal, StorageError, Transient
from ossimport.model import Origin
from ossimport.transport import Endpoint, Transport
from tests.contract.destination_contract import PLAIN, DestinationContract, Subject, start
from tests.servers.sandbox import RunningSandbox, run_sandbox

_numbers = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def bucket(service: RunningSandbox) -> Iterator[Any]:
    """Stock oss2, as anybody would use it."""
    provider = StaticCredentialsProvider(service.access_key, service.secret_key)
    session = oss2.Session()
    yield oss2.Bucket(
        oss2.ProviderAuthV4(provider),
        service.endpoint,
        service.bucket,
        session=session,
        region=service.region,
    )
    session.session.close()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.close()


def open_dest(service: RunningSandbox, transport: Transport, **changed: Any) -> OssDestination:
    """The sandbox's bucket with the right settings, but for those that are `changed`."""
    settings = {
        "endpoint": Endpoint("http", "127.0.0.1", service.port),
        "bucket": service.bucket,
        "access_key": service.access_key,
        "secret_key": service.secret_key,
        "region": service.region,
    }
    return OssDestination(transport=transport, **(settings | changed))


@pytest.fixture
async def dest(service: RunningSandbox, transport: Transport) -> AsyncIterator[OssDestination]:
    dest = open_dest(service, transport)
    yield dest
    await dest.close()


class TestOssDestination(DestinationContract):
    """The contract, over the sandbox."""

    @pytest.fixture
    def subject(self, bucket: Any, dest: OssDestination) -> Subject:
        def read(key: str) -> tuple[bytes, dict[str, str]]:
            found = bucket.get_object(key)
            return found.read(), {name.lower(): value for name, value in found.headers.items()}

        return Subject(dest, read, f"test-{next(_numbers)}/", bucket.bucket_name)


async def every_error(dest: OssDestination) -> dict[str, StorageError]:
    """The error of each operation, all of which must fail."""
    origin = Origin("sandbox", "origin", "etag", 0, {})
    calls = {
        "check": dest.check(),
        "list": dest.list("", ""),
        "stat": dest.stat("key"),
        "put": dest.put("key", b"body", PLAIN),
        "copy_from": dest.copy_from("key", origin, {}),
        "copy_part_from": dest.copy_part_from("key", "0004B9", 1, origin, range(1)),
        "start_upload": dest.start_upload("key", PLAIN),
        "upload_part": dest.upload_part("key", "0004B9", 1, b"body"),
        "list_parts": dest.list_parts("key", "0004B9"),
        "finish_upload": dest.finish_upload("key", "0004B9", {1: "etag"}),
        "abort_upload": dest.abort_upload("key", "0004B9"),
    }
    errors = {}
    for name, call in calls.items():
        with pytest.raises(StorageError) as caught:
            await call
        errors[name] = caught.value
    return errors


@pytest.mark.parametrize(
    ("changed", "code", "cure"),
    [
        ({"secret_key": "wrong-secret"}, "SignatureDoesNotMatch", "destSecretKey"),
        ({"access_key": "wrong-access"}, "InvalidAccessKeyId", "destAccessKey"),
        ({"bucket": "no-such-bucket"}, "NoSuchBucket", "destBucket"),
    ],
)
async def test_a_wrong_setting_stops_the_job_at_every_call(
    service: RunningSandbox, transport: Transport, changed: dict[str, str], code: str, cure: str
) -> None:
    dest = open_dest(service, transport, **changed)
    for op, error in (await every_error(dest)).items():
        assert isinstance(error, Fatal), op
        assert (error.op, error.code) == (op, code)
        assert error.request_id
        assert cure in str(error)
        assert "wrong-secret" not in repr(error) + str(error)
    await dest.close()


@pytest.mark.parametrize("off", [-16 * 60, 16 * 60])
async def test_a_clock_that_is_off_is_told_and_worth_another_try(
    service: RunningSandbox, transport: Transport, off: float
) -> None:
    dest = open_dest(service, transport, clock=lambda: time.time() + off)
    with pytest.raises(Transient, match="set this host's clock") as caught:
        await dest.put("key", b"body", PLAIN)
    assert caught.value.code == "RequestTimeTooSkewed"
    await dest.close()


async def test_an_upload_can_be_gone_on_with_by_another_process(
    service: RunningSandbox, transport: Transport, dest: OssDestination
) -> None:
    upload_id, parts = await start(dest, "resumed", b"body")
    again = open_dest(service, transport)
    held = await again.list_parts("resumed", upload_id)
    assert {number: part.etag for number, part in held.items()} == parts
    stored = await again.finish_upload("resumed", upload_id, parts)
    info = await dest.stat("resumed")
    assert info is not None
    assert info.crc64 == stored.crc64
    await again.close()


async def test_what_is_stored_beside_the_bytes(bucket: Any, dest: OssDestination) -> None:
    class_and_tags = {"x-oss-storage-class": "IA", "x-oss-tagging": "a=b%20c"}
    acl = {"x-oss-object-acl": "public-read"}
    put = await dest.put("whole", b"body", class_and_tags | acl)
    assert put.crc64 is not None
    upload_id = await dest.start_upload("parts", class_and_tags)
    part = await dest.upload_part("parts", upload_id, 1, b"body")
    await dest.finish_upload("parts", upload_id, {1: part.etag}, acl="public-read")
    origin = Origin("sandbox", "whole", put.etag, put.crc64, {})
    await dest.copy_from("copy", origin, class_and_tags | acl)
    for key in ("whole", "parts", "copy"):
        assert bucket.head_object(key).headers["x-oss-storage-class"] == "IA"
        assert bucket.get_object_tagging(key).tag_set.tagging_rule == {"a": "b c"}
        assert bucket.get_object_acl(key).acl == "public-read"


async def test_a_copy_leaves_tags_and_metadata_behind(bucket: Any, dest: OssDestination) -> None:
    put = bucket.put_object("tagged", b"body", {"x-oss-tagging": "a=b", "x-oss-meta-a": "b"})
    await dest.copy_from("copy", Origin("sandbox", "tagged", put.etag, put.crc, {}), {})
    assert "x-oss-tagging-count" in bucket.head_object("tagged").headers
    assert "x-oss-tagging-count" not in bucket.head_object("copy").headers
    assert "x-oss-meta-a" not in bucket.head_object("copy").headers


async def test_a_check_leaves_no_upload_behind(bucket: Any, dest: OssDestination) -> None:
    await dest.check("some/where/")
    assert bucket.list_multipart_uploads(prefix="some/where/").upload_list == []
    upload_id, _ = await start(dest, "some/where/else")
    assert len(bucket.list_multipart_uploads(prefix="some/where/").upload_list) == 1
    await dest.abort_upload("some/where/else", upload_id)


async def test_bytes_of_utf8_in_a_header_arrive_as_they_were_sent(
    bucket: Any, dest: OssDestination
) -> None:
    headers = {"x-oss-meta-name": "caf\u00e9 \u4e2d".encode().decode("latin-1")}
    await dest.put("put", b"x", headers)
    upload_id = await dest.start_upload("upload", headers)
    part = await dest.upload_part("upload", upload_id, 1, b"x")
    await dest.finish_upload("upload", upload_id, {1: part.etag})
    for key in ("put", "upload"):
        kept = bucket.head_object(key).headers["x-oss-meta-name"]
        assert kept == headers["x-oss-meta-name"]
