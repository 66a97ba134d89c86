"""Copy one object: skip it? read, send, verify.

Every transfer unit, a whole object below the multipart threshold or else one part, is held in
memory: it is read once, its CRC64 is taken once, and it can be sent again because it is still
there. `Budget` bounds the bytes so held, whatever the sizes and numbers of the objects.
"""

import asyncio
import hashlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ossimport import naming
from ossimport.budget import Budget
from ossimport.content_type import content_type
from ossimport.crc64 import crc64, crc64_combine
from ossimport.dest.base import Body, Destination, Limits, Stored
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.model import CopyResult, ObjectInfo, Outcome, Proof, Upload
from ossimport.patience import End, Patience
from ossimport.sources.base import Checksum, Payload, Source

log = logging.getLogger(__name__)

SaveUpload = Callable[[Upload | None], Awaitable[None]]

# A body above this is hashed in a thread: at about 3 GB/s the event loop would stall for longer
# than a hop to a thread costs.
HASH_IN_THREAD = 1 << 20
# How often a multipart upload's progress is written down. The list of parts grows to some 400 kB,
# so it is not saved for each part; a crash sends at most this many seconds' parts again.
SAVE_INTERVAL_S = 1.0


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


def part_size_for(size: int, wished: int, limits: Limits) -> int:
    """The part size nearest to `wished` that the service takes for an object of `size` bytes."""
    fewest = -(-size // limits.max_parts)
    return min(max(wished, fewest, limits.min_part_size), limits.max_part_size)


class _Copying:
    """One object on its way: what is copied now, and how often we had to ask again."""

    __slots__ = ("info", "may_skip", "retries", "save", "upload")

    def __init__(self, info: ObjectInfo, upload: Upload | None, save: SaveUpload) -> None:
        self.info = info  # the version that is being copied; a newer one replaces it
        self.upload = upload
        self.save = save
        self.may_skip = False
        self.retries = 0


class CopyEngine:
    """Copies objects of one job on one event loop."""

    def __init__(
        self,
        source: Source,
        dest: Destination,
        policy: CopyPolicy,
        budget: Budget,
        *,
        jitter: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.source = source
        self.dest = dest
        self.policy = policy
        self.budget = budget
        self.patience = Patience(policy.attempts, jitter=jitter, sleep=sleep)
        self.at_source = End("source", lambda: asyncio.to_thread(source.check))
        self.at_dest = End("destination", lambda: dest.list(policy.dest_prefix, "", 1))
        self.moving = 0  # bytes at the destination of large objects that are not finished

    async def copy(
        self,
        info: ObjectInfo,
        *,
        upload: Upload | None = None,
        save: SaveUpload,
        begun_before: bool = False,
    ) -> CopyResult:
        """Copy one object and say how it ended. Raises only Fatal.

        `upload` is a multipart upload of this object that an earlier attempt began; `save` is told
        how far the present one has come, None when nothing is left behind. Copying again is
        harmless: an object is written whole or not at all. `begun_before`: an earlier attempt may
        have left something at the destination that was not verified, so nothing is skipped.
        """
        started = time.monotonic()
        it = _Copying(upload.source if upload else info, upload, save)
        it.may_skip = self.policy.skip_existing and not begun_before
        try:
            result = await self._follow_changes(it)
        except Permanent as exc:
            outcome = Outcome.VANISHED if exc.code == "NotFound" else Outcome.FAILED
            result = _ended(outcome, it.info, exc)
        except Transient as exc:
            result = _ended(Outcome.FAILED, it.info, exc)
        return result._replace(seconds=time.monotonic() - started, attempts=1 + it.retries)

    async def _follow_changes(self, it: _Copying) -> CopyResult:
        """Copy the version that is there now, as often as the source changes under our hands."""
        for _ in range(self.policy.changes):
            try:
                return await self._copy_version(it)
            except Permanent as exc:
                if exc.code != "SourceChanged":
                    raise
                it.info = await self.patience.ask(
                    self.at_source, lambda: self.source.stat(it.info.key), it
                )
        raise Permanent(
            f"the object changed {self.policy.changes} times while it was read",
            code="SIZE_NOT_MATCH",
            op="read",
            key=it.info.key,
        )

    async def _copy_version(self, it: _Copying) -> CopyResult:
        info = it.info
        key = naming.dest_key(self.policy.dest_prefix, info.key)
        if info.size > self.dest.limits.max_object_size:
            raise Permanent(
                f"{info.size} bytes are more than OSS takes in one object",
                code="EntityTooLarge",
                op="put",
                key=key,
            )
        if it.may_skip and await self._is_there(it, key):
            return CopyResult(Outcome.SKIPPED, info.size)
        if info.size > self.policy.multipart_threshold:
            return await self._send_parts(it, key)
        if it.upload is not None:
            await self._drop_upload(it)
        return await self._send_whole(it, key)

    async def _is_there(self, it: _Copying, key: str) -> bool:
        """True if the destination holds this size, written after the source was last changed.

        OSS tells whole seconds only: one written in the very second of the change may be the older
        version, so it does not count.
        """
        found = await self.patience.ask(self.at_dest, lambda: self.dest.stat(key), it)
        if found is None or found.size != it.info.size or not it.info.mtime_ns:
            return False
        return found.mtime_ns // 1_000_000_000 > it.info.mtime_ns // 1_000_000_000

    # -- one request -----------------------------------------------------------------------------

    async def _send_whole(self, it: _Copying, key: str) -> CopyResult:
        size = it.info.size
        await self.budget.take(size)
        try:
            payload, crc, headers = await self.patience.ask(
                self.at_source, lambda: self._read_whole(it.info), it
            )

            async def put() -> Stored:
                stored = await self.dest.put(key, payload.body, headers)
                verify(crc, stored.crc64, key, stored.request_id)
                return stored

            stored = await self.patience.ask(self.at_dest, put, it)
        finally:
            self.budget.give(size)
        proof = _proof(stored, payload.checksum)
        return CopyResult(Outcome.COPIED, size, proof, crc, request_id=stored.request_id)

    async def _read_whole(self, info: ObjectInfo) -> tuple[Payload, int, dict[str, str]]:
        """The object, its CRC64, and the headers it will be stored with."""
        payload = await self.source.read(info, 0, info.size)
        crc = await hash_body(payload.body)
        headers = self._headers(info.key, payload)
        if self.policy.record_md5 or payload.checksum is not None:
            md5 = await _md5(payload.body)
            _compare(payload.checksum, md5, crc, info.key)
            if self.policy.record_md5:
                headers["x-oss-meta-md5"] = md5
        return payload, crc, headers

    def _headers(self, key: str, payload: Payload) -> dict[str, str]:
        headers = dict(payload.headers)
        if "Content-Type" not in headers:
            headers["Content-Type"] = content_type(key)
        if self.policy.encrypt:
            headers["x-oss-server-side-encryption"] = "AES256"
        return headers

    # -- in parts --------------------------------------------------------------------------------

    async def _send_parts(self, it: _Copying, key: str) -> CopyResult:
        upload = await self._open_upload(it, key)
        sending = _PartSender(self, it, upload)
        try:
            crc = await sending.run()
            stored = await self._finish(it, upload, crc)
        except Permanent:
            await self._drop_upload(it)
            raise
        except (Transient, Fatal, asyncio.CancelledError):
            await asyncio.shield(it.save(upload))  # `retry` or the next holder goes on from here
            raise
        finally:
            sending.close()
        it.upload = None
        await it.save(None)
        proof = _proof(stored, None)
        return CopyResult(Outcome.COPIED, it.info.size, proof, crc, request_id=stored.request_id)

    async def _open_upload(self, it: _Copying, key: str) -> Upload:
        """Go on with the upload if it holds parts of this very version, else begin a new one."""
        part_size = part_size_for(it.info.size, self.policy.part_size, self.dest.limits)
        if it.upload is not None:
            if (it.upload.key, it.upload.source, it.upload.part_size) == (key, it.info, part_size):
                kept = await self._resume(it, it.upload)
                if kept is not None:
                    return kept
            await self._drop_upload(it)
        headers = self._headers(it.info.key, Payload(b""))
        upload_id = await self.patience.ask(
            self.at_dest, lambda: self.dest.start_upload(key, headers), it
        )
        it.upload = Upload(key, upload_id, part_size, it.info, {})
        await it.save(it.upload)
        return it.upload

    async def _resume(self, it: _Copying, upload: Upload) -> Upload | None:
        try:
            held = await self.patience.ask(
                self.at_dest, lambda: self.dest.list_parts(upload.key, upload.upload_id), it
            )
        except Permanent as exc:
            if exc.code != "NoSuchUpload":
                raise
            return None
        # A part counts only if the service still holds it and we know the CRC64 of its source.
        parts = {
            number: (etag, crc)
            for number, (etag, crc) in upload.parts.items()
            if number in held and held[number].etag == etag and held[number].crc64 in (None, crc)
        }
        it.upload = upload._replace(parts=parts)
        return it.upload

    async def _finish(self, it: _Copying, upload: Upload, crc: int) -> Stored:
        etags = {number: etag for number, (etag, _) in sorted(upload.parts.items())}

        async def finish() -> Stored:
            try:
                return await self.dest.finish_upload(upload.key, upload.upload_id, etags)
            except Permanent as exc:
                if exc.code != "NoSuchUpload":
                    raise
                # The answer to an earlier attempt may have been lost after it was carried out.
                found = await self.dest.stat(upload.key)
                if found is None or (found.size, found.crc64) != (it.info.size, crc):
                    raise
                return Stored(found.etag, found.crc64, exc.request_id)

        stored = await self.patience.ask(self.at_dest, finish, it)
        if stored.crc64 is not None and stored.crc64 != crc:
            raise Permanent(
                f"OSS holds other bytes than were sent (CRC64 {stored.crc64}, sent {crc})",
                code="ChecksumMismatch",
                op="finish_upload",
                key=upload.key,
                request_id=stored.request_id,
            )
        return stored

    async def _drop_upload(self, it: _Copying) -> None:
        """Abort the upload. One that cannot be aborted stays written down, for `clean` to abort."""
        upload = it.upload
        if upload is None:
            return
        try:
            await self.patience.ask(
                self.at_dest,
                lambda: self.dest.abort_upload(upload.key, upload.upload_id),
                it,
                attempts=2,
            )
        except (Transient, Permanent) as exc:
            log.warning("%s: upload %s stays behind: %s", upload.key, upload.upload_id, exc)
            return
        it.upload = None
        await it.save(None)


class _PartSender:
    """Sends the parts of one large object, a few at a time."""

    def __init__(self, engine: CopyEngine, it: _Copying, upload: Upload) -> None:
        self._engine = engine
        self._it = it
        self._upload = upload
        self._saved = time.monotonic()
        self._moved = 0
        self._count = -(-it.info.size // upload.part_size)
        for number in upload.parts:
            self._moved_by(self._size_of(number))

    async def run(self) -> int:
        """Send what is missing; return the CRC64 of the whole object."""
        missing = deque(n for n in range(1, self._count + 1) if n not in self._upload.parts)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._engine.policy.parts_in_flight, len(missing))):
                    group.create_task(self._send_all(missing))
        except BaseExceptionGroup as exc:
            raise _first_of(exc) from exc
        whole = 0
        for number in range(1, self._count + 1):
            whole = crc64_combine(whole, self._upload.parts[number][1], self._size_of(number))
        return whole

    def close(self) -> None:
        """The object is not moving any more."""
        self._moved_by(-self._moved)

    async def _send_all(self, missing: deque[int]) -> None:
        while missing:
            number = missing.popleft()
            size = self._size_of(number)
            await self._engine.budget.take(size)
            try:
                self._upload.parts[number] = await self._send(number, size)
            finally:
                self._engine.budget.give(size)
            self._moved_by(size)
            if time.monotonic() - self._saved >= SAVE_INTERVAL_S:
                self._saved = time.monotonic()
                await self._it.save(self._upload)

    async def _send(self, number: int, size: int) -> tuple[str, int]:
        engine, it, upload = self._engine, self._it, self._upload
        offset = (number - 1) * upload.part_size
        payload = await engine.patience.ask(
            engine.at_source, lambda: engine.source.read(it.info, offset, size), it
        )
        crc = await hash_body(payload.body)

        async def send() -> str:
            part = await engine.dest.upload_part(upload.key, upload.upload_id, number, payload.body)
            verify(crc, part.crc64, upload.key, "")
            return part.etag

        return await engine.patience.ask(engine.at_dest, send, it), crc

    def _size_of(self, number: int) -> int:
        part_size = self._upload.part_size
        return min(part_size, self._it.info.size - (number - 1) * part_size)

    def _moved_by(self, amount: int) -> None:
        self._moved += amount
        self._engine.moving += amount


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that the others followed from: the first one that is not a cancellation."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


async def hash_body(body: Body) -> int:
    """CRC64 of a body, off the event loop if that would take long."""
    if len(body) > HASH_IN_THREAD:
        return await asyncio.to_thread(crc64, body)
    return crc64(body)


async def _md5(body: Body) -> str:
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


def _compare(stated: Checksum | None, md5: str, crc: int, key: str) -> None:
    """Hold the bytes as read against the checksum that the source states."""
    if stated is None:
        return
    ours = md5 if stated.algorithm == "md5" else str(crc)
    if stated.value != ours:
        raise Transient(
            f"the bytes as read have the {stated.algorithm} {ours}, the source says {stated.value}",
            code="ChecksumMismatch",
            op="read",
            key=key,
        )


def _proof(stored: Stored, stated: Checksum | None) -> Proof:
    if stored.crc64 is None:
        return Proof.SIZE
    return Proof.CRC64 if stated is None else Proof.SOURCE


def _ended(outcome: Outcome, info: ObjectInfo, exc: StorageError) -> CopyResult:
    return CopyResult(
        outcome, info.size, code=exc.code, message=str(exc), request_id=exc.request_id
    )
