"""The bytes of objects: large ones in data files, small ones in a table of the index.

A data file is written once, under its final name, and never changed. It counts only from the
moment the index names it, so a half-written one is nothing but an orphan, which the next start
sweeps away. Small bodies go into the index together with the row that names them: making a file
costs more than all else that a small object needs, on some file systems half a millisecond.
"""

import contextlib
import hashlib
import itertools
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ossimport.crc64 import crc64

SMALL = 64 << 10  # bytes of the largest body that is kept in the index
_PER_DIRECTORY = 1000  # data files


class Piece(NamedTuple):
    """A run of bytes of one data file or small body. An object is a sequence of pieces."""

    file: str
    offset: int
    length: int


class Incoming:
    """A body on its way to disk. Once the index has its pieces, `keep` it; else `discard` it."""

    def __init__(self, files: "Files", *, small: int = 0) -> None:
        """A body of up to `small` bytes goes into the index."""
        self._files = files
        self._small = small
        self._held: list[bytes] = []
        self._name = ""
        self._descriptor = -1
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.crc64 = 0
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append to the body. Raises OSError, such as when the disk is full."""
        self._md5.update(data)
        self.crc64 = crc64(data, self.crc64)
        self.size += len(data)
        self._held.append(data)
        if self.size > self._small:
            self._flush()

    def _flush(self) -> None:
        if self._descriptor < 0:
            self._name, self._descriptor = self._files.create()
        for data in self._held:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._held.clear()

    def close(self) -> None:
        """End the body. Idempotent."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
        if self._held:
            self._name = self._files.offer(b"".join(self._held))
            self._held.clear()

    def discard(self) -> None:
        """Remove what was written. Idempotent."""
        self._held.clear()
        self.close()
        if self._name:
            self._files.withdraw(self._name)
            self._name = ""

    def keep(self) -> None:
        """Leave the bytes to the index: from now on `discard` does nothing."""
        self._files.accepted(self._name)
        self._name = ""

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What to put into the index, after `close`."""
        return (Piece(self._name, 0, self.size),) if self._name else ()

    @property
    def md5(self) -> bytes:
        """The MD5 of what was written."""
        return self._md5.digest()


class Files:
    """Data files and small bodies by name. A file that is being read outlives its removal.

    Names of small bodies are `@` and a number, those of files a directory and a number.
    """

    def __init__(self, directory: Path, db: sqlite3.Connection) -> None:
        """`db` has a table `bodies (id INTEGER PRIMARY KEY, body BLOB)`."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._db = db
        self._readers: Counter[str] = Counter()
        self._doomed: set[str] = set()
        self._offered: dict[str, bytes] = {}  # small bodies that no transaction has written yet
        directories = (int(name) for name in os.listdir(directory) if name.isdecimal())
        last = max(directories, default=0)
        self._numbers = itertools.count((last + 1) * _PER_DIRECTORY)
        (last_id,) = db.execute("SELECT COALESCE(MAX(id), 0) FROM bodies").fetchone()
        self._ids = itertools.count(last_id + 1)

    def create(self) -> tuple[str, int]:
        """Make a new file; return its name and a descriptor to write to."""
        number = next(self._numbers)
        name = f"{number // _PER_DIRECTORY:06d}/{number:09d}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        path = self.path(name)
        try:
            return name, os.open(path, flags, 0o600)
        except FileNotFoundError:  # the first file of its directory
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return name, os.open(path, flags, 0o600)

    def path(self, name: str) -> str:
        """Where a file is."""
        return f"{self._directory}/{name}"

    def offer(self, body: bytes) -> str:
        """Take a small body; return its name. `write_offered` puts it into the index."""
        name = f"@{next(self._ids)}"
        self._offered[name] = body
        return name

    def write_offered(self, names: Iterable[str]) -> None:
        """Write those that are small bodies not yet in the index, in the transaction under way."""
        for name in names:
            if name in self._offered:
                row = (int(name[1:]), self._offered[name])
                self._db.execute("INSERT INTO bodies VALUES (?, ?)", row)

    def accepted(self, name: str) -> None:
        """The transaction that wrote the body has ended well."""
        self._offered.pop(name, None)

    def withdraw(self, name: str) -> None:
        """Forget a new body or remove a new file that is not to be in the index."""
        if self._offered.pop(name, None) is None:
            self.unlink([name])

    def delete_bodies(self, names: Iterable[str]) -> None:
        """Delete those that are small bodies, in the transaction under way."""
        for name in names:
            if name.startswith("@"):
                self._db.execute("DELETE FROM bodies WHERE id = ?", (int(name[1:]),))

    def body(self, name: str) -> bytes:
        """A small body."""
        row = self._db.execute("SELECT body FROM bodies WHERE id = ?", (int(name[1:]),)).fetchone()
        return bytes(row[0])

    def unlink(self, names: Iterable[str]) -> None:
        """Delete those that are files; those that are being read when the last reader ends."""
        for name in names:
            if name.startswith("@"):
                continue
            if self._readers[name]:
                self._doomed.add(name)
                continue
            # A file that cannot be deleted now is an orphan like any other, for the next start.
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
                    self.unlink([name])

    def sweep(self, wanted: set[str]) -> None:
        """Delete every file that is not wanted, and directories that are empty."""
        for directory in os.listdir(self._directory):
            names = {f"{directory}/{name}" for name in os.listdir(self.path(directory))}
            self.unlink(names - wanted)
            if not names & wanted:
                with contextlib.suppress(OSError):
                    os.rmdir(self.path(directory))


class Content:
    """The bytes of an object, or a range of them, held in place until `close`."""

    def __init__(self, files: Files, pieces: Sequence[Piece]) -> None:
        self._files = files
        self._pieces = pieces
        self._names = {piece.file for piece in pieces}
        # An object has one small piece at most: uploads have larger parts, but for the last.
        self._bodies = {name: files.body(name) for name in self._names if name.startswith("@")}
        self.size = sum(piece.length for piece in pieces)
        files.hold(self._names)

    def chunks(self, limit: int) -> Iterator[bytes]:
        """Yield the bytes, at most `limit` at a time. Raises OSError when a file lacks some."""
        for piece in self._pieces:
            if piece.file in self._bodies:
                yield self._bodies[piece.file][piece.offset : piece.offset + piece.length]
                continue
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
