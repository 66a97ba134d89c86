"""Make parts of one large object, a few at a time: those that are left here, one after another.

Several workers may make the parts of one upload. Each of them deals out what it has to make by
`PartsLeft`; how one part is made is the same for all.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from ossimport.copying import Ends, hash_body, verify
from ossimport.dest.base import Body
from ossimport.model import Origin, Part, Upload
from ossimport.patience import Counting
from ossimport.pieces import Pieces, Unread
from ossimport.sources.base import AtHand

# Requests that a worker makes for a part of another one's object before it gives it back.
BORROWED_ATTEMPTS = 3


class PartsLeft:
    """The parts of an upload that this worker is still to make; made ones go into `upload.parts`.

    While it is `shared`, who comes for a part waits for those that others may give back.
    """

    def __init__(
        self, upload: Upload, numbers: Sequence[int] | None = None, *, lendable: bool = False
    ) -> None:
        """Without `numbers`: all that are missing. `lendable`: another worker could make some."""
        self.upload = upload
        self.lendable = lendable
        self.shared = False
        self.ended = False  # nobody makes parts of it here any more
        self.running_low = asyncio.Event()  # the last one was dealt out, or one is waited for
        self.bytes_made = sum(len(self.span(number)) for number in upload.parts)
        self._begun: set[int] = set()
        self._waiting = deque(self._missing() if numbers is None else numbers)
        self._more = asyncio.Event()

    def span(self, number: int) -> range:
        """Which bytes of the object a part has."""
        upload = self.upload
        begin = (number - 1) * upload.part_size
        return range(begin, min(begin + upload.part_size, upload.source.size))

    @property
    def count(self) -> int:
        """How many parts the object has."""
        return -(-self.upload.source.size // self.upload.part_size)

    @property
    def in_hand(self) -> list[int]:
        """Parts that are begun here, or will be."""
        return [*self._begun, *self._waiting]

    @property
    def not_begun(self) -> int:
        """How many parts are to be made here and are not begun."""
        return len(self._waiting)

    def _missing(self) -> list[int]:
        return [n for n in range(1, self.count + 1) if n not in self.upload.parts]

    async def begin(self) -> int | None:
        """The next part to make; None when there is none any more."""
        while not self._waiting:
            if not self.shared:
                return None
            self.running_low.set()
            self._more.clear()
            await self._more.wait()
        number = self._waiting.popleft()
        self._begun.add(number)
        if not self._waiting:
            self.running_low.set()
        return number

    def made(self, number: int, part: Part) -> None:
        """A part was made, here or elsewhere."""
        self._begun.discard(number)
        if number not in self.upload.parts:
            self.upload.parts[number] = part
            self.bytes_made += len(self.span(number))

    def add(self, numbers: Sequence[int]) -> None:
        """More parts are to be made here."""
        self._waiting.extend(numbers)
        self._more.set()

    def merge(self, parts: Mapping[int, Part]) -> int:
        """Others have made these. Returns how many of them are news."""
        before = len(self.upload.parts)
        for number, part in parts.items():
            self.made(number, part)
        self._waiting = deque(n for n in self._waiting if n not in parts)
        return len(self.upload.parts) - before

    def give_up(self, kept: int = 0) -> list[int]:
        """The parts that are not begun, but for the first few: they are not made here then."""
        given = list(self._waiting)[kept:]
        self._waiting = deque(list(self._waiting)[:kept])
        return given

    def wind_up(self) -> None:
        """No more parts are to be begun here."""
        self.shared = False
        self._waiting.clear()
        self._more.set()

    def end(self) -> None:
        """Nobody makes parts of it here any more."""
        self.ended = True
        self.running_low.set()

    def end_sharing(self) -> None:
        """Nobody else has parts of it any more: all that is missing is to be made here."""
        self.shared = False
        self._waiting = deque(n for n in self._missing() if n not in self._begun)
        self._more.set()


Make = Callable[[int], Awaitable[Part]]


class PartMaker:
    """Makes the parts of one upload."""

    def __init__(
        self, ends: Ends, left: PartsLeft, it: Counting | None = None, *, attempts: int = 0
    ) -> None:
        """`it` counts how often we had to ask again; `attempts` as in `End.ask`."""
        self._ends = ends
        self._left = left
        self._it = it
        self._attempts = attempts

    async def make_all(
        self,
        in_flight: int,
        make: Make,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Make what is left by `make`, which is `send` or `copy`; after each part do `then`."""

        async def one_after_another() -> None:
            while (number := await self._left.begin()) is not None:
                self._left.made(number, await make(number))
                if then is not None:
                    await then()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(one_after_another())
        except BaseExceptionGroup as exc:
            raise _first_of(exc) from exc

    async def send(self, number: int) -> Part:
        """Read a part at the source and send it."""
        ends, upload = self._ends, self._left.upload
        span = self._left.span(number)
        ask = partial(ends.at_source.ask, it=self._it, attempts=self._attempts)
        # What is read by pieces is never all in memory. The budget says how many parts are begun.
        await ends.budget.take(len(span))
        try:
            if isinstance(ends.source, AtHand):
                pieces = Pieces(span, partial(ask, ends.source.read_some, upload.source))
                return await self._upload(number, pieces, lambda: pieces.crc64)
            payload = await ask(ends.source.read, upload.source, span.start, len(span))
            crc = await hash_body(payload.body)
            return await self._upload(number, payload.body, lambda: crc)
        except Unread as exc:
            raise exc.why from exc
        finally:
            ends.budget.give(len(span))

    async def _upload(self, number: int, body: Body, crc64: Callable[[], int]) -> Part:
        """Send a part until it is there; `crc64` says what it has once it is sent."""
        ends, upload = self._ends, self._left.upload

        async def send() -> Part:
            part = await ends.dest.upload_part(upload.key, upload.upload_id, number, body)
            crc = crc64()
            verify(crc, part.crc64, upload.key, "")
            return part.etag, crc

        return await ends.at_dest.ask(send, it=self._it, attempts=self._attempts)

    async def copy(self, origin: Origin, number: int) -> Part:
        """Have the service make a part of an object that it holds."""
        dest, upload, span = self._ends.dest, self._left.upload, self._left.span(number)
        part = await self._ends.at_dest.ask(
            dest.copy_part_from,
            upload.key,
            upload.upload_id,
            number,
            origin,
            span,
            it=self._it,
            attempts=self._attempts,
        )
        return part.etag, part.crc64


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that the others followed from: the first one that is not a cancellation."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
