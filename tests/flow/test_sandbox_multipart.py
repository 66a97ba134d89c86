"""Multipart uploads of stock oss2 against the sandbox."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oss2
import pytest
from oss2.models import PartInfo

from tests.servers.sandbox import RunningSandbox, run_sandbox

PART = 100 * 1024  # bytes; what OSS demands of all parts but the last
BODIES = [bytes([65 + n]) * (PART + n) for n in range(4)] + [b"the end"]


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


def send(bucket: Any, key: str, upload_id: str, number: int, body: bytes) -> PartInfo:
    sent = bucket.upload_part(key, upload_id, number, body)
    assert sent.etag == hashlib.md5(body).hexdigest().upper()
    return PartInfo(number, sent.etag, size=len(body), part_crc=sent.crc)


def test_parts_sent_in_any_order_make_one_object(bucket: Any) -> None:
    headers = {"x-oss-meta-a": "1", "Content-Type": "text/x", "x-oss-tagging": "t=1"}
    upload_id = bucket.init_multipart_upload("a/ü +", headers=headers).upload_id
    numbers = [10_000, 7, 3, 2, 1]
    parts = [
        send(bucket, "a/ü +", upload_id, number, body)
        for number, body in zip(numbers, reversed(BODIES), strict=True)
    ]
    assert not bucket.object_exists("a/ü +")
    done = bucket.complete_multipart_upload("a/ü +", upload_id, parts)  # compares CRC64 itself
    head = bucket.head_object("a/ü +")
    assert bucket.get_object("a/ü +").read() == b"".join(BODIES)
    assert head.object_type == "Multipart"
    assert head.server_crc == done.crc
    assert head.etag == done.etag
    assert done.etag.endswith("-5")
    assert head.headers["x-oss-meta-a"] == "1"
    assert head.headers["x-oss-tagging-count"] == "1"
    assert head.content_type == "text/x"
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.list_parts("a/ü +", upload_id)


def test_a_part_sent_again_replaces_the_first(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    first = send(bucket, "k", upload_id, 1, b"old" * 100_000)
    second = send(bucket, "k", upload_id, 1, b"new" * 100_000)
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.complete_multipart_upload("k", upload_id, [first])
    assert caught.value.code == "InvalidPart"
    bucket.complete_multipart_upload("k", upload_id, [second])
    assert bucket.get_object("k").read() == b"new" * 100_000


def test_an_object_may_be_made_of_some_of_the_parts(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    parts = [send(bucket, "k", upload_id, n, BODIES[n]) for n in (1, 2, 3)]
    bucket.complete_multipart_upload("k", upload_id, [parts[0], parts[2]])
    assert bucket.get_object("k").read() == BODIES[1] + BODIES[3]


def test_complete_all_takes_every_part(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    for number, body in enumerate(BODIES, 1):
        send(bucket, "k", upload_id, number, body)
    bucket.complete_multipart_upload("k", upload_id, None, headers={"x-oss-complete-all": "yes"})
    assert bucket.get_object("k").read() == b"".join(BODIES)


def test_what_does_not_fit_together_is_refused(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    small = send(bucket, "k", upload_id, 1, b"too small")
    last = send(bucket, "k", upload_id, 2, b"last")

    def refusal(parts: list[PartInfo]) -> str:
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.complete_multipart_upload("k", upload_id, parts)
        return str(caught.value.code)

    assert refusal([small, last]) == "EntityTooSmall"
    assert refusal([PartInfo(3, last.etag)]) == "InvalidPart"
    assert refusal([PartInfo(2, small.etag)]) == "InvalidPart"
    assert refusal([last, last]) == "InvalidPartOrder"
    assert refusal([]) == "MalformedXML"
    bucket.complete_multipart_upload("k", upload_id, [last])
    assert bucket.get_object("k").read() == b"last"


@pytest.mark.parametrize("number", [0, 10_001])
def test_part_numbers_have_limits(bucket: Any, number: int) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    with pytest.raises(oss2.exceptions.InvalidArgument):
        bucket.upload_part("k", upload_id, number, b"x")


def test_an_aborted_upload_is_gone(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    part = send(bucket, "k", upload_id, 1, b"x")
    bucket.abort_multipart_upload("k", upload_id)
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.abort_multipart_upload("k", upload_id)
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.upload_part("k", upload_id, 1, b"x")
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.complete_multipart_upload("k", upload_id, [part])


def test_an_upload_belongs_to_its_key(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.list_parts("other", upload_id)


def test_parts_are_listed_in_pages(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    sent = [send(bucket, "k", upload_id, number, b"x" * number) for number in (5, 1, 9, 3)]
    for limit in (1, 2, 1000):
        listed = list(oss2.PartIterator(bucket, "k", upload_id, max_parts=limit))
        assert [(p.part_number, p.etag, p.size) for p in listed] == sorted(
            (p.part_number, p.etag, p.size) for p in sent
        )
    page = bucket.list_parts("k", upload_id, max_parts=2)
    assert (page.is_truncated, page.next_marker) == (True, "3")


def test_uploads_are_listed_in_pages(bucket: Any) -> None:
    started = [
        (key, bucket.init_multipart_upload(key).upload_id)
        for key in ("a/1", "a/1", "a/1", "a/2", "b", "c/ü +")
    ]
    for limit in (1, 2, 1000):
        listed = oss2.MultipartUploadIterator(bucket, max_uploads=limit)
        assert [(u.key, u.upload_id) for u in listed] == sorted(started)
        grouped = oss2.MultipartUploadIterator(bucket, delimiter="/", max_uploads=limit)
        assert [u.key for u in grouped] == ["a/", "b", "c/"]
    only = oss2.MultipartUploadIterator(bucket, prefix="a/2")
    assert [u.key for u in only] == ["a/2"]


def test_parts_are_copied_from_objects(bucket: Any) -> None:
    name = bucket.bucket_name
    for source, body in (("small ü+", b"0123456789"), ("large", b"x" * PART + b"y" * PART)):
        bucket.put_object(source, body)
        upload_id = bucket.init_multipart_upload("k").upload_id
        whole = bucket.upload_part_copy(name, source, None, "k", upload_id, 1)
        assert whole.etag == hashlib.md5(body).hexdigest().upper()
        ranged = bucket.upload_part_copy(name, source, (3, 5), "k", upload_id, 2)
        assert ranged.etag == hashlib.md5(body[3:6]).hexdigest().upper()
        bucket.delete_object(source)
        parts = [PartInfo(1, whole.etag), PartInfo(2, ranged.etag)][: len(body) // PART or 1]
        done = bucket.complete_multipart_upload("k", upload_id, parts)
        expected = oss2.utils.Crc64()
        expected.update(body + body[3:6] if len(parts) == 2 else body)
        assert done.crc == expected.crc
        assert bucket.get_object("k").read() == (body + body[3:6] if len(parts) == 2 else body)


def test_a_copied_multipart_object_keeps_its_tag_and_crc(bucket: Any) -> None:
    upload_id = bucket.init_multipart_upload("k").upload_id
    parts = [send(bucket, "k", upload_id, n, BODIES[n]) for n in (1, 2)]
    done = bucket.complete_multipart_upload("k", upload_id, parts)
    bucket.copy_object(bucket.bucket_name, "k", "copy")
    bucket.delete_object("k")
    head = bucket.head_object("copy")
    assert (head.etag, head.server_crc) == (done.etag, done.crc)
    assert bucket.get_object("copy").read() == BODIES[1] + BODIES[2]


def test_oss2_resumes_its_own_uploads(bucket: Any, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(hashlib.shake_128(b"x").digest(1_500_000))
    store = oss2.ResumableStore(root=str(tmp_path))
    oss2.resumable_upload(
        bucket, "k", str(path), store, multipart_threshold=PART, part_size=PART, num_threads=3
    )
    oss2.resumable_download(bucket, "k", str(tmp_path / "back"), multiget_threshold=PART)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_the_bytes_of_replaced_and_deleted_objects_leave_the_disk(
    bucket: Any, sandbox: RunningSandbox
) -> None:
    def stored() -> int:
        files = (sandbox.directory / "data").rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())

    assert stored() == 0
    upload_id = bucket.init_multipart_upload("k").upload_id
    parts = [send(bucket, "k", upload_id, n, BODIES[n]) for n in (1, 2, 3)]
    send(bucket, "k", upload_id, 3, b"replaced")
    bucket.complete_multipart_upload("k", upload_id, parts[:2])
    assert stored() == len(BODIES[1]) + len(BODIES[2])
    bucket.copy_object(bucket.bucket_name, "k", "copy")
    bucket.put_object("k", b"x" * 70_000)
    assert stored() == len(BODIES[1]) + len(BODIES[2]) + 70_000
    bucket.batch_delete_objects(["k", "copy"])
    assert stored() == 0
