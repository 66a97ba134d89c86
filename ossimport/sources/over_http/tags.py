"""The tags of an object, as stores with an XML interface tell them."""

import html
import re
from typing import Protocol

from ossimport.errors import StorageError, Transient
from ossimport.model import ObjectInfo
from ossimport.naming import display
from ossimport.transport import Response

MAX_TAGS = 64 << 10  # bytes of an answer; ten tags have less than a tenth of it

_TAG = re.compile(
    r"<Tag>\s*<Key>([^<]*)</Key>\s*(?:<Value>([^<]*)</Value>|<Value\s*/>)\s*</Tag>", re.ASCII
)
_SET = re.compile(r"<TagSet\s*(?:/>|>(.*)</TagSet>)", re.ASCII | re.DOTALL)


class TagsDialect(Protocol):
    """What differs from store to store. Keys are relative to srcPrefix."""

    async def ask_tags(self, key: str) -> Response:
        """Send a signed request for the tags of the object."""

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        """What an answer that is not a success means; code NotFound: there is no such object."""


async def read_tags(dialect: TagsDialect, info: ObjectInfo) -> dict[str, str]:
    """See `base.Tagged.tags`."""
    try:
        response = await dialect.ask_tags(info.key)
        if response.status != 200:
            raise dialect.refused(response, "tags", info.key)
        return _parsed(response, info.key)
    except StorageError as exc:
        exc.op, exc.key = "tags", info.key
        raise


def _parsed(response: Response, key: str) -> dict[str, str]:
    text = bytes(response.body).decode("utf-8", "replace")
    found = _SET.search(text)
    inside = (found[1] or "") if found else ""
    tags = _TAG.findall(inside)
    if found is None or len(tags) != inside.count("<Tag>"):
        message = f"the answer for the tags of {display(key)} is not usable"
        raise Transient(message, code="BadResponse")
    return {html.unescape(name): html.unescape(value) for name, value in tags}
