"""Lines of a list of URLs: which form they have, and what one of them says.

Columns stand apart by TABs, by commas or by blanks, in the whole list alike. A cell that begins
with a double quote ends with one; two of them inside are one. Other cells are taken as they are,
but for blanks at their ends.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ossimport.sources.http_url import (
    LISTED,
    NOTHING,
    BadUrl,
    HasPassword,
    Place,
    parse_prefix,
    parse_url,
    read_path,
)
from ossimport.sources.list_file import LONGEST, BadLine

_BLANKS = b" \t\r\x0b\x0c"
_QUOTE = rb'"([^"]*+(?:""[^"]*+)*+)"'
_HEX_MD5 = re.compile(r"[0-9a-f]{32}")
_UNKNOWN = frozenset({b"", b"-"})
_NOT_IN_HEADINGS = re.compile(rb"[./:]")


class Columns(NamedTuple):
    """The numbers of the columns, from 1; 0 = the list has none."""

    prefix: int = 1
    path: int = 2
    size: int = 0
    md5: int = 0


class Row(NamedTuple):
    """What a line says."""

    key: str
    size: int  # 0 if the list does not say it
    place: Place


class Form(NamedTuple):
    """How the lines of a list are to be read."""

    columns: Columns
    separator: bytes  # TAB, comma or, for any number of blanks, one blank
    widest: int = 0  # columns that a line has at most; 0 = any number

    def cells(self, line: bytes) -> list[bytes]:
        """Take a line apart. Raises BadLine."""
        if b'"' in line:
            return _quoted_cells(line, self.separator)
        if self.separator == b" ":
            return line.split()
        return [cell.strip(_BLANKS) for cell in line.split(self.separator)]

    def prefix(self, line: bytes) -> bytes:
        """The URL's beginning as it is written; nothing if it is not there."""
        try:
            cells = self.cells(line)
        except BadLine:
            return b""
        number = self.columns.prefix
        return cells[number - 1] if number <= len(cells) else b""

    def is_heading(self, line: bytes) -> bool:
        """Whether a list's first line names its columns."""
        prefix = self.prefix(line)
        named = prefix and not _NOT_IN_HEADINGS.search(prefix) and prefix.lower() != b"localhost"
        return bool(named)

    def row(self, line: bytes) -> Row:
        """Read a line. Raises BadLine."""
        if len(line) > LONGEST:
            raise _too_long()
        cells = self.cells(line)
        columns = self.columns
        most = max(columns.prefix, columns.path)
        wrong = ""
        if len(cells) < most:
            wrong = f"there are {len(cells)} columns, {most} are needed"
        elif not cells[columns.path - 1]:
            wrong = f"column {columns.path}, the object name, is empty"
        if wrong:
            raise BadLine(
                "ListColumns",
                f"Unknown http list file format: {wrong}",
                "write a URL prefix and an object name, and see httpPrefixColumn and "
                "relativePathColumn",
            )
        if self.widest and len(cells) > self.widest:
            raise BadLine(
                "ListColumns",
                f"there are {len(cells)} columns, and the list has {self.widest}",
                "write names with blanks in double quotes, or TABs between the columns",
            )
        try:
            prefix = cells[columns.prefix - 1].decode()
            path = cells[columns.path - 1].decode()
        except UnicodeDecodeError:
            raise BadLine(
                "ListEncoding", "the line is not UTF-8", "convert the list (iconv -t UTF-8)"
            ) from None
        size = _size(_cell(cells, columns.size))
        base, path = _join(prefix, path)
        key, tail = read_path(path)
        known = NOTHING if size is None else LISTED
        md5 = _md5(_cell(cells, columns.md5))
        place = Place(known, base, tail, md5)
        return Row(key, size or 0, place)


def find_form(lines: Sequence[bytes], columns: Columns) -> Form:
    """The form in which the most of these lines make sense."""
    forms = [Form(columns, separator) for separator in (b"\t", b",", b" ")]
    best = max(forms, key=lambda form: sum(_sense(form, line) for line in lines))
    if best.separator != b" ":
        return best
    widths = Counter(len(best.cells(line)) for line in lines if _sense(best, line))
    usual = widths.most_common(1)[0][0] if widths else 0
    # A line that is wider has a name with blanks, of which half would be taken for the whole.
    return best._replace(widest=max(usual, *columns) if usual else 0)


@lru_cache(maxsize=4096)  # a list has many more lines than prefixes
def server_of(prefix: bytes) -> str:
    """Which server a URL's beginning names; empty if none."""
    try:
        return str(parse_url(prefix.decode()).endpoint)
    except ValueError:
        return ""


def _sense(form: Form, line: bytes) -> int:
    try:
        form.row(line)
    except BadLine:
        return 0
    prefix = form.prefix(line)
    if any(blank in prefix for blank in _BLANKS) and b'"' + prefix + b'"' not in line:
        return 0
    return 2 if prefix.endswith((b"/", b"=")) else 1


def _quoted_cells(line: bytes, separator: bytes) -> list[bytes]:
    pattern, cells, place = _pattern(separator), [], 0
    while True:
        found = pattern.match(line, place)
        if found is None:
            raise BadLine(
                "ListQuotes",
                "a double quote is not where a column begins or ends",
                "write the whole name in double quotes, and each double quote in it twice",
            )
        if found[1] is not None:
            cells.append(found[1].replace(b'""', b'"'))
        else:
            cells.append(found[2].strip(_BLANKS))
        place = found.end()
        if place >= len(line):
            return cells
        if separator != b" ":
            place += 1


@lru_cache(maxsize=3)
def _pattern(separator: bytes) -> re.Pattern[bytes]:
    """A cell, up to the separator behind it."""
    if separator == b" ":
        blank = rb"[ \t\r\x0b\x0c]"
        text = rb"%b*+(?:%b(?=%b|\Z)|([^\s\"]\S*+))%b*+" % (blank, _QUOTE, blank, blank)
    else:
        own = rb"[^%b]" % separator
        text = rb" *+(?:%b *+|((?!\")%b*+))(?=%b|\Z)" % (_QUOTE, own, separator)
    return re.compile(text)


def _join(prefix: str, path: str) -> tuple[str, str]:
    """The URL's beginning, and the path behind it."""
    try:
        start = parse_prefix(prefix)
    except HasPassword as exc:
        raise BadLine(
            "ListPassword",
            str(exc),
            "let the server allow the workers' addresses, or list URLs that are signed for a time: "
            "the list's entries are kept in files and in Redis, where no password belongs",
        ) from None
    except BadUrl as exc:
        raise BadLine("ListUrl", str(exc), "write it as http://host/path/") from None
    if start.target == "/" and not prefix.endswith("/"):
        path = path.removeprefix("/")  # it is what ends the host
        if not path:
            raise BadLine("ListUrl", "the name is /", "write the object's name")
    return f"{start.endpoint}{start.target}", path


def _cell(cells: Sequence[bytes], number: int) -> bytes:
    return cells[number - 1] if 0 < number <= len(cells) else b""


def _size(cell: bytes) -> int | None:
    if cell in _UNKNOWN:
        return None
    if cell.isdigit() and len(cell) <= 18:
        return int(cell)
    raise BadLine("ListSize", "the size is not a number of bytes", "write digits, or nothing")


def _md5(cell: bytes) -> str:
    if cell in _UNKNOWN:
        return ""
    text = cell.decode("latin-1")
    if _HEX_MD5.fullmatch(text.lower()):
        return text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise BadLine("ListMd5", "the MD5 is none", "write 32 hex digits, or nothing")
    return digest.hex()


def _too_long() -> BadLine:
    return BadLine(
        "ListLineTooLong",
        f"the line has more than {LONGEST} bytes",
        "end every line with LF; no name of an object is so long",
    )
