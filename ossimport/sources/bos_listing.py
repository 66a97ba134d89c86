"""Pages of a bucket's listing in JSON, as BOS sends them."""

from typing import Any

from ossimport.listing import NotAListing, Page, time_ns
from ossimport.model import ObjectInfo
from ossimport.sources.over_http.json_answer import name_of, number_of, read_json


def parse_page(body: bytes | bytearray) -> Page:
    """Read a page. Raises NotAListing."""
    try:
        fields = read_json(body)
        truncated = fields["isTruncated"]
        if not isinstance(truncated, bool):
            raise NotAListing(f"isTruncated is {truncated!r:.20}")
        objects = [_object(entry) for entry in fields["contents"]]
        return Page(objects, truncated, name_of(fields.get("nextMarker") or ""))
    except KeyError as exc:
        raise NotAListing(f"it lacks {exc.args[0]}") from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise NotAListing(str(exc)) from exc


def _object(entry: dict[str, Any]) -> ObjectInfo:
    time = time_ns(entry["lastModified"])
    etag = entry.get("eTag", "").strip('"')
    return ObjectInfo(name_of(entry["key"]), number_of(entry["size"]), time, etag)
