"""URLs of a list: what is asked for, what the object is called, and how both travel to a worker.

A URL is a prefix and a path, written one behind the other. What is percent-encoded in either stays
as it is; what a URL cannot hold is encoded. The object is called as the path reads when its
percent-encoding is undone, so that every name can be written: `50%25%20off.txt` is `50% off.txt`.
"""

import re
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import quote, unquote

from ossimport.transport import Endpoint

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*)")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile(r"[A-Za-z0-9/!$&'()*+,;=:@~._-]+")
_IN_PATH = "/!$&'()*+,;=:@~"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PORTS = range(1, 65536)


class BadUrl(ValueError):
    """What is wrong with a URL, without the URL: it may hold a password."""


class HasPassword(BadUrl):
    """There is a user's name in it, with or without a password."""


class Url(NamedTuple):
    """Where to connect to, and what to ask for there."""

    endpoint: Endpoint
    target: str  # path and query, encoded

    def __str__(self) -> str:
        """Without the query: that of a signed URL is as good as a password."""
        return f"{self.endpoint}{self.target.partition('?')[0]}"


def encode(text: str) -> str:
    """Encode what a URL cannot hold; a `#` too, since nothing behind it would be asked for."""
    return quote(_STRAY_PERCENT.sub("%25", text), safe=f"{_IN_PATH}?%", errors="surrogateescape")


def encode_name(key: str) -> str:
    """Encode a name as most lists have it."""
    return quote(key, safe=_IN_PATH, errors="surrogateescape")


def read_path(path: str) -> tuple[str, str]:
    """What the object at this path is called, and the URL's end if that does not follow from it."""
    if _PLAIN.fullmatch(path):
        return path, ""
    key, tail = unquote(path, errors="surrogateescape"), encode(path)
    return key, "" if tail == encode_name(key) else tail


def parse_url(text: str) -> Url:
    """Take a URL or its beginning apart; without a scheme it is http. Raises BadUrl."""
    found = _URL.fullmatch(text)
    assert found is not None, text  # noqa: S101 -- it matches everything
    scheme, authority, rest = (found[1] or "http").lower(), found[2], found[3]
    if scheme not in _DEFAULT_PORTS:
        raise BadUrl("a URL begins with http:// or https://")
    if "@" in authority:
        raise HasPassword("the URL has a user's name or password in it")
    named = _AUTHORITY.fullmatch(authority)
    if named is None or (named[2] and int(named[2]) not in _PORTS):
        raise BadUrl("the URL has no host, or no port from 1 to 65535")
    port = int(named[2]) if named[2] else _DEFAULT_PORTS[scheme]
    target = encode(rest if rest[:1] == "/" else f"/{rest}")
    return Url(Endpoint(scheme, _host(named[1]), port), target)


@lru_cache(maxsize=4096)  # a list has many more lines than prefixes
def parse_prefix(text: str) -> Url:
    """The same, for what many URLs of a list begin with. Raises BadUrl."""
    return parse_url(text)


def _host(text: str) -> str:
    if text.startswith("["):
        return text[1:-1].lower()
    try:
        host = text.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise BadUrl("the URL's host is no name of a host")
    return host.lower()


class Place(NamedTuple):
    """Where an object of a list is, and what is known of it: `ObjectInfo.etag` of this source.

    Workers do not see the list: all that they need beside the object's name is in here.
    """

    known: str  # one of the words below
    base: str  # the URL's beginning
    tail: str = ""  # the URL's end, where it is not `encode_name(key)`
    md5: str = ""  # as the list states it, in lower-case hex
    version: str = ""  # the strong ETag that the server gave; "" = none

    def url(self, key: str) -> Url:
        """The URL of the object. Raises BadUrl for what this source did not make."""
        base = parse_prefix(self.base)
        return Url(base.endpoint, base.target + (self.tail or encode_name(key)))

    def pack(self) -> str:
        return "\t".join(self)

    @classmethod
    def unpack(cls, text: str) -> Self:
        """What `pack` made. Raises BadUrl for anything else."""
        fields = text.split("\t", len(cls._fields) - 1)
        if len(fields) != len(cls._fields):
            raise BadUrl("this is no object of a list of URLs")
        return cls(*fields)


NOTHING = "?"  # not even the size is known
LISTED = "l"  # the size is in the list
SEEN = "s"  # the server has been asked
