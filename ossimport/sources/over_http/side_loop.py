"""An event loop in a thread of its own, for those who list and wait while they do."""

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from ossimport.errors import Transient
from ossimport.transport import Transport

T = TypeVar("T")

_CLOSE_S = 1.0
_CONNECTIONS = 33  # scanThreadCount is 32 at most


class SideLoop:
    """Runs coroutines that use `transport`. The thread starts with the first of them.

    It ends when this is closed, or forgotten: a master opens a source for each scan.
    """

    def __init__(self) -> None:
        self.transport = Transport(max_connections=_CONNECTIONS)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end: weakref.finalize[..., SideLoop] | None = None
        self._closed = False

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin `work` on the loop, from any other thread. Raises Transient when this is closed."""
        with self._lock:
            if self._closed:
                work.close()
                raise Transient("the source was closed during the scan", code="ConnectionReset")
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(loop, self.transport), name="source-loop", daemon=True
                )
                self._thread.start()
                self._end = weakref.finalize(self, loop.call_soon_threadsafe, loop.stop)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End what is under way, with Transient, and the thread. Idempotent."""
        with self._lock:
            self._closed = True
        if self._end is not None and self._thread is not None:
            self._end()
            self._thread.join(_CLOSE_S)


def _run(loop: asyncio.AbstractEventLoop, transport: Transport) -> None:
    loop.run_forever()
    loop.run_until_complete(_finish(transport))
    loop.close()


async def _finish(transport: Transport) -> None:
    """Let nobody wait for ever for what was begun."""
    await transport.close()
    begun = asyncio.all_tasks() - {asyncio.current_task()}
    if begun:
        _, late = await asyncio.wait(begun, timeout=_CLOSE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    await asyncio.sleep(0)  # a connection that was made too late is closed in the next turn
