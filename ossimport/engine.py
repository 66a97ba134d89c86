"""Copy one object: skip it? read, send, verify.

A transfer unit is a whole object below the multipart threshold, or else one part. It is held in
memory: it is read once, its CRC64 is taken once, and it can be sent again because it is still
there. A large one of a source at hand is read and hashed while it is sent, each time. `Budget`
bounds the bytes of all that are begun, whatever the sizes and numbers of the objects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from ossimport import naming
from ossimport.budget import Budget
from ossimport.copying import (
    HASH_IN_THREAD,
    Copying,
    CopyPolicy,
    Ends,
    SaveUpload,
    arriving_with_tags,
    compare,
    hash_body,
    list_dest,
    md5_of,
    possible,
    renew,
    seconds_text,
    verify,
)
from ossimport.crc64 import crc64
from ossimport.dest.base import Body, Described, Destination, Stored
from ossimport.errors import Permanent, Transient
from ossimport.fidelity.arriving import MTIME
from ossimport.listed import NOTHING_LISTED, Listed
from ossimport.model import CopyResult, ObjectInfo, Outcome, Upload
from ossimport.parts import PartsCopy
from ossimport.patience import End, Patience
from ossimport.pieces import Pieces, Unread
from ossimport.server_copy import ServerCopy
from ossimport.sources.base import AtHand, Origins, Payload, Source


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
        origins: Origins | None = None,
    ) -> None:
        """`origins`: the source, if the destination's service may copy from it by itself."""
        policy = policy._replace(keep=possible(policy.keep, source))
        patience = Patience(policy.attempts, jitter, sleep)
        self.policy = policy
        self.ends = Ends(
            source,
            dest,
            End("source", lambda: asyncio.to_thread(source.check), patience),
            End("destination", lambda: dest.list(policy.dest_prefix, "", 1), patience),
            budget,
        )
        self.parts = PartsCopy(self.ends, policy)
        self._inside: ServerCopy | None = None
        if origins is not None:
            self._inside = ServerCopy(self.ends, origins, policy, self.parts)

    @property
    def moving(self) -> int:
        """Bytes at the destination of large objects that are not finished."""
        return self.parts.moving

    async def close(self) -> None:
        """Give back what both ends hold. Idempotent."""
        await self.ends.source.close()
        await self.ends.dest.close()

    async def look_ahead(self, objects: Sequence[ObjectInfo], *, begun_before: bool) -> Listed:
        """Where objects may be skipped, list what is there instead of asking for each of them."""
        if not self.policy.skip_existing or begun_before:
            return NOTHING_LISTED
        return await list_dest(self.ends, self.policy.dest_prefix, objects)

    async def copy(
        self,
        info: ObjectInfo,
        *,
        upload: Upload | None = None,
        save: SaveUpload,
        begun_before: bool = False,
        listed: Listed = NOTHING_LISTED,
    ) -> CopyResult:
        """Copy one object and say how it ended. Raises only Fatal.

        `upload` is a multipart upload of this object that an earlier attempt began; `save` is told
        how far the present one has come, None when nothing is left behind. Copying again is
        harmless: an object is written whole or not at all. `begun_before`: an earlier attempt may
        have left something at the destination that was not verified, so nothing is skipped.
        `listed`: what is known of the destination already.
        """
        it = Copying(upload.source if upload else info, save, upload, listed)
        may_skip = self.policy.skip_existing and not begun_before
        try:
            key = naming.dest_key(self.policy.dest_prefix, info.key)
            while True:
                try:
                    if may_skip and await self._is_there(it, key):
                        return it.ended(Outcome.SKIPPED)
                    if self._inside is not None:
                        return await self._inside.copy(it, key, partial(self._send, it, key))
                    return await self._send(it, key)
                except Permanent as exc:
                    await self._follow(it, exc)
        except (Permanent, Transient) as exc:
            return it.refused(exc)

    async def _follow(self, it: Copying, exc: Permanent) -> None:
        """Go on with the version that is there now, if the source changed under our hands."""
        if exc.code != "SourceChanged":
            raise exc
        it.info = await self.ends.at_source.ask(renew, self.ends.source, it.info, it=it)
        it.changes += 1
        if it.changes == self.policy.changes:
            raise Permanent(
                f"the object changed {it.changes} times while it was read: {exc}",
                code="SIZE_NOT_MATCH",
                op="read",
                key=it.info.key,
            )

    async def _is_there(self, it: Copying, key: str) -> bool:
        """True if the destination holds this size and is not older.

        Where it was asked for this object alone, the time of the source that is written down there
        says it exactly. Else, as in a listing, the copy must have been written after the source
        was last changed. OSS tells whole seconds only: one written in the very second of the
        change may be the older version, so it does not count.
        """
        if key in it.listed.seen:
            listed = it.listed.found.get(key)
            found = Described(listed, {}) if listed is not None else None
        else:
            found = await self.ends.at_dest.ask(self.ends.dest.describe, key, it=it)
        if found is None or found.info.size != it.info.size or not it.info.mtime_ns:
            return False
        if said := found.headers.get(MTIME):
            if said == seconds_text(it.info.mtime_ns):
                return True
            if self.policy.keep.mtime_tells:
                return False
        return found.info.mtime_ns // 1_000_000_000 > it.info.mtime_ns // 1_000_000_000

    def _send(self, it: Copying, key: str) -> Awaitable[CopyResult]:
        """Read the object and send it, in one request or in parts."""
        if it.info.size > self.policy.multipart_threshold:
            return self.parts.copy(it, key)
        return self._send_whole(it, key)

    # -- one request -----------------------------------------------------------------------------

    async def _send_whole(self, it: Copying, key: str) -> CopyResult:
        if it.upload is not None:
            await self.parts.drop(it)
        ends, size = self.ends, it.info.size
        if not ends.budget.takes(size):
            await ends.budget.take(size)
        try:
            if (
                size > HASH_IN_THREAD
                and isinstance(ends.source, AtHand)
                and not self.policy.record_md5  # which goes before the bytes
            ):
                return await self._send_pieces(it, key, ends.source)
            payload, crc = await ends.at_source.ask(self._read, it.info, it=it)
            headers, unkept = await arriving_with_tags(ends, self.policy, it, payload)
            if self.policy.record_md5:
                headers["x-oss-meta-md5"] = await md5_of(payload.body)
            stored = await ends.at_dest.ask(self._put, key, payload.body, headers, crc, it=it)
        finally:
            ends.budget.give(size)
        return it.copied(stored, crc, unkept, stated=payload.checksum is not None)

    async def _send_pieces(self, it: Copying, key: str, source: AtHand) -> CopyResult:
        """The same, read and hashed while it is sent."""
        ends, info = self.ends, it.info
        about = await ends.at_source.ask(ends.source.read, info, 0, 0, it=it)
        headers, unkept = await arriving_with_tags(ends, self.policy, it, about)

        def read(offset: int, most: int) -> Awaitable[bytes]:
            return ends.at_source.ask(source.read_some, info, offset, most, it=it)

        pieces = Pieces(range(info.size), read)

        async def put() -> Stored:
            stored = await ends.dest.put(key, pieces, headers)
            verify(pieces.crc64, stored.crc64, key, stored.request_id)
            return stored

        try:
            stored = await ends.at_dest.ask(put, it=it)
        except Unread as exc:
            raise exc.why from exc
        return it.copied(stored, pieces.crc64, unkept, stated=False)

    async def _read(self, info: ObjectInfo) -> tuple[Payload, int]:
        """The object and its CRC64."""
        payload = await self.ends.source.read(info, 0, info.size)
        small = info.size <= HASH_IN_THREAD
        crc = crc64(payload.body) if small else await hash_body(payload.body)
        if payload.checksum is not None:
            await compare(payload.checksum, payload.body, crc, info.key)
        return payload, crc

    async def _put(self, key: str, body: Body, headers: Mapping[str, str], crc: int) -> Stored:
        stored = await self.ends.dest.put(key, body, headers)
        verify(crc, stored.crc64, key, stored.request_id)
        return stored
