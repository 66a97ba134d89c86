"""Stock oss2 reads, writes and lists objects of the sandbox, with V1 and V4 signatures."""

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oss2
import pytest
from oss2.models import Tagging, TaggingRule

from tests.servers.migration import wait_for
from tests.servers.sandbox import RunningSandbox, run_sandbox

ODD_KEYS = [
    "a",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    "100%",
    "%2F",
    "a+b c",
    "?&=#",
    "日本 語/ключ",
    "😀",
    "\x01\x1f\x7f\n\t",
    "~.-_",
    "<&>\"'",
    "x" * 1023,
    "é" * 511,
]


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
    bucket.session.session.close()


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_comes_back_with_its_bytes(bucket: Any, key: str) -> None:
    body = b"of " + key.encode()
    put = bucket.put_object(key, body)
    assert put.etag == hashlib.md5(body).hexdigest().upper()
    assert bucket.get_object(key).read() == body
    assert bucket.head_object(key).content_length == len(body)
    assert [listed.key for listed in bucket.list_objects_v2(prefix=key).object_list] == [key]
    assert [listed.key for listed in bucket.list_objects(prefix=key).object_list] == [key]
    if key.isprintable():  # XML, in which the list goes, has no control characters
        assert bucket.batch_delete_objects([key]).deleted_keys == [key]
    bucket.delete_object(key)
    assert not bucket.object_exists(key)


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_bodies_of_all_sizes_come_back(bucket: Any, size: int) -> None:
    body = hashlib.shake_128(str(size).encode()).digest(size)
    put = bucket.put_object("k", body)
    expected = oss2.utils.Crc64()
    expected.update(body)
    assert put.crc == expected.crc
    assert base64.b64decode(put.headers["Content-MD5"]) == hashlib.md5(body).digest()
    got = bucket.get_object("k")
    assert got.read() == body
    assert got.server_crc == got.client_crc == expected.crc


def test_a_body_of_unknown_length_is_taken_in_chunks(bucket: Any) -> None:
    pieces = [b"x" * 70_000, b"y", b"z" * 300_000]
    bucket.put_object("k", iter(pieces))
    assert bucket.get_object("k").read() == b"".join(pieces)


def test_overwriting_replaces_bytes_and_metadata(bucket: Any) -> None:
    bucket.put_object("k", b"old" * 50_000, headers={"x-oss-meta-a": "1"})
    bucket.put_object("k", b"new", headers={"x-oss-meta-b": "2"})
    head = bucket.head_object("k")
    assert bucket.get_object("k").read() == b"new"
    assert "x-oss-meta-a" not in head.headers
    assert head.headers["x-oss-meta-b"] == "2"


def test_what_describes_an_object_comes_back(bucket: Any) -> None:
    sent = {
        "Content-Type": "text/css",
        "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="a b"',
        "Content-Encoding": "identity",
        "Content-Language": "de",
        "Expires": "Fri, 28 Feb 2031 05:38:42 GMT",
        "x-oss-meta-Some_Name": "value",
        "x-oss-server-side-encryption": "AES256",
        "x-oss-storage-class": "IA",
        "x-oss-tagging": "a=1&b=2",
    }
    put = bucket.put_object("k", b"body", headers=sent)
    assert put.headers["x-oss-server-side-encryption"] == "AES256"
    got = bucket.get_object("k")
    assert got.read() == b"body"
    for head in (bucket.head_object("k"), got):
        for name, value in sent.items():
            if name != "x-oss-tagging":
                assert head.headers[name] == value
        assert head.headers["x-oss-tagging-count"] == "2"
        assert head.headers["Accept-Ranges"] == "bytes"
        assert head.object_type == "Normal"
        assert head.etag == put.etag
        assert head.server_crc == put.crc
        assert "x-oss-meta-some_name" in list(head.headers)  # in lower case, as OSS writes it


def test_the_metadata_call_says_size_and_tag_only(bucket: Any) -> None:
    put = bucket.put_object("k", b"body")
    meta = bucket.get_object_meta("k")
    assert (meta.content_length, meta.etag) == (4, put.etag)
    assert "x-oss-object-type" not in meta.headers


@pytest.mark.parametrize(
    ("wanted", "standard", "expected"),
    [
        ("bytes=2-4", False, b"234"),
        ("bytes=2-", False, b"23456789"),
        ("bytes=-3", False, b"789"),
        ("bytes=0-9", False, b"0123456789"),
        ("bytes=0-1,4-5", False, b"01"),
        ("bytes=5-10", True, b"56789"),
        ("bytes=-11", True, b"0123456789"),
    ],
)
def test_ranges_give_a_part(bucket: Any, wanted: str, standard: bool, expected: bytes) -> None:
    bucket.put_object("k", b"0123456789")
    got = bucket.get_object("k", headers=ranged(wanted, standard))
    start = b"0123456789".index(expected)
    assert (got.status, got.read()) == (206, expected)
    assert got.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/10"


@pytest.mark.parametrize(
    "wanted",
    ["bytes=5-10", "bytes=10-", "bytes=4-2", "bytes=-11", "bytes=-0", "bytes=-", "pages=1-2"],
)
def test_ranges_that_do_not_lie_in_the_object_are_ignored(bucket: Any, wanted: str) -> None:
    bucket.put_object("k", b"0123456789")
    got = bucket.get_object("k", headers=ranged(wanted, False))
    assert (got.status, got.read()) == (200, b"0123456789")
    assert "Content-Range" not in got.headers


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=11-12", "bytes=-0"])
def test_ranges_outside_are_refused_on_demand(bucket: Any, wanted: str) -> None:
    bucket.put_object("k", b"0123456789")
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("k", headers=ranged(wanted, True))
    assert (caught.value.status, caught.value.code) == (416, "InvalidRange")


def ranged(wanted: str, standard: bool) -> dict[str, str]:
    return {"Range": wanted} | ({"x-oss-range-behavior": "standard"} if standard else {})


def test_a_range_of_a_large_object_crosses_its_parts(bucket: Any) -> None:
    first, second = b"a" * 200_000, b"b" * 200_000
    upload_id = bucket.init_multipart_upload("k").upload_id
    parts = [
        oss2.models.PartInfo(n, bucket.upload_part("k", upload_id, n, body).etag)
        for n, body in ((1, first), (2, second))
    ]
    bucket.complete_multipart_upload("k", upload_id, parts)
    assert bucket.get_object("k", byte_range=(199_998, 200_001)).read() == b"aabb"
    assert bucket.get_object("k", byte_range=(100, 399_000)).read() == (first + second)[100:399_001]


def test_conditions_are_held(bucket: Any) -> None:
    put = bucket.put_object("k", b"body")
    long_ago, far_off = "Fri, 24 Feb 2012 06:38:30 GMT", "Fri, 24 Feb 2090 06:38:30 GMT"

    def get(key: str, headers: dict[str, str]) -> Any:
        result = bucket.get_object(key, headers=headers)
        assert result.read() == b"body"
        return result

    for call in (get, bucket.head_object):
        for headers in (
            {"If-Match": f'"{put.etag}"'},
            {"If-Match": "*"},
            {"If-None-Match": '"0"'},
            {"If-Modified-Since": long_ago},
            {"If-Unmodified-Since": far_off},
            {"If-Modified-Since": "not a date"},
        ):
            assert call("k", headers=headers).status == 200
        for headers in ({"If-None-Match": put.etag}, {"If-Modified-Since": far_off}):
            with pytest.raises(oss2.exceptions.NotModified):
                call("k", headers=headers)
        for headers in ({"If-Match": '"0"'}, {"If-Unmodified-Since": long_ago}):
            with pytest.raises(oss2.exceptions.PreconditionFailed):
                call("k", headers=headers)


def test_response_parameters_override_headers(bucket: Any) -> None:
    bucket.put_object("k", b"body")
    params = {"response-content-type": "text/x", "response-content-disposition": "inline; ü"}
    got = bucket.get_object("k", params=params)
    assert got.read() == b"body"
    assert got.headers["Content-Type"] == "text/x"
    assert got.headers["Content-Disposition"].encode("latin-1") == "inline; ü".encode()
    with pytest.raises(oss2.exceptions.InvalidArgument):
        bucket.get_object("k", params={"response-content-type": "a\r\nInjected: b"})


def test_listings_page_in_byte_order(bucket: Any) -> None:
    keys = sorted(
        ["a/1", "a/2", "a/b/3", "b", "ab", "Z", "é", "😀", "a", "z" * 50, "a!"],
        key=lambda key: key.encode(),
    )
    for key in keys:
        bucket.put_object(key, key)
    for limit in (1, 2, 3, 1000):
        assert [o.key for o in oss2.ObjectIterator(bucket, max_keys=limit)] == keys
        assert [o.key for o in oss2.ObjectIteratorV2(bucket, max_keys=limit)] == keys
        seen = [o.key for o in oss2.ObjectIterator(bucket, delimiter="/", max_keys=limit)]
        assert seen == ["Z", "a", "a!", "a/", "ab", "b", "z" * 50, "é", "😀"]
        under = oss2.ObjectIteratorV2(bucket, prefix="a/", delimiter="/", max_keys=limit)
        assert [o.key for o in under] == ["a/1", "a/2", "a/b/"]
    page = bucket.list_objects_v2(start_after="a/1", max_keys=2)
    assert [o.key for o in page.object_list] == ["a/2", "a/b/3"]
    assert page.is_truncated
    (listed,) = bucket.list_objects(prefix="b").object_list
    assert (listed.size, listed.type, listed.storage_class) == (1, "Normal", "Standard")
    assert listed.etag == bucket.head_object("b").etag
    assert listed.last_modified == bucket.head_object("b").last_modified


def test_many_objects_are_deleted_at_once(bucket: Any) -> None:
    for key in ("one", "two/ä", "three"):
        bucket.put_object(key, b"")
    result = bucket.batch_delete_objects(["one", "two/ä", "never there"])
    assert result.deleted_keys == ["one", "two/ä", "never there"]
    assert [o.key for o in oss2.ObjectIterator(bucket)] == ["three"]


def test_copies_share_nothing_but_their_content(bucket: Any) -> None:
    for name, body in (("small", b"s" * 10), ("large", b"l" * 500_000)):
        source, target = f"{name} ü+%", f"{name} copy"
        put = bucket.put_object(source, body, headers={"x-oss-meta-a": "1", "x-oss-tagging": "t=1"})
        copied = bucket.copy_object(bucket.bucket_name, source, target)
        assert copied.etag == put.etag
        assert bucket.head_object(target).headers["x-oss-meta-a"] == "1"
        assert bucket.head_object(target).server_crc == put.crc
        assert bucket.head_object(target).headers["x-oss-tagging-count"] == "1"
        bucket.delete_object(source)
        assert bucket.get_object(target).read() == body
        bucket.copy_object(bucket.bucket_name, target, source)
        bucket.put_object(target, b"other")
        assert bucket.get_object(source).read() == body


def test_a_copy_may_replace_the_metadata(bucket: Any) -> None:
    bucket.put_object("k", b"body", headers={"x-oss-meta-a": "1", "Content-Type": "text/a"})
    headers = {"x-oss-metadata-directive": "REPLACE", "x-oss-meta-b": "2"}
    bucket.copy_object(bucket.bucket_name, "k", "other", headers=headers)
    head = bucket.head_object("other")
    assert "x-oss-meta-a" not in head.headers
    assert head.headers["x-oss-meta-b"] == "2"
    bucket.update_object_meta("k", {"x-oss-meta-c": "3"})
    head = bucket.head_object("k")
    assert "x-oss-meta-a" not in head.headers
    assert head.headers["x-oss-meta-c"] == "3"
    assert bucket.get_object("k").read() == b"body"


def test_a_copy_is_encrypted_only_if_the_request_says_so(bucket: Any) -> None:
    name, encrypted = bucket.bucket_name, {"x-oss-server-side-encryption": "AES256"}
    bucket.put_object("plain", b"body", headers={"x-oss-meta-a": "1"})
    bucket.put_object("sealed", b"body", headers={"x-oss-meta-a": "1", **encrypted})
    bucket.copy_object(name, "sealed", "opened")
    bucket.copy_object(name, "plain", "closed", headers=encrypted)
    opened, closed = bucket.head_object("opened").headers, bucket.head_object("closed").headers
    assert "x-oss-server-side-encryption" not in opened
    assert closed["x-oss-server-side-encryption"] == "AES256"
    assert opened["x-oss-meta-a"] == closed["x-oss-meta-a"] == "1"


def test_a_copy_holds_its_conditions(bucket: Any) -> None:
    put = bucket.put_object("k", b"body")
    name = bucket.bucket_name
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.copy_object(name, "k", "o", headers={"x-oss-copy-source-if-match": "0"})
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.copy_object(name, "k", "o", headers={"x-oss-copy-source-if-none-match": put.etag})
    assert not bucket.object_exists("o")


def test_appending_grows_an_object(bucket: Any) -> None:
    first = bucket.append_object("k", 0, b"one", headers={"x-oss-meta-a": "1"})
    second = bucket.append_object("k", first.next_position, b"two" * 100_000, init_crc=first.crc)
    assert second.next_position == 300_003
    assert bucket.get_object("k").read() == b"one" + b"two" * 100_000
    head = bucket.head_object("k")
    assert head.object_type == "Appendable"
    assert head.server_crc == second.crc
    assert head.headers["x-oss-next-append-position"] == "300003"
    with pytest.raises(oss2.exceptions.PositionNotEqualToLength) as caught:
        bucket.append_object("k", 5, b"x")
    assert caught.value.next_position == 300_003
    bucket.put_object("plain", b"")
    with pytest.raises(oss2.exceptions.ObjectNotAppendable):
        bucket.append_object("plain", 0, b"x")


def test_access_control_lists_are_kept(bucket: Any) -> None:
    bucket.put_object("k", b"", headers={"x-oss-object-acl": "private"})
    assert bucket.get_object_acl("k").acl == "private"
    bucket.put_object_acl("k", "public-read")
    assert bucket.get_object_acl("k").acl == "public-read"
    bucket.put_object("k", b"")
    assert bucket.get_object_acl("k").acl == "default"


def test_tags_are_kept(bucket: Any) -> None:
    bucket.put_object("k", b"", headers={"x-oss-tagging": "a=1&b=x%2By"})
    assert bucket.get_object_tagging("k").tag_set.tagging_rule == {"a": "1", "b": "x+y"}
    rule = TaggingRule()
    rule.add("c", "3")
    bucket.put_object_tagging("k", Tagging(rule))
    assert bucket.get_object_tagging("k").tag_set.tagging_rule == {"c": "3"}
    bucket.delete_object_tagging("k")
    assert bucket.get_object_tagging("k").tag_set.tagging_rule == {}
    assert "x-oss-tagging-count" not in bucket.head_object("k").headers


def test_a_symbolic_link_stands_for_its_target(bucket: Any) -> None:
    bucket.put_object("target ü", b"body")
    bucket.put_symlink("target ü", "link")
    assert bucket.get_symlink("link").target_key == "target ü"
    assert bucket.get_object("link").read() == b"body"
    head = bucket.head_object("link")
    assert (head.content_length, head.object_type) == (4, "Symlink")
    bucket.delete_object("target ü")
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("link")
    assert caught.value.status == 404
    assert caught.value.code == "SymlinkTargetNotExist"
    bucket.put_symlink("link", "second link")
    with pytest.raises(oss2.exceptions.ServerError) as refused:
        bucket.get_object("second link")
    assert refused.value.code == "InvalidTargetType"
    bucket.put_object("plain", b"")
    with pytest.raises(oss2.exceptions.ServerError) as no_link:
        bucket.get_symlink("plain")
    assert no_link.value.code == "NotSymlink"


def test_an_archived_object_must_be_restored_first(bucket: Any) -> None:
    bucket.put_object("k", b"body", headers={"x-oss-storage-class": "Archive"})
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("k")
    assert (caught.value.status, caught.value.code) == (403, "InvalidObjectState")
    assert bucket.restore_object("k").status == 202
    ongoing = 'ongoing-request="true"'
    wait_for(
        lambda: bucket.head_object("k").headers["x-oss-restore"] != ongoing, "the object's bytes"
    )
    assert bucket.get_object("k").read() == b"body"
    assert bucket.restore_object("k").status == 200
    bucket.put_object("standard", b"")
    with pytest.raises(oss2.exceptions.OperationNotSupported):
        bucket.restore_object("standard")


def test_a_file_is_sent_and_fetched(bucket: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.css"
    path.write_bytes(b"c" * 1_000_000)
    bucket.put_object_from_file("k.css", str(path))
    assert bucket.head_object("k.css").content_type == "text/css"
    bucket.get_object_to_file("k.css", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    bucket.put_object("io", io.BytesIO(b"abc"))
    assert bucket.get_object("io").read() == b"abc"


def test_every_answer_has_a_request_id_of_its_own(bucket: Any) -> None:
    ids = {bucket.put_object("k", b"").request_id for _ in range(3)}
    with pytest.raises(oss2.exceptions.NoSuchKey) as caught:
        bucket.get_object("none")
    ids.add(caught.value.request_id)
    with pytest.raises(oss2.exceptions.NotFound) as caught:
        bucket.head_object("none")
    ids.add(caught.value.request_id)
    assert len(ids - {""}) == 5
