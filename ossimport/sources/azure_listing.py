"""Pages of a container's listing: the `EnumerationResults` of Azure's List Blobs.

Read as `listing_xml` does it: by patterns what they match from its first byte to its last, by the
parser all else, as pages with directories.
"""

import re
from itertools import repeat
from typing import NamedTuple
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from ossimport.http_date import http_date_ns
from ossimport.listing import NotAListing
from ossimport.listing_xml import PLAIN_TEXT
from ossimport.model import ObjectInfo

_ROOT = "EnumerationResults"
_FIELDS = frozenset(
    {"Content-Length", "Deleted", "Etag", "Last-Modified", "ResourceType", "Snapshot"}
)
_BUFFER = 1 << 16  # bytes of text that expat hands over in one piece


class BlobPage(NamedTuple):
    """One page, as the service sent it. Names are whole."""

    blobs: list[ObjectInfo]  # without the directories of a hierarchical namespace
    prefixes: list[str]
    marker: str


def parse_blobs(body: bytes | bytearray) -> BlobPage:
    """Read a page. Raises NotAListing."""
    return by_patterns(body) or by_parser(body)


# -- patterns ------------------------------------------------------------------------------------

# Elements without others in them and of no meaning here, as many as there are.
_MEANT = "|".join([*sorted(_FIELDS), "Name", "Blob", "Blobs", "BlobPrefix", "NextMarker"])
_OTHERS = (
    rf"(?:<(?!(?:{_MEANT})[ />])(?P<other>[A-Za-z][A-Za-z0-9-]*+)"
    rf"(?: ?/>|>{PLAIN_TEXT}</(?P=other)>))*+"
)


def _optional(name: str) -> str:
    return f"(?:<{name}>{PLAIN_TEXT}</{name}>)?+"


_BLOB = re.compile(
    f"<Blob><Name>({PLAIN_TEXT})</Name>"
    + _optional("VersionId")
    + _optional("IsCurrentVersion")
    + "<Properties>"
    + _optional("Creation-Time")
    + f"<Last-Modified>({PLAIN_TEXT})</Last-Modified>"
    + _optional("Expiry-Time")
    + '<Etag>"?([0-9A-Za-z-]*+)"?</Etag>(?:<ResourceType>file</ResourceType>)?+'
    + f"<Content-Length>([0-9]{{1,18}})</Content-Length>{_OTHERS}</Properties>"
    + "(?:<(?:OrMetadata|Metadata) ?/>)?+</Blob>"
)
_ATTRIBUTE = "[!#-%'-;=?-~]*+"
_HEAD = re.compile(
    r'\ufeff?(?:<\?xml version="1\.0" encoding="(?:UTF|utf)-8"\?>)?<EnumerationResults'
    rf'(?: ServiceEndpoint="{_ATTRIBUTE}")?(?: ContainerName="{_ATTRIBUTE}")?>{_OTHERS}<Blobs>'
)
_TAIL = re.compile(
    f"</Blobs>(?:<NextMarker ?/>|<NextMarker>({PLAIN_TEXT})</NextMarker>)</EnumerationResults>"
)


def by_patterns(body: bytes | bytearray) -> BlobPage | None:
    """What `by_parser` makes of it; None if it is not written as usual."""
    pieces = _BLOB.split(body.decode(errors="surrogateescape"))
    tail = _TAIL.fullmatch(pieces[-1])
    if any(pieces[6:-1:6]) or tail is None or not _HEAD.fullmatch(pieces[0]):
        return None
    names, times, etags, sizes = (pieces[column::6] for column in range(1, 5))
    infos = zip(names, map(int, sizes), map(http_date_ns, times), etags, repeat(None))
    return BlobPage(list(map(ObjectInfo._make, infos)), [], tail[1] or "")


# -- the parser ----------------------------------------------------------------------------------


def by_parser(body: bytes | bytearray) -> BlobPage:
    """Read a page. Raises NotAListing."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = _BUFFER
    parser.ordered_attributes = True
    parser.CharacterDataHandler = reader.text.append
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.doctype  # see `listing.parse_page`
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError) as exc:
        raise NotAListing(str(exc)) from exc
    except KeyError as exc:
        raise NotAListing(f"a blob lacks {exc.args[0]}") from exc
    if reader.root != _ROOT:
        raise NotAListing(f"it is a document of <{reader.root[:40]}>")
    return BlobPage(reader.blobs, reader.prefixes, reader.marker)


class _Reader:
    """Handlers for expat."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.root = ""
        self.blobs: list[ObjectInfo] = []
        self.prefixes: list[str] = []
        self.marker = ""
        self._fields: dict[str, str] = {}
        self._is_encoded = False

    def start(self, name: str, attributes: list[str]) -> None:
        self.text.clear()
        if name == "Name":
            self._is_encoded = attributes == ["Encoded", "true"]
        elif not self.root:
            self.root = name

    def end(self, name: str) -> None:
        fields = self._fields
        if name in _FIELDS:
            fields[name] = "".join(self.text)
        elif name == "Blob":
            self._blob(fields)
            fields.clear()  # so that the next blob cannot inherit what it lacks
        elif name == "Name":
            text = "".join(self.text)
            if self._is_encoded:
                text = unquote_to_bytes(text).decode("utf-8", "surrogateescape")
            fields[name] = text
        elif name == "BlobPrefix":
            self.prefixes.append(fields["Name"])
            fields.clear()
        elif name == "NextMarker":
            self.marker = "".join(self.text)

    def doctype(self, *declaration: object) -> None:
        raise NotAListing("it declares a document type")

    def _blob(self, fields: dict[str, str]) -> None:
        if fields.get("Snapshot") or fields.get("Deleted") == "true":
            return
        if fields.get("ResourceType") == "directory":
            return
        size = fields["Content-Length"]
        if not size.isdecimal() or len(size) > 18:
            raise NotAListing(f"Content-Length is {size[:20]!r}")
        time_ns = http_date_ns(fields["Last-Modified"])
        etag = fields.get("Etag", "").strip('"')
        self.blobs.append(ObjectInfo(fields["Name"], int(size), time_ns, etag))
