"""Pages of a container's listing: the `EnumerationResults` of Azure's List Blobs."""

from typing import NamedTuple
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from ossimport.http_date import http_date_ns
from ossimport.listing import NotAListing
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
