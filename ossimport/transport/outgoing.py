"""Requests that are written together."""

import asyncio

from ossimport.transport.wire import Body

# More would come back together, and keep each other waiting.
_MOST = 16
_LARGEST = 256 << 10  # bytes of a body that goes out with others; for more it saves nothing to wait


class Outgoing:
    """Holds back what is written in one turn of the event loop, up to _MOST requests, none large.

    A peer that waits for requests is woken by the first of them and finds the others there, where
    it would else be woken for each. That saves both sides processor time when the peer is near, and
    costs a far one's requests a few per cent of their time.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes, Body]] = []

    def write(self, transport: asyncio.Transport, head: bytes, body: Body = b"") -> None:
        """Write both at the end of this turn at the latest, unless `transport` is closed then."""
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        waiting.append((transport, head, body))
        if len(waiting) >= _MOST or len(body) > _LARGEST:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, head, body in waiting:
            if transport.is_closing():
                continue
            if body:
                transport.writelines((head, body))
            else:
                transport.write(head)
