"""Keys and headers that can be sent, and those that cannot."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.dest.base import OSS_LIMITS
from ossimport.dest.wire import check_key, encode_headers
from ossimport.errors import Permanent


def has_legal_form(key: str) -> bool:
    surrogates = any("\ud800" <= c <= "\udfff" for c in key)
    return not surrogates and key not in {"", ".", ".."} and key[0] not in "/\\"


@given(
    st.text(st.characters(), max_size=20) | st.sampled_from([".", "..", "/a", "\\a", "./", "..."])
)
def test_a_key_is_legal_or_refused(key: str) -> None:
    if has_legal_form(key):
        check_key(key, OSS_LIMITS, "put")
        return
    with pytest.raises(Permanent) as caught:
        check_key(key, OSS_LIMITS, "put")
    assert (caught.value.code, caught.value.op, caught.value.key) == ("InvalidKey", "put", key)


def test_the_length_of_a_key_is_counted_in_bytes() -> None:
    limits = OSS_LIMITS._replace(max_key_bytes=6)
    check_key("\u4e2d\u6587", limits, "put")
    with pytest.raises(Permanent, match="has 7 bytes; 6 are allowed"):
        check_key("\u4e2d\u6587a", limits, "put")


@given(st.text(st.characters(codec="utf-8")).map(lambda text: text.strip(" \t")))
def test_user_metadata_is_on_one_line_and_can_be_read_back(value: str) -> None:
    sent = encode_headers({"X-OSS-Meta-A": value}, "put", "key")["x-oss-meta-a"]
    sent.encode("latin-1")
    assert not set(sent) & {chr(n) for n in [*range(32), 127]}
    assert sent == value or unquote(sent) == value


def test_bytes_of_utf8_read_as_latin_1_are_sent_as_they_came() -> None:
    value = "\u00e0\u4e2d".encode().decode("latin-1") + "\xa0"  # a no-break space is no blank
    assert encode_headers({"Cache-Control": value}, "put", "key") == {"cache-control": value}


@pytest.mark.parametrize("value", ["\u4e2d", "a\nb", "a\rb", "a\0b", "\x7f"])
def test_other_headers_are_refused_with_their_name(value: str) -> None:
    with pytest.raises(Permanent, match="the value of cache-control") as caught:
        encode_headers({"Cache-Control": value}, "put", "a/b")
    assert (caught.value.code, caught.value.key) == ("InvalidArgument", "a/b")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "\u00e9", "a\n"])
def test_a_name_that_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(Permanent, match="cannot be the name of a header"):
        encode_headers({name: "a"}, "put", "key")
