"""How the ledger's values look as Redis fields, and back. Pure functions.

Text is UTF-8 in which lone surrogates are allowed ("surrogatepass"), because a file name that is
not UTF-8 travels as lone surrogates (see `model.py`). Lanes and uploads are msgpack.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgpack

from ossimport.ledger.base import Event, Job, RunningTask, Snapshot
from ossimport.model import (
    Counts,
    JobState,
    Lane,
    ObjectInfo,
    Outcome,
    Part,
    Proof,
    Tally,
    TaskState,
    Upload,
)

Fields = Mapping[str, bytes]


def to_bytes(value: str | int | float | bytes) -> bytes:
    """A value as Redis takes it."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def to_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def to_fields(flat: Sequence[bytes]) -> dict[str, bytes]:
    """The flat reply of HGETALL or XRANGE as a mapping."""
    return {to_text(flat[at]): flat[at + 1] for at in range(0, len(flat), 2)}


def pack_lane(lane: Lane | None) -> bytes:
    """A lane; empty for None."""
    return b"" if lane is None else _pack([lane.cursor, lane.until])


def unpack_lane(packed: bytes) -> Lane:
    return Lane(*_unpack(packed))


def pack_upload(upload: Upload | None) -> bytes:
    """An upload; empty for None."""
    return b"" if upload is None else _pack(upload)


def unpack_upload(packed: bytes) -> Upload:
    key, upload_id, part_size, source, parts = _unpack(packed)
    return Upload(
        key,
        upload_id,
        part_size,
        ObjectInfo(*source),
        {number: (etag, crc64) for number, (etag, crc64) in parts.items()},
    )


def pack_part(number: int, part: Part) -> bytes:
    """A part that a borrower has made."""
    return _pack([number, *part])


def unpack_parts(packed: Sequence[bytes]) -> dict[int, Part]:
    """Such parts, by their numbers."""
    return {number: (etag, crc64) for number, etag, crc64 in map(_unpack, packed)}


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


def _unpack(packed: bytes) -> list[Any]:
    value: list[Any] = msgpack.unpackb(packed, unicode_errors="surrogatepass", strict_map_key=False)
    return value


def job_fields(job: Job) -> list[str | int | bytes]:
    """The fields of a new job's hash besides `created`, flat."""
    return [
        *("fingerprint", job.fingerprint),
        *("settings", job.settings),
        *("type", job.job_type),
        *("state", job.state),
        *("reason", job.reason),
        *("scan", int(job.scan_finished)),
        *("retries", job.retries),
        *("retries_done", job.retries_done),
        *("priority", job.priority),
        *("incremental", int(job.incremental)),
        *("round", job.round),
        *("next_round", job.next_round_ms),
    ]


def job_from(name: str, fields: Fields) -> Job:
    return Job(
        name=name,
        created_ms=_number(fields, "created"),
        fingerprint=to_text(fields["fingerprint"]),
        settings=fields["settings"],
        job_type=to_text(fields.get("type", b"import")),  # earlier versions had no other
        state=JobState(to_text(fields["state"])),
        reason=to_text(fields["reason"]),
        scan_finished=fields["scan"] == b"1",
        retries=_number(fields, "retries"),
        retries_done=_number(fields, "retries_done"),
        priority=_number(fields, "priority"),
        incremental=_number(fields, "incremental") == 1,
        round=_number(fields, "round") or 1,
        next_round_ms=_number(fields, "next_round"),
    )


def tally_fields(
    objects: Mapping[Outcome, int],
    bytes_: Mapping[Outcome, int],
    proof: Mapping[Proof, int],
    unkept: int,
) -> list[str | int]:
    """What to add to the counters of a job: pairs of field and delta, flat."""
    pairs: list[tuple[str, int]] = [
        *objects.items(),
        *((f"{outcome}_bytes", count) for outcome, count in bytes_.items()),
        *((f"proof{level}", count) for level, count in proof.items()),
        ("unkept", unkept),
    ]
    return [item for pair in pairs if pair[1] for item in pair]


def counts_from(fields: Fields) -> Counts:
    def tally(kind: str) -> Tally:
        return Tally(_number(fields, kind), _number(fields, f"{kind}_bytes"))

    return Counts(listed=tally("listed"), **{outcome: tally(outcome) for outcome in Outcome})


def event_from(event_id: bytes, flat: Sequence[bytes]) -> Event:
    fields = to_fields(flat)
    state = fields.get("state")
    return Event(
        id=to_text(event_id),
        kind=to_text(fields["kind"]),
        task_id=to_text(fields["task"]),
        worker=to_text(fields.get("worker", b"")),
        offset=_number(fields, "offset"),
        log=fields.get("log", b""),
        state=None if state is None else TaskState(to_text(state)),
        part=to_text(fields.get("part", b"")),
        manifest=fields.get("manifest", b""),
    )


def running_from(row: Sequence[bytes | int | None]) -> RunningTask:
    """One of the rows that `running_rows` in prelude.lua describes."""
    task_id, expired, worker, *numbers = row
    fence, objects, bytes_, marked, marked_bytes, moving, offered, helpers = (
        int(number or 0) for number in numbers
    )
    return RunningTask(
        task_id=to_text(cast(bytes, task_id)),
        worker=to_text(cast(bytes, worker)),
        fence=fence,
        expired=bool(expired),
        objects_done=marked,
        objects_total=objects,
        bytes_done=marked_bytes + moving,
        bytes_total=bytes_,
        offered=offered,
        helpers=helpers,
    )


def snapshot_from(
    name: str, fields: Fields, waiting: Sequence[int], now_ms: int, running: Sequence[RunningTask]
) -> Snapshot:
    pending, dispatched, claimed = waiting
    job = job_from(name, fields)
    end_ms = _number(fields, "ended") or now_ms
    return Snapshot(
        job=job,
        counts=counts_from(fields),
        proof={level: _number(fields, f"proof{level}") for level in Proof},
        tasks={
            TaskState.PENDING: pending,
            TaskState.DISPATCHED: dispatched,
            TaskState.RUNNING: claimed,
            TaskState.SUCCEED: _number(fields, "tasks_succeed"),
            TaskState.FAILED: _number(fields, "tasks_failed"),
        },
        running=running,
        objects_per_second=float(fields.get("objects_per_s", b"0")),
        bytes_per_second=float(fields.get("bytes_per_s", b"0")),
        elapsed=max(0, end_ms - job.created_ms) / 1000,
        seq=_number(fields, "seq"),
        unkept=_number(fields, "unkept"),
        unchanged=Tally(_number(fields, "unchanged"), _number(fields, "unchanged_bytes")),
    )


def _number(fields: Fields, field: str) -> int:
    return int(fields.get(field, b"0"))
