"""A bound on the bytes that a process holds in memory."""

import asyncio
from collections import deque


class Budget:
    """A bound on the bytes held in memory, granted in the order of asking.

    A request for more than the whole budget is granted when nothing else is held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def takes(self, amount: int) -> bool:
        """Take `amount` bytes if nobody has to wait for that. Pair with `give`, if True."""
        if self._waiting or not self._fits(amount):
            return False
        self._held += amount
        return True

    async def take(self, amount: int) -> None:
        """Wait until `amount` bytes may be held. Pair with `give`."""
        if self.takes(amount):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, future))
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():
                self.give(amount)  # granted in the very moment of the cancellation
            else:
                self._grant()  # those behind may fit now
            raise

    def give(self, amount: int) -> None:
        """Return bytes and let those who wait go on."""
        self._held -= amount
        if self._waiting:
            self._grant()

    def _fits(self, amount: int) -> bool:
        return self._held == 0 or self._held + amount <= self._limit

    def _grant(self) -> None:
        while self._waiting:
            amount, future = self._waiting[0]
            if not future.cancelled():
                if not self._fits(amount):
                    return
                self._held += amount
                future.set_result(None)
            self._waiting.popleft()
