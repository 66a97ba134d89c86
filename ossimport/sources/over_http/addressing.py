"""Where the keys of a bucket are: its name in front of the host's, or of the path."""

import ipaddress
from typing import NamedTuple
from urllib.parse import quote

from ossimport.transport import Endpoint

_DEFAULT_PORTS = frozenset({80, 443})
_MISREAD = frozenset({"/", "."})
_DOTS = {".": "%2E", "..": "%2E%2E"}


class Address(NamedTuple):
    """Where one bucket is."""

    endpoint: Endpoint
    root: str  # what the path of a key begins with: "/" or "/bucket/"


def locate(where: Endpoint, bucket: str) -> Address:
    """The bucket at an endpoint: in the path if the host is an IP address or `localhost`.

    A host that begins with the bucket already stays as it is.
    """
    if is_plain(where.host):
        return Address(where, f"/{bucket}/")
    host = where.host if where.host.startswith(f"{bucket}.") else f"{bucket}.{where.host}"
    return Address(where._replace(host=host), "/")


def is_plain(host: str) -> bool:
    """The host is an IP address or `localhost`, before which no bucket's name can be put."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def is_region(where: Endpoint) -> bool:
    """What was written is the name of a region: hosts have a dot in them, or another port."""
    return "." not in where.host and not is_plain(where.host) and where.port in _DEFAULT_PORTS


def encoded(key: str) -> str:
    """A key for the path of a request, so that nobody on the way can tidy it up to another."""
    path = quote(key, errors="surrogateescape")
    if "/." in path or "//" in path or path[:1] in _MISREAD:
        return _DOTS.get(path) or path.replace("/", "%2F")
    return path
