"""The connections to one endpoint."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from ossimport.errors import Transient
from ossimport.limits.way import Way
from ossimport.transport.connection import Connection
from ossimport.transport.dialing import Dialer
from ossimport.transport.faults import closed
from ossimport.transport.inflight import InFlight
from ossimport.transport.wire import Endpoint, host_header

# What a service does that has too many requests to deal with, besides refusing them.
_OVERLOAD = frozenset({"Timeout", "ConnectionReset", "ConnectionFailed"})
_UNABLE = frozenset({501, 505})  # it never does what was asked, however few ask


class Pool:
    """Lends as many connections at a time as `flow` says, first come first served.

    The connection used last is lent first, so that a quiet pool lets the others expire.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        flow: InFlight,
        way: Way,
        dialer: Dialer,
        on_made: Callable[[Connection], None],
    ) -> None:
        """Nothing is opened yet. `on_made` sees every connection that `dialer` makes."""
        self.host = host_header(endpoint)
        self.forward = dialer.forward
        self.way = way
        self._endpoint = endpoint
        self._flow = flow
        self._lent = 0
        self._dialer = dialer
        self._on_made = on_made
        self._idle: list[Connection] = []
        self._queue: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def is_unused(self) -> bool:
        """Forget what has died in the meantime; whether nothing is lent, kept or known then."""
        self._idle = [connection for connection in self._idle if connection.reusable]
        return not (self._lent or self._idle or self._flow.is_wary(time.monotonic()))

    @property
    def in_flight(self) -> tuple[int, int]:
        """(how many are lent, how many may be)."""
        return self._lent, self._flow.limit

    def kept(self) -> Connection | None:
        """Borrow a connection that is kept alive, if one can be had without waiting."""
        if self._idle and self._idle[-1].reusable and self._lent < self._flow.limit:
            self._lent += 1
            return self._idle.pop()
        return None

    async def take(self) -> Connection:
        """Borrow a connection, kept alive or new. Raises StorageError."""
        if self._lent < self._flow.limit:
            self._lent += 1
        else:
            await self._wait_turn()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        began = time.monotonic()
        try:
            return await self.connect()
        except BaseException as exc:
            self.failed(began, exc)
            self._pass_turn()
            raise

    async def connect(self) -> Connection:
        """A new connection, for one who has borrowed one that is dead. Raises StorageError."""
        connection = await self._dialer.dial()
        self._on_made(connection)
        return connection

    def answered(self, began: float, status: int, sent: int, received: int) -> None:
        """Tell of a response to a request begun at `began`, with so many bytes of body each way."""
        self.way.answered(status, received)
        if (status >= 500 and status not in _UNABLE) or status == 429:
            self._flow.refused(began, time.monotonic())
        else:
            self._flow.answered(began, time.monotonic(), sent + received, self._lent)

    def failed(self, began: float, error: BaseException) -> None:
        """Tell of a request that has no response."""
        if isinstance(error, Transient) and error.code in _OVERLOAD and not self._closed:
            self._flow.refused(began, time.monotonic())

    def give_back(self, connection: Connection) -> None:
        """Return what was borrowed; unless it is reusable it is closed."""
        if connection.reusable:
            self._idle.append(connection)
            if connection.exchanges == 1:
                self._dialer.remember(connection)
        else:
            connection.abort()
        self._pass_turn()

    def close(self) -> None:
        """Turn away all who wait."""
        self._closed = True
        for turn in self._queue:
            if not turn.done():
                turn.set_exception(closed(self._endpoint))

    async def _wait_turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # our turn came, and the cancellation too
                self._pass_turn()
            raise

    def _pass_turn(self) -> None:
        """One is not lent any more; the limit may have moved, too."""
        self._lent -= 1
        while self._queue and self._lent < self._flow.limit:
            turn = self._queue.popleft()
            if not turn.done():
                self._lent += 1
                turn.set_result(None)
