"""Let the destination's service copy objects that it holds already: no bytes come to us.

The source says where the service has an object and what its CRC64 is; that of the copy must be the
same. Whatever the service does not copy, or not provably, goes through the worker after all.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ossimport.config.meta_map import META
from ossimport.config.places import endpoint, endpoint_region
from ossimport.copying import Copying, CopyPolicy, Ends, arriving_with_tags
from ossimport.errors import Permanent, StorageError
from ossimport.model import CopyResult, Origin
from ossimport.parts import PartsCopy
from ossimport.sources.base import Origins, Payload

if TYPE_CHECKING:
    from ossimport.config import JobConfig

log = logging.getLogger(__name__)

# Refusals without a copy between them, of objects that could be copied through the worker: after
# so many it is not the objects.
ENOUGH_REFUSALS = 10


def may_copy_inside(job: "JobConfig") -> bool:
    """True if both ends are OSS in one region, asked with one pair of keys.

    Public and internal endpoints name one region alike. Where the hosts name none (a gateway, an
    own domain, acceleration), it has to be the very same one.
    """
    source, dest = job.source, job.dest
    ours = (source.access_key, source.credentials), (dest.access_key, dest.credentials)
    if source.type != "oss" or ours[0] != ours[1]:
        return False
    if (source.bucket, source.prefix) == (dest.bucket, dest.prefix):
        return False  # OSS takes a copy onto itself for an order to forget the metadata
    where = endpoint(source.domain)
    named = endpoint_region(where.host)
    if named:
        return named == endpoint_region(dest.host)
    return (where.host, where.port, source.region) == (dest.host, dest.port, dest.region)


class ServerCopy:
    """Copies objects of one job inside the service."""

    def __init__(self, ends: Ends, origins: Origins, policy: CopyPolicy, parts: PartsCopy) -> None:
        self._ends = ends
        self._origins = origins
        self._policy = policy
        self._parts = parts
        self._refusals = 0  # since the last copy

    async def copy(
        self, it: Copying, key: str, through_worker: Callable[[], Awaitable[CopyResult]]
    ) -> CopyResult:
        """Copy the present version inside the service, or else through the worker."""
        if self._refusals >= ENOUGH_REFUSALS:
            return await through_worker()
        origin = await self._ends.at_source.ask(self._origins.origin, it.info, it=it)
        if origin is None:
            return await through_worker()
        try:
            result = await self._copy(it, key, origin)
        except StorageError as exc:
            if exc.code == "Outage":
                raise
            log.debug("%s is not copied inside the service: %s", key, exc)
            # Raises what has nothing to do with copying: it has changed, it is gone or archived.
            result = await through_worker()
            self._count(exc)
            return result
        if self._refusals < ENOUGH_REFUSALS:
            self._refusals = 0
        return result

    async def _copy(self, it: Copying, key: str, origin: Origin) -> CopyResult:
        ends = self._ends
        if it.info.size > ends.dest.limits.max_copy_size:
            return await self._parts.copy(it, key, origin)

        about = Payload(b"", origin.headers, meta_prefix=META)
        headers, unkept = await arriving_with_tags(ends, self._policy, it, about)
        stored = await ends.at_dest.ask(ends.dest.copy_from, key, origin, headers, it=it)
        if stored.crc64 is None:
            stored = stored._replace(crc64=await self._crc64_of(it, key))
        if stored.crc64 != origin.crc64:
            raise Permanent(
                f"the copy has the CRC64 {stored.crc64}, the source {origin.crc64}",
                code="ChecksumMismatch",
                op="copy_from",
                key=key,
                request_id=stored.request_id,
            )
        await self._parts.drop(it)
        return it.copied(stored, origin.crc64, unkept, stated=True)

    async def _crc64_of(self, it: Copying, key: str) -> int | None:
        """What the service states of the copy, where its answer did not; None if it is no copy."""
        found = await self._ends.at_dest.ask(self._ends.dest.stat, key, it=it)
        return found.crc64 if found is not None and found.size == it.info.size else None

    def _count(self, refusal: StorageError) -> None:
        self._refusals += 1
        if self._refusals == ENOUGH_REFUSALS:
            log.warning(
                "objects go through this worker from now on: %d in a row could not be copied "
                "inside the service; the last answer was: %s",
                ENOUGH_REFUSALS,
                refusal,
            )
