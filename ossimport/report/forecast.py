"""What a job would do, counted from what its scan finds. Pure, in memory that does not grow."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from ossimport.errors import Permanent
from ossimport.model import ObjectInfo, Tally
from ossimport.naming import dest_key, display, one_line
from ossimport.planner import Batch
from ossimport.report.cures import told
from ossimport.report.numbers import human_bytes
from ossimport.wording import plural

_EXAMPLES = 3
_BOUNDS = tuple(10**power for power in range(3, 12))  # of the histogram, in bytes: 1 kB to 100 GB


class _Group:
    """Objects of one kind."""

    def __init__(self) -> None:
        self.objects = 0
        self.bytes = 0
        self.examples: list[str] = []

    def add(self, info: ObjectInfo) -> None:
        self.objects += 1
        self.bytes += info.size
        if len(self.examples) < _EXAMPLES:
            self.examples.append(display(info.key))

    @property
    def as_json(self) -> dict[str, Any]:
        return {"objects": self.objects, "bytes": self.bytes, "examples": self.examples}


class _Groups(dict[str, _Group]):
    """By code."""

    def __missing__(self, code: str) -> _Group:
        self[code] = group = _Group()
        return group

    @property
    def tally(self) -> Tally:
        return Tally(sum(g.objects for g in self.values()), sum(g.bytes for g in self.values()))

    @property
    def as_json(self) -> dict[str, Any]:
        return {code: group.as_json for code, group in sorted(self.items())}


class Forecast:
    """The sum of batches: listed = to copy + excluded + failing, always."""

    def __init__(self, name: str, dest_prefix: str, *, parts_above: int, largest: int) -> None:
        """Objects larger than `parts_above` go in parts; those above `largest` OSS cannot hold."""
        self.name = name
        self._dest_prefix = dest_prefix
        self._parts_above = parts_above
        self._largest = largest
        self._copied = _Group()
        self._in_parts = _Group()
        self._excluded = _Groups()
        self._failing = _Groups()
        self._archived = _Groups()
        self._sizes = [Tally()] * (len(_BOUNDS) + 1)
        self._messages: dict[str, str] = {}  # by code of what fails: the first
        self.tasks = 0

    @property
    def listed(self) -> Tally:
        """Everything that was found."""
        parts = [
            Tally(self._copied.objects, self._copied.bytes),
            self._excluded.tally,
            self._failing.tally,
        ]
        return Tally(sum(t.objects for t in parts), sum(t.bytes for t in parts))

    @property
    def failing(self) -> int:
        """Objects that would fail."""
        return self._failing.tally.objects

    def add(self, batch: Batch) -> None:
        """Count what would become of a batch."""
        self.tasks += bool(batch.objects)
        for info in batch.objects:
            self._add(info)
        for entry in batch.excluded:
            self._excluded[entry.code].add(entry.info)
        for entry in batch.failed:
            self._fail(entry.code, entry.info, entry.message)
        for entry in batch.archived:
            self._archived[entry.archived].add(entry.info)

    def _add(self, info: ObjectInfo) -> None:
        try:
            dest_key(self._dest_prefix, info.key)
        except Permanent as exc:
            self._fail(exc.code, info, str(exc))
            return
        if info.size > self._largest:
            self._fail("EntityTooLarge", info, f"{display(info.key)} has {info.size} bytes")
            return
        self._copied.add(info)
        if info.size > self._parts_above:
            self._in_parts.add(info)
        at = bisect_right(_BOUNDS, info.size)
        self._sizes[at] = Tally(self._sizes[at].objects + 1, self._sizes[at].bytes + info.size)

    def _fail(self, code: str, info: ObjectInfo, message: str) -> None:
        self._failing[code].add(info)
        self._messages.setdefault(code, message)

    def as_json(self, *, complete: bool) -> dict[str, Any]:
        """For programs; `complete` says that the scan came to its end."""
        listed = self.listed
        return {
            "dryRun": True,
            "jobName": self.name,
            "complete": complete,
            "listed": {"objects": listed.objects, "bytes": listed.bytes},
            "copy": self._copied.as_json | {"tasks": self.tasks},
            "inParts": self._in_parts.as_json,
            "excluded": self._excluded.as_json,
            "failing": self._failing.as_json,
            "toRestore": self._archived.as_json,
            "sizes": [
                {"below": below, "objects": tally.objects, "bytes": tally.bytes}
                for below, tally in zip((*_BOUNDS, None), self._sizes, strict=True)
            ],
        }

    def text(self, *, complete: bool) -> str:
        """For a person."""
        listed, copied = self.listed, self._copied
        lines = [
            f"Job {self.name} would, if it were submitted now"
            + ("" if complete else " (only a part was listed)")
            + ":",
            f"  list  {_amount(listed)}",
            f"  copy  {_amount(copied)} in about {self.tasks:,} {plural(self.tasks, 'task')}",
        ]
        if self._in_parts.objects:
            lines.append(f"        of these {_amount(self._in_parts)} in parts")
        lines += _grouped("  leave out", self._excluded, {})
        lines += _grouped("  fail at", self._failing, self._messages)
        if self._archived:
            lines += _grouped("  find archived", self._archived, {})
            lines.append("    restore them first, or they fail")
        return "\n".join([*lines, *self._histogram()])

    def _histogram(self) -> list[str]:
        if not self._copied.objects:
            return []
        lines = ["  sizes of what is copied:"]
        most = max(tally.objects for tally in self._sizes)
        for below, tally in zip((*_BOUNDS, None), self._sizes, strict=True):
            if tally.objects:
                words = f"below {human_bytes(below)}" if below else f"{human_bytes(_BOUNDS[-1])}+"
                bar = "#" * max(1, tally.objects * 30 // most)
                size = human_bytes(tally.bytes)
                lines.append(f"    {words:<16}{tally.objects:>15,}  {size:>9}  {bar}")
        return lines


def _amount(of: Tally | _Group) -> str:
    return f"{of.objects:,} {plural(of.objects, 'object')}, {human_bytes(of.bytes)}"


def _grouped(verb: str, groups: _Groups, messages: Mapping[str, str]) -> list[str]:
    if not groups:
        return []
    lines = [f"{verb} {_amount(groups.tally)}"]
    for code, group in sorted(groups.items(), key=lambda item: -item[1].objects):
        lines.append(f"    {code}: {_amount(group)}, such as {', '.join(group.examples)}")
        if code in messages:
            what, cure = told(code, messages[code])
            lines.append(f"      {one_line(what)}")
            lines.append(f"      cure: {cure}")
    return lines
