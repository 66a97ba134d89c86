"""Our signature for COS is the one that the service's own SDK makes."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos import CosConfig, CosS3Auth

from ossimport.sources.cos_signing import CosSigner

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=20)
NAMES = st.sampled_from(
    ["prefix", "marker", "max-keys", "encoding-type", "versionId", "response-content-type", "a b"]
)
HEADERS = st.sampled_from(
    ["range", "if-match", "content-type", "x-cos-security-token", "x-cos-meta-a", "expires"]
)


def by_sdk(
    method: str, key: str, params: dict[str, str], headers: dict[str, str], *, begin: int
) -> str:
    """What the SDK signs, at a time when its span begins at `begin`."""
    config = CosConfig(Region="ap-shanghai", SecretId="the-id", SecretKey="the-key")
    request = SimpleNamespace(
        method=method, headers=dict(headers), url="http://b-1.cos.ap-shanghai.myqcloud.com:81/"
    )
    auth: Any = CosS3Auth(config, key, params)
    with patch("qcloud_cos.cos_auth.time.time", return_value=begin + 60):
        auth(request)
    return str(request.headers["Authorization"])


def span_of(authorization: str) -> tuple[int, int]:
    begin, end = dict(parse_qsl(authorization))["q-sign-time"].split(";")
    return int(begin), int(end)


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT"]),
    key=TEXT,
    params=st.dictionaries(NAMES, TEXT),
    headers=st.dictionaries(HEADERS, TEXT),
    now=st.integers(0, 2**33).map(float) | st.floats(0, 2**33),
)
def test_it_equals_the_sdk_s(
    method: str, key: str, params: dict[str, str], headers: dict[str, str], now: float
) -> None:
    host = {"host": "b-1.cos.ap-shanghai.myqcloud.com"}
    ours = CosSigner("the-id", "the-key").sign(method, f"/{key}", params, headers | host, now)
    begin, _ = span_of(ours)
    assert ours == by_sdk(method, f"/{key}", params, headers, begin=begin)


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_a_key_that_is_kept_is_a_key_that_is_right(times: list[int]) -> None:
    kept = CosSigner("id", "key")
    for now in times:
        fresh = CosSigner("id", "key")
        assert kept.sign("GET", "/", {}, {}, now) == fresh.sign("GET", "/", {}, {}, now)


@pytest.mark.parametrize("now", [0, 1, 299, 300, 1_700_000_000, 1_700_000_000.9])
def test_the_span_holds_now_for_clocks_that_differ(now: float) -> None:
    begin, end = span_of(CosSigner("id", "key").sign("GET", "/", {}, {}, now))
    assert begin + 300 <= now <= begin + 600
    assert now + 9000 < end


def test_names_that_are_not_utf_8_are_signed_as_their_bytes() -> None:
    signer = CosSigner("id", "key")
    paths = {signer.sign("GET", f"/{key}", {}, {}, 0) for key in "a?\udcfe\udcff"}
    markers = {signer.sign("GET", "/", {"marker": key}, {}, 0) for key in "a?\udcfe\udcff"}
    assert (len(paths), len(markers)) == (4, 4)
