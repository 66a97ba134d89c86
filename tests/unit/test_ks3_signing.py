"""Our signature for KS3 is the one of the service's reference, and of its own SDK."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.sources.ks3_signing import Ks3Signer, encode_path

TEXT = st.text(st.characters(codec="utf-8"), max_size=20) | st.text("/a. %", max_size=9)
DATE = "Thu, 01 Jan 1970 00:00:00 GMT"


def by_rule(method: str, resource: str, token: str = "", date: str = DATE) -> str:
    """StringToSign, written out."""
    kss = f"x-kss-security-token:{token}\n" if token else ""
    text = f"{method}\n\n\n{date}\n{kss}{resource}"
    digest = hmac.new(b"the-key", text.encode(), hashlib.sha1).digest()
    return f"KSS the-id:{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("key", "resource"),
    [
        ("", "/b-1/"),
        ("a/b", "/b-1/a/b"),
        ("a b+%~", "/b-1/a%20b%2B%25~"),
        ("/a", "/b-1/%2Fa"),
        ("a//b", "/b-1/a/%2Fb"),
        ("a///b", "/b-1/a/%2F/b"),
        ("\u4e2d", "/b-1/%E4%B8%AD"),
    ],
)
@pytest.mark.parametrize("token", ["", "the-token"])
def test_it_is_by_the_rule_of_the_reference(key: str, resource: str, token: str) -> None:
    headers = Ks3Signer("b-1", "the-id", "the-key", token).sign("GET", key, 0.5)
    assert headers["date"] == DATE
    assert headers.get("x-kss-security-token", "") == token
    assert headers["authorization"] == by_rule("GET", resource, token)


@given(TEXT)
def test_the_path_that_is_sent_is_the_one_that_is_signed(key: str) -> None:
    assert encode_path("/b-1/", key) == "/b-1" + encode_path("/", key)
    assert "//" not in encode_path("/", key)


@given(st.lists(st.integers(0, 10_000) | st.floats(0, 10_000), max_size=20))
def test_a_date_that_is_kept_is_a_date_that_is_right(times: list[float]) -> None:
    signer = Ks3Signer("b-1", "the-id", "the-key")
    for now in times:
        assert signer.sign("GET", "a", now) == Ks3Signer("b-1", "the-id", "the-key").sign(
            "GET", "a", int(now)
        )


@given(st.sampled_from(["GET", "HEAD"]), TEXT, st.sampled_from(["", "token"]))
def test_it_equals_the_sdk_s(method: str, key: str, token: str) -> None:
    auth = pytest.importorskip("ks3.auth", reason="ks3sdk is not installed")
    ours = Ks3Signer("b-1", "the-id", "the-key", token).sign(method, key, 0)
    headers = {name: value for name, value in ours.items() if name != "authorization"}
    auth.add_auth_header("the-id", "the-key", headers | {"Date": DATE}, method, "b-1", key, {})
    text = auth.canonical_string(method, "b-1", key, {}, headers)
    assert ours["authorization"] == f"KSS the-id:{auth.encode('the-key', text)}"


def test_secret_is_in_no_header_and_no_representation() -> None:
    signer = Ks3Signer("b-1", "the-id", "the-key")
    assert "the-key" not in repr(signer) + repr(signer.sign("GET", "key", 0))
