"""What a request's head looks like, and how responses are read from any cut of their bytes."""

import contextlib
import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport.errors import Permanent, Transient
from ossimport.transport import Endpoint, Response
from ossimport.transport.reader import ResponseReader
from ossimport.transport.wire import NAMES, encode_head, host_header

HTTP = Endpoint("http", "example.test", 80)


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        (Endpoint("http", "a.test", 80), "a.test"),
        (Endpoint("https", "a.test", 443), "a.test"),
        (Endpoint("https", "a.test", 80), "a.test:80"),
        (Endpoint("http", "::1", 8080), "[::1]:8080"),
    ],
)
def test_the_host_header_leaves_out_only_the_default_port(endpoint: Endpoint, host: str) -> None:
    assert host_header(endpoint) == host


def test_a_head_is_the_request_line_the_headers_and_what_the_transport_adds() -> None:
    head = encode_head("h", "PUT", "/k?a=1", {"X-A": "1", "x-b": "ü"}, 7)
    expected = "PUT /k?a=1 HTTP/1.1\r\nX-A: 1\r\nx-b: ü\r\nHost: h\r\nContent-Length: 7\r\n\r\n"
    assert head == expected.encode("latin-1")


def test_a_percent_sign_is_sent_as_it_is_wherever_it_is() -> None:
    head = encode_head("h%s", "PUT", "/%25%s", {"x-%s": "100%", "x-b": "%(a)s"}, 0)
    expected = "PUT /%25%s HTTP/1.1\r\nx-%s: 100%\r\nx-b: %(a)s\r\nHost: h%s\r\n"
    assert head == f"{expected}Content-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("name", ["Host", "host", "HOST"])
def test_a_host_given_by_the_caller_wins(name: str) -> None:
    head = encode_head("h", "GET", "/", {name: "other"}, 0)
    assert head == f"GET / HTTP/1.1\r\n{name}: other\r\n\r\n".encode()


@pytest.mark.parametrize(("method", "expected"), [("PUT", True), ("POST", True), ("GET", False)])
def test_an_empty_body_has_a_length_where_one_is_expected(method: str, expected: bool) -> None:
    assert (b"Content-Length: 0" in encode_head("h", method, "/", {}, 0)) is expected


@pytest.mark.parametrize("bad", ["\r", "\n", "\r\n", "\r\nX: y", "\0", "a\nb"])
@pytest.mark.parametrize("where", ["method", "target", "name", "value"])
def test_control_characters_are_refused_wherever_they_are(where: str, bad: str) -> None:
    parts = {"method": "PUT", "target": "/k", "name": "X-A", "value": "1"}
    parts[where] += bad
    with pytest.raises(ValueError, match="control characters") as caught:
        encode_head("h", parts["method"], parts["target"], {parts["name"]: parts["value"]}, 0)
    assert bad not in str(caught.value)


@pytest.mark.parametrize(("method", "target"), [("PUT", "/a b"), ("P T", "/"), ("GET", "/ü")])
def test_a_method_or_target_that_is_not_encoded_is_refused(method: str, target: str) -> None:
    with pytest.raises(ValueError, match="not encoded"):
        encode_head("h", method, target, {}, 0)


def test_a_header_that_is_not_latin_1_is_refused_without_quoting_the_head() -> None:
    with pytest.raises(ValueError, match="latin-1") as caught:
        encode_head("h", "PUT", "/", {"Authorization": "secret", "X-A": "中"}, 0)
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_headers_that_frame_the_body_are_not_the_callers(name: str) -> None:
    with pytest.raises(ValueError, match=name.lower()):
        encode_head("h", "PUT", "/", {name: "1"}, 1)


def read(pieces: list[bytes], *, method: str = "GET", max_body: int = 1 << 20) -> Response | None:
    """What a fresh reader makes of the pieces; they must end with the response."""
    reader = ResponseReader(HTTP)
    reader.begin(head_only=method == "HEAD", max_body=max_body)
    for piece in pieces[:-1]:
        assert reader.feed(piece) is None
    return reader.feed(pieces[-1])


CHUNKED = (
    b"HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    b"5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-T: late\r\n\r\n"
)
COUNTED = b'HTTP/1.1 201 Created\r\nContent-Length: 11\r\nETag: "\xe4"\r\n\r\nhello world'


@settings(deadline=None)
@given(st.sampled_from([CHUNKED, COUNTED]), st.sets(st.integers(1, 400)))
def test_a_response_reads_the_same_however_it_is_cut(wire: bytes, cuts: set[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    pieces = [wire[a:b] for a, b in zip(places, places[1:], strict=False)]
    response = read(pieces)
    assert response is not None
    assert response.body == b"hello world"
    if wire is COUNTED:
        assert response == Response(201, {"content-length": "11", "etag": '"ä"'}, b"hello world")
    else:
        assert response.status == 200
        assert response.headers == {
            "transfer-encoding": "chunked",
            "trailer": "X-T",
            "x-a": "1, 2",
        }


@settings(deadline=None)
@given(st.integers(0, 3000), st.integers(1, 100), st.sets(st.integers(1, 3100)), st.booleans())
def test_a_long_body_can_be_read_into_its_place(
    size: int, least: int, cuts: set[int], more: bool
) -> None:
    body = bytes(i % 251 for i in range(size))
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body + b"!" * more
    places = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    response = None
    for a, b in zip(places, places[1:], strict=False):
        piece = memoryview(wire)[a:b]
        while piece and response is None:
            space = reader.space(least)
            if space is None:
                response = reader.feed(piece)
                break
            count = min(len(space), len(piece))
            space[:count] = piece[:count]
            reader.filled(count)
            piece = piece[count:]
    assert response is not None
    assert response.body == body
    assert reader.persistent is not (more and reader.received == len(wire))
    assert reader.received >= len(wire) - 1


def test_a_reader_offers_no_place_when_little_is_missing_and_never_that_of_the_last_byte() -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    assert reader.space(0) is None
    reader.feed(COUNTED[:-8])
    assert reader.space(8) is None
    space = reader.space(7)
    assert space is not None
    assert len(space) == 7


def test_a_response_that_was_handed_over_is_not_kept() -> None:
    reader = ResponseReader(HTTP)
    for pieces in ([COUNTED], [COUNTED[:-3], COUNTED[-3:]], [CHUNKED]):
        reader.begin(head_only=False, max_body=1 << 20)
        response = [reader.feed(piece) for piece in pieces][-1]
        assert response is not None
        assert response.body == b"hello world"
        assert not any(held is response.body for held in gc.get_referents(reader.__dict__))
        assert not reader._chunks


def test_names_that_are_ever_new_are_read_and_not_all_remembered() -> None:
    for i in range(1000):
        response = read([b"HTTP/1.1 200 OK\r\nX-N%d: %d\r\nContent-Length: 0\r\n\r\n" % (i, i)])
        assert response is not None
        assert response.headers == {f"x-n{i}": str(i), "content-length": "0"}
    assert len(NAMES) < 1000


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_that_never_have_a_body_end_with_their_head(status: bytes) -> None:
    response = read([b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"])
    assert response is not None
    assert response.body == b""


def test_the_length_of_a_body_that_does_not_come_is_no_reason_to_refuse() -> None:
    for method, status in [("GET", b"304 Not Modified"), ("HEAD", b"200 OK")]:
        wire = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5000\r\n\r\n"
        response = read([wire], method=method, max_body=10)
        assert response is not None
        assert response.headers == {"content-length": "5000"}


def test_a_reader_goes_on_to_the_next_response() -> None:
    reader = ResponseReader(HTTP)
    for method, wire, body in [
        ("GET", COUNTED, b"hello world"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", b""),
        ("GET", CHUNKED, b"hello world"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 11\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        ("GET", COUNTED, b"hello world"),
    ]:
        reader.begin(head_only=method == "HEAD", max_body=1 << 20)
        for i in range(len(wire)):
            response = reader.feed(wire[i : i + 1])
            assert (response is not None) is (i == len(wire) - 1)
        assert response is not None
        assert response.body == body
        assert reader.persistent


@pytest.mark.parametrize(
    "wire",
    [
        COUNTED + b"!",
        CHUNKED + b"garbage",
        CHUNKED + COUNTED,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nxx",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_after_some_answers_no_other_may_follow(wire: bytes) -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    assert reader.feed(wire) is not None
    assert not reader.persistent


def test_bytes_behind_a_counted_body_end_the_connection_too() -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    assert reader.feed(COUNTED[:-3]) is None
    response = reader.feed(COUNTED[-3:] + b"more")
    assert response is not None
    assert response.body == b"hello world"
    assert not reader.persistent


def test_a_body_behind_a_head_answer_ends_the_connection() -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=True, max_body=1 << 20)
    response = reader.feed(COUNTED)
    assert response is not None
    assert response.body == b""
    assert not reader.persistent


def test_a_body_without_length_ends_with_the_connection() -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhello ") is None
    assert reader.feed(b"world") is None
    assert reader.finish() == Response(200, {}, b"hello world")
    assert not reader.persistent


@pytest.mark.parametrize("wire", [COUNTED, CHUNKED, b"HTTP/1.1 200 OK\r\n", b""])
def test_any_other_response_that_ends_early_is_no_response(wire: bytes) -> None:
    for end in range(len(wire)):
        reader = ResponseReader(HTTP)
        reader.begin(head_only=False, max_body=1 << 20)
        assert reader.feed(wire[:end]) is None
        assert reader.finish() is None


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 2xx OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_bad_response(wire: bytes) -> None:
    with pytest.raises(Transient) as caught:
        read([wire])
    assert caught.value.code == "BadResponse"
    assert "example.test" in str(caught.value)


@settings(deadline=None)
@given(st.sampled_from([CHUNKED, COUNTED]), st.data())
def test_one_byte_that_is_wrong_gives_an_error_or_a_response(
    wire: bytes, data: st.DataObject
) -> None:
    broken = bytearray(wire)
    broken[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(wire) - 1))
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    with contextlib.suppress(Transient, Permanent):
        response = reader.feed(bytes(broken[:cut])) or reader.feed(bytes(broken[cut:]))
        assert response is None or response.status >= 200


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_raise_anything_else(wire: bytes) -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    with contextlib.suppress(Transient):
        reader.feed(b"HTTP/1.1 200 OK\r\n" + wire)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n" * 100),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: 1\r\n" * 100),
    ],
)
def test_heads_chunk_extensions_and_trailers_are_bounded(start: bytes, more: bytes) -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    reader.feed(start)
    error = ""
    while not error:
        try:
            reader.feed(more)
        except Transient as exc:
            error = str(exc)
    assert "headers" in error
    assert 64 << 10 < reader.received < 70 << 10


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello world",
    ],
)
def test_a_body_larger_than_allowed_is_permanent(wire: bytes) -> None:
    with pytest.raises(Permanent, match="more than 10 bytes") as caught:
        read([wire], max_body=10)
    assert caught.value.code == "BadResponse"
    assert read([wire], max_body=11) is None


@pytest.mark.parametrize("wire", [COUNTED, CHUNKED])
def test_a_body_larger_than_allowed_is_permanent_even_if_it_is_all_there(wire: bytes) -> None:
    with pytest.raises(Permanent, match="more than 10 bytes"):
        read([wire], max_body=10)
    assert read([wire], max_body=11) is not None


def test_many_small_chunks_take_no_more_memory_than_a_large_one() -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"2\r\nxy\r\n" * 1000
    tracemalloc.start()
    for _ in range(100):
        reader.feed(piece)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20  # for 200,000 bytes


def test_many_small_chunks_are_no_flood() -> None:
    reader = ResponseReader(HTTP)
    reader.begin(head_only=False, max_body=1 << 20)
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(30_000):
        assert reader.feed(b"1\r\nx\r\n") is None
    response = reader.feed(b"0\r\n\r\n")
    assert response is not None
    assert len(response.body) == 30_000
