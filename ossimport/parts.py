"""Copy one large object in parts, and go on with parts that an earlier attempt has made.

We read and send them; or the service makes them of an object that it holds already.
"""

import asyncio
import logging
import time
from collections import deque

from ossimport.config.meta_map import META
from ossimport.copying import (
    Copying,
    CopyPolicy,
    Ends,
    arriving_with_tags,
    hash_body,
    proof_of,
    verify,
)
from ossimport.crc64 import crc64_combine
from ossimport.dest.base import Limits, Stored
from ossimport.errors import Fatal, Permanent, Transient
from ossimport.fidelity.arriving import OBJECT_ACL
from ossimport.model import CopyResult, Origin, Outcome, Upload
from ossimport.sources.base import Checksum, Payload

log = logging.getLogger(__name__)

# How often a multipart upload's progress is written down. The list of parts grows to some 400 kB,
# so it is not saved for each part; a crash sends at most this many seconds' parts again.
SAVE_INTERVAL_S = 1.0

# Of parts that the service copies: nobody holds them in memory, but one is waited for.
COPIED_PART_SIZE = 64 << 20


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

    async def copy(self, it: Copying, key: str, origin: Origin | None = None) -> CopyResult:
        """Read the parts and send them; with an `origin`, have the service copy them."""
        ends, in_flight = self._ends, self._policy.parts_in_flight
        # No bytes yet: only what travels with them, and the checksum of them all.
        if origin is None:
            about = await ends.ask_source(lambda: ends.source.read(it.info, 0, 0), it)
        else:
            checksum = Checksum("crc64", str(origin.crc64))
            about = Payload(b"", origin.headers, checksum, meta_prefix=META)
        headers, unkept = await arriving_with_tags(ends, self._policy, it, about)
        acl = headers.pop(OBJECT_ACL, "")  # OSS takes it when the upload is finished
        upload = await self._open_upload(it, key, headers, origin)
        making = _PartMaker(ends, it, upload, in_flight, self._moved, origin=origin)
        try:
            crc = await making.run()
            stated = _crc64_stated(about, crc, it.info.key)
            if origin is not None:
                crc = origin.crc64
            stored = await self._finish(it, upload, crc, acl)
        except Permanent:
            await self.drop(it)
            raise
        except (Transient, Fatal, asyncio.CancelledError):
            await asyncio.shield(it.save(upload))  # `retry` or the next holder goes on from here
            raise
        finally:
            making.close()
        it.upload = None
        await it.save(None)
        proof = proof_of(stored, stated)
        return it.ended(
            Outcome.COPIED,
            proof,
            crc,
            request_id=stored.request_id,
            unkept=unkept,
            etag=stored.etag,
        )

    async def _open_upload(
        self, it: Copying, key: str, headers: dict[str, str], origin: Origin | None
    ) -> Upload:
        """Go on with the upload if it holds parts of this very version, else begin a new one."""
        wished = self._policy.part_size if origin is None else COPIED_PART_SIZE
        part_size = part_size_for(it.info.size, wished, self._ends.dest.limits)
        if it.upload is not None:
            if (it.upload.key, it.upload.source, it.upload.part_size) == (key, it.info, part_size):
                kept = await self._resume(it, it.upload, origin)
                if kept is not None:
                    return kept
            await self.drop(it)
        upload_id = await self._ends.ask_dest(
            lambda: self._ends.dest.start_upload(key, headers), it
        )
        it.upload = Upload(key, upload_id, part_size, it.info, {})
        await it.save(it.upload)
        return it.upload

    async def _resume(self, it: Copying, upload: Upload, origin: Origin | None) -> Upload | None:
        try:
            held = await self._ends.ask_dest(
                lambda: self._ends.dest.list_parts(upload.key, upload.upload_id),
                it,
            )
        except Permanent as exc:
            if exc.code != "NoSuchUpload":
                raise
            return None
        # A part counts only if the service still holds it and we know the CRC64 of its source, or
        # that of the whole.
        parts = {
            number: (etag, crc)
            for number, (etag, crc) in upload.parts.items()
            if number in held and held[number].etag == etag
            if crc is not None or origin is not None
            if crc is None or held[number].crc64 in (None, crc)
        }
        it.upload = upload._replace(parts=parts)
        return it.upload

    async def _finish(self, it: Copying, upload: Upload, crc: int | None, acl: str) -> Stored:
        etags = {number: etag for number, (etag, _) in sorted(upload.parts.items())}

        async def finish() -> Stored:
            try:
                return await self._ends.dest.finish_upload(
                    upload.key, upload.upload_id, etags, acl=acl
                )
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


class _PartMaker:
    """Makes the parts of one large object, a few at a time."""

    def __init__(
        self,
        ends: Ends,
        it: Copying,
        upload: Upload,
        in_flight: int,
        moving: Moving,
        *,
        origin: Origin | None,
    ) -> None:
        self._ends = ends
        self._in_flight = in_flight
        self._moving = moving
        self._it = it
        self._upload = upload
        self._origin = origin
        self._saved = time.monotonic()
        self._moved = 0
        self._count = -(-it.info.size // upload.part_size)
        for number in upload.parts:
            self._moved_by(len(self._span_of(number)))

    async def run(self) -> int | None:
        """Make what is missing; return the CRC64 of the whole object, None if one is not known."""
        missing = deque(n for n in range(1, self._count + 1) if n not in self._upload.parts)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._in_flight, len(missing))):
                    group.create_task(self._make_all(missing))
        except BaseExceptionGroup as exc:
            raise _first_of(exc) from exc
        whole = 0
        for number in range(1, self._count + 1):
            _, crc = self._upload.parts[number]
            if crc is None:
                return None
            whole = crc64_combine(whole, crc, len(self._span_of(number)))
        return whole

    def close(self) -> None:
        """The object is not moving any more."""
        self._moved_by(-self._moved)

    async def _make_all(self, missing: deque[int]) -> None:
        while missing:
            number = missing.popleft()
            make = self._send(number) if self._origin is None else self._copy(number, self._origin)
            self._upload.parts[number] = await make
            self._moved_by(len(self._span_of(number)))
            if time.monotonic() - self._saved >= SAVE_INTERVAL_S:
                self._saved = time.monotonic()
                await self._it.save(self._upload)

    async def _send(self, number: int) -> tuple[str, int | None]:
        ends, it, upload = self._ends, self._it, self._upload
        offset, size = self._span_of(number).start, len(self._span_of(number))
        await ends.budget.take(size)
        try:
            payload = await ends.ask_source(lambda: ends.source.read(it.info, offset, size), it)
            crc = await hash_body(payload.body)

            async def send() -> str:
                part = await ends.dest.upload_part(
                    upload.key, upload.upload_id, number, payload.body
                )
                verify(crc, part.crc64, upload.key, "")
                return part.etag

            return await ends.ask_dest(send, it), crc
        finally:
            ends.budget.give(size)

    async def _copy(self, number: int, origin: Origin) -> tuple[str, int | None]:
        dest, upload, span = self._ends.dest, self._upload, self._span_of(number)
        part = await self._ends.ask_dest(
            lambda: dest.copy_part_from(upload.key, upload.upload_id, number, origin, span),
            self._it,
        )
        return part.etag, part.crc64

    def _span_of(self, number: int) -> range:
        begin = (number - 1) * self._upload.part_size
        return range(begin, min(begin + self._upload.part_size, self._it.info.size))

    def _moved_by(self, amount: int) -> None:
        self._moved += amount
        self._moving.bytes += amount


def _crc64_stated(about: Payload, crc: int | None, key: str) -> Checksum | None:
    """The source's own CRC64, if it states one; that of the parts must agree.

    Checksums that do not combine say nothing of an object that is read in parts.
    """
    stated = about.checksum
    if stated is None or stated.algorithm != "crc64":
        return None
    if crc is not None and stated.value != str(crc):
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
