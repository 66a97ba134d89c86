"""A server that takes bodies and counts, in a thread: what really came, and when."""

import asyncio
import bisect
import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.lateness import Lateness

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_REFUSED = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"


class Sink:
    """What came so far. With `takes` set, more requests per second than that are refused."""

    def __init__(self) -> None:
        self.port = 0
        self.takes = 0.0
        self._tokens, self._at = 0.0, time.monotonic()
        self._writers: set[asyncio.StreamWriter] = set()
        self._came: list[tuple[float, int]] = []
        self._answers: list[tuple[float, bool]] = []
        self.lateness = Lateness()  # what came while we stood still was counted later

    def bytes_per_s(self, begin: float, end: float) -> float:
        """Of bodies, between two moments of the monotonic clock."""
        return sum(n for _, n in _between(self._came, begin, end)) / (end - begin)

    def requests_per_s(self, begin: float, end: float, *, taken: bool = True) -> float:
        """That were taken, or refused."""
        found = _between(self._answers, begin, end)
        return sum(was_taken is taken for _, was_taken in found) / (end - begin)

    def came(self, size: int) -> None:
        """Count bytes of a body."""
        self._came.append((time.monotonic(), size))

    def answer(self) -> bytes:
        """Take a request or refuse it."""
        now = time.monotonic()
        taken = True
        if self.takes:
            self._tokens = min(self.takes * 0.25, self._tokens + (now - self._at) * self.takes)
            taken = self._tokens >= 1
            self._tokens -= taken
        self._at = now
        self._answers.append((now, taken))
        return _OK if taken else _REFUSED

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(head)
                left = int(found[1]) if found else 0
                while left:
                    data = await reader.read(min(left, 1 << 16))
                    if not data:
                        return
                    self.came(len(data))
                    left -= len(data)
                writer.write(self.answer())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """End all connections."""
        for writer in self._writers:
            writer.transport.abort()


def _between(
    rows: list[tuple[float, int]] | list[tuple[float, bool]], begin: float, end: float
) -> list[tuple[float, int]]:
    first = bisect.bisect_left(rows, (begin,))
    return list(itertools.takewhile(lambda row: row[0] < end, rows[first:]))


@contextmanager
def counting_sink() -> Iterator[Sink]:
    """Serve on a free port of loopback, in a thread with a loop of its own."""
    sink, ready = Sink(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    stop = asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, backlog=1000)
        sink.port = server.sockets[0].getsockname()[1]
        loops.append(asyncio.get_running_loop())
        watching = asyncio.create_task(sink.lateness.watch())
        ready.set()
        await stop.wait()
        watching.cancel()
        server.close()
        sink.hang_up()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield sink
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(60)
