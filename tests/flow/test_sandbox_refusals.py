"""What the sandbox refuses, in OSS's codes, and what it says of buckets."""

import base64
import hashlib
import http.client
import itertools
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import oss2
import pytest
from oss2.exceptions import ServerError
from oss2.models import Tagging, TaggingRule

from tests.servers.sandbox import RunningSandbox, run_sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(params=["v1", "v4"])
def bucket(sandbox: RunningSandbox, request: pytest.FixtureRequest) -> Iterator[Any]:
    bucket = sandbox.oss2(request.param)
    yield bucket
    for listed in oss2.ObjectIterator(bucket):
        bucket.delete_object(listed.key)
    for upload in oss2.MultipartUploadIterator(bucket):
        bucket.abort_multipart_upload(upload.key, upload.upload_id)
    bucket.session.session.close()


def test_what_is_not_there_is_said_not_to_be_there(bucket: Any) -> None:
    for call in (bucket.get_object, bucket.head_object, bucket.get_object_meta):
        with pytest.raises(oss2.exceptions.NoSuchKey) as caught:
            call("none ü")
        assert caught.value.status == 404
        assert caught.value.details["Key"] == "none ü"
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.copy_object(bucket.bucket_name, "none", "k")
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object_acl("none")
    bucket.delete_object("none")


def test_a_bucket_that_is_not_there_is_said_not_to_be_there(sandbox: RunningSandbox) -> None:
    other = sandbox.oss2(bucket="not-there")
    with pytest.raises(oss2.exceptions.NoSuchBucket) as caught:
        other.put_object("k", b"x" * 1_000_000)
    assert caught.value.details["BucketName"] == "not-there"
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        other.list_objects_v2()
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        other.head_object("k")
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        other.get_bucket_info()
    other.session.session.close()


@pytest.mark.parametrize("key", ["/leading", "\\leading", "x" * 1024, "é" * 512])
def test_illegal_keys_are_refused(bucket: Any, key: str) -> None:
    with pytest.raises(oss2.exceptions.InvalidObjectName):
        bucket.put_object(key, b"")
    with pytest.raises(oss2.exceptions.InvalidObjectName):
        bucket.copy_object(bucket.bucket_name, key, "k")


def test_an_object_is_not_overwritten_when_that_is_forbidden(bucket: Any) -> None:
    headers = {"x-oss-forbid-overwrite": "true"}
    bucket.put_object("k", b"first", headers=headers)
    upload_id = bucket.init_multipart_upload("late").upload_id
    part = bucket.upload_part("late", upload_id, 1, b"x")
    bucket.put_object("late", b"first")
    bucket.put_object("source", b"second")
    parts = [oss2.models.PartInfo(1, part.etag)]
    for call in (
        lambda: bucket.put_object("k", b"second", headers=headers),
        lambda: bucket.init_multipart_upload("k", headers=headers),
        lambda: bucket.copy_object(bucket.bucket_name, "source", "k", headers=headers),
        lambda: bucket.complete_multipart_upload("late", upload_id, parts, headers=headers),
        lambda: bucket.put_symlink("source", "k", headers=headers),
    ):
        assert refusal(call) == (409, "FileAlreadyExists")
    assert bucket.get_object("k").read() == b"first"
    assert bucket.get_object("late").read() == b"first"
    bucket.put_object("k", b"second", headers={"x-oss-forbid-overwrite": "false"})


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(ServerError) as caught:
        call()
    return caught.value.status, caught.value.code


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def test_a_body_must_have_the_md5_that_it_is_said_to_have(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    bucket.put_object("k", b"body", headers={"Content-MD5": md5(b"body")})
    for text in (md5(b"other"), "not base64!", base64.b64encode(b"short").decode()):
        headers = {"Content-MD5": text}
        for call in (
            lambda h=headers: bucket.put_object("k", b"else", headers=h),
            lambda h=headers: bucket.upload_part("k", upload_id, 1, b"else", headers=h),
            lambda h=headers: bucket.append_object("new", 0, b"else", headers=h),
        ):
            assert refusal(call) == (400, "InvalidDigest")
    assert bucket.get_object("k").read() == b"body"
    assert not bucket.object_exists("new")
    assert bucket.list_parts("k", upload_id).parts == []


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-oss-server-side-encryption": "ROT13"}, "InvalidEncryptionAlgorithmError"),
        ({"x-oss-storage-class": "Attic"}, "InvalidArgument"),
        ({"x-oss-object-acl": "everyone"}, "InvalidArgument"),
        ({"x-oss-tagging": "a=1&a=2"}, "InvalidTag"),
        ({"x-oss-tagging": "&".join(f"{n}=" for n in range(11))}, "InvalidTag"),
        ({"x-oss-tagging": "a=%21"}, "InvalidTag"),
        ({f"x-oss-meta-{n}": "x" * 3000 for n in range(3)}, "InvalidArgument"),
        ({"x-oss-callback": "e30="}, "NotImplemented"),
    ],
)
def test_bad_headers_are_refused(bucket: Any, headers: dict[str, str], code: str) -> None:
    assert refusal(lambda: bucket.put_object("k", b"", headers=headers)) == (400, code)
    assert not bucket.object_exists("k")


def test_bad_parameters_are_refused(bucket: Any) -> None:
    assert refusal(lambda: bucket.list_objects(max_keys=1001)) == (400, "InvalidArgument")
    assert refusal(lambda: bucket.list_objects(max_keys=0)) == (400, "InvalidArgument")
    token = {"continuation_token": "é!"}
    assert refusal(lambda: bucket.list_objects_v2(**token)) == (400, "InvalidArgument")
    assert refusal(lambda: bucket.append_object("k", -1, b"")) == (400, "InvalidArgument")
    assert refusal(lambda: bucket.put_object_acl("k", "x")) in {
        (404, "NoSuchKey"),
        (400, "InvalidArgument"),
    }
    keys = [str(n) for n in range(1001)]
    assert refusal(lambda: bucket.batch_delete_objects(keys)) == (400, "MalformedXML")
    rule = TaggingRule()
    for n in range(11):
        rule.add(str(n), "")
    bucket.put_object("k", b"")
    assert refusal(lambda: bucket.put_object_tagging("k", Tagging(rule))) == (400, "InvalidTag")


def test_what_is_not_implemented_is_not_taken_for_something_else(bucket: Any) -> None:
    bucket.put_object("k", b"")
    for call in (
        bucket.get_bucket_lifecycle,
        bucket.delete_bucket_lifecycle,
        bucket.delete_bucket_tagging,
        bucket.get_bucket_versioning,
        lambda: bucket.put_bucket_transfer_acceleration("true"),
        lambda: bucket.get_object("k", process="image/resize,w_1"),
        lambda: bucket.delete_object("k", params={"versionId": "x"}),
    ):
        assert refusal(call)[1] in {"NotImplemented", "MethodNotAllowed"}
    assert bucket.object_exists("k")


def test_a_bucket_says_what_it_is(bucket: Any, sandbox: RunningSandbox) -> None:
    info = bucket.get_bucket_info()
    assert (info.name, info.location) == ("sandbox", "oss-cn-hangzhou")
    assert (info.storage_class, info.acl.grant) == ("Standard", "private")
    assert info.extranet_endpoint == info.intranet_endpoint == f"127.0.0.1:{sandbox.port}"
    assert bucket.get_bucket_location().location == "oss-cn-hangzhou"
    assert bucket.get_bucket_acl().acl == "private"
    bucket.put_object("a", b"12345")
    bucket.put_object("b", b"678")
    bucket.init_multipart_upload("c")
    stat = bucket.get_bucket_stat()
    assert (stat.object_count, stat.storage_size_in_bytes) == (2, 8)
    assert stat.multi_part_upload_count == 1


def test_buckets_come_and_go(sandbox: RunningSandbox) -> None:
    other = sandbox.oss2(bucket="another-bucket")
    other.create_bucket("public-read", oss2.models.BucketCreateConfig("IA"))
    info = other.get_bucket_info()
    assert (info.acl.grant, info.storage_class) == ("public-read", "IA")
    other.create_bucket()
    assert other.get_bucket_acl().acl == "public-read"
    other.put_object("k", b"")
    assert other.head_object("k").headers["x-oss-storage-class"] == "IA"
    with pytest.raises(oss2.exceptions.BucketNotEmpty):
        other.delete_bucket()
    service = oss2.Service(other.auth, sandbox.endpoint, region=sandbox.region)
    names = [found.name for found in oss2.BucketIterator(service, max_keys=1)]
    assert names == ["another-bucket", "sandbox"]
    other.delete_object("k")
    upload_id = other.init_multipart_upload("k").upload_id
    with pytest.raises(oss2.exceptions.BucketNotEmpty):
        other.delete_bucket()
    other.abort_multipart_upload("k", upload_id)
    other.delete_bucket()
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        other.list_objects()
    for client in (other, service):
        client.session.session.close()


def answer(
    sandbox: RunningSandbox, method: str, key: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, bytes, dict[str, str]]:
    """Send just these headers and this body, whether they fit or not."""
    bucket = sandbox.oss2()
    parts = urlsplit(bucket.sign_url(method, key, 60))
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=60)
    connection.putrequest(method, f"{parts.path}?{parts.query}")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    got = connection.getresponse()
    result = got.status, got.read(), dict(got.getheaders())
    connection.close()
    return result


def test_a_put_without_a_length_is_refused(sandbox: RunningSandbox) -> None:
    status, body, _ = answer(sandbox, "PUT", "k", {})
    assert status == 411
    assert b"<Code>MissingContentLength</Code>" in body


def test_more_than_five_gigabytes_are_refused_before_they_come(sandbox: RunningSandbox) -> None:
    status, body, _ = answer(sandbox, "PUT", "k", {"Content-Length": str((5 << 30) + 1)})
    assert status == 400
    assert b"<Code>EntityTooLarge</Code>" in body


def test_who_expects_to_be_asked_is_answered_before_the_body(sandbox: RunningSandbox) -> None:
    headers = {"Content-Length": "10", "Expect": "100-continue", "x-oss-not-signed": "1"}
    status, body, _ = answer(sandbox, "PUT", "k", headers)
    assert (status, b"<Code>SignatureDoesNotMatch</Code>" in body) == (403, True)


def test_unknown_methods_are_refused(sandbox: RunningSandbox) -> None:
    status, body, _ = answer(sandbox, "PATCH", "k", {})
    assert (status, b"<Code>MethodNotAllowed</Code>" in body) == (405, True)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/sandbox/?prefix=%FF", 400),
        ("/sandbox/?OSSAccessKeyId=a&Signature=b&Expires=" + "9" * 5000, 403),
        ("http://[oops/sandbox/", 400),
        ("*", 403),
        ("/%FF/k", 400),
    ],
)
def test_nonsense_gets_an_answer(sandbox: RunningSandbox, target: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=60) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = b"".join(iter(lambda: client.recv(65536), b""))
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\n\r\n<?xml" in got


def test_numbers_beyond_all_sense_are_refused(bucket: Any) -> None:
    bucket.put_object("k", b"body")
    long = "9" * 5000
    assert refusal(lambda: bucket.list_objects(max_keys=long)) == (400, "InvalidArgument")
    got = bucket.get_object("k", headers={"Range": f"bytes=0-{long}"})
    assert (got.status, got.read()) == (200, b"body")


def test_a_connection_serves_on_after_a_refusal(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    good, bad = bucket.sign_url("PUT", "k", 60), bucket.sign_url("PUT", "other", 60)
    bad = bad.replace("other", "third")
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=60)
    connection.connect()
    same = connection.sock
    for url, status in itertools.islice(itertools.cycle([(bad, 403), (good, 200)]), 6):
        connection.request("PUT", url.removeprefix(sandbox.endpoint), b"x" * 2_000_000)
        got = connection.getresponse()
        assert (got.status, bool(got.read()) or status == 200) == (status, True)
        assert connection.sock is same
    connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Other/>",
        b"<Delete></Delete>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>',
    ],
)
def test_broken_xml_is_refused(sandbox: RunningSandbox, body: bytes) -> None:
    bucket = sandbox.oss2()
    request = oss2.http.Request(
        "POST",
        f"{sandbox.endpoint}/{sandbox.bucket}/",
        body,
        {"delete": ""},
        region=sandbox.region,
        product="oss",
    )
    bucket.auth._sign_request(request, sandbox.bucket, "")
    got = bucket.session.do_request(request, 60)
    assert (got.status, b"<Code>MalformedXML</Code>" in got.read()) == (400, True)
    bucket.session.session.close()
