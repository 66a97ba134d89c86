"""How the sandbox reads addresses and XML, and how it writes XML."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, RequestStartLine

from ossimport.sandbox import xml
from ossimport.sandbox.refusal import Refusal
from ossimport.sandbox.request import check_bucket, check_key, read_request


@pytest.mark.parametrize(
    ("target", "host", "bucket", "key"),
    [
        ("/", "127.0.0.1:80", "", b""),
        ("/bucket", "127.0.0.1:80", "bucket", b""),
        ("/bucket/", "127.0.0.1", "bucket", b""),
        ("/bucket/a/b", "[::1]:80", "bucket", b"a/b"),
        ("/bucket/a%2Fb", "localhost:80", "bucket", b"a/b"),
        ("/bucket/%2Fa", "localhost", "bucket", b"/a"),
        ("/bucket//a", "localhost", "bucket", b"/a"),
        ("/bucket/a%252Fb+c", "sandbox:9580", "bucket", b"a%2Fb+c"),
        ("/bucket/a?acl", "oss-cn-hangzhou.aliyuncs.com", "bucket", b"a"),
        ("/a/b", "bucket.oss-cn-hangzhou.aliyuncs.com", "bucket", b"a/b"),
        ("/", "oss-bucket.oss-cn-hangzhou.aliyuncs.com", "oss-bucket", b""),
        ("/a%2Fb", "bucket.localhost:80", "bucket", b"a/b"),
        ("//a", "bucket.example", "bucket", b"/a"),
        ("/a", "bucket.127.0.0.1:80", "bucket", b"a"),
        ("http://bucket.example/a%2Fb?acl", "127.0.0.1", "bucket", b"a/b"),
        ("http://127.0.0.1:80/bucket/a", "bucket.example", "bucket", b"a"),
        ("http://bucket.example", "127.0.0.1", "bucket", b""),
    ],
)
def test_bucket_and_key_are_found_wherever_they_are(
    target: str, host: str, bucket: str, key: bytes
) -> None:
    request = read_request(RequestStartLine("GET", target, "HTTP/1.1"), HTTPHeaders(Host=host))
    assert (request.bucket, request.key) == (bucket, key)


def test_the_endpoint_is_the_host_without_the_bucket() -> None:
    for host, endpoint in (("127.0.0.1:80", "127.0.0.1:80"), ("b.oss.example:1", "oss.example:1")):
        line = RequestStartLine("GET", "/", "HTTP/1.1")
        assert read_request(line, HTTPHeaders(Host=host)).endpoint == endpoint


def test_parameters_are_decoded_once() -> None:
    line = RequestStartLine("GET", "/b/k?acl&prefix=a+b%2Bc%C3%A9&x=", "HTTP/1.1")
    request = read_request(line, HTTPHeaders(Host="localhost"))
    assert request.params == {"acl": "", "prefix": "a b+cé", "x": ""}


@pytest.mark.parametrize("key", [b"x" * 1024, b"/a", b"\\a", b"\xff", b"a\xc3"])
def test_illegal_keys_are_refused(key: bytes) -> None:
    with pytest.raises(Refusal, match="InvalidObjectName"):
        check_key(key)


@pytest.mark.parametrize("key", [b"x" * 1023, b"a/", b"..", b"\x00", "é".encode() * 511])
def test_odd_but_legal_keys_are_not(key: bytes) -> None:
    check_key(key)


@pytest.mark.parametrize("name", ["ab", "a" * 64, "A-bucket", "-bucket", "bucket-", "b_cket", ""])
def test_illegal_bucket_names_are_refused(name: str) -> None:
    with pytest.raises(Refusal, match="InvalidBucketName"):
        check_bucket(name)


LEGAL = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")


@given(text=st.text(LEGAL | st.sampled_from("\n\t\r<>&\"'")))
def test_text_survives_its_own_xml_and_anothers_reader(text: str) -> None:
    document = xml.document("Root", xml.tag("A", text), xml.group("B", xml.tag("C", 1)))
    assert (ET.fromstring(document).findtext("A") or "") == text
    root = xml.parse(document, "Root")
    assert (root.get("A"), root.all("B")[0].get("C"), root.get("None", "-")) == (text, "1", "-")


@given(key=st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
def test_encoded_keys_are_plain_xml(key: bytes) -> None:
    text = xml.key_text(key, "url")
    assert ET.fromstring(xml.document("R", xml.tag("K", text))).findtext("K", "") == text


@pytest.mark.parametrize(
    "body", [b"", b"text", b"<A>", b"<A></B>", b"<B/>", b"\xff", b"<!DOCTYPE A><A/>"]
)
def test_what_is_no_such_document_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal, match="MalformedXML"):
        xml.parse(body, "A")
