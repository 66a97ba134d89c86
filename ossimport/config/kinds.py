"""What the text of a value may be, and what it becomes.

A *kind* is a function from the text to the value. It raises Mistake, or a group of them, whose
words name the rule and the cure; who calls it adds file, line and key. An empty text never gets
here: it means the default.
"""

import os
import re
import shlex
import unicodedata
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ossimport import globs
from ossimport.config.secret import Secret

Kind = Callable[[str], Any]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

_SIZE_UNITS = {"": 1, "k": KIB, "m": MIB, "g": GIB}
_SIZE = re.compile(r"([0-9]{1,15})([kmg]?)", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_MAX_DIGITS = 18
_MILLISECONDS = 10**11  # as seconds it would be the year 5138
SHORTEST_INTERVAL_VARIABLE = "OSSIMPORT_SHORTEST_INTERVAL"
_JOB_NAME = re.compile(r"[a-zA-Z0-9_-]{4,128}")


class Mistake(Exception):
    """One thing that is wrong with a value."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message, cure)
        self.message = message
        self.cure = cure


class Mistakes(Exception):
    """Several things that are wrong with one value."""

    def __init__(self, each: list[Mistake]) -> None:
        super().__init__(each)
        self.each = each


def plain(text: str) -> str:
    """Visible ASCII without blanks: keys, names, tokens."""
    _refuse_non_ascii(text)
    if any(c.isspace() for c in text):
        raise Mistake("the value has a blank in it", "remove the blank; comments need own lines")
    return text


def secret(text: str) -> Secret:
    """A secret of the cloud's making: visible ASCII. The text is never quoted in a message."""
    if not all("!" <= c <= "~" for c in text):
        message = "the value has a blank, a full-width or another character no key contains"
        raise Mistake(message, "copy the key again, without blanks and quotes")
    return Secret(text)


def password(text: str) -> Secret:
    """A secret that a person made up: any printable text."""
    if not text.isprintable():
        raise Mistake("the value has an invisible character in it", "type the password again")
    return Secret(text)


def free(text: str) -> str:
    """Any printable text, Chinese included: names and paths on other machines."""
    refuse_control(text)
    return text


def boolean(text: str) -> bool:
    """`true` or `false`, in any case."""
    value = {"true": True, "false": False}.get(text.lower())
    if value is None:
        _refuse_non_ascii(text)
        raise Mistake("the value is neither true nor false", "write true or false")
    return value


def choice(*names: str, other: dict[str, str] | None = None) -> Kind:
    """One of `names`, exactly; `other` maps words that people use to the right ones."""
    synonyms = other or {}

    def kind(text: str) -> str:
        if text in names:
            return text
        _refuse_non_ascii(text)
        word = text.lower()
        right = synonyms.get(word, word)
        cure = f"write {right}" if right in names else f"write one of: {', '.join(names)}"
        raise Mistake(f"the value must be one of: {', '.join(names)}", cure)

    return kind


def some_of(*names: str) -> Kind:
    """Some of `names` with commas between them, or `none`; the value has them in this order."""

    def kind(text: str) -> str:
        _refuse_non_ascii(text)
        words = {word.strip().lower() for word in text.split(",")} - {""}
        cure = f"write some of {', '.join(names)} with commas between them, or none"
        if unknown := sorted(words - {*names, "none"}):
            raise Mistake(f"there is no {', '.join(unknown)}", cure)
        if not words or ("none" in words and len(words) > 1):
            raise Mistake("none is a word of its own, and some word must be there", cure)
        return ",".join(name for name in names if name in words)

    return kind


def whole(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""

    def kind(text: str) -> int:
        _refuse_non_ascii(text)
        cure = f"write a number from {low} to {high}"
        if not _WHOLE.fullmatch(text):
            raise Mistake("the value is not a whole number", cure)
        if len(text) > _MAX_DIGITS or not low <= int(text) <= high:
            raise Mistake(f"the number is out of range: {low} to {high}", cure)
        return int(text)

    return kind


def interval(text: str) -> int:
    """Seconds between two rounds. An environment variable allows less, for tests."""
    seconds: int = whole(int(os.environ.get(SHORTEST_INTERVAL_VARIABLE, "900")), 10**8)(text)
    return seconds


def unix_time(text: str) -> int:
    """Seconds since 1970-01-01 UTC; 0 = off."""
    _refuse_non_ascii(text)
    cure = "write seconds, as `date +%s` prints them, or 0 for no limit"
    if not _WHOLE.fullmatch(text):
        raise Mistake("the value is not a unix time in seconds", cure)
    if len(text) > _MAX_DIGITS or int(text) >= _MILLISECONDS:
        raise Mistake("the time looks like milliseconds; it must be in seconds", cure)
    if int(text) < 0:
        raise Mistake("the time is negative", cure)
    return int(text)


def credentials(text: str) -> str:
    """Where credentials come from: `file:PATH`, `process:COMMAND` or `ecs:ROLE`."""
    refuse_control(text)
    kind, _, what = text.partition(":")
    wrong = ""
    if kind not in {"file", "process", "ecs"} or ":" not in text:
        wrong = "the value is not file:PATH, process:COMMAND or ecs:ROLE"
    elif kind == "file" and not Path(what).is_absolute():
        wrong = "the path of the file is not absolute"
    elif kind == "process":
        try:
            command = shlex.split(what)
        except ValueError as exc:
            wrong = f"the command cannot be read: {exc}"
        else:
            if not command or not Path(command[0]).is_absolute():
                wrong = "the path of the command is not absolute"
    if wrong:
        cure = "write file:/path, process:/path/of/a/command -x, or ecs: with a role's name behind"
        raise Mistake(wrong, cure)
    return text


def moment(text: str) -> int:
    """A time as `unix_time`, or a date with or without the time of day; UTC if it has no zone."""
    if _WHOLE.fullmatch(text):
        return unix_time(text)
    _refuse_non_ascii(text)
    try:
        time = datetime.fromisoformat(text)
        seconds = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        cure = "write 2026-01-31, 2026-01-31T08:00:00Z, or seconds since 1970"
        raise Mistake("the value is neither a date nor a unix time in seconds", cure) from None
    return unix_time(str(seconds))


def glob_list(text: str) -> str:
    """Patterns of names, see `globs`."""
    refuse_control(text)
    wrong = []
    try:
        patterns = globs.split(text)
    except globs.BadGlob as exc:
        raise Mistake(str(exc), exc.cure) from None
    for pattern in patterns:
        try:
            globs.expression(pattern)
        except globs.BadGlob as exc:
            wrong.append(Mistake(f"in the pattern {pattern}: {exc}", exc.cure))
    if wrong:
        raise Mistakes(wrong)
    return text


def regex(text: str) -> str:
    """A regular expression of Python's."""
    refuse_control(text)
    try:
        with warnings.catch_warnings():  # that [[ may mean something else in a later Python
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as exc:
        cure = "see https://docs.python.org/3/library/re.html#regular-expression-syntax"
        raise Mistake(f"the value is no regular expression: {exc}", cure) from None
    return text


def column_names(text: str) -> str:
    """Names that stand apart by commas; Key is among them, and none is there twice."""
    names = [name.strip().lower() for name in plain(text.replace(", ", ",")).split(",")]
    if "key" not in names:
        message = "there is no column Key"
        raise Mistake(message, "name all columns, such as Bucket,Key,Size,LastModifiedDate,ETag")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise Mistake(f"the column {twice} is there twice", "name each column once")
    return text


def size(low: str, high: str) -> Kind:
    """A size in bytes, or with the unit k, m or g, from `low` to `high`."""
    least, most = _bytes(low), _bytes(high)

    def kind(text: str) -> int:
        _refuse_non_ascii(text)
        cure = f"write a size from {low} to {high}: a whole number with k, m or g, such as 150m"
        if not _SIZE.fullmatch(text):
            raise Mistake("the value is not a size: a whole number and k, m, g or nothing", cure)
        if not least <= _bytes(text) <= most:
            read = f"{_bytes(text)} bytes" if text.isdigit() else text
            raise Mistake(f"the size {read} is out of range: {low} to {high}", cure)
        return _bytes(text)

    return kind


def job_name(text: str) -> str:
    """The name of a job: also a directory's name and part of Redis keys."""
    if not _JOB_NAME.fullmatch(text):
        message = "a job name is 4 to 128 letters, digits, - and _"
        raise Mistake(message, "write a name such as local_test")
    return text


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    assert found is not None, text  # noqa: S101  # callers have matched it
    return int(found[1]) * _SIZE_UNITS[found[2].lower()]


def _refuse_non_ascii(text: str) -> None:
    odd = next((c for c in text if not " " <= c <= "~"), None)
    if odd is not None:
        name = unicodedata.name(odd, "a control character").lower()
        message = f"the value has U+{ord(odd):04X} in it ({name}), which looks right but is not"
        raise Mistake(message, "type it again with the keyboard set to English")


def refuse_control(text: str) -> None:
    """Raise Mistake for characters that would end a line or cannot be shown."""
    odd = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
    if odd is not None:
        raise Mistake(f"the value has the control character U+{ord(odd):04X} in it", "remove it")
