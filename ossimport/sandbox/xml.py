"""The XML of OSS's bodies: a few lines to write it, an expat tree to read it."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote
from xml.parsers import expat

from ossimport.sandbox.refusal import Refusal

_SPECIAL = re.compile('[&<>"\x00-\x1f]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return _NAMED.get(character) or f"&#x{ord(character):X};"


def tag(name: str, value: object) -> str:
    """Return one element with text.

    Control characters become references, which readers of XML 1.0 refuse: clients that have such
    keys ask for `encoding-type=url`.
    """
    return f"<{name}>{_SPECIAL.sub(_escaped, str(value))}</{name}>"


def group(name: str, *parts: str) -> str:
    """Return one element with elements in it."""
    return f"<{name}>{''.join(parts)}</{name}>"


def document(name: str, *parts: str) -> bytes:
    """Return a whole document, without a namespace: oss2 looks for bare names."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{group(name, *parts)}'.encode()


def key_text(key: bytes, encoding: str) -> str:
    """Return the key for an element; `encoding` is the value of `encoding-type`."""
    return quote(key, safe="") if encoding == "url" else key.decode("utf-8", "replace")


@lru_cache(maxsize=1024)  # a listing has the same second over and over
def iso_time(seconds: int) -> str:
    """Return `2026-01-31T23:59:59.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(slots=True)
class Node:
    """An element as read."""

    name: str
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    def all(self, name: str) -> list["Node"]:
        """The children of that name."""
        return [child for child in self.children if child.name == name]

    def get(self, name: str, default: str = "") -> str:
        """The text of the first child of that name."""
        return next((child.text for child in self.children if child.name == name), default)


def parse(body: bytes, root: str) -> Node:
    """Read a document whose outermost element is `root`. Raises Refusal MalformedXML."""
    top = Node("")
    open_nodes = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        node = Node(name)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def end(name: str) -> None:
        open_nodes.pop()

    def text(data: str) -> None:
        open_nodes[-1].text += data

    def doctype(*declaration: object) -> None:
        raise Refusal("MalformedXML")  # entities that grow without bound begin with one

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as exc:
        raise Refusal("MalformedXML") from exc
    if top.children[0].name != root:
        raise Refusal("MalformedXML")
    return top.children[0]
