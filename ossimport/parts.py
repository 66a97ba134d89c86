"""Copy one large object in parts, and go on with parts that an earlier attempt has sent."""

import asyncio
import logging
import time
from collections import deque

from ossimport.copying import Copying, CopyPolicy, Ends, hash_body, headers_for, proof_of, verify
from ossimport.crc64 import crc64_combine
from ossimport.dest.base import Limits, Stored
from ossimport.errors import Fatal, Permanent, Transient
from ossimport.model import CopyResult, Outcome, Upload
from ossimport.sources.base import Checksum, Payload

log = logging.getLogger(__name__)

# How often a multipart upload's progress is written down. The list of parts grows to some 400 kB,
# so it is not saved for each part; a crash sends at most this many seconds' parts again.
SAVE_INTERVAL_S = 1.0


def part_size_for(size: int, wished: int, limits: Limits) -> int:
    """The part size nearest to `wished` that the service takes for an object of `size` bytes."""
    fewest = -(-size // limits.max_parts)
    return min(max(wished, fewest, limits.min_part_size), limits.max_part_size)


class Moving:
    """Bytes at the destination of large objects that are not finished."""

    def __init__(self) -> None:
        self.bytes = 0


class PartsCopy:
    """Copies large objects of one job."""

    def __init__(self, ends: Ends, policy: CopyPolicy) -> None:
        self._ends = ends
        self._policy = policy
        self._moved = Moving()

    @property
    def moving(self) -> int:
        """Bytes at the destination of objects that are not finished."""
        return self._moved.bytes

    async def copy(self, it: Copying, key: str) -> CopyResult:
        ends = self._ends
        # No bytes yet: only what travels with them, and the checksum of them all.
        about = await ends.ask_source(lambda: ends.source.read(it.info, 0, 0), it)
        upload = await self._open_upload(it, key, about)
        sending = _PartSender(self._ends, it, upload, self._policy.parts_in_flight, self._moved)
        try:
            crc = await sending.run()
            stated = _crc64_stated(about, crc, it.info.key)
            stored = await self._finish(it, upload, crc)
        except Permanent:
            await self.drop(it)
            raise
        except (Transient, Fatal, asyncio.CancelledError):
            await asyncio.shield(it.save(upload))  # `retry` or the next holder goes on from here
            raise
        finally:
            sending.close()
        it.upload = None
        await it.save(None)
        proof = proof_of(stored, stated)
        return it.ended(Outcome.COPIED, proof, crc, request_id=stored.request_id)

    async def _open_upload(self, it: Copying, key: str, about: Payload) -> Upload:
        """Go on with the upload if it holds parts of this very version, else begin a new one."""
        part_size = part_size_for(it.info.size, self._policy.part_size, self._ends.dest.limits)
        if it.upload is not None:
            if (it.upload.key, it.upload.source, it.upload.part_size) == (key, it.info, part_size):
                kept = await self._resume(it, it.upload)
                if kept is not None:
                    return kept
            await self.drop(it)
        headers = headers_for(self._policy, it.info.key, about)
        upload_id = await self._ends.ask_dest(
            lambda: self._ends.dest.start_upload(key, headers), it
        )
        it.upload = Upload(key, upload_id, part_size, it.info, {})
        await it.save(it.upload)
        return it.upload

    async def _resume(self, it: Copying, upload: Upload) -> Upload | None:
        try:
            held = await self._ends.ask_dest(
                lambda: self._ends.dest.list_parts(upload.key, upload.upload_id),
                it,
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

    async def _finish(self, it: Copying, upload: Upload, crc: int) -> Stored:
        etags = {number: etag for number, (etag, _) in sorted(upload.parts.items())}

        async def finish() -> Stored:
            try:
                return await self._ends.dest.finish_upload(upload.key, upload.upload_id, etags)
            except Permanent as exc:
                if exc.code != "NoSuchUpload":
                    raise
                # The answer to an earlier attempt may have been lost after it was carried out.
                found = await self._ends.dest.stat(upload.key)
                if found is None or (found.size, found.crc64) != (it.info.size, crc):
                    raise
                return Stored(found.etag, found.crc64, exc.request_id)

        stored = await self._ends.ask_dest(finish, it)
        if stored.crc64 is not None and stored.crc64 != crc:
            raise Permanent(
                f"OSS holds other bytes than were sent (CRC64 {stored.crc64}, sent {crc})",
                code="ChecksumMismatch",
                op="finish_upload",
                key=upload.key,
                request_id=stored.request_id,
            )
        return stored

    async def drop(self, it: Copying) -> None:
        """Abort the upload. One that cannot be aborted stays written down, for `clean` to abort."""
        upload = it.upload
        if upload is None:
            return
        try:
            await self._ends.ask_dest(
                lambda: self._ends.dest.abort_upload(upload.key, upload.upload_id),
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

    def __init__(
        self, ends: Ends, it: Copying, upload: Upload, in_flight: int, moving: "Moving"
    ) -> None:
        self._ends = ends
        self._in_flight = in_flight
        self._moving = moving
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
                for _ in range(min(self._in_flight, len(missing))):
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
            await self._ends.budget.take(size)
            try:
                self._upload.parts[number] = await self._send(number, size)
            finally:
                self._ends.budget.give(size)
            self._moved_by(size)
            if time.monotonic() - self._saved >= SAVE_INTERVAL_S:
                self._saved = time.monotonic()
                await self._it.save(self._upload)

    async def _send(self, number: int, size: int) -> tuple[str, int]:
        ends, it, upload = self._ends, self._it, self._upload
        offset = (number - 1) * upload.part_size
        payload = await ends.ask_source(lambda: ends.source.read(it.info, offset, size), it)
        crc = await hash_body(payload.body)

        async def send() -> str:
            part = await ends.dest.upload_part(upload.key, upload.upload_id, number, payload.body)
            verify(crc, part.crc64, upload.key, "")
            return part.etag

        return await ends.ask_dest(send, it), crc

    def _size_of(self, number: int) -> int:
        part_size = self._upload.part_size
        return min(part_size, self._it.info.size - (number - 1) * part_size)

    def _moved_by(self, amount: int) -> None:
        self._moved += amount
        self._moving.bytes += amount


def _crc64_stated(about: Payload, crc: int, key: str) -> Checksum | None:
    """The source's own CRC64, if it states one; that of the parts must agree.

    Checksums that do not combine say nothing of an object that is read in parts.
    """
    stated = about.checksum
    if stated is None or stated.algorithm != "crc64":
        return None
    if stated.value != str(crc):
        raise Permanent(
            f"the bytes as read have the CRC64 {crc}, the source says {stated.value}",
            code="ChecksumMismatch",
            op="read",
            key=key,
        )
    return stated


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that the others followed from: the first one that is not a cancellation."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
