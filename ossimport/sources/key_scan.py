"""Walk files of keys, in order, line by line. What a line does not say is asked of the store.

A cursor is `FILE:PLACE:NUMBER`: the file's number from 0, the byte where the next line begins, and
the lines before it. `FILE#NUMBER` is one line alone: a line that could not be used is walked again
by it, so that it can be mended in the file. A lane is cut between two files.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

from ossimport.errors import Fatal, Permanent
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.naming import display
from ossimport.sources.key_lines import Lines
from ossimport.sources.list_file import BadLine, ListFile, Reader

ASKED_AT_ONCE = 32

_CURSOR = re.compile(r"(\d+):(\d+):(\d+)", re.ASCII)
_LINE = re.compile(r"(\d+)#(\d+)", re.ASCII)


class KeyFiles:
    """The files of one listing. `ask` describes an object by its key behind `prefix`."""

    def __init__(
        self,
        count: int,
        file: Callable[[int], ListFile],
        lines: Lines,
        prefix: str,
        ask: Callable[[str], "Future[ObjectInfo]"],
    ) -> None:
        self.count = count
        self.file = file
        self.lines = lines
        self.prefix = prefix
        self.ask = ask


class _Place(NamedTuple):
    """A cursor, read."""

    file: int = 0
    place: int = 0
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> "_Place":
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise Fatal(
                f"{text!r} is no place in a list. Cure: clean the job and submit it again",
                code="ListChanged",
                op="scan",
            )
        return cls(*map(int, found.groups()))

    def __str__(self) -> str:
        return f"{self.file}:{self.place}:{self.number}"


class KeyScan:
    """A walk over one lane. See `base.Scan`. Holds one window of a file, about three times."""

    def __init__(self, files: KeyFiles, lane: Lane) -> None:
        self._files = files
        self._lane = lane
        self._until = lane.until
        self._file = 0  # the one that is read

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        """See `base.Scan`. The next answers are on their way while an entry is consumed."""
        ahead: deque[tuple[Scanned, Future[ObjectInfo] | None]] = deque()
        try:
            for entry, is_known in self.entries():
                needs = entry.verdict is Verdict.COPY and not is_known
                ahead.append((entry, self._files.ask(entry.info.key) if needs else None))
                if len(ahead) > ASKED_AT_ONCE:
                    yield _settled(*ahead.popleft())
            while ahead:
                yield _settled(*ahead.popleft())
        finally:
            for _, asked in ahead:
                if asked is not None:
                    asked.cancel()

    def split(self) -> Lane | None:
        """Give away the later half of the files behind the present one."""
        if "#" in self._until:
            return None
        end = _Place.parse(self._until).file if self._until else self._files.count
        first = self._file + 1
        if first >= end:
            return None
        given = Lane(str(_Place((first + end) // 2)), self._until)
        self._until = given.cursor
        return given

    def entries(self) -> Iterator[tuple[Scanned, bool]]:
        """What the lines say, and of each whether that is all that has to be known."""
        if alone := _LINE.fullmatch(self._lane.cursor):
            if self._lane.cursor != self._until:
                yield from self._one_line(int(alone[1]), int(alone[2]))
            return
        begin = _Place.parse(self._lane.cursor) if self._lane.cursor else _Place()
        while begin.file < self._files.count and not self._is_end(begin):
            self._file = begin.file
            with self._files.file(begin.file).open() as reader:
                yield from self._lines(reader, begin)
            begin = _Place(begin.file + 1)

    def _is_end(self, place: _Place) -> bool:
        return bool(self._until) and place >= _Place.parse(self._until)

    def _lines(self, reader: Reader, begin: _Place) -> Iterator[tuple[Scanned, bool]]:
        """The entries of a file from a line on."""
        file = self._files.file(begin.file)
        place, number = max(begin.place, file.begin), begin.number
        file.expect_line(reader, place)
        while (window := file.window(reader, place)).lines:
            last = len(window.lines)
            for count, line in enumerate(window.lines, 1):
                # A line that is far too long is cut, but not the place behind it.
                place = window.end if count == last else place + len(line) + 1
                number += 1
                cursor = _Place(begin.file, place, number)
                if line.strip():
                    yield self._entry(begin.file, line, number, str(cursor))
                if self._is_end(cursor):
                    return

    def _one_line(self, index: int, number: int) -> Iterator[tuple[Scanned, bool]]:
        file = self._files.file(index)
        with file.open() as reader:
            line = file.line(reader, number)
        if line is not None and line.strip():
            yield self._entry(index, line, number, f"{index}#{number + 1}")

    def _entry(self, index: int, line: bytes, number: int, cursor: str) -> tuple[Scanned, bool]:
        """What a scan says of a line, and whether that is all it has to say."""
        files = self._files
        again = Lane(f"{index}#{number}", f"{index}#{number + 1}")
        path = files.file(index).path
        try:
            said = files.lines.read(line.removesuffix(b"\r"))
        except BadLine as exc:
            info = ObjectInfo(f"{path.name}:{number}", 0)
            message = f"line {number} of {path}: {exc}"
            return Scanned(info, cursor, Verdict.FAILED, exc.code, message, again), True
        code, message = said.excluded, said.message
        if not code and not said.info.key.startswith(files.prefix):
            code, message = "OutsidePrefix", "the key does not begin with srcPrefix"
        if code:
            return Scanned(said.info, cursor, Verdict.EXCLUDED, code, message), True
        info = said.info._replace(key=said.info.key.removeprefix(files.prefix))
        if not info.key:
            message = "the marker of srcPrefix itself"
            return Scanned(info, cursor, Verdict.EXCLUDED, "PrefixMarker", message), True
        message = f"line {number} of {path}"
        entry = Scanned(info, cursor, Verdict.COPY, "", message, again, said.archived)
        return entry, said.is_known


def _settled(entry: Scanned, asked: "Future[ObjectInfo] | None") -> Scanned:
    """The entry with what the store says of it."""
    plain = entry._replace(message="", rescan=None) if entry.verdict is Verdict.COPY else entry
    if asked is None:
        return plain
    try:
        return plain._replace(info=asked.result())
    except Permanent as exc:
        message = f"{entry.message} ({display(entry.info.key)}): {exc}"
        return entry._replace(verdict=Verdict.FAILED, code=exc.code, message=message)
