"""The connections to one endpoint."""

import asyncio
from collections import deque
from collections.abc import Callable

from ossimport.transport.connection import Connection
from ossimport.transport.dialing import Dialer
from ossimport.transport.faults import closed
from ossimport.transport.wire import Endpoint, host_header


class Pool:
    """Lends at most `size` connections at a time, first come first served.

    The connection used last is lent first, so that a quiet pool lets the others expire.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        size: int,
        dialer: Dialer,
        on_made: Callable[[Connection], None],
    ) -> None:
        """Nothing is opened yet. `on_made` sees every connection that `dialer` makes."""
        self.host = host_header(endpoint)
        self.forward = dialer.forward
        self._endpoint = endpoint
        self._size = self._free = size
        self._dialer = dialer
        self._on_made = on_made
        self._idle: list[Connection] = []
        self._queue: deque[asyncio.Future[None]] = deque()

    def is_unused(self) -> bool:
        """Forget what has died in the meantime; whether nothing is lent or kept then."""
        self._idle = [connection for connection in self._idle if connection.reusable]
        return self._free == self._size and not self._idle

    async def take(self) -> Connection:
        """Borrow a connection, kept alive or new. Raises StorageError."""
        if self._free:
            self._free -= 1
        else:
            await self._wait_turn()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        try:
            return await self.connect()
        except BaseException:
            self._pass_turn()
            raise

    async def connect(self) -> Connection:
        """A new connection, for one who has borrowed one that is dead. Raises StorageError."""
        connection = await self._dialer.dial()
        self._on_made(connection)
        return connection

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
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
