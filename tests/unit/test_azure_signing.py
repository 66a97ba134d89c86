"""Our signature of Azure's requests is the one of its own SDK, whatever is asked for."""

import base64
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import given
from hypothesis import strategies as st

from ossimport.sources.azure_signing import VERSION, SharedKeySigner

_POLICY: Any = SharedKeyCredentialPolicy  # it has no types
NOW = 1_700_000_000.0
texts = st.text(st.characters(codec="utf-8"), max_size=20)


def by_the_sdk(
    account: str, key: bytes, method: str, url: str, headers: dict[str, str]
) -> dict[str, Any]:
    request = HttpRequest(method, url, headers=headers)
    policy: Any = _POLICY(account, base64.b64encode(key).decode())
    context = SimpleNamespace(transport=None)
    policy.on_request(SimpleNamespace(http_request=request, context=context))
    return dict(request.headers)


@given(
    st.sampled_from(["GET", "HEAD"]),
    st.binary(min_size=1, max_size=64),
    texts,
    st.dictionaries(
        st.sampled_from(["restype", "comp", "prefix", "delimiter", "marker", "maxresults"]),
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    ),
    st.booleans(),
)
def test_it_is_the_one_of_the_sdk(
    method: str, key: bytes, name: str, params: dict[str, str], is_pinned: bool
) -> None:
    path = f"/container/{quote(name)}"
    headers = {"if-match": '"0x8D"'} if is_pinned else {}
    signed = SharedKeySigner("account", key).sign(method, path, params, headers, NOW)
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items())
    given = {**headers, "x-ms-date": signed["x-ms-date"], "x-ms-version": VERSION}
    theirs = by_the_sdk("account", key, method, f"http://host{path}?{query}", given)
    assert signed["authorization"] == theirs["Authorization"]


def test_a_part_is_signed_where_the_sdk_has_a_name_that_no_request_has() -> None:
    """It asks for parts by x-ms-range; the place of Range in what is signed is by the reference."""
    signed = SharedKeySigner("account", b"key").sign("GET", "/c/b", {}, {"range": "bytes=1-2"}, NOW)
    given = {"x-ms-date": signed["x-ms-date"], "x-ms-version": VERSION, "byte_range": "bytes=1-2"}
    theirs = by_the_sdk("account", b"key", "GET", "http://host/c/b", given)
    assert signed["authorization"] == theirs["Authorization"]


def test_the_date_is_made_once_a_second() -> None:
    signer = SharedKeySigner("account", b"key")
    dates = [signer.sign("GET", "/", {}, {}, NOW + n / 2)["x-ms-date"] for n in range(4)]
    assert dates[:3:2] == ["Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:21 GMT"]
    assert dates[::2] == dates[1::2]
