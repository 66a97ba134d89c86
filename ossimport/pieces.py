"""Bodies that are read, hashed and sent piece by piece, while the processor's cache has each."""

from collections.abc import Awaitable, Callable

from ossimport.copying import hash_body
from ossimport.errors import StorageError
from ossimport.transport.wire import Flowing


class Unread(Exception):
    """The source did not give what was to be sent next; `why` is its error.

    No StorageError: who sends would take that for the destination's, and try again.
    """

    def __init__(self, why: StorageError) -> None:
        super().__init__(str(why))
        self.why = why


class Pieces(Flowing):
    """A run of bytes of an object that is read as it is sent, and again if it is sent again.

    `crc64` is that of the bytes read so far: of all of them, when they are sent.
    """

    def __init__(self, span: range, read: Callable[[int, int], Awaitable[bytes]]) -> None:
        """`read` takes an offset and how many bytes are wanted at most; see `AtHand.read_some`."""
        self.crc64 = 0
        self._span = span
        self._read = read
        self._piece = memoryview(b"")
        self._end = 0  # of the piece, and of what was read so far

    def __len__(self) -> int:
        return len(self._span)

    async def read(self, start: int, most: int) -> memoryview:
        """See `Flowing`. Raises Unread."""
        if not start:
            self.crc64 = self._end = 0
        if start == self._end:
            self._piece = memoryview(b"")  # the next one may get its memory, which is in the cache
            try:
                piece = await self._read(self._span.start + start, len(self._span) - start)
            except StorageError as exc:
                raise Unread(exc) from exc
            self.crc64 = await hash_body(piece, self.crc64)
            self._piece = memoryview(piece)
            self._end += len(piece)
        at = start - self._end + len(self._piece)
        return self._piece[at : at + most]
