"""Our signature for BOS is the one that the service's own SDK makes."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from baidubce.auth import bce_v1_signer
from hypothesis import given
from hypothesis import strategies as st

from ossimport.sources.bos_signing import BosSigner, encode_query

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.sampled_from(["prefix", "marker", "maxKeys", "versionId", "a b", "A"])


def by_sdk(
    method: str, path: str, params: dict[str, str], headers: dict[str, str], begin: int
) -> str:
    """What the SDK signs with a moment of its own."""
    credentials: Any = SimpleNamespace(access_key_id=b"the-id", secret_access_key=b"the-key")
    raw = {
        name.encode(): value.encode() for name, value in headers.items() if name != "authorization"
    }
    query = {name.encode(): value.encode() for name, value in params.items()}
    text: bytes = bce_v1_signer.sign(
        credentials, method.encode(), path.encode(), raw, query, timestamp=begin
    )
    return text.decode()


def begin_of(signed: dict[str, str]) -> int:
    stamp = signed["authorization"].split("/")[2]
    assert stamp == signed["x-bce-date"]
    return int(datetime.fromisoformat(stamp).astimezone(UTC).timestamp())


@given(
    method=st.sampled_from(["GET", "HEAD"]),
    key=TEXT,
    params=st.dictionaries(NAMES, TEXT),
    host=st.sampled_from(["bucket.bj.bcebos.com", "127.0.0.1:8080", "[::1]:8080"]),
    token=st.sampled_from(["", "a/token+with=odd characters"]),
    now=st.integers(60, 2**32).map(float) | st.floats(60, 2**32),
)
def test_it_equals_the_sdk_s(
    *, method: str, key: str, params: dict[str, str], host: str, token: str, now: float
) -> None:
    path = f"/bucket/{quote(key)}"
    signer = BosSigner("the-id", "the-key", token)
    signed = signer.sign(method, path, encode_query(params), host, now)
    expected = by_sdk(method, path, params, signed | {"host": host}, begin_of(signed))
    assert signed["authorization"] == expected
    assert signed.get("x-bce-security-token", "") == token


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_a_key_that_is_kept_is_a_key_that_is_right(times: list[int]) -> None:
    kept = BosSigner("id", "key")
    for now in times:
        fresh = BosSigner("id", "key")
        assert kept.sign("GET", "/", "", "h", now) == fresh.sign("GET", "/", "", "h", now)


@pytest.mark.parametrize("now", [0, 1, 59, 60, 1_700_000_000, 1_700_000_000.9])
def test_a_signature_is_of_this_minute(now: float) -> None:
    begin = begin_of(BosSigner("id", "key").sign("GET", "/", "", "h", now))
    assert 0 <= now - begin < 60
