"""What is common to the refusals of all services."""

import pytest

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.sources.over_http.refusals import Refusal, Refusals, read_xml, translate

TABLE = Refusals(
    service="Store",
    fatal={"NoKey": "mend the key"},
    transient={"Busy": "wait"},
    permanent={"Cold": "warm it up"},
    absent=frozenset({"Gone", "HTTP404"}),
    read_cure="let it be read",
    list_cure="let it be listed",
)
ERROR = b"<?xml?><Error><Code>Cold</Code><Message>It &lt;is&gt; cold</Message>%s</Error>"


def meaning(refusal: Refusal, op: str = "read") -> tuple[type[StorageError], str, str]:
    error = translate(refusal, TABLE, op=op, bucket="b", key="" if op == "scan" else "k")
    return type(error), error.code, str(error).partition("Cure: ")[2]


@pytest.mark.parametrize(
    ("status", "code", "read", "scan"),
    [
        (403, "NoKey", (Fatal, "NoKey", "mend the key"), (Fatal, "NoKey", "mend the key")),
        (503, "NoKey", (Fatal, "NoKey", "mend the key"), (Fatal, "NoKey", "mend the key")),
        (403, "Busy", (Transient, "Busy", "wait"), (Transient, "Busy", "wait")),
        (503, "Other", (Transient, "Other", ""), (Transient, "Other", "")),
        (500, "", (Transient, "ServerError", ""), (Transient, "ServerError", "")),
        (429, "", (Transient, "Throttled", ""), (Transient, "Throttled", "")),
        (408, "", (Transient, "Timeout", ""), (Transient, "Timeout", "")),
        (301, "", (Fatal, "HTTP301", "check src"), (Fatal, "HTTP301", "check src")),
        (404, "", (Permanent, "NotFound", ""), (Fatal, "HTTP404", "check src")),
        (404, "Gone", (Permanent, "NotFound", ""), (Fatal, "Gone", "check src")),
        (403, "Cold", (Permanent, "Cold", "warm it up"), (Fatal, "Cold", "check src")),
        (403, "", (Permanent, "AccessDenied", "let it be read"), (Fatal, "AccessDenied", "let it")),
        (418, "", (Permanent, "HTTP418", ""), (Fatal, "HTTP418", "check src")),
    ],
)
def test_a_refusal_means_one_thing_for_an_object_and_one_for_the_bucket(
    status: int, code: str, read: tuple[object, ...], scan: tuple[object, ...]
) -> None:
    refusal = Refusal(status, code, "", "", 0.0)
    for op, (kind, expected, cure) in (("read", read), ("scan", scan)):
        found = meaning(refusal, op)
        assert found[:2] == (kind, expected)
        assert found[2].startswith(str(cure))
        assert bool(found[2]) == bool(cure)


def test_an_error_says_what_the_service_said_and_nothing_else_of_its_answer() -> None:
    more = b"<StringToSign>secret</StringToSign><RequestId>R</RequestId>"
    headers = {"x-id": "H", "retry-after": "7"}
    assert read_xml(403, {}, ERROR % more, "x-id") == (403, "Cold", "It <is> cold", "R", 0.0)
    refusal = read_xml(403, headers, ERROR % more, "x-id")
    assert refusal == (403, "Cold", "It <is> cold", "H", 7.0)
    error = translate(refusal, TABLE, op="read", bucket="b", key="a\nb")
    assert str(error) == (
        "read of a\\x0ab in bucket b: HTTP 403 Cold: It <is> cold (request id H). Cure: warm it up"
    )
    assert (error.op, error.key, error.request_id) == ("read", "a\nb", "H")


def test_the_wish_to_wait_is_kept() -> None:
    error = translate(Refusal(503, "Busy", "", "", 9.0), TABLE, op="read", bucket="b", key="k")
    assert isinstance(error, Transient)
    assert error.retry_after == 9.0
    for wish in ("soon", "", "-1", "1.5"):
        assert read_xml(503, {"retry-after": wish}, b"", "x-id").retry_after == 0.0


def test_words_of_others_are_shown_on_one_line_and_cut_off() -> None:
    text = b"<Code>A\x1b\x00B</Code><Message>one\r\n\ttwo\xff %s</Message>" % (b"long " * 100)
    refusal = read_xml(403, {}, text, "x-id")
    assert refusal.code == "AB"
    assert refusal.message.startswith("one two\ufffd long long")
    assert len(refusal.message) <= 300


@pytest.mark.parametrize("body", [b"", b"<html>no", b"<Code>cut off", b"\xff\xfe"])
def test_an_answer_of_somebody_else_has_no_code(body: bytes) -> None:
    assert read_xml(403, {}, body, "x-id")[1:] == ("", "", "", 0.0)
