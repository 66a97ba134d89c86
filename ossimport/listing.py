"""Pages of a bucket's listing: the `ListBucketResult` of OSS and of the services that are like S3.

Both versions of the request answer with it. Every object that a job copies comes through here
twice, once from the source and once from the destination when the copies are verified.
"""

from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from ossimport.errors import Fatal
from ossimport.model import ObjectInfo
from ossimport.naming import display

_ROOT = "ListBucketResult"
_BUFFER = 1 << 16  # bytes of text that expat hands over in one piece
_LOOP_CURE = (
    "see whether a gateway, cache or proxy on the way changes or keeps listings; else report it to "
    "the service's support"
)


class NotAListing(ValueError):
    """What came is no page of a listing; the text says why."""


class Page(NamedTuple):
    """One page, as the service sent it."""

    objects: list[ObjectInfo]
    truncated: bool
    marker: str = ""  # a key to go on behind, where the service names one
    token: str = ""  # what to go on with, where the service says that

    def go_on(self, prefix: str, after: str) -> str:
        """The key behind which the next page begins; empty when this is the last one.

        Raises Fatal(code="ListingLoops") if the page is not what was asked for, namely keys under
        `prefix` behind `after`, in ascending order: whoever went on would never end, or leave
        objects out.
        """
        objects = self.objects
        if objects:
            first, last = objects[0].key, objects[-1].key
            if first <= after and after:
                raise loops(f"{display(first)} was listed again behind {display(after)}")
            for one, other in pairwise(objects):
                if one.key >= other.key:
                    raise loops(f"{display(other.key)} comes behind {display(one.key)}")
            if not (first.startswith(prefix) and last.startswith(prefix)):  # so does all between
                raise loops(f"it has other keys than those below {display(prefix)}")
            return last if self.truncated else ""
        if self.truncated and self.marker <= after:
            raise loops(f"it goes on, but not behind {display(after) or 'its beginning'}")
        return self.marker if self.truncated else ""


def parse_page(body: bytes | bytearray) -> Page:
    """Read a page; keys of an `encoding-type=url` listing are decoded. Raises NotAListing.

    Times are cut to whole seconds, since that is what the same services say of a single object.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = _BUFFER
    parser.ordered_attributes = True
    parser.CharacterDataHandler = reader.text.append
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    # No service needs one; entities that grow without bound, or read files, begin with one.
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(body, True)
        return reader.page()
    except (expat.ExpatError, ValueError) as exc:
        raise NotAListing(str(exc)) from exc
    except KeyError as exc:
        raise NotAListing(f"it lacks {exc.args[0]}") from exc


class _Reader:
    """Handlers for expat. An object has half a dozen elements: every call here counts."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self._fields: dict[str, str] = {}
        self._objects: list[tuple[str, str, str, str]] = []

    def start(self, name: str, attributes: object) -> None:
        self.text.clear()

    def end(self, name: str) -> None:
        fields = self._fields
        if name == "Contents":
            # Taken out, so that the next object cannot inherit what it lacks.
            take = fields.pop
            self._objects.append(
                (take("Key"), take("Size"), take("LastModified"), take("ETag", ""))
            )
        else:
            fields[name] = "".join(self.text)
            self.text.clear()

    def doctype(self, *declaration: object) -> None:
        raise NotAListing("it declares a document type")

    def page(self) -> Page:
        """What has been read. Raises KeyError or ValueError if that is no page."""
        fields = self._fields
        outermost = next(reversed(fields))
        if outermost != _ROOT:
            raise NotAListing(f"it is a document of <{outermost[:40]}>")
        truncated = fields["IsTruncated"]
        if truncated not in {"true", "false"}:
            raise NotAListing(f"IsTruncated is {truncated[:20]!r}")
        decode = _decoded if fields.get("EncodingType") == "url" else str
        objects = [
            ObjectInfo(decode(key), _size(size), time_ns(time), etag.strip('"'))
            for key, size, time, etag in self._objects
        ]
        marker = decode(fields.get("NextMarker", ""))
        return Page(objects, truncated == "true", marker, fields.get("NextContinuationToken", ""))


def _decoded(text: str) -> str:
    """Undo encoding-type=url. S3's kind writes a blank as +, OSS as %20; neither leaves a + be."""
    text = text.replace("%2F", "/")  # most keys have no other, and this costs a tenth
    if "%" in text or "+" in text:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape")
    return text


def _size(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise NotAListing(f"Size is {text[:20]!r}")


@lru_cache(maxsize=4096)  # objects come many to the second
def time_ns(text: str) -> int:
    """The time that a listing says, cut to whole seconds. Raises ValueError if it is none."""
    time = datetime.fromisoformat(text)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()) * 10**9


def loops(what: str) -> Fatal:
    """What to raise of a listing that would be followed in circles; `what` is wrong with it."""
    message = f"the listing cannot be trusted: {what}. Cure: {_LOOP_CURE}"
    return Fatal(message, code="ListingLoops", op="list")
