"""Our tokens are those of Qiniu's own SDK, whatever is asked for; so is the hash of contents."""

import io
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
import qiniu
from hypothesis import given
from hypothesis import strategies as st
from qiniu.utils import etag_stream

from ossimport.qetag import BLOCK, is_qetag, qetag
from ossimport.sources.qiniu_signing import QiniuSigner

NOW = 1_700_000_000.0
texts = st.text(st.characters(codec="utf-8"), max_size=20)
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(tokens, tokens, texts, st.sampled_from(["rsf-z0.qiniuapi.com", "127.0.0.1:8080"]))
def test_a_request_has_the_token_of_the_sdk(
    access_key: str, secret_key: str, prefix: str, host: str
) -> None:
    target = f"/list?bucket=b&prefix={quote(prefix, safe='')}"
    made = QiniuSigner(access_key, secret_key).headers("GET", host, target, NOW)
    auth = qiniu.QiniuMacAuth(access_key, secret_key)
    theirs = auth.token_of_request(
        "GET",
        host,
        f"http://{host}{target}",
        auth.qiniu_headers({"X-Qiniu-Date": made["x-qiniu-date"]}),
        made["content-type"],
    )
    assert made["authorization"] == f"Qiniu {theirs}"
    assert made["x-qiniu-date"] == "20231114T221320Z"


@given(tokens, tokens, texts)
def test_a_url_has_the_token_of_the_sdk(access_key: str, secret_key: str, key: str) -> None:
    url = f"http://files.example.com/{quote(key)}"
    with patch("time.time", return_value=NOW):
        theirs = qiniu.Auth(access_key, secret_key).private_download_url(url, expires=86400)
    assert f"{url}?{QiniuSigner(access_key, secret_key).query(url, NOW)}" == theirs


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 5])
def test_the_hash_is_the_one_of_the_sdk(size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    view: Any = memoryview(body)[:size]
    assert qetag(view) == etag_stream(io.BytesIO(view))
    assert is_qetag(qetag(view))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "FpGrGHQOjETYnwxmSF3uXmFpmZI",
        "npGrGHQOjETYnwxmSF3uXmFpmZIb",
        "0123456789abcdef" * 2,
        "é",
    ],
)
def test_what_is_another_kind_of_hash_is_known(text: str) -> None:
    assert not is_qetag(text)
