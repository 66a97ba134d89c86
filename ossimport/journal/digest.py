"""What stays of ended tasks in short: DONE, the slowest objects, the failures by code."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from ossimport.auditlog import FailedGroup, Slow
from ossimport.journal.replay import SLOWEST, StoredTask, Totals
from ossimport.journal.texts import VANISHED, number_of, parse_json
from ossimport.model import ObjectInfo, Outcome, Proof, Upload
from ossimport.naming import display, parse_display


class Summary(NamedTuple):
    """What DONE says of a task that succeeded, so that nobody has to read its log again."""

    objects: int
    bytes: int
    totals: Totals
    uploads: tuple[Upload, ...]


def done_text(stored: StoredTask) -> bytes:
    """One line of JSON; names as `naming.display` shows them."""
    totals = stored.totals
    summary: dict[str, object] = {
        "task": stored.text.task_id,
        "objects": stored.own_objects,
        "bytes": stored.own_bytes,
        "outcomes": {o: [n, totals.bytes[o]] for o, n in totals.objects.items()},
        "proof": totals.proof,
        "unkept": totals.unkept,
    }
    if stored.uploads:
        summary["uploads"] = [
            [display(u.key), u.upload_id, u.part_size, display(u.source.key), *u.source[1:4]]
            for u in stored.uploads
        ]
    return json.dumps(summary).encode() + b"\n"


def parse_done(data: bytes) -> Summary | None:
    """What `done_text` wrote; None for anything else, such as an empty or a torn file."""
    try:
        raw = parse_json(data)
        outcomes = {Outcome(o): tuple(map(number_of, pair)) for o, pair in raw["outcomes"].items()}
        totals = Totals(
            objects={o: number for o, (number, _) in outcomes.items()},
            bytes={o: size for o, (_, size) in outcomes.items()},
            proof={Proof(p): number_of(number) for p, number in raw["proof"].items()},
            unkept=number_of(raw["unkept"]),
            left=number_of(raw["objects"]) - sum(number for number, _ in outcomes.values()),
        )
        uploads = tuple(
            Upload(
                parse_display(key),
                upload_id,
                part_size,
                ObjectInfo(parse_display(source), *version),
                {},
            )
            for key, upload_id, part_size, source, *version in raw.get("uploads", [])
        )
        return Summary(raw["objects"], number_of(raw["bytes"]), totals, uploads)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def merge_slowest(known: Iterable[Slow], new: Iterable[Slow]) -> tuple[Slow, ...]:
    """The slowest of both, slowest first, each object once."""
    by_key: dict[str, Slow] = {}
    for slow in (*known, *new):
        by_key[slow.key] = max(slow, by_key.get(slow.key, slow))
    return tuple(sorted(by_key.values(), reverse=True)[:SLOWEST])


def slowest_text(slowest: Iterable[Slow]) -> bytes:
    """One line per object: seconds, bytes and key, by TABs."""
    return "".join(f"{s.seconds:.3f}\t{s.size}\t{display(s.key)}\n" for s in slowest).encode()


def parse_slowest(data: bytes) -> tuple[Slow, ...]:
    """What `slowest_text` wrote; nothing if it was something else, for it is only a convenience."""
    try:
        rows = [line.split("\t") for line in data.decode().split("\n")[:-1]]
        return tuple(Slow(float(s), int(size), parse_display(key)) for s, size, key in rows)
    except ValueError:
        return ()


class FailureGroups:
    """Failed objects by code; of each code the number, the first names and one message."""

    def __init__(self, names: int) -> None:
        self._names = names
        self.by_code: dict[str, FailedGroup] = {}
        self.objects = 0

    def add_list(self, data: bytes) -> None:
        """Add the failed objects of an error.list."""
        for line in data.decode(errors="replace").split("\n")[:-1]:
            key, code, message, *_ = [*line.split("\t"), "", ""]
            if code != VANISHED:
                self.add(key, code, message)

    def add(self, key: str, code: str, message: str) -> None:
        """Add one object, its parts as an error.list shows them."""
        self.objects += 1
        group = self.by_code.get(code, FailedGroup(0, (), message))
        keys = group.keys if len(group.keys) >= self._names else (*group.keys, key)
        self.by_code[code] = FailedGroup(group.objects + 1, keys, group.message)
