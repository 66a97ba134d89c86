"""A `key=value` file as lines and entries, with the mistakes that the text alone shows.

Blank lines and lines that begin with `#` or `!` are comments and may hold any bytes (GBK comments
are common). Lines end with LF, CRLF or CR; a UTF-8 BOM is dropped; blanks around keys and values
do not count.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ossimport.config.secret import REDACTED
from ossimport.errors import ConfigError, Problem

MAX_FILE_BYTES = 1 << 20  # a configuration has 5 kB; more is a wrong file given by mistake
MAX_SHOWN_CHARACTERS = 200

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "＂": "＂", "＇": "＇", "`": "`"}
_FULL_WIDTH_EQUALS = "＝"
_WORD = re.compile(r"[A-Za-z][A-Za-z()/]*")


class Entry(NamedTuple):
    """One `key=value` line. `value` is None when the line has a mistake already reported."""

    line: int
    key: str
    value: str | None


class Findings:
    """The mistakes and warnings of one file while it is read.

    Values are shown only for the keys in `shown`: the text behind a misspelt key may be a secret.
    """

    def __init__(self, file: str, shown: frozenset[str]) -> None:
        self.file = file
        self._shown = shown
        self._problems: list[Problem] = []
        self._warnings: list[str] = []

    def problem(self, line: int, key: str, value: str, message: str, cure: str) -> None:
        """Add a mistake."""
        shown = self._show(key, value)
        self._problems.append(Problem(self.file, line, printable(key), shown, message, cure))

    def warn(self, line: int, key: str, text: str) -> None:
        """Add a warning."""
        where = f"{self.file}:{line}" if line else self.file
        self._warnings.append(f"{where}: {key}: {text}")

    def close(self) -> tuple[str, ...]:
        """Return the warnings. Raises ConfigError with every mistake, in the order of the lines."""
        if self._problems:
            raise ConfigError(sorted(self._problems, key=lambda p: (p.line == 0, p.line)))
        return tuple(self._warnings)

    def _show(self, key: str, value: str) -> str:
        if not value:
            return ""
        user, at, _ = value.partition("@")
        if key not in self._shown or (at and ":" in user):  # user:password@host
            return REDACTED
        return printable(value)


def printable(text: str) -> str:
    """`text` in a form that is safe on a terminal, cut when it is long."""
    short = text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)


def read_lines(path: Path, what: str) -> list[tuple[int, bytes]]:
    """The lines of a file, numbered from 1 and stripped, without blank ones and comments.

    `what` is the file's name in messages ("system configuration"). Raises ConfigError when the
    file is missing, unreadable, too large, or UTF-16.
    """
    data = _read(path, what).removeprefix(codecs.BOM_UTF8)
    lines = ((number, line.strip()) for number, line in enumerate(data.splitlines(), start=1))
    return [(number, line) for number, line in lines if line and line[:1] not in b"#!"]


def read_entries(
    path: Path, what: str, known: frozenset[str], findings: Findings
) -> Iterator[Entry]:
    """The entries of a file in order; lines that name no key are only reported."""
    for number, line in read_lines(path, what):
        entry = _entry(number, line, known, findings)
        if entry is not None:
            yield entry


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        message = f"Error: ossimport {what}:{path} not found."
        raise _unusable(path, message, "give the path of an existing file") from None
    except OSError as exc:
        message = f"Error: ossimport {what}:{path} cannot be read: {exc.strerror}."
        raise _unusable(path, message, "give a file that this user may read") from None
    if len(data) > MAX_FILE_BYTES:
        message = f"Error: ossimport {what}:{path} is larger than {MAX_FILE_BYTES} bytes."
        raise _unusable(path, message, "give a configuration file of key=value lines")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        message = f"Error: ossimport {what}:{path} is UTF-16 text."
        raise _unusable(path, message, "save the file as UTF-8")
    return data


def _unusable(path: Path, message: str, cure: str) -> ConfigError:
    return ConfigError([Problem(str(path), 0, "", "", message, cure)])


def _entry(number: int, line: bytes, known: frozenset[str], findings: Findings) -> Entry | None:
    text = line.decode("utf-8", errors="replace")
    key, separator, value = _split(text)
    if not key:
        return _entry_without_key(number, text, known, findings)
    mistake = _mistake(line, separator, value)
    if mistake is not None:
        findings.problem(number, key, value, *mistake)
        return Entry(number, key, None)
    return Entry(number, key, value)


def _split(text: str) -> tuple[str, str, str]:
    at = min((i for i in (text.find("="), text.find(_FULL_WIDTH_EQUALS)) if i >= 0), default=-1)
    if at < 0:
        return "", "", ""
    return text[:at].strip(), text[at], text[at + 1 :].strip()


def _entry_without_key(
    number: int, text: str, known: frozenset[str], findings: Findings
) -> Entry | None:
    word = _WORD.match(text)
    if word is None or word[0] not in known:  # any other text may be half a secret: not shown
        cure = "write key=value, or begin the line with # to make it a comment"
        findings.problem(number, "?", text, "the line is not key=value", cure)
        return None
    findings.problem(number, word[0], text, "the line has no =", "write key=value")
    return Entry(number, word[0], None)


def _mistake(line: bytes, separator: str, value: str) -> tuple[str, str] | None:
    if separator == _FULL_WIDTH_EQUALS:
        return "＝ is a full-width character, not =", "type = with the keyboard set to English"
    if not _is_utf8(line):
        return "the value is not UTF-8 text", "save the file as UTF-8"
    if value[:1] in ("=", _FULL_WIDTH_EQUALS):
        return "there are two equals signs", "write one = between key and value"
    if len(value) > 1 and _QUOTES.get(value[0]) == value[-1]:
        return "the value stands in quotes, which would be taken as part of it", "remove the quotes"
    return None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
