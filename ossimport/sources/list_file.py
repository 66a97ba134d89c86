"""A list on disk, plain or gzipped, read in windows of whole lines, in bounded memory.

Places are offsets in bytes; of a gzipped list in what comes out of it, so that going on in the
middle of one costs unpacking what is before.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ossimport.errors import Fatal

WINDOW = 8 << 20  # bytes
LONGEST = 64 << 10  # of a line

_HEAD = 256 << 10  # bytes that show what the list is like
_STEP = 1 << 20
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_UNPACKED_BADLY = (EOFError, zlib.error, gzip.BadGzipFile)
_CHANGED_CURE = "leave the list alone while its job runs; now clean the job and submit it again"


class BadLine(Exception):
    """A line that cannot be used. The text is for the operator and does not repeat the line."""

    def __init__(self, code: str, message: str, cure: str) -> None:
        super().__init__(f"{message}. Cure: {cure}")
        self.code = code


class Window(NamedTuple):
    """Whole lines. The list goes on at `end`; the last window of a list ends at its end."""

    start: int
    end: int
    lines: list[bytes]  # without line ends


class ListFile:
    """One list. Raises Fatal when it cannot be read."""

    def __init__(self, path: Path, window: int = WINDOW) -> None:
        self.path = path
        self._window = window
        with _told(path), path.open("rb") as file:
            self.is_packed = file.read(2) == _GZIP
        with self.open() as reader:
            head = reader.read(0, _HEAD)
        if head.startswith(_WIDE_BOMS):
            raise _fatal("ListEncoding", path, "it is UTF-16", "convert the list (iconv -t UTF-8)")
        self.begin = len(_BOM) if head.startswith(_BOM) else 0
        self.line_end = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
        lines = head[self.begin :].split(self.line_end)
        # The last one may go on behind the head.
        self.head = lines[:-1] if len(head) == _HEAD else lines
        self._known = 1, self.begin  # the number of a line, and where it begins

    def open(self) -> "Reader":
        """Begin to read; for one thread."""
        return Reader(self.path, self.is_packed)

    @property
    def size(self) -> int:
        """Of a plain list."""
        with _told(self.path):
            return self.path.stat().st_size

    def window(self, reader: "Reader", start: int) -> Window:
        """The window that begins with the line at `start`.

        It ends with the line that goes over the next multiple of the window's size: so wherever a
        walk begins, it comes to the same windows.
        """
        text = reader.read(start, self._room(start))
        if not text or text.endswith(self.line_end):
            return Window(start, start + len(text), self._lines(text))
        rest = reader.read(start + len(text), LONGEST + 1)
        cut = rest.find(self.line_end) + 1
        end = start + len(text) + cut
        if not cut and rest:
            end = self._line_end_behind(reader, start + len(text) + len(rest))
        return Window(start, end, self._lines(text + (rest[:cut] if cut else rest)))

    def exactly(self, reader: "Reader", start: int, end: int) -> Window:
        """A window as it was before. Raises Fatal if the list is another one now."""
        size = min(end - start, self._room(start) + LONGEST + 1)
        text = reader.read(start, size)
        is_whole = text.endswith(self.line_end) or size < end - start or not reader.read(end, 1)
        if len(text) < size or not is_whole:
            raise self.changed()
        return Window(start, end, self._lines(text))

    def cut(self, begin: int, end: int) -> int:
        """Where about half-way a window begins; 0 if none does. Of a plain list."""
        middle = (begin + end) // 2 // self._window * self._window
        if middle <= begin:
            return 0
        with self.open() as reader:
            place = self._line_end_behind(reader, middle - 1)
        return place if begin < place < end else 0

    def expect_line(self, reader: "Reader", start: int) -> None:
        """See that a line begins here. Raises Fatal if none does: somebody has edited the list."""
        if start > self.begin and reader.read(start - 1, 1) != self.line_end:
            raise self.changed()

    def lines_before(self, reader: "Reader", place: int) -> int:
        """How many lines begin before `place`, where one begins."""
        count, at = 0, self.begin
        while at < place:
            text = reader.read(at, min(_STEP, place - at))
            if not text:
                break
            count += text.count(self.line_end)
            at += len(text)
        return count

    def line(self, reader: "Reader", number: int) -> bytes | None:
        """The line of this number, from 1; None if there is none."""
        known, at = self._known
        if number < known:
            known, at = 1, self.begin
        while known < number:
            text = reader.read(at, _STEP)
            if not text:
                return None
            here = text.count(self.line_end)
            if known + here < number:
                known, at = known + here, at + len(text)
                continue
            cut = 0
            while known < number:
                cut = text.index(self.line_end, cut) + 1
                known += 1
            at += cut
        self._known = known, at
        return reader.read(at, LONGEST + 1).partition(self.line_end)[0] or None

    def changed(self) -> Fatal:
        """The list is not the one in which this place was found."""
        return _fatal("ListChanged", self.path, "it has been edited since", _CHANGED_CURE)

    def _room(self, start: int) -> int:
        """Bytes from `start` to the next multiple of the window's size."""
        return self._window - start % self._window

    def _lines(self, text: bytes) -> list[bytes]:
        lines = text.split(self.line_end)
        return lines if lines[-1] else lines[:-1]

    def _line_end_behind(self, reader: "Reader", place: int) -> int:
        while text := reader.read(place, _STEP):
            cut = text.find(self.line_end) + 1
            if cut:
                return place + cut
            place += len(text)
        return place


class Reader:
    """Reads a list at any place; in a gzipped one going back means to begin anew."""

    def __init__(self, path: Path, is_packed: bool) -> None:
        self._path = path
        self._is_packed = is_packed
        self._place = 0
        with _told(path):
            self._file = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, place: int, size: int) -> bytes:
        """`size` bytes from `place`; fewer at the end."""
        with _told(self._path):
            if not self._is_packed:
                return os.pread(self._file.fileno(), size, place)
            if place < self._place:
                self._file.close()
                self._file, self._place = self._opened(), 0
            while self._place < place:
                skipped = self._file.read(min(_STEP, place - self._place))
                if not skipped:
                    return b""
                self._place += len(skipped)
            text = self._file.read(size)
            self._place += len(text)
            return text

    def _opened(self) -> gzip.GzipFile | FileIO:
        if self._is_packed:
            return gzip.open(self._path, "rb")
        return FileIO(self._path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except _UNPACKED_BADLY as exc:
        what = f"it cannot be unpacked: {exc}"
        raise _fatal("ListDamaged", path, what, "see gzip -t; copy the list again") from exc
    except OSError as exc:
        cure = (
            "check its path in the job file; the list must be on the master's host, and stay there"
        )
        raise _fatal("ListNotReadable", path, str(exc.strerror), cure) from exc


def _fatal(code: str, path: Path, what: str, cure: str) -> Fatal:
    return Fatal(f"the list {path} cannot be used: {what}. Cure: {cure}", code=code, op="scan")
