"""What copying in one request and copying in parts have in common."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ossimport.budget import Budget
from ossimport.content_type import content_type
from ossimport.crc64 import crc64
from ossimport.dest.base import Destination, Stored
from ossimport.dest.wire import encode_headers
from ossimport.errors import Permanent, StorageError, Transient
from ossimport.fidelity.arriving import (
    MTIME,
    OBJECT_ACL,
    TAGGING,
    Keep,
    arriving,
    has_tags,
)
from ossimport.fidelity.tags import tagging
from ossimport.listed import NOTHING_LISTED, Listed, list_range
from ossimport.model import CopyResult, ObjectInfo, Outcome, Proof, Upload
from ossimport.naming import dest_key, display
from ossimport.patience import End
from ossimport.qetag import qetag
from ossimport.sources.base import Checksum, Payload, Placed, Source, Tagged
from ossimport.transport.wire import Body

if TYPE_CHECKING:
    from ossimport.parts import PartsCopy

SaveUpload = Callable[[Upload | None], Awaitable[None]]

# A body above this is hashed in a thread: the event loop would stall for longer
# than a hop to a thread costs.
HASH_IN_THREAD = 1 << 20


class CopyPolicy(NamedTuple):
    """The few settings of a job that steer a copy."""

    dest_prefix: str
    multipart_threshold: int  # bytes; an object above it is sent in parts
    part_size: int  # bytes, as wished; `part_size_for` makes it legal
    parts_in_flight: int = 3  # per large object
    skip_existing: bool = False
    encrypt: bool = False
    record_md5: bool = False
    attempts: int = 8  # per request
    changes: int = 3  # how often a source that changes under the copy is read again
    keep: Keep = Keep()


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a job, and what bounds the traffic between them."""

    source: Source
    dest: Destination
    at_source: End
    at_dest: End
    budget: Budget


class Engine(Protocol):
    """Does to each object of a job what the job is about: copies it, or compares it."""

    @property
    def policy(self) -> CopyPolicy: ...

    @property
    def ends(self) -> Ends: ...

    @property
    def parts(self) -> "PartsCopy":
        """What copies large objects, and helps others to."""

    @property
    def moving(self) -> int:
        """Bytes at the destination of large objects that are not finished."""

    async def look_ahead(self, objects: Sequence[ObjectInfo], *, begun_before: bool) -> Listed:
        """What `copy` shall know of so many objects already, by few requests."""

    async def copy(
        self,
        info: ObjectInfo,
        *,
        upload: Upload | None = None,
        save: SaveUpload,
        begun_before: bool = False,
        listed: Listed = NOTHING_LISTED,
    ) -> CopyResult:
        """Deal with one object and say how that ended. Raises only Fatal."""

    async def close(self) -> None:
        """Give back what both ends hold. Idempotent."""


class Copying:
    """One object on its way: what is copied now, and how often we had to ask again."""

    __slots__ = ("began", "changes", "info", "listed", "retries", "save", "upload")

    def __init__(
        self,
        info: ObjectInfo,
        save: SaveUpload,
        upload: Upload | None = None,
        listed: Listed = NOTHING_LISTED,
    ) -> None:
        self.info = info  # the version that is being copied; a newer one replaces it
        self.save = save
        self.upload = upload
        self.listed = listed
        self.changes = 0  # of the source
        self.retries = 0
        self.began = time.monotonic()

    def copied(
        self, stored: Stored, crc64: int | None, unkept: tuple[str, ...], *, stated: bool
    ) -> CopyResult:
        """The present version is there, and nothing contradicts that it is whole.

        `stated`: the source's own checksum agrees.
        """
        proof = Proof.SOURCE if stated else Proof.CRC64
        return CopyResult(
            Outcome.COPIED,
            self.info.size,
            Proof.SIZE if stored.crc64 is None else proof,
            crc64,
            "",
            "",
            stored.request_id,
            1 + self.retries,
            time.monotonic() - self.began,
            unkept,
            stored.etag,
        )

    def ended(
        self,
        outcome: Outcome,
        proof: Proof = Proof.NONE,
        *,
        code: str = "",
        message: str = "",
        request_id: str = "",
    ) -> CopyResult:
        """How it ended otherwise, now."""
        return CopyResult(
            outcome,
            self.info.size,
            proof,
            code=code,
            message=message,
            request_id=request_id,
            attempts=1 + self.retries,
            seconds=time.monotonic() - self.began,
        )

    def refused(self, exc: StorageError) -> CopyResult:
        """What it comes to that this could not be done: the object has failed, or is gone."""
        gone = isinstance(exc, Permanent) and exc.code == "NotFound"
        outcome = Outcome.VANISHED if gone else Outcome.FAILED
        return self.ended(outcome, code=exc.code, message=str(exc), request_id=exc.request_id)


async def list_dest(ends: Ends, prefix: str, objects: Sequence[ObjectInfo]) -> Listed:
    """What the destination's listing says of these objects."""
    keys = []
    for info in objects:
        try:
            keys.append(dest_key(prefix, info.key))
        except Permanent:
            continue  # that it has no name there is said when it is its turn
    return await list_range(partial(ends.dest.list, prefix), keys, ask=ends.at_dest.ask)


async def renew(source: Source, info: ObjectInfo) -> ObjectInfo:
    """Describe the object of `info` as it is now. Raises as `Source.stat` does."""
    return await (source.renew(info) if isinstance(source, Placed) else source.stat(info.key))


def possible(keep: Keep, source: Source) -> Keep:
    """What can be kept of what is wished; the rest is named as lost."""
    return keep if isinstance(source, Tagged) else keep._replace(tags=False)


def arriving_with(
    policy: CopyPolicy, info: ObjectInfo, payload: Payload
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the object is stored with, but for its tags, and the names of what does not arrive.

    The headers are as `Destination.put` wants them.
    """
    keep = policy.keep
    headers: dict[str, str] = {}
    unkept: tuple[str, ...] = ()
    if payload.headers or keep.meta_map or keep.storage_class or keep.acl:
        found, unkept = arriving(keep, payload.meta_prefix, payload.headers)
        headers = encode_headers(found, "put", policy.dest_prefix + info.key)
    if "content-type" not in headers:
        headers["content-type"] = content_type(info.key)
    mtime_ns = info.mtime_ns or payload.mtime_ns
    if mtime_ns and keep.mtime and MTIME not in headers:
        headers[MTIME] = seconds_text(mtime_ns)
    if policy.encrypt:
        headers["x-oss-server-side-encryption"] = "AES256"
    return headers, unkept


def expected_headers(policy: CopyPolicy, info: ObjectInfo, payload: Payload) -> dict[str, str]:
    """What a HEAD of the copy must say, beside its size and CRC64.

    `payload` may be without bytes: `Source.read(info, 0, 0)`. No HEAD tells ACL and tags.
    """
    headers, _ = arriving_with(policy, info, payload)
    headers.pop(OBJECT_ACL, None)
    return headers


async def arriving_with_tags(
    ends: Ends, policy: CopyPolicy, it: Copying, payload: Payload
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The same, tags and all. A strict job's object that loses something fails."""
    headers, unkept = arriving_with(policy, it.info, payload)
    keep = policy.keep
    if keep.tags and has_tags(payload.headers):
        source = ends.source
        assert isinstance(source, Tagged)  # noqa: S101  # or `keep` would not have them
        text, lost = tagging(await ends.at_source.ask(source.tags, it.info, it=it))
        if text:
            headers[TAGGING] = text
        unkept += lost
    if keep.strict and unkept:
        raise Permanent(
            f"{display(it.info.key)} would lose {', '.join(unkept)}, and the job is strict",
            code="NotAllKept",
            op="read",
            key=it.info.key,
        )
    return headers, unkept


def seconds_text(ns: int) -> str:
    """Nanoseconds as seconds, with a decimal fraction only where there is one."""
    if ns < 0:
        return f"-{seconds_text(-ns)}"
    digits = str(ns).zfill(10)
    return f"{digits[:-9]}.{digits[-9:]}".rstrip("0").rstrip(".")


async def hash_body(body: Body, before: int = 0) -> int:
    """CRC64 of what gave `before`, followed by `body`; off the event loop if that takes long."""
    if len(body) > HASH_IN_THREAD:
        return await asyncio.to_thread(crc64, body, before)
    return crc64(body, before)


async def md5_of(body: Body) -> str:
    """MD5 of a body in lower-case hex, off the event loop if that would take long."""
    if len(body) > HASH_IN_THREAD:
        return (await asyncio.to_thread(hashlib.md5, body, usedforsecurity=False)).hexdigest()
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def verify(sent: int, stored: int | None, key: str, request_id: str) -> None:
    """Hold what the service says it stored against what was sent."""
    if stored is not None and stored != sent:
        raise Transient(
            f"OSS holds other bytes than were sent (CRC64 {stored}, sent {sent})",
            code="ChecksumMismatch",
            op="put",
            key=key,
            request_id=request_id,
        )


async def compare(stated: Checksum, body: Body, crc: int, key: str) -> None:
    """Hold the bytes as read, whose CRC64 is `crc`, against the checksum that the source states."""
    if stated.algorithm == "crc64":
        ours = str(crc)
    elif stated.algorithm == "qetag":
        ours = await asyncio.to_thread(qetag, body) if len(body) > HASH_IN_THREAD else qetag(body)
    else:
        ours = await md5_of(body)
    if stated.value != ours:
        raise Transient(
            f"the bytes as read have the {stated.algorithm} {ours}, the source says {stated.value}",
            code="ChecksumMismatch",
            op="read",
            key=key,
        )
