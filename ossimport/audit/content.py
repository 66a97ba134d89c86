"""The bytes of an object, compared by checksums, or read.

Large objects are read in parts, a few at a time, within the budget that copies have.
"""

from collections.abc import Awaitable, Callable, Iterator

from ossimport.audit.compare import Code, Difference
from ossimport.copying import Copying, CopyPolicy, Ends, compare, hash_body
from ossimport.crc64 import crc64_combine
from ossimport.dest.base import Body
from ossimport.errors import Permanent
from ossimport.listed import together
from ossimport.model import ObjectInfo, Proof
from ossimport.sources.base import Payload, Source


async def checksum_difference(
    ends: Ends, policy: CopyPolicy, it: Copying, copy: ObjectInfo, about: Payload
) -> tuple[Difference | None, Proof]:
    """Compare the bytes without reading the destination: its CRC64 against the source's.

    The source's own checksum serves if it is a CRC64, or if it is an MD5 and the destination's
    ETag is the same: that cannot be by chance. Where the two differ, the ETag may be no MD5 at all,
    as those of multipart uploads are not. Then, as without a checksum, the source is read once.
    `about` is what travels with the object. Raises Permanent(code="NoChecksum") if nothing is there
    to compare with.
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
        crc, proof = await _crc64_of_source(ends, policy, it), Proof.CRC64
    if crc == copy.crc64:
        return None, proof
    text = f"the source has the CRC64 {crc}, the destination {copy.crc64}"
    return Difference(Code.CONTENT, text), proof


async def byte_difference(
    ends: Ends, policy: CopyPolicy, it: Copying, copy: ObjectInfo, copies: Source
) -> Difference | None:
    """Read both ends and compare byte by byte; `copies` is the destination as a source."""
    different: list[int] = []  # where a span begins that differs

    async def look(span: range) -> None:
        size = len(span)
        if different and span.start > min(different):
            return
        await ends.budget.take(2 * size)
        try:
            ours = await ends.ask_source(lambda: ends.source.read(it.info, span.start, size), it)
            theirs = await ends.ask_dest(lambda: _read_copy(copies, copy, span), it)
            if ours.body != theirs.body:
                different.append(span.start + _first_difference(ours.body, theirs.body))
        finally:
            ends.budget.give(2 * size)

    await _over_spans(policy, it.info.size, look)
    if not different:
        return None
    return Difference(Code.CONTENT, f"the byte at {min(different)} is another one")


async def _read_copy(copies: Source, copy: ObjectInfo, span: range) -> Payload:
    try:
        return await copies.read(copy, span.start, len(span))
    except Permanent as exc:
        if exc.code == "NotFound":  # which would say that the source is gone
            exc.code = "SourceChanged"
        raise


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


async def _crc64_of_source(ends: Ends, policy: CopyPolicy, it: Copying) -> int:
    """Read the source once."""
    size = it.info.size
    crcs: dict[int, int] = {}

    async def read(span: range) -> None:
        await ends.budget.take(len(span))
        try:
            crcs[span.start] = await ends.ask_source(lambda: _read(ends.source, it.info, span), it)
        finally:
            ends.budget.give(len(span))

    await _over_spans(policy, size, read)
    whole = 0
    for span in _spans(policy, size):
        whole = crc64_combine(whole, crcs[span.start], len(span))
    return whole


async def _read(source: Source, info: ObjectInfo, span: range) -> int:
    payload = await source.read(info, span.start, len(span))
    crc = await hash_body(payload.body)
    if payload.checksum is not None and len(span) == info.size:
        await compare(payload.checksum, payload.body, crc, info.key)
    return crc


def _spans(policy: CopyPolicy, size: int) -> Iterator[range]:
    """What is read at once: the parts in which the object would be copied."""
    step = policy.part_size if size > policy.multipart_threshold else max(size, 1)
    for start in range(0, max(size, 1), step):
        yield range(start, min(start + step, size))


async def _over_spans(
    policy: CopyPolicy, size: int, work: Callable[[range], Awaitable[None]]
) -> None:
    todo = _spans(policy, size)

    async def take() -> None:
        for span in todo:
            await work(span)

    await together(take() for _ in range(policy.parts_in_flight))
