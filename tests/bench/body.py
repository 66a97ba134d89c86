"""Bodies of requests as they arrive: counted, hashed, kept or dropped."""

import hashlib
from typing import NamedTuple

from fastcrc import crc64


class Body:
    """The bytes of one request so far."""

    def __init__(self, *, keeps: bool, md5: bool) -> None:
        self.size = 0
        self.crc = 0
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._kept: list[bytes] | None = [] if keeps else None

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self.crc = crc64.xz(data, self.crc)
        if self._md5 is not None:
            self._md5.update(data)
        if self._kept is not None:
            self._kept.append(data)

    @property
    def etag(self) -> str:
        """The MD5, or else the CRC64: OSS does not promise an MD5, and it costs."""
        return self._md5.hexdigest() if self._md5 is not None else f"{self.crc:032X}"

    @property
    def bytes(self) -> bytes | None:
        """All of it; None if it was dropped."""
        return None if self._kept is None else b"".join(self._kept)


class Fed(NamedTuple):
    """What one piece of a chunked body held."""

    data: bytes
    ended: bool
    rest: bytes  # behind the end


class Chunks:
    """Takes chunked bodies apart: HTTP's, and those that S3 clients put into others."""

    def __init__(self) -> None:
        self._left = 0  # of the chunk that has begun, its line end included
        self._line = b""
        self._last = False

    def feed(self, data: bytes) -> Fed:
        """Take the next bytes."""
        found: list[bytes] = []
        while data:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                found.append(piece[: max(0, self._left - 2)])
                self._left -= len(piece)
                continue
            line, end, data = (self._line + data).partition(b"\n")
            if not end:
                self._line = line
                break
            self._line = b""
            line = line.strip()
            if self._last and not line:  # the empty line behind the trailers
                return Fed(b"".join(found), True, data)
            if not self._last:
                size = int(line.partition(b";")[0], 16)
                self._last = not size
                self._left = size + 2 if size else 0
        return Fed(b"".join(found), False, b"")
