"""Pages of a bucket's listing in JSON, as BOS sends them."""

import json
from typing import Any

from ossimport.listing import NotAListing, Page, time_ns
from ossimport.model import ObjectInfo


def parse_page(body: bytes | bytearray) -> Page:
    """Read a page. Raises NotAListing."""
    try:
        fields = json.loads(body)
        truncated = fields["isTruncated"]
        if not isinstance(truncated, bool):
            raise NotAListing(f"isTruncated is {truncated!r:.20}")
        objects = [_object(entry) for entry in fields["contents"]]
        return Page(objects, truncated, _key(fields.get("nextMarker") or ""))
    except KeyError as exc:
        raise NotAListing(f"it lacks {exc.args[0]}") from exc
    except (ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise NotAListing(str(exc)) from exc


def _object(entry: dict[str, Any]) -> ObjectInfo:
    size = entry["size"]
    if type(size) is not int or size < 0:
        raise NotAListing(f"size is {size!r:.20}")
    time = time_ns(entry["lastModified"])
    return ObjectInfo(_key(entry["key"]), size, time, entry.get("eTag", "").strip('"'))


def _key(text: str) -> str:
    """A name that can be asked for: JSON can also hold halves of characters."""
    if not text.isascii():
        text.encode()
    return text
