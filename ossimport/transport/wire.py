"""HTTP/1.1 on the wire: the values that travel, and the bytes of a request's head."""

from collections.abc import Mapping
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
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers.items():
        lower = name.lower()
        if lower == "host":
            host = ""
        elif lower in _OURS:
            raise ValueError(f"{name} is set by the transport, not by the caller")
        lines.append(f"{name}: {value}")
    if host:
        lines.append(f"Host: {host}")
    if body_size or method in _WITH_BODY:
        lines.append(f"Content-Length: {body_size}")
    lines.append("\r\n")
    head = "\r\n".join(lines)
    ends = len(lines)  # one behind each line but the last, which is the end of the last two
    if head.count("\r") != ends or head.count("\n") != ends or "\0" in head:
        raise ValueError("control characters in a request's method, target or headers")
    if " " in target or " " in method or not target.isascii():
        raise ValueError("method or target of a request is not encoded")
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header of a request is not latin-1") from None  # and not in the error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
