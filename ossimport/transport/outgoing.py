"""Small requests that are written together."""

import asyncio


class Outgoing:
    """Holds back what is written in one turn of the event loop until that turn is over.

    A peer that waits for requests is woken by the first of them and finds the others there, where
    it would else be woken for each. That costs both sides a third of their processor time when the
    peer is near, and on a long way nothing that could be measured.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` at the end of this turn, unless `transport` is closed by then."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((transport, data))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
