"""Walk a list of URLs, with the objects of each server together, whatever the order of the list.

The list is walked in windows. Within one the lines are taken server by server, in the order in
which the servers come up: so a task holds objects of few servers, and one that does not answer
holds up few tasks. A window fits in memory; a list that goes from server to server over more than
a window puts a server into several tasks.

A cursor is `START-END:N`: the first N lines, in that order, of the window from START to END in
bytes. `until` is one as well. `#N` is the line of this number alone: lines that could not be used
are walked again by it, so that they can be mended in the list.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

from ossimport.errors import Fatal
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.sources.list_file import BadLine, ListFile, Reader, Window
from ossimport.sources.list_lines import Columns, Form, find_form, server_of

_CURSOR = re.compile(r"(\d+)-(\d+):(\d+)", re.ASCII)
_LINE = re.compile(r"#(\d+)", re.ASCII)


class _Place(NamedTuple):
    """A cursor, read."""

    start: int
    end: int
    taken: int

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
        return f"{self.start}-{self.end}:{self.taken}"


class UrlList:
    """One list and its form."""

    def __init__(self, file: ListFile, columns: Columns) -> None:
        self.file = file
        self.form = find_form(file.head, columns)

    def entry(self, line: bytes, cursor: str) -> Scanned | None:
        """What a scan says of a line; None if the line cannot be used, see `odd`."""
        try:
            row = self.form.row(line)
        except BadLine:
            return None
        return Scanned(ObjectInfo(row.key, row.size, 0, row.place.pack()), cursor)

    def odd(self, line: bytes, number: int, cursor: str) -> Scanned:
        """What a scan says of a line that cannot be used. `number` is from 1."""
        info = ObjectInfo(f"{self.file.path.name}:{number}", 0)
        if number == 1 and self.form.is_heading(line):
            message = "the first line names the columns"
            return Scanned(info, cursor, Verdict.EXCLUDED, "ListHeading", message)
        try:
            self.form.row(line)
        except BadLine as exc:
            code, message = exc.code, f"line {number} of {self.file.path}: {exc}"
        again = Lane(f"#{number - 1}", f"#{number}")
        return Scanned(info, cursor, Verdict.FAILED, code, message, again)


class ListScan:
    """A walk over one lane. See `base.Scan`. Holds one window, about three times its bytes."""

    def __init__(self, urls: UrlList, lane: Lane) -> None:
        self._urls = urls
        self._lane = lane
        self._until = lane.until
        self._ahead = 0  # where the lane goes on behind the present window
        self._number = 0  # of the present window's first line; 0 = not known

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        with self._urls.file.open() as reader:
            if self._lane.cursor.startswith("#"):
                yield from self._one_line(reader)
            else:
                yield from self._windows(reader)

    def split(self) -> Lane | None:
        """Give away the later half of the windows behind the present one."""
        file = self._urls.file
        if file.is_packed or not self._ahead:
            return None
        end = _Place.parse(self._until).start if self._until else file.size
        cut = file.cut(self._ahead, end)
        if not cut:
            return None
        given = Lane(str(_Place(cut, cut, 0)), self._until)
        self._until = given.cursor
        return given

    def _windows(self, reader: Reader) -> Iterator[Scanned]:
        file = self._urls.file
        place = _Place(file.begin, file.begin, 0)
        if not self._lane.cursor:
            self._number = 1
        elif self._lane.cursor == self._until:
            return
        else:
            place = _Place.parse(self._lane.cursor)
            file.expect_line(reader, place.start)
        if place.taken:
            window = file.exactly(reader, place.start, place.end)
            yield from self._lines(reader, window, place.taken)
            place = _Place(place.end, place.end, 0)
        while True:
            until = _Place.parse(self._until) if self._until else None
            if until is not None and place.start >= until.end:
                return
            if until is not None and place.start == until.start:
                window = file.exactly(reader, until.start, until.end)
            else:
                window = file.window(reader, place.start)
            if window.end == window.start:
                return
            yield from self._lines(reader, window, 0)
            place = _Place(window.end, window.end, 0)

    def _lines(self, reader: Reader, window: Window, taken: int) -> Iterator[Scanned]:
        """The entries of a window, without the first `taken` lines."""
        self._ahead = window.end
        prefix = f"{window.start}-{window.end}:"
        order = islice(_in_order(self._urls.form, window.lines), taken, None)
        for count, index in enumerate(order, taken + 1):
            line = window.lines[index]
            if not line.strip():
                continue
            cursor = f"{prefix}{count}"
            entry = self._urls.entry(line, cursor)
            if entry is None:
                entry = self._urls.odd(line, self._first(reader, window) + index, cursor)
            yield entry
            if cursor == self._until:
                return
        if self._number:
            self._number += len(window.lines)

    def _first(self, reader: Reader, window: Window) -> int:
        """The number of a window's first line. A lane from the middle of a list has to count."""
        if not self._number:
            self._number = self._urls.file.lines_before(reader, window.start) + 1
        return self._number

    def _one_line(self, reader: Reader) -> Iterator[Scanned]:
        found = _LINE.fullmatch(self._lane.cursor)
        if found is None or self._lane.cursor == self._until:
            return
        number = int(found[1]) + 1
        line = self._urls.file.line(reader, number)
        if line is not None and line.strip():
            cursor = f"#{number}"
            yield self._urls.entry(line, cursor) or self._urls.odd(line, number, cursor)


def _in_order(form: Form, lines: list[bytes]) -> Iterator[int]:
    """The numbers of the lines, server by server."""
    servers: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        servers.setdefault(server_of(form.prefix(line)), []).append(index)
    return chain.from_iterable(servers.values())
