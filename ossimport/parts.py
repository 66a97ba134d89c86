"""Copy one large object in parts, and go on with parts that an earlier attempt has made.

We read and send them; or the service makes them of an object that it holds already.
"""

import asyncio
import logging
import time
from functools import partial

from ossimport.config.meta_map import META
from ossimport.copying import (
    Copying,
    CopyPolicy,
    Ends,
    arriving_with_tags,
)
from ossimport.crc64 import crc64_combine
from ossimport.dest.base import Limits, Stored
from ossimport.errors import Fatal, Permanent, Transient
from ossimport.fidelity.arriving import OBJECT_ACL
from ossimport.model import CopyResult, Origin, Upload
from ossimport.part_making import BORROWED_ATTEMPTS, PartMaker, PartsLeft
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


class PartsCopy:
    """Copies large objects of one job."""

    def __init__(self, ends: Ends, policy: CopyPolicy) -> None:
        self._ends = ends
        self._policy = policy
        self._under_way: dict[str, PartsLeft] = {}  # by upload id

    @property
    def moving(self) -> int:
        """Bytes at the destination of objects that are not finished."""
        return sum(left.bytes_made for left in self._under_way.values())

    @property
    def in_flight(self) -> int:
        """How many parts of one object are made at a time."""
        return self._policy.parts_in_flight

    def left_of(self, upload: Upload) -> PartsLeft | None:
        """What is left of an upload, if its parts are made now, and could be made elsewhere."""
        left = self._under_way.get(upload.upload_id)
        return left if left is not None and left.lendable else None

    async def help_with(self, left: PartsLeft) -> None:
        """Make parts of an object that is another worker's."""
        maker = PartMaker(self._ends, left, attempts=BORROWED_ATTEMPTS)
        await maker.make_all(self._policy.parts_in_flight, maker.send)

    async def copy(self, it: Copying, key: str, origin: Origin | None = None) -> CopyResult:
        """Read the parts and send them; with an `origin`, have the service copy them."""
        ends, size = self._ends, it.info.size
        if size > ends.dest.limits.max_object_size:
            raise Permanent(
                f"{size} bytes are more than OSS takes in one object",
                code="EntityTooLarge",
                op="put",
                key=key,
            )
        # No bytes yet: only what travels with them, and the checksum of them all.
        if origin is None:
            about = await ends.at_source.ask(ends.source.read, it.info, 0, 0, it=it)
        else:
            checksum = Checksum("crc64", str(origin.crc64))
            about = Payload(b"", origin.headers, checksum, meta_prefix=META)
        headers, unkept = await arriving_with_tags(ends, self._policy, it, about)
        acl = headers.pop(OBJECT_ACL, "")  # OSS takes it when the upload is finished
        upload = await self._open_upload(it, key, headers, origin)
        left = self._under_way[upload.upload_id] = PartsLeft(upload, lendable=origin is None)
        try:
            crc = await self._make(it, left, origin)
            stated = _crc64_is_stated(about, crc, it.info.key)
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
            left.end()
            del self._under_way[upload.upload_id]
        it.upload = None
        await it.save(None)
        return it.copied(stored, crc, unkept, stated=stated)

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
        ends = self._ends
        upload_id = await ends.at_dest.ask(ends.dest.start_upload, key, headers, it=it)
        it.upload = Upload(key, upload_id, part_size, it.info, {})
        await it.save(it.upload)
        return it.upload

    async def _resume(self, it: Copying, upload: Upload, origin: Origin | None) -> Upload | None:
        ends = self._ends
        try:
            held = await ends.at_dest.ask(ends.dest.list_parts, upload.key, upload.upload_id, it=it)
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

    async def _make(self, it: Copying, left: PartsLeft, origin: Origin | None) -> int | None:
        """Make what is missing; return the CRC64 of the whole object, None if one is not known."""
        maker = PartMaker(self._ends, left, it)
        saved = time.monotonic()

        async def save_at_times() -> None:
            nonlocal saved
            if time.monotonic() - saved >= SAVE_INTERVAL_S:
                saved = time.monotonic()
                await it.save(left.upload)

        make = maker.send if origin is None else partial(maker.copy, origin)
        await maker.make_all(self._policy.parts_in_flight, make, save_at_times)
        left.end()
        return _crc64_of(left)

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

        stored = await self._ends.at_dest.ask(finish, it=it)
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
        ends = self._ends
        try:
            await ends.at_dest.ask(
                ends.dest.abort_upload, upload.key, upload.upload_id, it=it, attempts=2
            )
        except (Transient, Permanent) as exc:
            log.warning("%s: upload %s stays behind: %s", upload.key, upload.upload_id, exc)
            return
        it.upload = None
        await it.save(None)


def _crc64_of(left: PartsLeft) -> int | None:
    """The CRC64 of the whole object, of those of its parts; None if one is not known."""
    whole = 0
    for number in range(1, left.count + 1):
        _, crc = left.upload.parts[number]
        if crc is None:
            return None
        whole = crc64_combine(whole, crc, len(left.span(number)))
    return whole


def _crc64_is_stated(about: Payload, crc: int | None, key: str) -> bool:
    """Whether the source states a CRC64 of its own; that of the parts must agree.

    Checksums that do not combine say nothing of an object that is read in parts.
    """
    stated = about.checksum
    if stated is None or stated.algorithm != "crc64":
        return False
    if crc is not None and stated.value != str(crc):
        raise Permanent(
            f"the bytes as read have the CRC64 {crc}, the source says {stated.value}",
            code="ChecksumMismatch",
            op="read",
            key=key,
        )
    return True
