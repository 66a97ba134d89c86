"""HTTP/1.1 on the wire: the values that travel, and the bytes of a request's head."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

Body = bytes | bytearray | memoryview

_DEFAULT_PORTS = {"http": 80, "https": 443}
_WITH_BODY = frozenset({"PUT", "POST", "PATCH"})
_OURS = frozenset({"content-length", "transfer-encoding"})


class Endpoint(NamedTuple):
    """Where to connect to. IPv6 addresses come without brackets."""

    scheme: str  # "http" or "https"
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        return f"{_bracketed(self.host)}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class Response(NamedTuple):
    """A complete answer, whatever its status."""

    status: int
    headers: dict[str, str]  # lower-case names, latin-1 values, repeated headers joined by ", "
    body: bytes | bytearray


def host_header(endpoint: Endpoint) -> str:
    """The Host that `endpoint` is called by; the scheme's default port is left out."""
    host = _bracketed(endpoint.host)
    if endpoint.port == _DEFAULT_PORTS.get(endpoint.scheme):
        return host
    return f"{host}:{endpoint.port}"


def encode_head(
    host: str, method: str, target: str, headers: Mapping[str, str], body_size: int
) -> bytes:
    """The request line and all headers. A Host among `headers` wins over `host`.

    Raises ValueError for control characters that would end a line early, for text that is not
    encoded, and for headers that frame the body: those are not the caller's.
    """
    lines = [f"{method} {target} HTTP/1.1", *map(": ".join, headers.items())]
    if not _name_host(tuple(headers)):
        lines.append(f"Host: {host}")
    if body_size or method in _WITH_BODY:
        lines.append(f"Content-Length: {body_size}")
    text = "".join(lines)
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError("control characters in a request's method, target or headers")
    if " " in target or " " in method or not target.isascii():
        raise ValueError("method or target of a request is not encoded")
    lines.append("\r\n")
    try:
        return "\r\n".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header of a request is not latin-1") from None  # and not in the error


@lru_cache(maxsize=256)  # requests by the million, sets of names by the dozen
def _name_host(names: tuple[str, ...]) -> bool:
    """Whether the caller gives a Host. Raises ValueError for what is not the caller's to give."""
    lower = [name.lower() for name in names]
    for name in _OURS.intersection(lower):
        raise ValueError(f"{name} is set by the transport, not by the caller")
    return "host" in lower


def fold_headers(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Received header fields as text: names in lower case, repeated ones joined by ", "."""
    headers = {_name(name): value.decode("latin-1") for name, value in fields}
    if len(headers) == len(fields):
        return headers
    joined: dict[str, list[str]] = {}
    for name, value in fields:
        joined.setdefault(_name(name), []).append(value.decode("latin-1"))
    return {name: ", ".join(values) for name, values in joined.items()}


@lru_cache(maxsize=256)  # responses come by the million, names of headers by the dozen
def _name(raw: bytes) -> str:
    return raw.decode("latin-1").lower()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
