"""Pages of listings: what they say, and what is no page or cannot be trusted."""

from types import SimpleNamespace
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oss2.models import ListObjectsV2Result
from oss2.xml_utils import parse_list_objects_v2

from ossimport.errors import Fatal
from ossimport.listing import NotAListing, Page
from ossimport.listing_xml import parse_page
from ossimport.model import ObjectInfo

SECOND = 1_700_000_000
TIME = "2023-11-14T22:13:20.000Z"
CONTENTS = (
    f"<Contents><Key>a</Key><LastModified>{TIME}</LastModified><ETag>&quot;E&quot;</ETag>"
    "<Type>Normal</Type><Size>7</Size><StorageClass>Standard</StorageClass></Contents>"
)


def page(*parts: str, truncated: str = "false", attributes: str = "") -> bytes:
    """A page in the form of OSS: indented, and with the bucket's name first."""
    text = "".join(f"\n  {part}" for part in parts)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<ListBucketResult{attributes}>\n  <Name>bucket</Name>\n  <Prefix></Prefix>"
        f"\n  <IsTruncated>{truncated}</IsTruncated>{text}\n</ListBucketResult>\n"
    ).encode()


def contents(key: str, etag: str = '"E"', size: int = 0, time: str = TIME) -> str:
    etag = escape(etag, {'"': "&quot;"})
    return (
        f"<Contents>\n    <Key>{key}</Key>\n    <LastModified>{time}</LastModified>\n"
        f"    <ETag>{etag}</ETag>\n    <Type>Normal</Type>\n"
        f"    <Size>{size}</Size>\n    <StorageClass>Standard</StorageClass>\n  </Contents>"
    )


def infos(*keys: str) -> list[ObjectInfo]:
    return [ObjectInfo(key, 0) for key in keys]


keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(st.lists(st.tuples(keys, st.integers(0, 10**15), st.text("ABC0-9", max_size=9))))
def test_a_page_is_read_as_oss2_reads_it(listed: list[tuple[str, int, str]]) -> None:
    body = page(
        "<EncodingType>url</EncodingType>",
        *(contents(quote(key, safe=""), f'"{etag}"', size) for key, size, etag in listed),
    )
    response = SimpleNamespace(headers={}, status=200, request_id="", read=lambda: body)
    theirs = parse_list_objects_v2(ListObjectsV2Result(response), body).object_list
    assert parse_page(body).objects == [
        ObjectInfo(o.key, o.size, o.last_modified * 10**9, o.etag) for o in theirs
    ]
    assert [info.key for info in parse_page(body).objects] == [key for key, _, _ in listed]


@given(keys)
def test_a_blank_may_be_a_plus_and_a_plus_never_is(key: str) -> None:
    body = page("<EncodingType>url</EncodingType>", contents(quote_plus(key)))
    assert parse_page(body).objects[0].key == key


def test_a_key_that_is_not_encoded_is_taken_as_it_is() -> None:
    for key in (" a+b%20", "&lt;\u4e2d&amp;"):
        (info,) = parse_page(page(contents(key))).objects
        assert info.key == key.replace("&lt;", "<").replace("&amp;", "&")


def test_a_key_that_is_not_utf8_keeps_its_bytes() -> None:
    body = page("<EncodingType>url</EncodingType>", contents("a%FFb"))
    assert parse_page(body).objects[0].key == "a\udcffb"


def test_version_1_names_where_to_go_on_and_owners_do_no_harm() -> None:
    owner = "<Owner><ID>1</ID><DisplayName>x</DisplayName></Owner></Contents>"
    body = page(
        "<NextMarker>b%2Fc%20</NextMarker>",
        "<EncodingType>url</EncodingType>",
        contents("b").replace("</Contents>", owner),
        truncated="true",
        attributes=' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"',
    )
    assert parse_page(body) == Page(
        [ObjectInfo("b", 0, SECOND * 10**9, "E")],
        True,
        "b/c ",
        "",
    )


def test_objects_that_must_be_restored_first_are_named_with_their_class() -> None:
    listed = "".join(
        contents(key).replace("Standard", storage)
        for key, storage in [("a", "GLACIER"), ("b", "GLACIER_IR"), ("c", "ColdArchive")]
    )
    assert parse_page(page(listed)).archived == {"a": "GLACIER", "c": "ColdArchive"}


def test_version_2_says_how_to_go_on_in_a_word_of_its_own() -> None:
    token = "<NextContinuationToken>a%2Fb+&amp;=</NextContinuationToken>"
    assert parse_page(page(token, "<EncodingType>url</EncodingType>")).token == "a%2Fb+&="


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (TIME, SECOND * 10**9),
        ("2023-11-14T22:13:20.999Z", SECOND * 10**9),
        ("2023-11-14T22:13:20Z", SECOND * 10**9),
        ("2023-11-14T22:13:20", SECOND * 10**9),
        ("2023-11-14T23:13:20+01:00", SECOND * 10**9),
        ("1969-12-31T23:59:59Z", -(10**9)),
        ("1969-12-31T23:59:58.500Z", -2 * 10**9),
        ("0001-01-01T00:00:00Z", 0),  # how servers in Go say that they know none
        ("9999-12-31T23:59:59Z", 0),
    ],
)
def test_times_are_whole_seconds(text: str, nanoseconds: int) -> None:
    assert parse_page(page(contents("a", time=text))).objects[0].mtime_ns == nanoseconds


def test_an_entity_tag_may_be_missing() -> None:
    body = page(CONTENTS, CONTENTS.replace("<ETag>&quot;E&quot;</ETag>", ""))
    assert [info.etag for info in parse_page(body).objects] == ["E", ""]


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "&%c;&%c;">' % (n + 1, n, n) for n in b"abcdefghijklmnopqrs")
    + b"]><ListBucketResult><IsTruncated>false</IsTruncated><Name>&t;</Name></ListBucketResult>"
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"<html><IsTruncated>false</IsTruncated></html>",
        page()[:-10],
        page() + b"x",
        page().replace(b"IsTruncated", b"Truncated"),
        page(truncated="maybe"),
        page(CONTENTS.replace("<Key>a</Key>", "")),
        page(CONTENTS, CONTENTS.replace("<Key>a</Key>", "")),
        page(CONTENTS, CONTENTS.replace("<Size>7</Size>", "")),
        page(CONTENTS.replace(f"<LastModified>{TIME}</LastModified>", "")),
        page(CONTENTS.replace("7", "-7")),
        page(CONTENTS.replace("7", "7.0")),
        page(CONTENTS.replace("7", "")),
        page(CONTENTS.replace("7", "7" * 19)),
        page(CONTENTS.replace(TIME, "yesterday")),
        page("\x01"),
        page().replace(b"<Name>", b"<Name>\xff"),
        BOMB,
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + page().partition(b"\n")[2],
    ],
)
def test_what_is_no_page_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises(NotAListing, match=r"\w"):
        parse_page(body)


@pytest.mark.parametrize(
    ("listed", "prefix", "after", "behind"),
    [
        (Page(infos("a", "b"), False), "", "", ""),
        (Page(infos("a", "b"), True), "", "", "b"),
        (Page(infos("a", "b"), True, "c"), "", "", "b"),  # more than one key can be told apart
        (Page(infos("a/", "a/b"), True), "a/", "", "a/b"),
        (Page(infos("b"), True), "", "a", "b"),
        (Page([], False), "", "a", ""),
        (Page([], False, "0"), "", "a", ""),
        (Page([], True, "b"), "", "a", "b"),
        (Page(infos("z", "\ufb01", "\U0001f600"), True), "", "", "\U0001f600"),
    ],
)
def test_a_listing_goes_on_behind_what_was_listed(
    listed: Page, prefix: str, after: str, behind: str
) -> None:
    assert listed.go_on(prefix, after) == behind


@pytest.mark.parametrize(
    ("listed", "prefix", "after"),
    [
        (Page(infos("a", "b"), True), "", "a"),  # the page before, again
        (Page(infos("a", "b"), False), "", "a"),
        (Page(infos("a", "b"), True), "", "c"),
        (Page(infos("a", "a"), False), "", ""),
        (Page(infos("b", "a"), False), "", ""),
        (Page(infos("a", "c", "b", "d"), False), "", ""),
        (Page(infos("a/b", "b"), False), "a/", ""),
        (Page(infos("a", "a/b"), False), "a/", ""),
        (Page([], True), "", ""),
        (Page([], True), "", "a"),
        (Page([], True, "a"), "", "a"),
        (Page([], True, "a"), "", "b"),
    ],
)
def test_a_listing_that_would_go_in_circles_stops_the_job(
    listed: Page, prefix: str, after: str
) -> None:
    with pytest.raises(Fatal, match="Cure: ") as caught:
        listed.go_on(prefix, after)
    assert caught.value.code == "ListingLoops"
    assert str(caught.value).isprintable()
