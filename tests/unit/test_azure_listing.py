"""Pages of Azure read by patterns say what the parser says of them; all others are the parser's."""

from collections.abc import Callable
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.listing import NotAListing
from ossimport.sources.azure_listing import BlobPage, by_parser, by_patterns, parse_blobs
from tests.unit.test_listing_xml import ODD

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
HEAD = (
    '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults '
    'ServiceEndpoint="https://account.blob.core.windows.net/" ContainerName="one">'
)
# As the service writes them: with versions, in a hierarchical namespace, a page blob.
BLOBS = (
    f"<Blob><Name>a/b c</Name><Properties><Creation-Time>{DATE}</Creation-Time><Last-Modified>"
    f"{DATE}</Last-Modified><Etag>0x8D7A3AA6600796C</Etag><Content-Length>11</Content-Length>"
    "<Content-Type>text/plain; charset=utf-8</Content-Type><Content-Encoding /><Content-Language />"
    "<Content-CRC64 /><Content-MD5>f8VicOenD6gaWTW3Lqy+KQ==</Content-MD5><Cache-Control />"
    "<Content-Disposition /><BlobType>BlockBlob</BlobType><AccessTier>Cool</AccessTier>"
    "<AccessTierInferred>true</AccessTierInferred><LeaseState>available</LeaseState>"
    "<ServerEncrypted>true</ServerEncrypted></Properties><OrMetadata /></Blob>"
    "<Blob><Name>汉字.%20+\U0001f600</Name><VersionId>2023-01-31T14:32:54.6598461Z</VersionId>"
    f"<IsCurrentVersion>true</IsCurrentVersion><Properties><Creation-Time>{DATE}</Creation-Time>"
    f"<Last-Modified>{DATE}</Last-Modified><Etag>0x8DB03980A593743</Etag><ResourceType>file"
    "</ResourceType><Content-Length>0</Content-Length><Content-Type></Content-Type>"
    "<x-ms-blob-sequence-number>0</x-ms-blob-sequence-number><BlobType>PageBlob</BlobType>"
    "</Properties></Blob>"
)
PAGE = (
    f"{HEAD}<Prefix>a/</Prefix><MaxResults>2</MaxResults><Delimiter /><Blobs>{BLOBS}</Blobs>"
    "<NextMarker>2!76!MDAwMDE5IWE-</NextMarker></EnumerationResults>"
)
BARE = f"{HEAD}<Blobs>{BLOBS}</Blobs><NextMarker /></EnumerationResults>"


def read(how: Callable[[bytes], BlobPage | None], body: bytes) -> BlobPage | str | None:
    """The page, or that it is none."""
    try:
        return how(body)
    except NotAListing:
        return "no page"


def patterns_agree(body: bytes) -> bool:
    """Whether the patterns match the page. They may not, but they may not say anything else."""
    theirs, ours = read(by_parser, body), read(by_patterns, body)
    assert ours in (None, theirs)
    assert read(parse_blobs, body) == theirs
    return ours is not None


@pytest.mark.parametrize("text", [PAGE, BARE])
def test_patterns_know_what_the_service_writes(text: str) -> None:
    assert patterns_agree(text.encode())


def test_all_that_matters_is_read() -> None:
    page = by_patterns(PAGE.encode())
    assert page is not None
    assert [(o.key, o.size, o.etag) for o in page.blobs] == [
        ("a/b c", 11, "0x8D7A3AA6600796C"),
        ("汉字.%20+\U0001f600", 0, "0x8DB03980A593743"),
    ]
    assert {o.mtime_ns for o in page.blobs} == {1_700_000_000 * 10**9}
    assert (page.prefixes, page.marker) == ([], "2!76!MDAwMDE5IWE-")


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=4))
def test_names_are_read_alike(names: list[str]) -> None:
    blob, end, _ = BLOBS.partition("</Blob>")
    blobs = "".join(blob.replace("a/b c", escape(name)) + end for name in names)
    patterns_agree(f"{HEAD}<Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>".encode())


OF_AZURE = [
    *("<Snapshot>2026</Snapshot>", "<Deleted>true</Deleted>", "<Deleted />", "<Etag>E</Etag>"),
    *("<ResourceType>directory</ResourceType>", "<ResourceType>file</ResourceType>"),
    *("<Content-Length>9</Content-Length>", "<Last-Modified>x</Last-Modified>", "<Name>b</Name>"),
    *('<Name Encoded="true">%41</Name>', "<BlobPrefix><Name>p/</Name></BlobPrefix>", "<Blob/>"),
    *("<Metadata><a>1</a></Metadata>", "<Metadata />", "<Tags />", "<NextMarker>m</NextMarker>"),
    *("<NextMarker />", "<Blobs>", "</Blobs>", "<Blobs />", ' Encoded="true"', "</Properties>"),
]


@pytest.mark.parametrize("odd", [*ODD, *OF_AZURE])
def test_an_oddity_anywhere_is_read_alike(odd: str) -> None:
    piece, body = odd.encode("utf-8", "surrogatepass"), PAGE.encode()
    for at in [at for at, octet in enumerate(body) if octet in b"<>"]:
        patterns_agree(body[:at] + piece + body[at:])
        patterns_agree(body[: at + 1] + piece + body[at + 1 :])


@given(st.data())
def test_a_page_in_pieces_is_read_alike(data: st.DataObject) -> None:
    marks = [at for at, character in enumerate(PAGE) if character in "<>"]
    at, to = sorted(data.draw(st.lists(st.sampled_from(marks), min_size=2, max_size=2)))
    at, to = at + data.draw(st.integers(0, 1)), to + data.draw(st.integers(0, 1))
    patterns_agree((PAGE[:at] + PAGE[to:]).encode())
    patterns_agree((PAGE[:at] + PAGE[at:to] + PAGE[at:]).encode())
    patterns_agree((PAGE[:to] + data.draw(st.sampled_from(OF_AZURE)) + PAGE[to:]).encode())


def test_a_page_that_is_cut_off_anywhere_is_none() -> None:
    body = PAGE.encode()
    for end in range(len(body)):
        assert by_patterns(body[:end]) is None
        with pytest.raises(NotAListing):
            parse_blobs(body[:end])


@pytest.mark.parametrize("size", ["1" * 18, "1" * 19, "", "-1", "1.0", "\u0661"])
def test_a_size_is_up_to_18_digits(size: str) -> None:
    body = PAGE.replace(">11<", f">{size}<").encode()
    assert patterns_agree(body) == (size == "1" * 18)


def test_every_octet_counts() -> None:
    """None can become one that does not belong there without the patterns letting go."""
    body = PAGE.encode()
    for at in range(len(body)):
        for octet in b"\0\x01<>&\xff":
            if body[at] != octet:
                patterns_agree(body[:at] + bytes([octet]) + body[at + 1 :])
