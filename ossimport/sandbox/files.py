"""The data files: bytes on disk under random names, hashed as they come in.

A file is written once, under its final name, and never changed. It counts only from the moment the
index names it, so a half-written one is nothing but an orphan, which the next start sweeps away.
"""

import contextlib
import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ossimport.crc64 import crc64


class Piece(NamedTuple):
    """A run of bytes of one data file. An object is a sequence of pieces."""

    file: str
    offset: int
    length: int


class Incoming:
    """A body on its way to disk. Once the index has its pieces, `keep` it; else `discard` it."""

    def __init__(self, files: "Files") -> None:
        self._files = files
        self._name = ""
        self._descriptor = -1
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.crc64 = 0
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append to the file. Raises OSError, such as when the disk is full."""
        if self._descriptor < 0:
            self._name, self._descriptor = self._files.create()
        self._md5.update(data)
        self.crc64 = crc64(data, self.crc64)
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Write nothing more. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Close and remove the file. Idempotent."""
        self.close()
        if self._name:
            self._files.remove([self._name])
            self._name = ""

    def keep(self) -> None:
        """Close and leave the file to the index: from now on `discard` does nothing."""
        self.close()
        self._name = ""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What to put into the index."""
        return (Piece(self._name, 0, self.size),) if self._name else ()

    @property
    def md5(self) -> bytes:
        """The MD5 of what was written."""
        return self._md5.digest()


class Files:
    """The directory of data files. A file that is being read outlives its removal."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._readers: Counter[str] = Counter()
        self._doomed: set[str] = set()
        for first in range(256):
            (directory / f"{first:02x}").mkdir(parents=True, exist_ok=True)

    def create(self) -> tuple[str, int]:
        """Make a new file; return its name and a descriptor to write to."""
        name = secrets.token_hex(16)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        return name, os.open(self.path(name), flags, 0o600)

    def path(self, name: str) -> str:
        """Where a file is."""
        return f"{self._directory}/{name[:2]}/{name}"

    def remove(self, names: Iterable[str]) -> None:
        """Delete files, those that are being read when the last reader ends."""
        for name in names:
            if self._readers[name]:
                self._doomed.add(name)
            else:
                self._unlink(name)

    def _unlink(self, name: str) -> None:
        # A file that cannot be deleted now is an orphan like any other: the next start sweeps it.
        with contextlib.suppress(OSError):
            os.unlink(self.path(name))

    def hold(self, names: Iterable[str]) -> None:
        """Keep files in place until `let_go`."""
        self._readers.update(names)

    def let_go(self, names: Iterable[str]) -> None:
        """Undo one `hold`."""
        for name in names:
            self._readers[name] -= 1
            if not self._readers[name]:
                del self._readers[name]
                if name in self._doomed:
                    self._doomed.discard(name)
                    self._unlink(name)

    def sweep(self, wanted: set[str]) -> int:
        """Delete every file that is not wanted; return how many there were."""
        orphans = [
            name
            for first in range(256)
            for name in os.listdir(self._directory / f"{first:02x}")
            if name not in wanted
        ]
        self.remove(orphans)
        return len(orphans)


class Content:
    """The bytes of an object, or a range of them, held in place until `close`."""

    def __init__(self, files: Files, pieces: Sequence[Piece]) -> None:
        self._files = files
        self._pieces = pieces
        self._names = {piece.file for piece in pieces}
        self.size = sum(piece.length for piece in pieces)
        files.hold(self._names)

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Yield the bytes, at most `limit` at a time. Raises OSError when a file lacks some."""
        for piece in self._pieces:
            with open(self._files.path(piece.file), "rb", buffering=0) as file:
                file.seek(piece.offset)
                left = piece.length
                while left:
                    data = file.read(min(limit, left))
                    if not data:
                        raise OSError(f"data file {piece.file} is shorter than the index says")
                    left -= len(data)
                    yield data

    def close(self) -> None:
        """Let the files go. Idempotent."""
        names, self._names = self._names, set()
        self._files.let_go(names)


def cut(pieces: Iterable[Piece], start: int, length: int) -> tuple[Piece, ...]:
    """Return the pieces that hold `length` bytes from `start` of what `pieces` hold."""
    result = []
    for piece in pieces:
        skipped = min(start, piece.length)
        taken = min(length, piece.length - skipped)
        if taken:
            result.append(Piece(piece.file, piece.offset + skipped, taken))
        start -= skipped
        length -= taken
    return tuple(result)
