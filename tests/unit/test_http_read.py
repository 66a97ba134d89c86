"""What is believed of a store's answers: exactly the bytes that were asked for, of one version."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import pytest

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import ObjectInfo
from ossimport.sources.base import Checksum
from ossimport.sources.over_http import http_read
from ossimport.sources.over_http.http_read import Dialect
from ossimport.transport import Response
from tests.contract.at_oss import arrived, at_oss

BODY = b"0123456789"
SECOND = 1_700_000_000
DATE = formatdate(SECOND, usegmt=True)
INFO = ObjectInfo("a/b", len(BODY), SECOND * 10**9, "E")
WHOLE = {"content-length": "10", "etag": '"E"', "last-modified": DATE}
PART = {"content-length": "3", "content-range": "bytes 2-4/10", "etag": '"E"'}


class Scripted:
    """A store that gives one answer; `asked` has what it was asked."""

    meta_prefix = "x-store-meta-"

    def __init__(self, answer: Response | StorageError) -> None:
        self.answer = answer
        self.asked: tuple[Any, ...] = ()

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        self.asked = (method, dict(headers))
        if isinstance(self.answer, StorageError):
            raise self.answer
        return self.answer

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        return Permanent("no", code={403: "AccessDenied", 404: "NotFound"}[response.status])

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        return Checksum("crc64", headers["crc"]) if "crc" in headers else None


_check: type[Dialect] = Scripted


async def read(
    answer: Response | StorageError, info: ObjectInfo = INFO, offset: int = 0, length: int = 10
) -> bytes:
    return bytes((await http_read.read(Scripted(answer), info, offset, length)).body)


async def test_a_whole_object_comes_in_one_request_with_all_that_travels_with_it() -> None:
    headers = {
        **WHOLE,
        "content-type": "text/plain",
        "cache-control": "no-cache",
        "content-disposition": "inline",
        "content-encoding": "gzip",
        "content-language": "de",
        "expires": "never",
        "x-store-meta-color": "bl\u00e5",
        "x-store-storage-class": "Standard",
        "server": "x",
        "crc": "5",
    }
    store = Scripted(Response(200, headers, BODY))
    payload = await http_read.read(store, INFO, 0, 10)
    assert store.asked == ("GET", {"if-match": '"E"'})
    assert payload.body == BODY
    assert payload.checksum == Checksum("crc64", "5")
    assert at_oss(payload) == {
        "Content-Type": "text/plain",
        "Cache-Control": "no-cache",
        "Content-Disposition": "inline",
        "Content-Encoding": "gzip",
        "Content-Language": "de",
        "Expires": "never",
        "x-oss-meta-color": "bl\u00e5",
    }


async def test_what_does_not_travel_with_an_object_is_named() -> None:
    headers = {**WHOLE, "x-store-meta-a.b": "c", "x-store-tagging-count": "2"}
    wanted = ("x-store-tagging-count", "x-store-meta-a.b")
    for body in (BODY, b""):
        answer = Scripted(Response(200, headers, body))
        assert arrived(await http_read.read(answer, INFO, 0, len(body))).unkept == wanted


async def test_the_answer_says_when_an_object_was_changed_if_the_listing_does_not() -> None:
    for info, length in ((INFO, 10), (INFO._replace(mtime_ns=0), 10), (INFO, 0)):
        body = BODY[:length]
        payload = await http_read.read(Scripted(Response(200, WHOLE, body)), info, 0, length)
        assert payload.mtime_ns == SECOND * 10**9
    unsaid = Response(200, {"content-length": "10"}, BODY)
    payload = await http_read.read(Scripted(unsaid), INFO._replace(mtime_ns=0), 0, 10)
    assert payload.mtime_ns == 0


async def test_a_part_is_asked_for_by_its_range() -> None:
    store = Scripted(Response(206, PART, b"234"))
    assert (await http_read.read(store, INFO, 2, 3)).body == b"234"
    assert store.asked == ("GET", {"if-match": '"E"', "range": "bytes=2-4"})


async def test_no_bytes_are_a_question_for_what_travels_with_the_object() -> None:
    store = Scripted(Response(200, {**WHOLE, "content-type": "a/b", "crc": "5"}, b""))
    payload = await http_read.read(store, INFO, 0, 0)
    assert store.asked == ("HEAD", {"if-match": '"E"'})
    assert (payload.body, at_oss(payload)) == (b"", {"Content-Type": "a/b"})
    assert payload.checksum == Checksum("crc64", "5")


async def test_an_empty_object_is_read_as_any_other() -> None:
    store = Scripted(Response(200, {"content-length": "0"}, b""))
    assert (await http_read.read(store, INFO._replace(size=0), 0, 0)).body == b""
    assert store.asked[0] == "GET"


async def test_a_server_may_pass_over_ranges_and_tell_no_total() -> None:
    assert await read(Response(200, WHOLE, BODY), offset=2, length=3) == b"234"
    # rclone's server says so of a part, too
    assert await read(Response(200, PART, b"234"), offset=2, length=3) == b"234"
    headers = PART | {"content-range": "bytes 2-4/*"}
    assert await read(Response(206, headers, b"234"), offset=2, length=3) == b"234"


@pytest.mark.parametrize(
    ("answer", "offset", "length"),
    [
        (Response(412, {}, b""), 0, 10),
        (Response(412, {}, b""), 0, 0),
        (Response(416, {}, b""), 2, 3),
        (Response(200, WHOLE | {"etag": '"F"'}, BODY), 0, 10),
        (Response(206, PART | {"etag": '"F"'}, b"234"), 2, 3),
        (Response(200, WHOLE | {"content-length": "9"}, BODY[:9]), 0, 10),
        (Response(200, {"etag": '"E"'}, BODY + b"x"), 0, 10),
        (Response(200, WHOLE | {"content-length": "11"}, BODY + b"x"), 2, 3),
        (Response(206, PART | {"content-range": "bytes 2-4/11"}, b"234"), 2, 3),
        (Response(200, WHOLE | {"content-length": "11"}, b""), 0, 0),
        (Response(200, {"etag": '"E"'}, b""), 0, 0),
        (Permanent("more than 10 bytes", code="BadResponse"), 0, 10),
    ],
)
async def test_another_version_is_told_from_the_listed_one(
    answer: Response | StorageError, offset: int, length: int
) -> None:
    with pytest.raises(Permanent, match="changed since it was listed") as caught:
        await read(answer, INFO, offset, length)
    error = caught.value
    assert (error.code, error.op, error.key) == ("SourceChanged", "read", "a/b")


@pytest.mark.parametrize(
    ("answer", "offset", "length"),
    [
        (Response(206, PART, b"234"), 0, 10),
        (Response(200, {"etag": '"E"'}, BODY[:9]), 0, 10),  # chunked, and closed too early
        (Response(206, PART, b"23"), 2, 3),
        (Response(206, PART | {"content-range": "bytes 3-5/10"}, b"345"), 2, 3),
        (Response(206, PART | {"content-range": "bytes 2-5/10"}, b"2345"), 2, 3),
        (Response(206, PART | {"content-range": "bytes 2-5/10"}, b"234"), 2, 3),
        (Response(206, PART | {"content-range": "items 2-4/10"}, b"234"), 2, 3),
        (Response(206, {"etag": '"E"'}, b"234"), 2, 3),
    ],
)
async def test_what_was_not_asked_for_is_asked_for_again(
    answer: Response, offset: int, length: int
) -> None:
    with pytest.raises(Transient) as caught:
        await read(answer, INFO, offset, length)
    error = caught.value
    assert (error.code, error.op, error.key) == ("BadResponse", "read", "a/b")


async def test_without_an_etag_the_time_tells_versions_apart() -> None:
    info = INFO._replace(etag="", mtime_ns=SECOND * 10**9 + 5)
    store = Scripted(Response(200, WHOLE, BODY))
    assert (await http_read.read(store, info, 0, 10)).body == BODY
    assert store.asked == ("GET", {})
    later = WHOLE | {"last-modified": formatdate(SECOND + 1, usegmt=True)}
    with pytest.raises(Permanent, match="modification time"):
        await read(Response(200, later, BODY), info)
    assert await read(Response(200, later, BODY)) == BODY  # the ETag says more than a time


@pytest.mark.parametrize("error", [Permanent("p", code="X"), Transient("t", code="Timeout")])
async def test_an_error_on_the_way_says_what_was_wanted(error: StorageError) -> None:
    with pytest.raises(type(error)) as caught:
        await read(error, offset=1, length=2)
    assert caught.value is error
    assert (error.op, error.key) == ("read", "a/b")


async def test_a_refusal_is_the_dialects() -> None:
    for op, call in (
        ("read", read(Response(404, {}, b""))),
        ("stat", stat(Response(404, {}, b""))),
    ):
        with pytest.raises(Permanent) as caught:
            await call
        assert (caught.value.code, caught.value.op, caught.value.key) == ("NotFound", op, "a/b")


async def stat(answer: Response) -> ObjectInfo:
    return await http_read.stat(Scripted(answer), "a/b")


async def test_stat_describes_what_is_there() -> None:
    assert await stat(Response(200, WHOLE, b"")) == INFO
    assert await stat(Response(200, WHOLE | {"crc": "5"}, b"")) == INFO._replace(crc64=5)
    plain = Response(200, {"content-length": "1", "last-modified": "yesterday"}, b"")
    assert await stat(plain) == ObjectInfo("a/b", 1)
    with pytest.raises(Transient):
        await stat(Response(200, {}, b""))


async def test_a_check_reads_a_byte_of_the_first_object_that_has_one() -> None:
    store = Scripted(Response(206, {"content-range": "bytes 0-0/10"}, b"0"))
    await http_read.check(store, [ObjectInfo("empty", 0), INFO, ObjectInfo("later", 5)])
    assert store.asked == ("GET", {"if-match": '"E"', "range": "bytes=0-0"})
    await http_read.check(Scripted(Response(403, {}, b"")), [])


async def test_a_check_stops_only_for_what_every_object_will_meet() -> None:
    with pytest.raises(Fatal) as caught:
        await http_read.check(Scripted(Response(403, {}, b"")), [INFO])
    assert (caught.value.code, caught.value.op) == ("AccessDenied", "check")
    await http_read.check(Scripted(Response(404, {}, b"")), [INFO])
    await http_read.check(Scripted(Response(412, {}, b"")), [INFO])
    with pytest.raises(Transient):
        await http_read.check(Scripted(Transient("gone", code="Timeout")), [INFO])
