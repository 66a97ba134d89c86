"""What services and those on the way to them say in refusals: only what is fit for an operator."""

import html
import re
from collections.abc import Mapping

_LONGEST = 300  # characters of the service's own text


def xml_field(text: str, name: str) -> str:
    """The text of an element of flat XML; also of one that was cut off behind it."""
    match = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return printable(html.unescape(match[1])) if match else ""


def header(headers: Mapping[str, str], name: str) -> str:
    """The service's words in a header; any byte may be in there."""
    return printable(headers.get(name, ""))


def printable(text: str) -> str:
    """The service's words on one line, and not too many of them."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:_LONGEST]


def retry_after(headers: Mapping[str, str]) -> float:
    """The service's wish in seconds; 0 if it has none. Names of headers are in lower case."""
    wish = headers.get("retry-after", "")
    return float(wish) if wish.isdecimal() else 0.0


def code_of_status(status: int) -> str:
    """Our own word where the service sent none: to HEAD, or by a proxy in between."""
    if status >= 500:
        return "ServerError"
    return {403: "AccessDenied", 408: "Timeout", 429: "Throttled"}.get(status, f"HTTP{status}")
