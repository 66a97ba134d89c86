"""Pages in JSON: those of the service, and those that are none."""

import json
from typing import Any

import pytest

from ossimport.listing import NotAListing, Page
from ossimport.model import ObjectInfo
from ossimport.sources.bos_listing import parse_page

ENTRY = {
    "key": "a/\u4e2d\u0001",
    "lastModified": "2014-05-14T06:00:00Z",
    "eTag": "-67b92a7c2a9b9c1809a6ae3295dcc127",
    "size": 5 << 40,
    "storageClass": "STANDARD",
    "owner": {"id": "1", "displayName": "me"},
}
TIMES: list[object] = ["", "today", 7, None]
PAGE = {"name": "bucket", "isTruncated": True, "nextMarker": "a/\u4e2d\u0001", "contents": [ENTRY]}


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def test_a_page_is_read_as_the_service_writes_it() -> None:
    info = ObjectInfo("a/\u4e2d\u0001", 5 << 40, 1400047200 * 10**9, str(ENTRY["eTag"]))
    expected = Page([info], True, "a/\u4e2d\u0001")
    assert parse_page(json.dumps(PAGE).encode()) == expected
    assert parse_page(bytearray(json.dumps(PAGE, ensure_ascii=False).encode())) == expected
    assert parse_page(json.dumps(without(PAGE, "nextMarker")).encode()).marker == ""
    assert parse_page(json.dumps({**PAGE, "nextMarker": None}).encode()).marker == ""
    assert parse_page(b'{"isTruncated": false, "contents": []}') == Page([], False)


def test_quotes_around_an_etag_are_not_part_of_it() -> None:
    page = {**PAGE, "contents": [{**ENTRY, "eTag": '"x"'}, without(ENTRY, "eTag")]}
    assert [info.etag for info in parse_page(json.dumps(page).encode()).objects] == ["x", ""]


@pytest.mark.parametrize(
    "page",
    [
        without(PAGE, "isTruncated"),
        without(PAGE, "contents"),
        {**PAGE, "isTruncated": "true"},
        {**PAGE, "contents": None},
        {**PAGE, "contents": [None]},
        {**PAGE, "contents": ["key"]},
        {**PAGE, "nextMarker": 7},
        {**PAGE, "nextMarker": "\ud800"},
        *({**PAGE, "contents": [without(ENTRY, name)]} for name in ("key", "size", "lastModified")),
        *({**PAGE, "contents": [{**ENTRY, "size": size}]} for size in (-1, "1", 1.0, True, None)),
        *({**PAGE, "contents": [{**ENTRY, "key": key}]} for key in (7, None, "\udcff", "\ud83d")),
        *({**PAGE, "contents": [{**ENTRY, "lastModified": time}]} for time in TIMES),
        {**PAGE, "contents": [{**ENTRY, "eTag": 7}]},
        [],
        "page",
        None,
    ],
)
def test_what_is_no_page_is_refused(page: object) -> None:
    with pytest.raises(NotAListing):
        parse_page(json.dumps(page).encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff\xfe\xfd", b"[" * 100_000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotAListing):
        parse_page(body)
