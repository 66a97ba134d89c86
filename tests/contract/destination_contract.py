"""What every destination must keep of the promises in `ossimport.dest.base`."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import pytest

from ossimport.crc64 import crc64, crc64_combine
from ossimport.dest.base import Destination, StoredPart
from ossimport.errors import Permanent, StorageError
from ossimport.model import Origin

PART = 100 * 1024  # the smallest that OSS accepts but for the last
PLAIN = {"content-type": "text/plain"}

ODD_KEYS = [
    "dir/",
    "a//b",
    "a/./b",
    "a/../b",
    "./leading",
    "../leading",
    "trailing/..",
    "trailing/.",
    "...",
    ".hidden",
    " leading and trailing ",
    "100%",
    "%2F%2e%2e",
    "a+b=c&d?e#f;g",
    "quote'\"<>`|^[]{}",
    "back\\slash",
    "tilde~star*(1)!$,@:",
    "caf\u00e9",
    "cafe\u0301",
    "\u4e2d\u6587/\u6587\u4ef6.txt",
    "\U0001f600",
    "x" * 1023,
    "\u4e2d" * 341,  # 1,023 bytes
    "line\u2028separator",
]
REFUSED_KEYS = ["", ".", "..", "/a", "\\a", "x" * 1024, "\u4e2d" * 341 + "x", "not-utf8-\udcff"]


class Subject(NamedTuple):
    """A destination to examine, empty under `prefix`, and another way to read what it holds."""

    dest: Destination
    read: Callable[[str], tuple[bytes, dict[str, str]]]  # key -> body, headers in lower case
    prefix: str
    bucket: str  # its name, to copy from

    async def origin(self, name: str, body: bytes, headers: dict[str, str]) -> Origin:
        """Put an object to copy."""
        key = name if len(name.encode()) > 500 else self.prefix + name
        stored = await self.dest.put(key, body, headers)
        return Origin(self.bucket, key, stored.etag, crc64(body), headers)


async def start(dest: Destination, key: str, *bodies: bytes) -> tuple[str, dict[int, str]]:
    """Begin an upload, send `bodies` as its parts, and return its id and the parts' etags."""
    upload_id = await dest.start_upload(key, PLAIN)
    parts = {}
    for number, body in enumerate(bodies, start=1):
        parts[number] = (await dest.upload_part(key, upload_id, number, body)).etag
    return upload_id, parts


async def refusal(call: Coroutine[Any, Any, object]) -> Permanent:
    """Await a call that must be refused, and return the error."""
    with pytest.raises(Permanent) as caught:
        await call
    return caught.value


class DestinationContract:
    """Inherit from this in a test module and define the fixture `subject`."""

    # Whole objects

    async def test_a_put_object_is_described_by_stat_and_read_back(self, subject: Subject) -> None:
        key, body = subject.prefix + "object", b"123456789"
        stored = await subject.dest.put(key, body, PLAIN)
        assert stored.crc64 == 11051210869376104954
        assert stored.request_id
        info = await subject.dest.stat(key)
        assert info is not None
        assert (info.key, info.size, info.etag) == (key, len(body), stored.etag)
        assert info.crc64 == stored.crc64
        assert info.mtime_ns > 10**18
        assert subject.read(key)[0] == body

    async def test_stat_of_nothing_is_none(self, subject: Subject) -> None:
        assert await subject.dest.stat(subject.prefix + "nothing") is None

    async def test_a_second_put_replaces_the_first(self, subject: Subject) -> None:
        key = subject.prefix + "object"
        first = await subject.dest.put(key, b"a longer first body", PLAIN)
        second = await subject.dest.put(key, b"second", PLAIN)
        assert first.etag != second.etag
        assert subject.read(key)[0] == b"second"

    async def test_an_object_may_be_empty(self, subject: Subject) -> None:
        key = subject.prefix + "empty"
        stored = await subject.dest.put(key, b"", PLAIN)
        assert stored.crc64 == 0
        info = await subject.dest.stat(key)
        assert info is not None
        assert (info.size, info.crc64) == (0, 0)
        assert subject.read(key)[0] == b""

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    async def test_a_body_may_be_any_buffer(self, subject: Subject, kind: type) -> None:
        key, body = subject.prefix + "buffer", bytes(range(256)) * 300
        stored = await subject.dest.put(key, memoryview(kind(b"<" + body + b">"))[1:-1], PLAIN)
        assert stored.crc64 == crc64(body)
        assert subject.read(key)[0] == body

    async def test_many_puts_at_once_all_arrive(self, subject: Subject) -> None:
        bodies = {f"{subject.prefix}{n}": b"%d" % n * n for n in range(100)}
        answers = await asyncio.gather(
            *(subject.dest.put(key, body, PLAIN) for key, body in bodies.items())
        )
        assert [a.crc64 for a in answers] == [crc64(body) for body in bodies.values()]
        assert {key: subject.read(key)[0] for key in bodies} == bodies

    # Keys

    @pytest.mark.parametrize("name", ODD_KEYS, ids=ascii)
    async def test_an_odd_key_is_kept_as_it_is(self, subject: Subject, name: str) -> None:
        key = subject.prefix + name if len(name.encode()) < 500 else name
        stored = await subject.dest.put(key, b"put", PLAIN)
        info = await subject.dest.stat(key)
        assert info is not None
        assert info.etag == stored.etag
        assert [found.key for found in await subject.dest.list(key, "", 1)] == [key]
        upload_id, parts = await start(subject.dest, key, b"upload")
        assert await subject.dest.list_parts(key, upload_id)
        await subject.dest.finish_upload(key, upload_id, parts)
        assert subject.read(key)[0] == b"upload"

    @pytest.mark.parametrize("name", ODD_KEYS, ids=ascii)
    async def test_an_odd_key_needs_no_prefix(self, subject: Subject, name: str) -> None:
        await subject.dest.put(name, b"odd", PLAIN)
        assert await subject.dest.stat(name) is not None
        assert subject.read(name)[0] == b"odd"

    @pytest.mark.parametrize("key", REFUSED_KEYS, ids=ascii)
    async def test_a_key_that_cannot_be_stored_is_never_sent(
        self, subject: Subject, key: str
    ) -> None:
        dest = subject.dest
        origin = await subject.origin("origin", b"x", PLAIN)
        before = await dest.list("", "", 2000)
        for call in (
            dest.put(key, b"x", PLAIN),
            dest.copy_from(key, origin, {}),
            dest.copy_part_from(key, "id", 1, origin, range(1)),
            dest.stat(key),
            dest.start_upload(key, PLAIN),
            dest.upload_part(key, "id", 1, b"x"),
            dest.list_parts(key, "id"),
            dest.finish_upload(key, "id", {1: "etag"}),
            dest.abort_upload(key, "id"),
            dest.delete(key),
        ):
            error = await refusal(call)
            assert (error.code, error.key) == ("InvalidKey", key)
            assert "cure" in str(error).lower()
        assert await dest.list("", "", 2000) == before

    # Copies inside the service

    @pytest.mark.parametrize("body", [b"", b"123456789"])
    async def test_a_copy_has_the_bytes_and_none_of_the_headers_of_its_origin(
        self, subject: Subject, body: bytes
    ) -> None:
        origin = await subject.origin("origin", body, {"x-oss-meta-a": "of the origin", **PLAIN})
        key = subject.prefix + "copy"
        headers = {
            "content-type": "text/x-odd",
            "cache-control": "no-cache",
            "x-oss-meta-name": "100%25 %E4%B8%AD%E6%96%87",
            "x-oss-server-side-encryption": "AES256",
        }
        stored = await subject.dest.copy_from(key, origin, headers)
        assert (stored.etag, stored.crc64) == (origin.etag, crc64(body))
        assert stored.request_id
        info = await subject.dest.stat(key)
        assert info is not None
        assert (info.size, info.crc64) == (len(body), crc64(body))
        await subject.dest.put(subject.prefix + "sent", body, headers)
        (copied, kept), (_, wanted) = subject.read(key), subject.read(subject.prefix + "sent")
        assert copied == body
        assert [kept[name] for name in headers] == [wanted[name] for name in headers]
        assert "x-oss-meta-a" not in kept

    async def test_a_copy_stays_when_its_origin_goes(self, subject: Subject) -> None:
        origin = await subject.origin("origin", b"before", PLAIN)
        key = subject.prefix + "copy"
        await subject.dest.put(key, b"replaced", PLAIN)
        await subject.dest.copy_from(key, origin, {})
        await subject.dest.put(origin.key, b"after", PLAIN)
        assert subject.read(key)[0] == b"before"

    @pytest.mark.parametrize("name", ODD_KEYS, ids=ascii)
    async def test_an_odd_key_is_copied_from_and_to(self, subject: Subject, name: str) -> None:
        origin = await subject.origin(name, b"odd", PLAIN)
        await subject.dest.copy_from(subject.prefix + "copy", origin, {})
        assert subject.read(subject.prefix + "copy")[0] == b"odd"
        plain = await subject.origin("plain", b"plain", PLAIN)
        await subject.dest.copy_from(origin.key, plain, {})
        assert subject.read(origin.key)[0] == b"plain"

    async def test_only_the_version_that_was_meant_is_copied(self, subject: Subject) -> None:
        dest, key = subject.dest, subject.prefix + "copy"
        origin = await subject.origin("origin", b"first", PLAIN)
        upload_id = await dest.start_upload(key, PLAIN)
        second = await subject.origin("origin", b"other", PLAIN)
        gone = origin._replace(key=subject.prefix + "gone")
        for wrong in (origin, gone):
            for call in (
                dest.copy_from(key, wrong, {}),
                dest.copy_part_from(key, upload_id, 1, wrong, range(5)),
            ):
                assert (await refusal(call)).key == key
        assert await dest.stat(key) is None
        assert await dest.list_parts(key, upload_id) == {}
        await dest.copy_from(key, second, {})
        assert subject.read(key)[0] == b"other"
        await dest.abort_upload(key, upload_id)

    async def test_a_bucket_that_is_not_there_has_nothing_to_copy(self, subject: Subject) -> None:
        origin = await subject.origin("origin", b"body", PLAIN)
        with pytest.raises(StorageError) as caught:
            await subject.dest.copy_from(
                subject.prefix + "copy", origin._replace(bucket="not-there"), {}
            )
        assert caught.value.code == "NoSuchBucket"

    async def test_parts_are_copied_and_sent_into_one_object(self, subject: Subject) -> None:
        dest, key = subject.dest, subject.prefix + "upload"
        body = bytes(range(256)) * 1024
        origin = await subject.origin("origin", body, {"x-oss-meta-a": "of the origin"})
        upload_id = await dest.start_upload(key, {"x-oss-meta-a": "its own"})
        span = range(100, 100 + PART)
        first = await dest.copy_part_from(key, upload_id, 1, origin, span)
        second = await dest.upload_part(key, upload_id, 2, b"y" * PART)
        last = await dest.copy_part_from(key, upload_id, 3, origin, range(len(body) - 7, len(body)))
        assert (first.size, last.size) == (PART, 7)
        assert first.crc64 in {None, crc64(body[100 : 100 + PART])}
        assert last.crc64 in {None, crc64(body[-7:])}
        held = await dest.list_parts(key, upload_id)
        assert [(p.etag, p.size) for p in held.values()] == [
            (p.etag, p.size) for p in (first, second, last)
        ]
        etags = {1: first.etag, 2: second.etag, 3: last.etag}
        stored = await dest.finish_upload(key, upload_id, etags)
        whole = body[100 : 100 + PART] + b"y" * PART + body[-7:]
        assert stored.crc64 == crc64(whole)
        copied, kept = subject.read(key)
        assert (copied, kept["x-oss-meta-a"]) == (whole, "its own")

    @pytest.mark.parametrize("number", [0, 10_001])
    async def test_numbers_of_copied_parts_have_limits(self, subject: Subject, number: int) -> None:
        key = subject.prefix + "upload"
        origin = await subject.origin("origin", b"body", PLAIN)
        upload_id, _ = await start(subject.dest, key)
        error = await refusal(subject.dest.copy_part_from(key, upload_id, number, origin, range(4)))
        assert error.code == "InvalidArgument"

    async def test_a_part_is_copied_into_an_upload_that_is_there(self, subject: Subject) -> None:
        origin = await subject.origin("origin", b"body", PLAIN)
        error = await refusal(
            subject.dest.copy_part_from(subject.prefix + "up", "0004B9", 1, origin, range(4))
        )
        assert error.code == "NoSuchUpload"

    # Listing

    async def test_a_listing_is_in_the_order_of_utf8_bytes(self, subject: Subject) -> None:
        names = ["a", "B", "b/", "b", "b.c", "b/c", "\u00e9", "\uffee", "\U0001f600", "z", "~", "+"]
        keys = [subject.prefix + name for name in names]
        for key in keys:
            await subject.dest.put(key, b"x", PLAIN)
        listed = await subject.dest.list(subject.prefix, "", 1000)
        assert [info.key for info in listed] == sorted(keys, key=str.encode)

    async def test_a_listing_describes_objects_as_stat_does(self, subject: Subject) -> None:
        key = subject.prefix + "object"
        await subject.dest.put(key, b"12345", PLAIN)
        info = await subject.dest.stat(key)
        assert info is not None
        listed = await subject.dest.list(subject.prefix, "", 10)
        assert listed == [info._replace(crc64=None)]

    async def test_a_listing_goes_on_behind_any_key(self, subject: Subject) -> None:
        keys = [f"{subject.prefix}{n:04}" for n in range(1005)]
        await asyncio.gather(*(subject.dest.put(key, b"", PLAIN) for key in keys))

        async def listed(after: str, limit: int) -> list[str]:
            return [info.key for info in await subject.dest.list(subject.prefix, after, limit)]

        assert await listed("", 1000) == keys[:1000]
        assert await listed(keys[999], 1000) == keys[1000:]
        assert await listed("", 1004) == keys[:1004]
        assert await listed("", 2000) == keys
        assert await listed(keys[2] + "!", 2) == keys[3:5]
        assert await listed(keys[-1], 5) == []

    async def test_a_listing_keeps_to_its_prefix(self, subject: Subject) -> None:
        inside, beside = subject.prefix + "in/a", subject.prefix + "in"
        await subject.dest.put(inside, b"", PLAIN)
        await subject.dest.put(beside, b"", PLAIN)
        found = await subject.dest.list(subject.prefix + "in/", "", 10)
        assert [info.key for info in found] == [inside]

    # Headers

    async def test_headers_are_kept_by_put_and_by_upload(self, subject: Subject) -> None:
        headers = {
            "content-type": "text/html; charset=utf-8",
            "cache-control": "max-age=60",
            "content-disposition": 'attachment; filename="a.html"',
            "content-encoding": "identity",
            "x-oss-meta-colour": "green",
            "x-oss-meta-mixed_case": "Kept As It Is",
            "x-oss-meta-empty": "",
            "x-oss-meta-blanks": "inner  blanks  stay",
            "x-oss-meta-name": "100%25 %E4%B8%AD%E6%96%87",
        }
        await subject.dest.put(subject.prefix + "put", b"x", headers)
        upload_id = await subject.dest.start_upload(subject.prefix + "upload", headers)
        part = await subject.dest.upload_part(subject.prefix + "upload", upload_id, 1, b"x")
        await subject.dest.finish_upload(subject.prefix + "upload", upload_id, {1: part.etag})
        for name in ("put", "upload"):
            kept = subject.read(subject.prefix + name)[1]
            assert {name: kept.get(name) for name in headers} == headers
            described = await subject.dest.describe(subject.prefix + name)
            assert described is not None
            assert {name: described.headers.get(name) for name in headers} == headers
            assert described.info == await subject.dest.stat(subject.prefix + name)

    async def test_what_is_not_there_is_not_described(self, subject: Subject) -> None:
        assert await subject.dest.describe(subject.prefix + "nothing") is None

    # Uploads in parts

    async def test_an_upload_makes_one_object_of_its_parts(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        bodies = [b"a" * PART, b"b" * (PART + 1), b"c"]
        upload_id, parts = await start(subject.dest, key, *bodies)
        assert await subject.dest.stat(key) is None
        stored = await subject.dest.finish_upload(key, upload_id, parts)
        whole = b"".join(bodies)
        assert stored.crc64 == crc64(whole)
        info = await subject.dest.stat(key)
        assert info is not None
        assert (info.size, info.etag, info.crc64) == (len(whole), stored.etag, stored.crc64)
        assert subject.read(key)[0] == whole

    async def test_crc64_of_the_parts_makes_that_of_the_object(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id = await subject.dest.start_upload(key, PLAIN)
        combined, parts = 0, {}
        for number, size in enumerate([PART, PART, 5], start=1):
            part = await subject.dest.upload_part(key, upload_id, number, b"%d" % number * size)
            assert part.crc64 is not None
            assert part.size == size
            combined = crc64_combine(combined, part.crc64, part.size)
            parts[number] = part.etag
        stored = await subject.dest.finish_upload(key, upload_id, parts)
        assert stored.crc64 == combined

    async def test_parts_may_come_in_any_order_and_with_gaps(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id = await subject.dest.start_upload(key, PLAIN)
        parts = {}
        for number in (10_000, 7, 2):
            body = b"%05d" % number * (PART // 5)
            parts[number] = (await subject.dest.upload_part(key, upload_id, number, body)).etag
        await subject.dest.finish_upload(key, upload_id, parts)
        body = subject.read(key)[0]
        assert (body[:5], body[PART : PART + 5], body[-5:]) == (b"00002", b"00007", b"10000")

    async def test_a_part_sent_again_replaces_the_first(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id, _ = await start(subject.dest, key, b"old")
        part = await subject.dest.upload_part(key, upload_id, 1, b"newer")
        assert part == StoredPart(part.etag, crc64(b"newer"), 5)
        held = await subject.dest.list_parts(key, upload_id)
        assert {number: (p.etag, p.size) for number, p in held.items()} == {1: (part.etag, 5)}
        await subject.dest.finish_upload(key, upload_id, {1: part.etag})
        assert subject.read(key)[0] == b"newer"

    async def test_an_upload_takes_only_the_parts_that_are_named(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id, parts = await start(subject.dest, key, b"a" * PART, b"b" * PART, b"c")
        del parts[2]
        await subject.dest.finish_upload(key, upload_id, parts)
        assert subject.read(key)[0] == b"a" * PART + b"c"

    async def test_the_parts_held_are_listed_beyond_a_thousand(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id = await subject.dest.start_upload(key, PLAIN)
        assert await subject.dest.list_parts(key, upload_id) == {}
        numbers = range(1, 1004)
        sent = await asyncio.gather(
            *(subject.dest.upload_part(key, upload_id, n, b"%d" % n) for n in numbers)
        )
        held = await subject.dest.list_parts(key, upload_id)
        assert list(held) == list(numbers)
        assert [(p.etag, p.size) for p in held.values()] == [(p.etag, p.size) for p in sent]
        assert {p.crc64 for p in held.values()} <= {None, *(p.crc64 for p in sent)}
        await subject.dest.abort_upload(key, upload_id)

    async def test_a_deleted_object_is_gone_and_no_other(self, subject: Subject) -> None:
        key, other = subject.prefix + "a +&ü", subject.prefix + "a"
        for each in (key, other):
            await subject.dest.put(each, b"body", PLAIN)
        for _ in range(2):
            await subject.dest.delete(key)
        assert await subject.dest.stat(key) is None
        assert await subject.dest.stat(other) is not None

    async def test_two_uploads_of_one_key_do_not_mix(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        one, one_parts = await start(subject.dest, key, b"one")
        two, two_parts = await start(subject.dest, key, b"two")
        assert one != two
        await subject.dest.finish_upload(key, two, two_parts)
        assert subject.read(key)[0] == b"two"
        await subject.dest.finish_upload(key, one, one_parts)
        assert subject.read(key)[0] == b"one"

    async def test_an_upload_replaces_an_object_only_when_it_ends(self, subject: Subject) -> None:
        key = subject.prefix + "object"
        await subject.dest.put(key, b"before", PLAIN)
        upload_id, parts = await start(subject.dest, key, b"after")
        assert subject.read(key)[0] == b"before"
        await subject.dest.finish_upload(key, upload_id, parts)
        assert subject.read(key)[0] == b"after"

    async def test_a_finished_upload_is_unknown_and_its_object_is_there(
        self, subject: Subject
    ) -> None:
        key = subject.prefix + "upload"
        upload_id, parts = await start(subject.dest, key, b"body")
        stored = await subject.dest.finish_upload(key, upload_id, parts)
        error = await refusal(subject.dest.finish_upload(key, upload_id, parts))
        assert error.code == "NoSuchUpload"
        info = await subject.dest.stat(key)
        assert info is not None
        assert info.crc64 == stored.crc64

    async def test_an_aborted_upload_leaves_nothing(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id, parts = await start(subject.dest, key, b"body")
        await subject.dest.abort_upload(key, upload_id)
        await subject.dest.abort_upload(key, upload_id)
        for call in (
            subject.dest.upload_part(key, upload_id, 1, b"x"),
            subject.dest.list_parts(key, upload_id),
            subject.dest.finish_upload(key, upload_id, parts),
        ):
            error = await refusal(call)
            assert (error.code, error.key) == ("NoSuchUpload", key)
            assert error.op
        assert await subject.dest.stat(key) is None

    async def test_an_upload_that_never_was_is_unknown(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        await subject.dest.abort_upload(key, "0004B9894A22E5B1888A1E29F8236E2D")
        error = await refusal(subject.dest.list_parts(key, "0004B9894A22E5B1888A1E29F8236E2D"))
        assert error.code == "NoSuchUpload"

    async def test_an_upload_belongs_to_its_key(self, subject: Subject) -> None:
        upload_id, _ = await start(subject.dest, subject.prefix + "one", b"body")
        error = await refusal(subject.dest.list_parts(subject.prefix + "other", upload_id))
        assert error.code == "NoSuchUpload"

    async def test_a_small_part_may_only_be_the_last(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id, parts = await start(subject.dest, key, b"a" * (PART - 1), b"b")
        error = await refusal(subject.dest.finish_upload(key, upload_id, parts))
        assert error.code == "EntityTooSmall"
        assert await subject.dest.stat(key) is None

    async def test_a_part_is_known_by_its_etag(self, subject: Subject) -> None:
        key = subject.prefix + "upload"
        upload_id, parts = await start(subject.dest, key, b"body")
        wrong = {1: parts[1][::-1]}
        for named in (wrong, {**parts, 2: parts[1]}):
            error = await refusal(subject.dest.finish_upload(key, upload_id, named))
            assert error.code == "InvalidPart"
        assert await subject.dest.stat(key) is None

    @pytest.mark.parametrize("number", [0, 10_001])
    async def test_part_numbers_have_limits(self, subject: Subject, number: int) -> None:
        key = subject.prefix + "upload"
        upload_id, _ = await start(subject.dest, key)
        error = await refusal(subject.dest.upload_part(key, upload_id, number, b"x"))
        assert error.code == "InvalidArgument"

    # The bucket

    async def test_a_check_leaves_nothing_behind(self, subject: Subject) -> None:
        await subject.dest.check()
        await subject.dest.check(subject.prefix)
        assert await subject.dest.list(subject.prefix, "", 10) == []

    async def test_limits_are_those_of_oss(self, subject: Subject) -> None:
        limits = subject.dest.limits
        assert limits.min_part_size == PART
        assert limits.max_part_size == limits.max_put_size == 5 * 2**30
        assert limits.max_copy_size == 2**30
        assert (limits.max_parts, limits.max_key_bytes) == (10_000, 1023)
        assert limits.max_object_size == limits.max_parts * limits.max_part_size

    async def test_closing_twice_is_no_error(self, subject: Subject) -> None:
        await subject.dest.close()
        await subject.dest.close()
