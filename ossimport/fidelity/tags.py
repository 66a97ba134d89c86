"""Tags, as OSS takes them."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

MOST = 10

_TEXT = r"[a-zA-Z0-9 +=._:/-]"  # as OSS documents it
_NAME = re.compile(rf"{_TEXT}{{1,128}}")
_VALUE = re.compile(rf"{_TEXT}{{0,256}}")


def tagging(tags: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The value of `x-oss-tagging`, and the names of the tags that OSS does not take.

    Of more than ten, what comes first in the alphabet is kept.
    """
    kept: dict[str, str] = {}
    lost = []
    for name, value in sorted(tags.items()):
        if len(kept) < MOST and _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            kept[name] = value
        else:
            lost.append(f"tag:{quote(name, safe='', errors='surrogateescape')}")
    return urlencode(kept, quote_via=quote, safe=""), tuple(lost)
