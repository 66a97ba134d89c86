"""Our V4 signature equals the one that oss2 makes, for anything that an upload can carry."""

from datetime import UTC, datetime
from typing import NamedTuple
from unittest.mock import patch

import oss2
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oss2.credentials import StaticCredentialsProvider
from oss2.http import Request

from ossimport.oss.signing import SignerV4, encode_path, encode_query

SECRET = "made-up-secret"


class Case(NamedTuple):
    """One request, and who signs it when."""

    method: str = "PUT"
    key: str = "key"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    secret: str = SECRET
    token: str = ""
    region: str = "cn-hangzhou"
    now: int = 0


words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=24)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40).map(str.strip)
names = st.sampled_from(
    ["content-type", "content-md5", "cache-control", "range", "x-oss", "x-oss-object-acl"]
) | words.map(lambda word: f"x-oss-meta-{word.lower()}")
seconds = st.integers(0, 4_102_444_800)
cases = st.builds(
    Case,
    method=st.sampled_from(["PUT", "HEAD", "GET", "POST", "DELETE"]),
    key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    query=st.dictionaries(words | st.sampled_from(["uploadId", "a b", "ü/"]), values, max_size=4),
    headers=st.dictionaries(names, values, max_size=6),
    secret=words,
    token=st.just("") | words,
    region=words,
    now=seconds,
)


def sign_with_oss2(case: Case) -> dict[str, str]:
    """Sign with oss2, whose only clock is `datetime.utcnow`."""
    provider = StaticCredentialsProvider("access", case.secret, case.token)
    request = Request(
        case.method,
        "http://unused",
        params=case.query,
        headers=case.headers,
        region=case.region,
        product="oss",
    )
    with patch("oss2.auth.datetime") as clock:
        clock.utcnow.return_value = datetime.fromtimestamp(case.now, UTC)
        oss2.ProviderAuthV4(provider)._sign_request(request, "bucket", case.key)
    unsigned = {"accept-encoding", "user-agent"}  # oss2's own, not part of any signature
    return {n.lower(): v for n, v in request.headers.items() if n.lower() not in unsigned}


def sign_with_ours(case: Case) -> dict[str, str]:
    signer = SignerV4("access", case.secret, case.region, case.token)
    path, query = encode_path(f"/bucket/{case.key}"), encode_query(case.query)
    return signer.sign(case.method, path, query, case.headers, case.now + 0.5)


@settings(max_examples=300)
@given(cases)
@example(Case(key="a/../b//é \U0001f600%+~", query={"uploads": ""}, token="t"))
def test_equals_oss2(case: Case) -> None:
    assert sign_with_ours(case) == sign_with_oss2(case)


@given(st.lists(seconds | st.integers(86_390, 86_410), min_size=2, max_size=6))
def test_one_signer_follows_the_clock_across_seconds_and_days(times: list[int]) -> None:
    case = Case()
    signer = SignerV4("access", case.secret, case.region)
    for now in times:
        ours = signer.sign("PUT", "/bucket/key", "", {}, now)
        assert ours == sign_with_oss2(case._replace(now=now))


def test_headers_are_left_as_they_were_given() -> None:
    headers = {"content-type": "text/plain"}
    sign_with_ours(Case(headers=headers))
    assert headers == {"content-type": "text/plain"}


def test_secret_is_in_no_header_and_no_representation() -> None:
    signer = SignerV4("access", SECRET, "cn-hangzhou")
    sent = signer.sign("PUT", "/bucket/key", "", {}, 0)
    assert SECRET not in repr(signer) + repr(sent)


def test_header_bytes_beyond_ascii_are_signed_as_they_are_sent() -> None:
    utf8_on_the_wire = "name=\u4e2d".encode().decode("latin-1")
    plain = sign_with_ours(Case(headers={"x-oss-meta-a": "name="}))
    other = sign_with_ours(Case(headers={"x-oss-meta-a": utf8_on_the_wire}))
    assert other["x-oss-meta-a"] == utf8_on_the_wire
    assert other["authorization"] != plain["authorization"]
