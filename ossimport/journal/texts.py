"""The journal's files as text: what is written, and how it is read back.

Keys, cursors and messages are written as `naming.display` shows them, so that a TAB or a newline
in them ends nothing. `damaged` (see `files.py`) is raised for text that is not ours.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ossimport.errors import ServiceError
from ossimport.journal.files import damaged
from ossimport.ledger.base import USUAL_PRIORITY, Job, ScanFailure
from ossimport.model import CopyResult, JobState, Lane, ObjectInfo, Outcome, Scanned, Tally, Task
from ossimport.naming import display, one_line, parse_display

VANISHED = "Vanished"  # stands in error.list for the code of an object that went away

_HEADER = re.compile(
    r"# job=(?P<job>\S+) task=(?P<task>\S+) seq=(?P<seq>\d{1,30}) objects=(?P<objects>\d{1,30})"
    r" bytes=(?P<bytes>\d{1,30})(?: cut-from=(?P<cut_from>\S+))?(?:\n|$)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the scan stands after step `seq`, and how much of the job's lists belongs to it."""

    seq: int = 0
    lanes: Mapping[int, Lane] = field(default_factory=dict)
    finished: bool = False
    excluded: Tally = field(default_factory=Tally)
    unchanged: Tally = field(default_factory=Tally)
    excluded_end: int = 0  # bytes of excluded.list
    failures_from: int = 0  # bytes of scan_failures.list: what lies before was scanned again
    failures_end: int = 0
    rescanned_after: int = 0  # the last step before failures became lanes the last time


# -- TASK ------------------------------------------------------------------------------------------


class TaskNote(NamedTuple):
    """Where a task comes from."""

    seq: int  # of the step that planned its objects
    cut_from: str = ""  # the task that it was a part of


def task_text(task: Task, note: TaskNote) -> bytes:
    """A header line, then one line per object: size, mtime_ns, CRC64, etag and key, by TABs."""
    lines = [
        f"# job={task.job} task={task.task_id} seq={note.seq} objects={len(task.objects)} "
        f"bytes={task.size}{f' cut-from={note.cut_from}' if note.cut_from else ''}\n"
    ]
    lines += [
        f"{size}\t{mtime_ns}\t{'' if crc64 is None else crc64}\t{display(etag)}\t{display(key)}\n"
        for key, size, mtime_ns, etag, crc64 in task.objects
    ]
    return "".join(lines).encode()


def note_of(path: Path, start: bytes) -> TaskNote:
    """Where a TASK file's task comes from, by its first line."""
    return _match_header(path, start.decode(errors="replace"))[1]


def _match_header(path: Path, text: str) -> tuple["re.Match[str]", TaskNote]:
    match = _HEADER.match(text)
    if match is None:
        raise damaged(path, "its first line names no task")
    return match, TaskNote(int(match["seq"]), match["cut_from"] or "")


class TaskText:
    """What a TASK file says. An object's line is read when the object is asked for.

    `damaged` is raised for a file that is not as it was written, as soon as that is seen.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        header, self.note = _match_header(path, data.decode(errors="replace"))
        self.job, self.task_id = header["job"], header["task"]
        try:
            text = data.decode()
            self._lines = text.split("\n")[1:-1]
            self.sizes = [int(line[: line.index("\t")]) for line in self._lines]
        except ValueError as exc:
            raise self._no_object(exc) from exc
        self._show = parse_display if "\\" in text else str
        found = f"{len(self.sizes)} objects of {sum(self.sizes)} bytes"
        said = f"{header['objects']} objects of {header['bytes']} bytes"
        if found != said:
            raise damaged(path, f"it holds {found}, its first line says {said}")

    def object(self, number: int) -> ObjectInfo:
        """One object, by its number in the task."""
        return next(self._objects(self._lines[number : number + 1]))

    def task(self) -> Task:
        """The task, with all its objects."""
        return Task(self.job, self.task_id, tuple(self._objects(self._lines)))

    def _objects(self, lines: Iterable[str]) -> Iterator[ObjectInfo]:
        show = self._show
        try:
            for line in lines:
                size, mtime_ns, crc64, etag, key = line.split("\t")
                yield ObjectInfo(
                    show(key), int(size), int(mtime_ns), show(etag), int(crc64) if crc64 else None
                )
        except ValueError as exc:
            raise self._no_object(exc) from exc

    def _no_object(self, exc: ValueError) -> ServiceError:
        return damaged(self._path, f"a line is no object ({exc})")


# -- the lists -------------------------------------------------------------------------------------


def excluded_text(entries: Iterable[Scanned]) -> bytes:
    """excluded.list: key, code and message."""
    return "".join(
        f"{display(e.info.key)}\t{display(e.code)}\t{one_line(e.message)}\n" for e in entries
    ).encode()


def failures_text(failures: Iterable[ScanFailure], seq: int) -> bytes:
    """scan_failures.list: key, code, message, step, and the lane to scan again: cursor, until."""
    return "".join(
        "\t".join((display(f.key), display(f.code), one_line(f.message), str(seq)))
        + "".join(f"\t{display(each)}" for each in f.rescan)
        + "\n"
        for f in failures
    ).encode()


def parse_failures(path: Path, data: bytes) -> list[tuple[int, ScanFailure]]:
    """What `failures_text` wrote: the number of the step, and what it could not list."""
    failures = []
    try:
        for line in data.decode().split("\n")[:-1]:
            key, code, message, seq, *rescan = line.split("\t")
            cursor, until = map(parse_display, rescan)
            failure = ScanFailure(
                parse_display(key), parse_display(code), message, Lane(cursor, until)
            )
            failures.append((int(seq), failure))
    except ValueError as exc:
        raise damaged(path, f"a line is no scan failure ({exc})") from exc
    return failures


def errors_text(objects: Iterable[tuple[ObjectInfo, CopyResult]]) -> bytes:
    """error.list: key, code, message and request id of what failed or vanished."""
    lines = []
    for info, result in objects:
        code = VANISHED if result.outcome is Outcome.VANISHED else result.code
        lines.append(
            f"{display(info.key)}\t{display(code)}\t{one_line(result.message)}"
            f"\t{display(result.request_id)}\n"
        )
    return "".join(lines).encode()


# -- checkpoint and job ----------------------------------------------------------------------------


def checkpoint_text(point: Checkpoint) -> bytes:
    """One JSON object; cursors with lone surrogates come out as JSON escapes."""
    return _json(
        {
            "seq": point.seq,
            "finished": point.finished,
            "lanes": {str(number): list(lane) for number, lane in point.lanes.items()},
            "excluded": [point.excluded.objects, point.excluded.bytes],
            "unchanged": [point.unchanged.objects, point.unchanged.bytes],
            "excludedListBytes": point.excluded_end,
            "scanFailuresListBytes": [point.failures_from, point.failures_end],
            "rescannedAfterStep": point.rescanned_after,
        }
    )


def parse_checkpoint(path: Path, data: bytes) -> Checkpoint:
    """What `checkpoint_text` wrote."""
    try:
        raw = parse_json(data)
        failures_from, failures_end = map(number_of, raw["scanFailuresListBytes"])
        return Checkpoint(
            seq=number_of(raw["seq"]),
            lanes={
                int(number): Lane(text_of(cursor), text_of(until))
                for number, (cursor, until) in raw["lanes"].items()
            },
            finished=raw["finished"] is True,
            excluded=Tally(*map(number_of, raw["excluded"])),
            unchanged=Tally(*map(number_of, raw["unchanged"])),
            excluded_end=number_of(raw["excludedListBytes"]),
            failures_from=failures_from,
            failures_end=failures_end,
            rescanned_after=number_of(raw["rescannedAfterStep"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise damaged(path, f"it is no checkpoint ({exc!r})") from exc


def job_text(job: Job) -> bytes:
    """The job with what the operator decides: its sealed settings, its priority, a pause."""
    return _json(
        {
            "name": job.name,
            "createdMs": job.created_ms,
            "fingerprint": job.fingerprint,
            "settings": base64.b64encode(job.settings).decode(),
            "type": job.job_type,
            "priority": job.priority,
            "paused": job.state is JobState.PAUSED,
            "incremental": job.incremental,
            "round": job.round,
            "nextRoundMs": job.next_round_ms,
        }
    )


def parse_job(path: Path, data: bytes) -> Job:
    """What `job_text` wrote."""
    try:
        raw = parse_json(data)
        return Job(
            name=text_of(raw["name"]),
            created_ms=number_of(raw["createdMs"]),
            fingerprint=text_of(raw["fingerprint"]),
            settings=base64.b64decode(raw["settings"], validate=True),
            job_type=text_of(raw.get("type", "import")),  # earlier versions had no other
            state=JobState.PAUSED if raw.get("paused") else JobState.RUNNING,
            priority=number_of(raw.get("priority", USUAL_PRIORITY)),
            incremental=raw["incremental"] is True,
            round=number_of(raw["round"]),
            next_round_ms=number_of(raw["nextRoundMs"]),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise damaged(path, f"it describes no job ({exc!r})") from exc


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def parse_json(data: bytes) -> Any:
    """The value of a JSON text; ValueError for anything else, also for a pit of brackets."""
    try:
        return json.loads(data)
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc


def number_of(value: object) -> int:
    """`value` if it is a count; ValueError for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number")
    return value


def text_of(value: object) -> str:
    """`value` if it is a text; ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value
