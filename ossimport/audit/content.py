"""The bytes of an object, compared by checksums, or read.

Large objects are read in parts, a few at a time, within the budget that copies have.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from ossimport.audit.compare import Code, Difference
from ossimport.copying import Copying, CopyPolicy, Ends, compare, hash_body
from ossimport.crc64 import crc64_combine
from ossimport.errors import Permanent
from ossimport.listed import together
from ossimport.model import ObjectInfo, Proof
from ossimport.sources.base import Payload, Source
from ossimport.transport.wire import Body

Pace = Callable[[int], float]
"""Given the bytes about to be read, the seconds to wait first."""


class Contents:
    """Compares the bytes of a job's objects."""

    def __init__(
        self, ends: Ends, policy: CopyPolicy, *, copies: Source | None, pace: Pace | None
    ) -> None:
        """`copies`: the destination as a source. `pace` is asked before bytes are read."""
        self._ends = ends
        self._policy = policy
        self._copies = copies
        self._pace = pace
        self.moving = 0  # bytes looked at of objects that are not done: large ones take long

    async def checksum_difference(
        self, it: Copying, copy: ObjectInfo, about: Payload
    ) -> tuple[Difference | None, Proof]:
        """Compare without reading the destination: its CRC64 against the source's.

        The source's own checksum serves if it is a CRC64, or if it is an MD5 and the destination's
        ETag is the same: that cannot be by chance. Where the two differ, the ETag may be no MD5 at
        all, as those of multipart uploads are not. Then, as without a checksum, the source is read
        once. `about` is what travels with the object. Raises Permanent(code="NoChecksum") if
        nothing is there to compare with.
        """
        stated = about.checksum
        if stated is not None and stated.algorithm == "md5" and stated.value == copy.etag.lower():
            return None, Proof.SOURCE
        if copy.crc64 is None:
            raise Permanent(
                "the destination states no CRC64 of the object. Cure: audit it with --deep",
                code="NoChecksum",
                op="audit",
                key=it.info.key,
            )
        if stated is not None and stated.algorithm == "crc64":
            crc, proof = int(stated.value), Proof.SOURCE
        else:
            crc, proof = await self._crc64_of_source(it), Proof.CRC64
        if crc == copy.crc64:
            return None, proof
        text = f"the source has the CRC64 {crc}, the destination {copy.crc64}"
        return Difference(Code.CONTENT, text), proof

    async def byte_difference(self, it: Copying, copy: ObjectInfo) -> Difference | None:
        """Read both ends and compare byte by byte. `copy` has the key that the source has."""
        different: list[int] = []

        async def look(span: range) -> None:
            if not different or span.start < min(different):
                at = await self._look(it, copy, span)
                different.extend([] if at is None else [at])

        await self._over_spans(it.info.size, look)
        if not different:
            return None
        return Difference(Code.CONTENT, f"the byte at {min(different)} is another one")

    async def _look(self, it: Copying, copy: ObjectInfo, span: range) -> int | None:
        """Where a span begins to differ; None if it does not."""
        ends, size = self._ends, len(span)
        await self._hold(2 * size)
        await ends.budget.take(2 * size)
        try:
            ours = await ends.at_source.ask(ends.source.read, it.info, span.start, size, it=it)
            theirs = await ends.at_dest.ask(self._read_copy, copy, span, it=it)
            if ours.body == theirs.body:
                return None
            return span.start + _first_difference(ours.body, theirs.body)
        finally:
            ends.budget.give(2 * size)

    async def _read_copy(self, copy: ObjectInfo, span: range) -> Payload:
        assert self._copies is not None  # noqa: S101 -- whoever wants both ends read gives both
        try:
            return await self._copies.read(copy, span.start, len(span))
        except Permanent as exc:
            if exc.code == "NotFound":  # which would say that the source is gone
                exc.code = "SourceChanged"
            raise

    async def _crc64_of_source(self, it: Copying) -> int:
        """Read the source once."""
        ends, size = self._ends, it.info.size
        crcs: dict[int, int] = {}

        async def read(span: range) -> None:
            await self._hold(len(span))
            await ends.budget.take(len(span))
            try:
                crcs[span.start] = await ends.at_source.ask(
                    _read, ends.source, it.info, span, it=it
                )
            finally:
                ends.budget.give(len(span))

        await self._over_spans(size, read)
        whole = 0
        for span in self._spans(size):
            whole = crc64_combine(whole, crcs[span.start], len(span))
        return whole

    async def _hold(self, size: int) -> None:
        """Wait until so many bytes may be read."""
        if self._pace is not None:
            await asyncio.sleep(self._pace(size))

    def _spans(self, size: int) -> Iterator[range]:
        """What is read at once: the parts in which the object would be copied."""
        policy = self._policy
        step = policy.part_size if size > policy.multipart_threshold else max(size, 1)
        for start in range(0, max(size, 1), step):
            yield range(start, min(start + step, size))

    async def _over_spans(self, size: int, work: Callable[[range], Awaitable[None]]) -> None:
        todo = self._spans(size)

        done = 0

        async def take() -> None:
            nonlocal done
            for span in todo:
                await work(span)
                done += len(span)
                self.moving += len(span)

        try:
            await together(take() for _ in range(self._policy.parts_in_flight))
        finally:
            self.moving -= done


async def _read(source: Source, info: ObjectInfo, span: range) -> int:
    payload = await source.read(info, span.start, len(span))
    crc = await hash_body(payload.body)
    if payload.checksum is not None and len(span) == info.size:
        await compare(payload.checksum, payload.body, crc, info.key)
    return crc


def _first_difference(one: Body, other: Body) -> int:
    """Where two bodies of one length begin to differ."""
    one, other = memoryview(one), memoryview(other)
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
