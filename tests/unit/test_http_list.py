"""Objects on web servers as they are: nginx with awkward settings, and worse by script."""

import asyncio
import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ossimport.copying import renew
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.sources.base import Checksum, Payload
from ossimport.sources.http_fetch import Web, decoded, retry_after
from ossimport.sources.http_list import HttpListSource
from ossimport.sources.http_url import parse_url
from ossimport.sources.list_lines import Columns
from ossimport.transport import Endpoint, Response, Transport
from tests.contract.at_oss import at_oss
from tests.contract.test_destination_oss_answers import own_authority
from tests.servers.nginx import RunningNginx, run_nginx
from tests.servers.raw_http import Peer, RawServer

T = TypeVar("T")

COLUMNS = Columns(size=3, md5=4)
BODY = b"0123456789abcdef" * 500
DATE = b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNginx]:
    with run_nginx(tmp_path_factory.mktemp("nginx")) as running:
        running.put("a b.jpg", BODY)
        running.put("empty", b"")
        running.put("100% + \u4e2d.txt", BODY[::-1])
        running.put("packed.txt", BODY)
        running.put("packed.txt.gz", gzip.compress(BODY, mtime=0))
        running.put("large", BODY * 100)
        running.put("huge", b"\0" * (17 << 20))
        yield running


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def listed(path: Path) -> list[ObjectInfo]:
    return [entry.info for entry in HttpListSource(path, COLUMNS).scan(Lane())]


async def fetch(source: HttpListSource, info: ObjectInfo) -> tuple[ObjectInfo, Payload]:
    """Read an object as the engine does: ask again what it is as often as it has changed."""
    for _ in range(3):
        try:
            return info, await source.read(info, 0, info.size)
        except Permanent as exc:
            if exc.code != "SourceChanged":
                raise
        info = await source.renew(info)
    raise AssertionError("it changed three times")


def run(path: Path, work: Callable[[HttpListSource], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with the source of a host that has no list."""

    async def main() -> T:
        source = HttpListSource(path.with_name("is not here"), COLUMNS)
        try:
            return await work(source)
        finally:
            await source.close()

    return asyncio.run(main())


def copy(path: Path, *lines: str) -> tuple[ObjectInfo, Payload]:
    """What a worker gets of the first line."""
    (info, *_) = listed(write_list(path, *lines))
    return run(path, lambda source: fetch(source, info))


def refused(path: Path, line: str) -> StorageError:
    with pytest.raises(StorageError) as caught:
        copy(path, line)
    error = caught.value
    assert error.op in {"read", "stat"}
    assert str(error).isprintable()
    return error


# -- nginx -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["plain", "whole", "nohead", "awkward", "noetag", "gzip", "moved", "found", "slow"]
)
@pytest.mark.parametrize("size", ["", str(len(BODY)), "77", "100000"])
def test_objects_arrive_from_awkward_servers(
    nginx: RunningNginx, tmp_path: Path, name: str, size: str
) -> None:
    """Whether the list tells the size, does not, or tells another."""
    md5 = hashlib.md5(BODY).hexdigest()
    line = f"{nginx.url(name)}\ta b.jpg\t{size}\t{md5}"
    info, payload = copy(tmp_path / "list", line)
    assert (info.key, info.size, bytes(payload.body)) == ("a b.jpg", len(BODY), BODY)
    assert at_oss(payload)["Content-Type"] == "image/jpeg"
    assert payload.checksum == Checksum("md5", md5)


@pytest.mark.parametrize("name", ["plain", "whole", "nohead", "awkward", "noetag"])
@pytest.mark.parametrize(("path", "body"), [("empty", b""), ("100%25%20+%20中.txt", BODY[::-1])])
def test_empty_objects_and_odd_names(
    nginx: RunningNginx, tmp_path: Path, name: str, path: str, body: bytes
) -> None:
    for size in ("", len(body)):
        _, payload = copy(tmp_path / "list", f"{nginx.url(name)}\t{path}\t{size}")
        assert bytes(payload.body) == body


@pytest.mark.parametrize("name", ["plain", "noetag", "moved"])
def test_parts_are_of_one_version(nginx: RunningNginx, tmp_path: Path, name: str) -> None:
    nginx.put("parts", BODY)
    line = f"{nginx.url(name)}\tparts\t{len(BODY)}"
    (info,) = listed(write_list(tmp_path / "list", line))

    async def work(source: HttpListSource) -> None:
        with pytest.raises(Permanent) as caught:
            await source.read(info, 0, 100)  # of a version that nobody has seen
        assert caught.value.code == "SourceChanged"
        seen = await source.renew(info)
        assert bytes((await source.read(seen, 100, 50)).body) == BODY[100:150]
        assert at_oss(await source.read(seen, 0, 0))["Content-Type"]
        nginx.put("parts", BODY[::-1], 1_700_000_000_000_000_000)
        for offset, length in ((100, 50), (0, len(BODY)), (0, 0)):
            with pytest.raises(Permanent) as caught:
                await source.read(seen, offset, length)
            assert caught.value.code == "SourceChanged"
        seen = await source.renew(seen)
        assert bytes((await source.read(seen, 100, 50)).body) == BODY[::-1][100:150]

    run(tmp_path / "list", work)


def test_where_the_list_is_not_an_object_is_described_by_what_was_listed(
    nginx: RunningNginx, tmp_path: Path
) -> None:
    nginx.put("there", BODY)
    there, gone = listed(
        write_list(tmp_path / "list", f"{nginx.url()} there", f"{nginx.url()} gone")
    )

    async def work(source: HttpListSource) -> None:
        assert (await renew(source, there)).size == len(BODY)  # as the engine and the auditor do
        with pytest.raises(Permanent) as caught:
            await renew(source, gone)
        assert caught.value.code == "HTTP404"
        with pytest.raises(Permanent) as caught:
            await renew(source, there._replace(etag="of another source"))
        assert caught.value.code == "ListUrl"

    run(tmp_path / "list", work)


def test_only_what_was_seen_can_vanish(nginx: RunningNginx, tmp_path: Path) -> None:
    nginx.put("brief", BODY)
    (info,) = listed(write_list(tmp_path / "list", f"{nginx.url()} brief"))

    async def work(source: HttpListSource) -> None:
        seen, _ = await fetch(source, info)
        (nginx.root / "brief").unlink()
        with pytest.raises(Permanent) as caught:
            await source.read(seen, 0, seen.size)
        assert caught.value.code == "NotFound"
        with pytest.raises(Permanent) as caught:
            await fetch(source, info)
        assert caught.value.code == "HTTP404"

    run(tmp_path / "list", work)


def test_what_is_stored_compressed_stays_so(nginx: RunningNginx, tmp_path: Path) -> None:
    info, payload = copy(tmp_path / "list", f"{nginx.url('gzipped')} packed.txt")
    assert bytes(payload.body) == gzip.compress(BODY, mtime=0)
    assert at_oss(payload)["Content-Encoding"] == "gzip"
    assert info.size == len(payload.body)


def test_the_list_s_size_decides_whether_it_is_unpacked(
    nginx: RunningNginx, tmp_path: Path
) -> None:
    line = f"{nginx.url('gzipped')} packed.txt {len(BODY)}"
    _, payload = copy(tmp_path / "list", line)
    assert bytes(payload.body) == BODY
    assert "Content-Encoding" not in at_oss(payload)


def test_what_travels_with_an_object(nginx: RunningNginx, tmp_path: Path) -> None:
    _, payload = copy(tmp_path / "list", f"{nginx.url('headers')}\ta b.jpg")
    assert at_oss(payload) == {
        "Content-Type": "image/jpeg",
        "Cache-Control": "max-age=60",
        "Content-Language": "de",
        "Content-Disposition": "attachment",
        "Expires": "Thu, 01 Jan 2026 00:00:00 GMT",
    }


def test_a_large_object_needs_ranges_to_come_in_parts(nginx: RunningNginx, tmp_path: Path) -> None:
    (info,) = listed(write_list(tmp_path / "list", f"{nginx.url('whole')} large {len(BODY) * 100}"))

    async def work(source: HttpListSource) -> None:
        seen = await source.renew(info)
        with pytest.raises(Permanent, match="only the whole.*Cure: raise multipart") as caught:
            await source.read(seen, 0, 1000)
        assert caught.value.code == "RangeIgnored"
        assert len((await source.read(seen, 0, seen.size)).body) == seen.size

    run(tmp_path / "list", work)


def test_without_head_and_ranges_size_or_list_must_tell(
    nginx: RunningNginx, tmp_path: Path
) -> None:
    _, payload = copy(tmp_path / "list", f"{nginx.url('awkward')} large")
    assert len(payload.body) == len(BODY) * 100
    error = refused(tmp_path / "list", f"{nginx.url('awkward')} huge")
    assert (type(error), error.code) == (Permanent, "SizeUnknown")
    assert "Cure: add a column" in str(error)
    _, payload = copy(tmp_path / "list", f"{nginx.url('awkward')} huge {17 << 20}")
    assert len(payload.body) == 17 << 20


@pytest.mark.parametrize("size", ["", "5"])
def test_refusals_say_what_to_do(nginx: RunningNginx, tmp_path: Path, size: str) -> None:
    path = tmp_path / "list"
    error = refused(path, f"{nginx.url('plain')} none {size}")
    assert (type(error), error.code) == (Permanent, "HTTP404")
    assert "Cure: check the line" in str(error)
    error = refused(path, f"{nginx.url('denied')} a?Signature=s3cret {size}")
    assert (type(error), error.code) == (Permanent, "AccessDenied")
    assert "Cure: let the server allow" in str(error)
    assert "s3cret" not in str(error).replace("'a?Signature=s3cret'", "").replace(error.key, "")
    error = refused(path, f"{nginx.url('busy')} a {size}")
    assert isinstance(error, Transient)
    assert (error.code, error.retry_after) == ("ServerError", 7.0)
    error = refused(path, f"{nginx.url('round')} a {size}")
    assert (type(error), error.code) == (Permanent, "Redirected")
    error = refused(path, f"http://127.0.0.1:1/ a {size}")
    assert (type(error), error.code) == (Transient, "ConnectionRefused")


def test_a_list_is_checked_before_a_job(nginx: RunningNginx, tmp_path: Path) -> None:
    def check(*lines: str) -> None:
        HttpListSource(write_list(tmp_path / "list", *lines), COLUMNS).check()

    check()
    check(f"{nginx.url()} empty")
    check(f"{nginx.url('awkward')} huge")
    check(f"{nginx.url()} gone", f"{nginx.url('busy')} x", f"{nginx.url()} empty")
    check("http://127.0.0.1:1/ down", *[f"{nginx.url()} gone"] * 3, f"{nginx.url()} empty")
    with pytest.raises(Fatal, match="none of 2 URLs.*HTTP 404.*Cure: ") as caught:
        check(f"{nginx.url()} gone", f"{nginx.url()} gone2")
    assert caught.value.code == "HTTP404"
    with pytest.raises(Fatal, match="no line of the list.*line 2 of .*Cure: ") as caught:
        check("nonsense", "nonsense")
    assert caught.value.code == "ListColumns"
    with pytest.raises(Transient):
        check("http://127.0.0.1:1/ down")


def test_where_objects_are_read_the_list_is_not_asked_for(
    nginx: RunningNginx, tmp_path: Path
) -> None:
    infos = listed(
        write_list(tmp_path / "list", "http://127.0.0.1:1/ down 1", f"{nginx.url()} empty 0")
    )

    async def work(source: HttpListSource) -> None:
        for info in infos:
            try:
                await source.read(info, 0, info.size)
            except Transient:
                await asyncio.to_thread(source.check)  # it is that server's fault alone

    run(tmp_path / "list", work)


def test_an_outage_of_every_server_is_one(tmp_path: Path) -> None:
    def answer_once(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")

    server = RawServer(answer_once)
    (info,) = listed(write_list(tmp_path / "list", f"{server.endpoint}/ a 1"))

    async def work(source: HttpListSource) -> None:
        with server:
            await source.read(info, 0, 1)
            await asyncio.to_thread(source.check)
        with pytest.raises(Transient):
            await asyncio.to_thread(source.check)

    run(tmp_path / "list", work)


# -- by script -------------------------------------------------------------------------------------


class Script:
    """Answers by method; keeps the heads of requests."""

    def __init__(self, get: bytes, head: bytes = b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"):
        self.answers = {b"GET": get, b"HEAD": head}
        self.heads: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        while head := peer.read_head():
            self.heads.append(head)
            answer = self.answers[head.split(b" ")[0]]
            peer.send(answer)
            if b"Content-Length" not in answer and b"chunked" not in answer:
                return


def ok(body: bytes, *headers: bytes, length: bool = True) -> bytes:
    lines = [*headers, *([b"Content-Length: %d" % len(body)] if length else [])]
    return b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body: bytes, *headers: bytes) -> bytes:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return ok(chunks, b"Transfer-Encoding: chunked", *headers, length=False)


@pytest.mark.parametrize("size", ["", "8000", "9"])
@pytest.mark.parametrize(
    "answer", [chunked(BODY), ok(BODY, length=False)], ids=["chunked", "until it closes"]
)
def test_a_server_may_not_say_how_long_it_will_talk(
    tmp_path: Path, answer: bytes, size: str
) -> None:
    with RawServer(Script(answer, ok(b"", length=False))) as server:
        info, payload = copy(tmp_path / "list", f"{server.endpoint}/ a {size}")
    assert (info.size, bytes(payload.body)) == (len(BODY), BODY)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "zlib"])
def test_a_server_that_compresses_all_the_same(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    name = b"deflate" if pack is zlib.compress else b"gzip"
    script = Script(
        chunked(pack(BODY), b"Content-Encoding: " + name, b'ETag: W/"x"'),
        b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: W/"x"\r\n\r\n' % len(BODY),
    )
    with RawServer(script) as server:
        for size in ("", len(BODY)):
            info, payload = copy(tmp_path / "list", f"{server.endpoint}/ a {size}")
            assert (info.size, bytes(payload.body)) == (len(BODY), BODY)
            assert "Content-Encoding" not in at_oss(payload)
    assert all(b"accept-encoding: identity" in head for head in script.heads)


def test_half_a_compressed_body_is_none(tmp_path: Path) -> None:
    answer = chunked(gzip.compress(BODY)[:-4], b"Content-Encoding: gzip")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    with RawServer(Script(answer, head)) as server:
        error = refused(tmp_path / "list", f"{server.endpoint}/ a {len(BODY)}")
    assert (type(error), error.code) == (Transient, "BadResponse")


def test_a_part_has_no_checksum_of_the_whole(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n"
    part = (
        b"HTTP/1.1 206 P\r\nContent-Length: 2\r\nContent-Range: bytes 1-2/8000\r\n"
        b"Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\n\r\n12"
    )

    async def work(source: HttpListSource) -> Payload:
        return await source.read(await source.renew(info), 1, 2)

    with RawServer(Script(part, head)) as server:
        (info,) = listed(write_list(tmp_path / "list", f"{server.endpoint}/ a"))
        payload = run(tmp_path / "list", work)
    assert (bytes(payload.body), payload.checksum) == (b"12", None)


@pytest.mark.parametrize("said", [b"416 No\r\nContent-Range: bytes */5", b"206 Part"])
def test_an_answer_that_tells_no_size_is_not_guessed_from(tmp_path: Path, said: bytes) -> None:
    answer = b"HTTP/1.1 %b\r\nContent-Length: 1\r\n\r\nx" % said
    with RawServer(Script(answer)) as server:
        assert refused(tmp_path / "list", f"{server.endpoint}/ a").code == "SizeUnknown"


def test_a_head_that_says_0_is_not_believed(tmp_path: Path) -> None:
    for body in (BODY, b""):
        with RawServer(Script(ok(body), ok(b""))) as server:
            _, payload = copy(tmp_path / "list", f"{server.endpoint}/ a")
        assert bytes(payload.body) == body


def test_https_is_verified_and_not_left(tmp_path: Path) -> None:
    context, ca_file = own_authority(tmp_path)
    path = tmp_path / "list"

    async def trusting(info: ObjectInfo) -> Payload:
        transport = Transport(ca_file=str(ca_file))
        try:
            return (await fetch(HttpListSource(path, COLUMNS, transport), info))[1]
        finally:
            await transport.close()

    with RawServer(Script(ok(BODY)), context) as server:
        line = f"{server.endpoint}/ a {len(BODY)}"
        assert bytes(asyncio.run(trusting(*listed(write_list(path, line)))).body) == BODY
        error = refused(path, line)
        assert (type(error), error.code) == (Transient, "TlsError")
    with RawServer(Script(ok(BODY))) as plain:
        answer = f"HTTP/1.1 302 M\r\nLocation: {plain.endpoint}/\r\nContent-Length: 0\r\n\r\n"
        with RawServer(Script(answer.encode()), context) as server:
            (info,) = listed(write_list(path, f"{server.endpoint}/ a {len(BODY)}"))
            with pytest.raises(Permanent, match="not encrypted.*Cure: ") as caught:
                asyncio.run(trusting(info))
            assert caught.value.code == "Redirected"
        assert plain.connections == 0


def test_a_weak_etag_pins_nothing(tmp_path: Path) -> None:
    script = Script(
        ok(BODY, b'ETag: W/"1"'), ok(BODY, b'ETag: W/"1"').split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    )
    with RawServer(script) as server:
        _, payload = copy(tmp_path / "list", f"{server.endpoint}/ a")
    assert bytes(payload.body) == BODY
    assert not [head for head in script.heads if b"if-match" in head.lower()]


def test_a_strong_etag_pins_the_version(tmp_path: Path) -> None:
    script = Script(
        ok(BODY, b'ETag: "1"'), ok(BODY, b'ETag: "1"').split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    )
    with RawServer(script) as server:
        copy(tmp_path / "list", f"{server.endpoint}/ a")
    assert b'if-match: "1"' in script.heads[-1].lower()


def test_a_truncated_body_is_tried_again(tmp_path: Path) -> None:
    cut = ok(BODY)[:-100]

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(cut)

    with RawServer(script) as server:
        for size in (len(BODY), ""):
            error = refused(tmp_path / "list", f"{server.endpoint}/ a {size}")
            assert isinstance(error, Transient)


def test_redirects_lead_anywhere_but_out_of_https(tmp_path: Path) -> None:
    with RawServer(Script(ok(BODY))) as target:
        for status, location in (
            (301, f"{target.endpoint}/x y/中#part"),
            (302, f"//{target.endpoint.authority}/x%20y"),
            (307, f"{target.endpoint}/?q=1"),
            (308, f"{target.endpoint}"),
        ):
            answer = f"HTTP/1.1 {status} M\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            with RawServer(Script(answer.encode(), answer.encode())) as server:
                _, payload = copy(tmp_path / "list", f"{server.endpoint}/ a {len(BODY)}")
            assert bytes(payload.body) == BODY
    for location in ("ftp://h/", "http://me:pw@h/", "http://h:999999/"):
        answer = f"HTTP/1.1 302 M\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        with RawServer(Script(answer.encode())) as server:
            error = refused(tmp_path / "list", f"{server.endpoint}/ a 5")
        assert error.code == "Redirected"
        assert "pw" not in str(error)


@pytest.mark.parametrize("host", ["169.254.169.254", "100.100.100.200", "127.0.0.1", "[::1]"])
async def test_nobody_is_led_to_what_is_only_the_worker_s_to_ask_for(host: str) -> None:
    class Leading(Transport):
        async def request(self, *asked: object, **more: object) -> Response:
            assert isinstance(asked[0], Endpoint)
            assert asked[0].host == "example.test"
            return Response(302, {"location": f"http://{host}/latest/meta-data"}, b"")

    web = Web(Leading())
    with pytest.raises(Permanent, match="back to this host") as caught:
        await web.ask("GET", parse_url("http://example.test/a"), {}, 100)
    assert caught.value.code == "Redirected"


def test_what_comes_unpacked_is_bounded_by_what_was_wanted() -> None:
    response = Response(200, {"content-encoding": "gzip"}, gzip.compress(bytes(1 << 20)))
    tracemalloc.start()
    for size in (-1, 0, 1000):
        assert decoded(response, size) is response
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 18


@pytest.mark.parametrize(
    ("headers", "checksum"),
    [
        ([b"x-oss-hash-crc64ecma: 123"], Checksum("crc64", "123")),
        ([b"Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg=="], Checksum("md5", hashlib.md5(b"").hexdigest())),
        ([b"Content-MD5: nonsense"], None),
        ([b'ETag: "d41d8cd98f00b204e9800998ecf8427e"'], None),
        ([], None),
    ],
)
def test_the_server_s_own_checksum_counts(
    tmp_path: Path, headers: list[bytes], checksum: Checksum | None
) -> None:
    with RawServer(Script(ok(b"", *headers))) as server:
        _, payload = copy(tmp_path / "list", f"{server.endpoint}/ a 0")
    assert payload.checksum == checksum


def test_a_wish_to_wait_is_a_number_or_a_time() -> None:
    now = "Thu, 01 Jan 2026 00:00:00 GMT"
    assert retry_after("120", None) == 120
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert retry_after("Wed, 31 Dec 2025 00:01:00 GMT", now) == 0
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", None) == 0
    assert retry_after("soon", now) == 0


def test_an_object_of_another_source_is_refused(tmp_path: Path) -> None:
    async def work(source: HttpListSource) -> None:
        with pytest.raises(Permanent, match="no object of a list"):
            await source.read(ObjectInfo("k", 1, 0, "etag"), 0, 1)

    run(tmp_path / "list", work)
