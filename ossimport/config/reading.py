"""A file and a table of keys become values; what is wrong becomes findings."""

import difflib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ossimport.config.keys import EVERY_SOURCE, Key
from ossimport.config.kinds import Mistake, Mistakes
from ossimport.config.properties import Entry, Findings, read_entries

_REFERENCE = re.compile(r"\$\{([^{}]*)(\}?)")
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_COMMENT_BEHIND = re.compile(r"\s#")
_MAX_FILE_VALUE = 1 << 16
_CLOSE_ENOUGH = 0.72  # of difflib's ratio: two wrong letters in seven


class Reading:
    """The values of one file, by key. A value's mistakes are found when it is first asked for.

    `variables` holds what `${name}` stands for in values, besides `${env:..}` and `${file:..}`.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        keys: Sequence[Key],
        slips: Mapping[str, str],
        other_file: tuple[str, Iterable[str]],
    ) -> None:
        shown = frozenset(key.name for key in keys) - {key.name for key in keys if key.secret}
        shown |= {slip for slip, name in slips.items() if name in shown}
        self.findings = Findings(str(path), shown)
        self.variables: dict[str, str] = {}
        self._directory = path.parent
        self._rows: dict[str, list[Key]] = defaultdict(list)
        for key in keys:
            self._rows[key.name].append(key)
        self._slips = slips
        self._other_file = other_file
        self._entries: dict[str, Entry] = {}
        self._bad: set[str] = set()
        self._settle(read_entries(path, what, frozenset(self._rows), self.findings))

    def get(self, name: str, source: str = "local") -> Any:
        """The value of a key for a source type; its default when it is missing, empty or wrong."""
        rows = self._rows[name]
        # Without a valid source type, the keys that all of them have are still looked at.
        row = next(
            (row for row in rows if source in row.sources or row.sources == EVERY_SOURCE), None
        )
        if row is None:
            return rows[0].default
        if name in self._bad:
            return row.default
        text = self._expanded(name)
        if text and row.lowered and text == row.lowered[0]:
            self.warn(name, f"{text} is out of range, {row.lowered[1]} is used")
            return row.lowered[1]
        if text:
            return self._parsed(row, text)
        if row.required and name not in self._bad and not self._stands_in(row.unless, source):
            self._require(row)
        return row.default

    def _stands_in(self, name: str, source: str) -> bool:
        """Whether this key is set, and looked at for the source type."""
        rows = self._rows[name] if name else []
        return bool(self.text(name)) and any(source in row.sources for row in rows)

    def good(self, *names: str) -> bool:
        """Whether nothing is wrong with these keys, so that they can be compared."""
        return self._bad.isdisjoint(names)

    def text(self, name: str) -> str:
        """The value as it is written; empty when it is missing."""
        entry = self._entries.get(name)
        return (entry and entry.value) or ""

    def problem(self, name: str, message: str, cure: str) -> None:
        """Report a key whose value does not go with the others."""
        self._wrong(name, self.text(name), message, cure)

    def warn(self, name: str, text: str) -> None:
        """Warn about a key."""
        self.findings.warn(self._line(name), name, text)

    def _line(self, name: str) -> int:
        return self._entries[name].line if name in self._entries else 0

    def _settle(self, entries: Iterable[Entry]) -> None:
        """Keep one entry for each known key, and report the others."""
        same: dict[str, list[Entry]] = defaultdict(list)
        meant: set[str] = set()
        for entry in entries:
            if entry.key in self._rows:
                same[entry.key].append(entry)
            else:
                meant |= self._report_unknown(entry)
        for name, found in same.items():
            self._entries[name] = self._one(name, found)
        self._bad |= meant - self._entries.keys()  # misspelt is not missing

    def _one(self, name: str, found: list[Entry]) -> Entry:
        if any(entry.value is None for entry in found):
            self._bad.add(name)
            return found[0]
        different = {entry.value: entry for entry in reversed(found) if entry.value}
        chosen = min(different.values(), default=found[0])  # by line
        lines = " and ".join(str(entry.line) for entry in found)
        if len(different) > 1:
            self._bad.add(name)
            last = max(different.values())
            message = f"the key has different values on lines {lines}"
            self.findings.problem(
                last.line, name, last.value or "", message, "keep the line that is right"
            )
        elif len(found) > 1:
            text = f"the key is on lines {lines}; the value of line {chosen.line} is used"
            self.findings.warn(chosen.line, name, text)
        return chosen

    def _report_unknown(self, entry: Entry) -> set[str]:
        """Report a key that is not in the table; return the one that seems to be meant."""
        file, names = self._other_file
        meant = self._meant(entry.key)
        if entry.key in names:
            message, cure = f"this key belongs in {file}", f"move the line to {file}"
        elif meant:
            doc = self._rows[meant][0].doc
            message = f"there is no such key; did you mean {meant} ({doc})?"
            cure = f"write {meant}, or remove the line"
        else:
            message, cure = "there is no such key", "remove the line"
        self.findings.problem(entry.line, entry.key, entry.value or "", message, cure)
        return {meant} if meant else set()

    def _meant(self, key: str) -> str:
        names = {name.lower(): name for name in (*self._slips, *self._rows)}
        folded = unicodedata.normalize("NFKC", key).lower().replace(" ", "")
        near = difflib.get_close_matches(folded, names, n=1, cutoff=_CLOSE_ENOUGH)
        if not near:
            return ""
        name = names[near[0]]
        return self._slips.get(name, name)

    def _require(self, row: Key) -> None:
        if row.name in self._entries:
            message, cure = f"the value is empty; it is {row.doc}", "write it behind the ="
        else:
            message, cure = f"the key is missing; it is {row.doc}", f"add a line {row.name}=..."
        self.problem(row.name, message, cure)

    def _parsed(self, row: Key, text: str) -> Any:
        try:
            return row.kind(text)
        except Mistake as mistake:
            found = [mistake]
        except Mistakes as mistakes:
            found = mistakes.each
        comment = _COMMENT_BEHIND.search(text)
        for each in found:
            cure = "put the comment on a line of its own" if comment else each.cure
            self._wrong(row.name, text, each.message, cure)
        return row.default

    def _wrong(self, name: str, text: str, message: str, cure: str) -> None:
        self._bad.add(name)
        self.findings.problem(self._line(name), name, text, message, cure)

    def _expanded(self, name: str) -> str:
        """The value with its `${...}` replaced, once: what replaces them is taken literally."""
        try:
            return _REFERENCE.sub(self._replacement, self.text(name))
        except Mistake as mistake:
            self._wrong(name, self.text(name), mistake.message, mistake.cure)
            return ""

    def _replacement(self, found: re.Match[str]) -> str:
        name = found[1]
        if found[2] and name in self.variables:
            return self.variables[name]
        if found[2] and _VARIABLE.fullmatch(name):
            return _environment(name.removeprefix("env:"))
        if found[2] and name.startswith("file:"):
            return _content(self._directory / name.removeprefix("file:"))
        known = ", ".join(f"${{{name}}}" for name in ("env:NAME", "file:PATH", *self.variables))
        raise Mistake(f"{found[0]} is not a reference", f"write one of {known}")


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        cure = f"set {name} where you run this, or write the value here"
        raise Mistake(f"the environment variable {name} is not set", cure)
    if not _is_text(value):
        raise Mistake(f"the environment variable {name} is not UTF-8 text", "set it again")
    return value


def _content(path: Path) -> str:
    cure = "give a small text file that the user of ossimport may read"
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_VALUE + 1)
        text = data.decode("utf-8")
    except FileNotFoundError:
        raise Mistake(f"there is no file {path}", "create it, or mend the path") from None
    except OSError as exc:
        raise Mistake(f"the file {path} cannot be read: {exc.strerror}", cure) from None
    except ValueError:  # not UTF-8, or a path with a NUL in it
        raise Mistake(f"the file {path} is not UTF-8 text", cure) from None
    if len(data) > _MAX_FILE_VALUE:
        raise Mistake(f"the file {path} is too large for a value", cure)
    return text.removesuffix("\n").removesuffix("\r")


def _is_text(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)
