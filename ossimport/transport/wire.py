"""HTTP/1.1 on the wire: the values that travel, and the bytes of a request's head."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

Body = bytes | bytearray | memoryview
Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_WITH_BODY = frozenset({"PUT", "POST", "PATCH"})
_OURS = frozenset({"content-length", "transfer-encoding"})
_CONTROLS = "control characters in a request's method, target or headers"
_NOT_ENCODED = "method or target of a request is not encoded"
_REMEMBERED = 256  # names of received headers


class Flowing:  # no ABC: every small body is asked whether it is one, and that would be dear
    """A body that is read while it is sent, of `len()` bytes."""

    def __len__(self) -> int:
        """How many bytes it has in all."""
        raise NotImplementedError

    async def read(self, start: int, most: int) -> Body:
        """Between one byte and `most` from `start`, which is where those before them ended, or 0.

        From 0 on it is read anew, to be sent again. Whatever this raises ends the request, and
        comes out of it as it is.
        """
        raise NotImplementedError


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


@dataclass(slots=True)  # costs half of what a tuple with names does, made and read
class Response:
    """A complete answer, whatever its status. Nobody changes one."""

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
    values = (target, *headers.values())
    text = "".join(values)
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(_CONTROLS)
    if " " in target or not target.isascii():
        raise ValueError(_NOT_ENCODED)
    length = f"Content-Length: {body_size}\r\n" if body_size or method in _WITH_BODY else ""
    try:
        return f"{_form(host, method, tuple(headers)) % values}{length}\r\n".encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header of a request is not latin-1") from None  # and not in the error


@lru_cache(maxsize=256)  # requests by the million, sets of names by the dozen
def _form(host: str, method: str, names: tuple[str, ...]) -> str:
    """A head but for its target and values. Raises ValueError for what may not be the rest."""
    text = "".join((host, method, *names))
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(_CONTROLS)
    if " " in method:
        raise ValueError(_NOT_ENCODED)
    lower = [name.lower() for name in names]
    for name in _OURS.intersection(lower):
        raise ValueError(f"{name} is set by the transport, not by the caller")
    host, method, *names_ = (part.replace("%", "%%") for part in (host, method, *names))
    lines = [f"{method} %s HTTP/1.1", *(f"{name}: %s" for name in names_)]
    if "host" not in lower:
        lines.append(f"Host: {host}")
    return "".join(f"{line}\r\n" for line in lines)


class _Names(dict[bytes, str]):
    """Names of received headers as text in lower case: the same dozens come by the million."""

    def __missing__(self, raw: bytes) -> str:
        name = raw.decode("latin-1").lower()
        if len(self) < _REMEMBERED:
            self[raw] = name
        return name


NAMES = _Names()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
