"""The sandbox's judgement of signatures, against stock oss2 as the signer."""

from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import oss2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, RequestStartLine

from ossimport.sandbox.auth import Gate
from ossimport.sandbox.refusal import Refusal
from ossimport.sandbox.request import Request, read_request

NOW = 1_700_000_000.0
GATE = Gate("key", "secret", "cn-hangzhou")
NAMES = st.text(alphabet="abcxyz-", min_size=1, max_size=8)
# No surrogates and no dot segments, which HTTP clients take out of a path.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="."), max_size=20)
PARAMS = st.dictionaries(
    NAMES | st.sampled_from(["acl", "uploadId", "prefix", "response-content-type"]), TEXT
)
HEADER_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10)
HEADERS = st.dictionaries(
    NAMES.map(lambda name: f"x-oss-meta-{name}")
    | st.sampled_from(["Content-Type", "Content-MD5", "x-oss-object-acl", "Zulu"]),
    HEADER_VALUES,
)


def signed(
    version: str,
    key: str,
    params: dict[str, str],
    headers: dict[str, str],
    patch: Any,
    *,
    method: str = "PUT",
    access_key: str = "key",
) -> Request:
    """A request as the server reads it, signed by oss2 in the header at NOW."""
    made = oss2.http.Request(
        method,
        f"http://127.0.0.1/bucket/{oss2.compat.urlquote(key, '')}",
        b"",
        dict(params),
        dict(headers),
        region="cn-hangzhou",
        product="oss",
    )
    stop_clock(patch)
    oss2.make_auth(access_key, "secret", version)._sign_request(made, "bucket", key)
    query = "&".join(
        f"{oss2.compat.urlquote(name, '')}={oss2.compat.urlquote(value, '')}"
        for name, value in made.params.items()
    )
    return received(f"{urlsplit(made.url).path}?{query}", made.headers, method)


def received(target: str, headers: Any, method: str = "PUT") -> Request:
    wire = HTTPHeaders({name: value for name, value in headers.items() if value is not None})
    wire["Host"] = "127.0.0.1"
    return read_request(RequestStartLine(method, target, "HTTP/1.1"), wire)


def stop_clock(patch: Any) -> None:
    from datetime import UTC, datetime

    class Clock:
        utcnow = staticmethod(lambda: datetime.fromtimestamp(NOW, UTC))

    patch.setattr("oss2.auth.datetime", Clock)
    patch.setattr("oss2.auth.time.time", lambda: NOW)
    patch.setattr("oss2.utils.http_date", lambda: formatdate(NOW, usegmt=True))


@pytest.mark.parametrize("version", ["v1", "v4"])
@given(key=TEXT, params=PARAMS, headers=HEADERS)
def test_whatever_oss2_signs_is_accepted(
    version: str, key: str, params: dict[str, str], headers: dict[str, str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        request = signed(version, key, params, headers, patch)
    assert GATE.admit(request, NOW)


@pytest.mark.parametrize("version", ["v1", "v4"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_a_reader_may_read_and_nothing_else(
    version: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = signed(version, "a", {}, {}, monkeypatch, method=method, access_key="key-reader")
    if method in {"GET", "HEAD"}:
        assert GATE.admit(asked, NOW)
    else:
        with pytest.raises(Refusal, match="AccessDenied"):
            GATE.admit(asked, NOW)


def test_a_reader_of_another_owner_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = signed("v4", "a", {}, {}, monkeypatch, method="GET", access_key="yek-reader")
    with pytest.raises(Refusal, match="InvalidAccessKeyId"):
        GATE.admit(asked, NOW)


def other_key(request: Request) -> dict[str, Any]:
    return {"key": request.key + b"x"}


def other_bucket(request: Request) -> dict[str, Any]:
    return {"bucket": "another"}


def other_method(request: Request) -> dict[str, Any]:
    return {"method": "DELETE"}


def one_more_header(request: Request) -> dict[str, Any]:
    return {"headers": {**request.headers, "x-oss-object-acl": "public-read"}}


def other_type(request: Request) -> dict[str, Any]:
    return {"headers": {**request.headers, "content-type": "text/other"}}


def one_more_parameter(request: Request) -> dict[str, Any]:
    return {"params": {**request.params, "acl": ""}}


@pytest.mark.parametrize("version", ["v1", "v4"])
@pytest.mark.parametrize(
    "change",
    [other_key, other_bucket, other_method, one_more_header, other_type, one_more_parameter],
)
def test_what_was_signed_cannot_be_changed(
    version: str, change: Callable[[Request], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = signed(version, "key", {"uploadId": "1"}, {"Content-Type": "a"}, monkeypatch)
    assert GATE.admit(request, NOW)
    fields = {name: getattr(request, name) for name in Request.__slots__}
    with pytest.raises(Refusal, match="SignatureDoesNotMatch"):
        GATE.admit(Request(**(fields | change(request))), NOW)


@pytest.mark.parametrize(("version", "signs_all"), [("v1", False), ("v4", True)])
def test_v4_signs_every_parameter(
    version: str, signs_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = signed(version, "key", {}, {}, monkeypatch)
    fields = {name: getattr(request, name) for name in Request.__slots__}
    changed = Request(**(fields | {"params": {"prefix": "x"}}))
    if not signs_all:
        assert GATE.admit(changed, NOW)
        return
    with pytest.raises(Refusal, match="SignatureDoesNotMatch"):
        GATE.admit(changed, NOW)


@pytest.mark.parametrize("version", ["v1", "v4"])
@pytest.mark.parametrize(("skew", "accepted"), [(900, True), (901, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_fifteen_minutes_are_the_limit(
    version: str, skew: int, accepted: bool, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = signed(version, "key", {}, {}, monkeypatch)
    if accepted:
        assert GATE.admit(request, NOW + sign * skew)
        return
    with pytest.raises(Refusal, match="RequestTimeTooSkewed"):
        GATE.admit(request, NOW + sign * skew)


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_a_url_is_good_until_its_last_second(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_clock(monkeypatch)
    auth = oss2.make_auth("key", "secret", version)
    bucket = oss2.Bucket(auth, "http://127.0.0.1", "bucket", region="cn-hangzhou")
    url = bucket.sign_url("PUT", "a b", 60)
    bucket.session.session.close()
    request = received(url.removeprefix("http://127.0.0.1"), {})
    assert GATE.admit(request, NOW)
    assert GATE.admit(request, NOW + 60)
    with pytest.raises(Refusal, match=r"AccessDenied: Request has expired\."):
        GATE.admit(request, NOW + 61)


def test_a_request_without_a_signature_is_nobodys() -> None:
    assert not GATE.admit(received("/bucket/key", {}), NOW)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("OSS4-HMAC-SHA256 Credential=key/20231114/cn-hangzhou/oss, Signature=0", "Credential"),
        ("OSS4-HMAC-SHA256 Credential=key/1/cn-hangzhou/oss/aliyun_v4_request,Signature=0", "date"),
        ("OSS4-HMAC-SHA256 Credential=key/20231114/x/oss/aliyun_v4_request,Signature=0", "region"),
        (
            "OSS4-HMAC-SHA256 Signature=0,Credential=key/20231114/cn-hangzhou/s3/aliyun_v4_request",
            "product",
        ),
        ("OSS4-HMAC-SHA256 Signature=0", "header is invalid"),
        ("AWS key:0", "header is invalid"),
    ],
)
def test_a_broken_scope_is_named(authorization: str, code: str) -> None:
    headers = {
        "Authorization": authorization,
        "x-oss-date": "20231114T221320Z",
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
    }
    with pytest.raises(Refusal, match=f"InvalidArgument: .*{code}"):
        GATE.admit(received("/bucket/key", headers), NOW)


@pytest.mark.parametrize("date", ["", "20231114", "20231399T000000Z", "Tue, 14 Nov 2023"])
def test_a_v4_signature_needs_a_date(date: str) -> None:
    scope = "key/20231114/cn-hangzhou/oss/aliyun_v4_request"
    headers = {
        "Authorization": f"OSS4-HMAC-SHA256 Credential={scope}, Signature=0",
        "x-oss-date": date,
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
    }
    with pytest.raises(Refusal, match="AccessDenied: OSS authentication requires a valid Date"):
        GATE.admit(received("/bucket/key", headers), NOW)


def test_a_gate_does_not_show_its_secret() -> None:
    assert "secret" not in repr(GATE)
