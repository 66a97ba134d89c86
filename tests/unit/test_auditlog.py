"""audit.log lines: whatever happened to whichever object can be read back."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ossimport.auditlog import (
    CHECK_FAILED,
    UPLOAD_ENDED,
    UPLOAD_STARTED,
    UploadLine,
    format_check_failed,
    format_line,
    format_upload,
    parse_line,
    read_log,
)
from ossimport.model import CopyResult, ObjectInfo, Outcome, Proof, Upload, mark_of
from ossimport.naming import display, one_line

NOW = 1_795_410_305.5
# Any text: control characters, lone surrogates, and pieces that look like our own format.
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(codec=None)),
        st.sampled_from(
            [" Detail:#7", " Detail:", "Detail:#1 size=1", " message=", "\\", "\\x20", "\n", " "]
        ),
    ),
    max_size=4,
).map("".join)
TOKENS = st.text(st.characters(exclude_categories=["Zs", "Zl", "Zp", "Cc", "Cs"]), max_size=20)
NAMES = st.from_regex(r"[!#-+.-~]{1,20}", fullmatch=True)  # of headers: no blank, no comma
NUMBERS = st.integers(0, 2**63)


@st.composite
def results(draw: st.DrawFn) -> CopyResult:
    code = draw(TOKENS)
    message = draw(TEXTS)
    return CopyResult(
        outcome=draw(st.sampled_from(Outcome)),
        size=draw(NUMBERS),
        proof=draw(st.sampled_from(Proof)),
        crc64=draw(st.none() | st.integers(0, 2**64 - 1)),
        code=code,
        message=message,
        request_id=draw(TOKENS) if code or message else "",
        attempts=draw(st.integers(1, 1000)),
        seconds=draw(st.integers(0, 10**7)) / 1000,
        unkept=tuple(draw(st.lists(NAMES, max_size=3))),
    )


@given(st.integers(0, 10**6), TEXTS, results())
@example(12, "a Detail:#3 size=1 proof=0 ms=1 tries=1", CopyResult(Outcome.COPIED))
@example(
    12, "Detail:#3 size=1 proof=0 ms=1 tries=1 code= request= message=", CopyResult(Outcome.COPIED)
)
@example(
    12,
    "a Detail:#3 size=1 proof=0 ms=1 tries=1 code= request= message=",
    CopyResult(Outcome.COPIED),
)
def test_an_outcome_is_read_back_as_it_was(number: int, key: str, result: CopyResult) -> None:
    text = format_line(number, key, result, NOW)
    assert text.count("\n") == 1
    assert text.endswith("\n")
    text.encode()  # nothing in it that UTF-8 cannot hold
    line = parse_line(text)
    assert line is not None
    shown = result._replace(message=one_line(result.message))
    assert (line.number, line.key, line.result) == (number, key, shown)
    assert line.word.lower() == result.outcome.value


@given(st.integers(0, 10**6), TEXTS, results())
@example(1, "k", CopyResult(Outcome.SKIPPED, message="x Detail:#9 size=1 proof=2 ms=1 tries=1"))
def test_the_fast_reader_agrees_with_the_full_one(
    number: int, key: str, result: CopyResult
) -> None:
    line = format_line(number, key, result, NOW)
    settled = result.outcome in (Outcome.COPIED, Outcome.SKIPPED)
    if not settled or result.code or result.message or result.unkept:
        assert list(read_log(line.encode())) == [line.removesuffix("\n")]
    else:
        milliseconds = round(result.seconds * 1000)
        read = (number, mark_of(result.outcome, result.proof), milliseconds)
        assert list(read_log(line.encode())) == [read]


def test_a_line_looks_like_the_originals_only_known_one() -> None:
    result = CopyResult(Outcome.COPIED, 4096, Proof.CRC64, 123, seconds=0.013)
    local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(NOW))
    assert format_line(12, "photos/a.jpg", result, NOW) == (
        f"{local} Copied photos/a.jpg Detail:#12 size=4096 crc64=123 proof=2 ms=13 tries=1\n"
    )


def test_what_an_object_lost_is_named() -> None:
    result = CopyResult(
        Outcome.COPIED, 9, Proof.CRC64, unkept=("x-amz-tagging-count", "x-amz-meta-a.b")
    )
    assert format_line(3, "b", result, NOW).endswith(
        " Copied b Detail:#3 size=9 proof=2 ms=0 tries=1 "
        "unkept=x-amz-tagging-count,x-amz-meta-a.b\n"
    )


def test_a_failure_says_code_request_and_message_at_the_end() -> None:
    result = CopyResult(
        Outcome.FAILED, 9, code="Timeout", message="no answer\nat all", request_id="5F1", attempts=8
    )
    assert format_line(3, "b", result, NOW).endswith(
        " Failed b Detail:#3 size=9 proof=0 ms=0 tries=8 "
        "code=Timeout request=5F1 message=no answer\\x0aat all\n"
    )


def test_a_key_in_a_message_is_escaped_once() -> None:
    key = "a\nb"
    said = f"OSS cannot hold an object named {display(key)}"
    result = CopyResult(Outcome.FAILED, 9, code="InvalidKey", message=said)
    assert format_line(3, key, result, NOW).endswith(" named a\\x0ab\n")


def test_the_time_is_the_second_of_each_line() -> None:
    lines = [format_check_failed(0, "k", NOW + second) for second in range(4)]
    assert len({line[:19] for line in lines}) == 4
    assert [line[:19] for line in lines] == sorted(line[:19] for line in lines)


def test_an_outcome_can_be_taken_back() -> None:
    line = parse_line(format_check_failed(5, "a b", NOW))
    assert line is not None
    assert (line.word, line.number, line.key, line.result) == (CHECK_FAILED, 5, "a b", None)


@given(TEXTS, TEXTS, TOKENS, st.integers(1, 2**40))
def test_an_upload_is_read_back(key: str, dest: str, upload_id: str, part_size: int) -> None:
    upload = Upload(dest, upload_id, part_size, ObjectInfo(key, 10**9), {})
    for word in (UPLOAD_STARTED, UPLOAD_ENDED):
        line = parse_line(format_upload(7, key, upload, NOW, word=word))
        assert line is not None
        assert (line.word, line.number, line.key) == (word, 7, key)
        assert line.upload == UploadLine(dest, upload_id, part_size)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "2026-11-23 05:18:00",
        "2026-11-23 05:18:00 Copied a",
        "2026-11-23 05:18:00 Copied a Detail:#1\n",
        "2026-11-23 05:18:00 CheckFailed a Detail:#1 size=1 proof=0 ms=1 tries=1\n",
        "2026-11-23 05:18:00 Copied a Detail:#1 size=4 proof=9 ms=1 tries=1\n",
        "2026-11-23 05:18:00 Failed a\\q Detail:#1 size=4 proof=1 ms=1 tries=1\n",
        " Copied a Detail:#1 size=4 proof=1 ms=1 tries=1\n",
        "[2016-07-21 10:21:46] [INFO] [name=YoupaiList, totalRequest=1729925]\n",
        "\0\0\0",
    ],
)
def test_what_is_no_whole_line_of_ours_is_none(text: str) -> None:
    assert parse_line(text) is None
    assert list(read_log(text.encode() + b"\n")) == text.split("\n")
