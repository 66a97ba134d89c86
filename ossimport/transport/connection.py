"""One HTTP/1.1 connection: a request goes out, its response comes back, one at a time."""

import asyncio
import contextlib
import os
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ossimport.errors import StorageError
from ossimport.limits.way import Way
from ossimport.transport.faults import Stale, Where, bad_response, exchange_fault
from ossimport.transport.outgoing import Outgoing
from ossimport.transport.reader import ResponseReader
from ossimport.transport.wire import Body, Flowing, Response

if sys.platform == "linux":
    import fcntl
    import termios

_JOIN = 16 << 10  # bytes of body up to which a copy behind the head beats a second buffer
_HEAD_ONLY = frozenset({"HEAD", "CONNECT"})


class Connection(asyncio.BufferedProtocol):
    """Sends requests and reads what comes back, under flow control.

    `reusable`: the connection is open, idle and at the start of a fresh response. `exchanges`
    counts the requests begun. `held`: we wait for our own pace or source, not for the server.
    `aged`: it shall not be used for another request. Errors say that they happened at `where`.
    """

    def __init__(
        self,
        where: Where,
        *,
        way: Way,
        step: int,
        outgoing: Outgoing,
        scratch: memoryview,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        """A body larger than `step` bytes goes out in slices, or in those that `way` says; it says
        too when they may go, all but the first, and when bytes are read on.

        Other requests go out together with those of other connections, through `outgoing`. Bytes
        are read into `scratch`, which all connections of an event loop may share: nothing stays
        there from one callback to the next.
        """
        self.where = where
        self.reusable = False
        self.aged = False
        self.held = False
        self.exchanges = 0
        self._way = way
        self._step = step
        self._outgoing = outgoing
        self._scratch = scratch
        self._space: memoryview | None = None  # of a body, where the loop reads into it directly
        self._on_lost = on_lost
        self._reader = ResponseReader(where)
        self._large = 0  # bytes of a large request's body; 0: it is no large one
        self._handed = 0  # of them, given to the event loop so far
        self._paused = False
        self._lost = False
        self._waiter: asyncio.Future[Response] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._reading_on: asyncio.Task[None] | None = None

    def exchange(
        self, method: str, head: bytes, body: Body | Flowing, max_body: int, first: int = 0
    ) -> Awaitable[Response]:
        """Send one request; what this returns is to be awaited at once, and gives the response.

        The turn of the `first` bytes of the body has come; 0: as if that of a slice had. After an
        error the connection is not reusable.
        """
        self.reusable = False
        self.exchanges += 1
        self._reader.begin(method in _HEAD_ONLY, max_body)
        self._waiter = waiter = self._loop.create_future()
        self._large = self._handed = 0
        size = len(body)
        if isinstance(body, Flowing) or size > (self._step if self._way.free else first):
            return self._send(waiter, head, body, first)
        if size <= _JOIN:
            self._outgoing.write(self._transport, head + body if size else head)
        else:
            self._large = self._handed = size
            self._outgoing.write(self._transport, head, body)
        return waiter

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on under TLS, as if just connected, with whom `context` verifies to be `host`.

        Raises OSError; then the connection is of no use.
        """
        if self._lost:
            raise ConnectionResetError("the other end closed it")
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=host)
        self.exchanges = 0
        self.connection_made(cast(asyncio.Transport, transport))

    async def _send(
        self, waiter: asyncio.Future[Response], head: bytes, body: Body | Flowing, first: int
    ) -> Response:
        self._large = size = len(body)
        self._transport.write(head)
        start = 0
        while start < size:
            step = self._step
            if not self._way.free:
                step = min(step, first if first and not start else self._way.slice)
            if self._paused:
                self._resumed = self._loop.create_future()
                await self._resumed
            elif start:
                await asyncio.sleep(0)  # else a fast peer keeps us from seeing its early answer
            part = await self._next(body, start, step)
            if start and not self._way.free:
                await self._hold(waiter, len(part))
            if waiter.done():  # answered early, or lost
                break
            start += len(part)
            self._handed = start
            self._transport.write(part)
            del part  # its memory is for the next, as soon as it is sent
        return await waiter

    async def _next(self, body: Body | Flowing, start: int, most: int) -> Body:
        """What is to be sent next, up to `most` bytes; nothing of it is copied."""
        if not isinstance(body, Flowing):
            return memoryview(body)[start : start + most]
        self.held = True
        try:
            return await body.read(start, most)
        finally:
            self.held = False

    async def _hold(self, waiter: asyncio.Future[Response], size: int) -> None:
        """Wait until `size` more bytes may go, or the answer is there before."""
        turn = asyncio.ensure_future(self._way.send(size))
        self.held = True
        try:
            both: set[asyncio.Future[Any]] = {waiter, turn}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.held = False
            turn.cancel()

    def _count_read(self, size: int) -> None:
        """Count what was read of a body, and read on when it is paid."""
        paid = self._way.received(size)
        if paid or self._reading_on is not None or self._transport.is_closing():
            return
        self._transport.pause_reading()
        self._reading_on = asyncio.ensure_future(self._read_on())

    async def _read_on(self) -> None:
        self.held = True
        await self._way.read_on()
        self.held = False
        self._reading_on = None
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def fail(self, error: StorageError) -> None:
        """End the request under way, if there is one, with `error`."""
        self.reusable = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
            waiter.exception()  # if its request was cancelled in this step, nobody else will look
        self.resume_writing()

    def abort(self) -> None:
        """Close at once; what is unsent is dropped. Idempotent."""
        self.reusable = False
        self._waiter = None
        self._transport.abort()

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS side of the connection, if it has one."""
        return cast(ssl.SSLObject | None, self._transport.get_extra_info("ssl_object"))

    def progress(self) -> tuple[int, bool]:
        """(bytes moved either way for this request, whether the server has it all and is silent).

        The body of a large request has moved when the peer has acknowledged it: on a slow line
        the kernel's buffer alone holds minutes.
        """
        received = self._reader.received
        if not self._handed:
            return received, not received
        waiting = self._transport.get_write_buffer_size() + _unacknowledged(self._transport)
        thinking = not (waiting or self._handed < self._large or received)
        return received + self._handed - waiting, thinking

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self.reusable = not self._lost

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio.BufferedProtocol."""
        if self._reader.filling is None and not self._way.reads:
            return self._scratch
        self._space = self._reader.space(len(self._scratch))
        space = self._scratch if self._space is None else self._space
        return space[: self._way.slice] if self._way.reads else space

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        reader, waiter = self._reader, self._waiter
        if waiter is None:  # nobody asked: not a connection to trust
            self.abort()
            return
        before = reader.size
        if self._space is not None:
            self._space = None
            reader.filled(nbytes)
        else:
            try:
                response = reader.feed(self._scratch[:nbytes])
            except StorageError as exc:
                self.fail(exc)
                response = None
            if response is not None:
                self._answer(waiter, response)
        if self._way.reads:
            self._count_read(reader.size - before)

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        waiter = self._waiter
        if waiter is None:
            return
        response = self._reader.finish()
        if response is not None and self._said_goodbye():
            self._answer(waiter, response)
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        if self._waiter is not None and isinstance(exc, ConnectionError):
            self._rescue()
        if self._waiter is not None:
            self._end(exc)
        self.reusable = False
        self._lost = True
        if self._reading_on is not None:
            self._reading_on.cancel()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    def _answer(self, waiter: asyncio.Future[Response], response: Response) -> None:
        """Hand over the response. One that comes before its request is out ends the connection.

        Such a refusal is an answer; such a success is a lie.
        """
        early = self._large and (
            self._handed < self._large or self._transport.get_write_buffer_size() > 0
        )
        if early and response.status < 300:
            what = f"status {response.status} came before the body was sent"
            self.fail(bad_response(self.where, what))
            return
        self._waiter = None
        if not waiter.done():
            waiter.set_result(response)
            self.reusable = self._reader.persistent and not early and not self.aged
        if early:
            self.resume_writing()

    def _end(self, exc: Exception | None) -> None:
        """No more bytes will come, and there is no response."""
        received = self._reader.received
        if (
            self.exchanges > 1
            and not received
            and (exc is None or isinstance(exc, ConnectionError))
        ):
            self.fail(Stale(f"{self.where}: closed while idle", code="ConnectionReset"))
        else:
            self.fail(exchange_fault(self.where, exc, received))

    def _said_goodbye(self) -> bool:
        """Whether it was the other end that closed: under TLS anybody on the way can send a FIN."""
        try:
            return self.tls is None or not self.tls.read(1)  # close_notify reads as the end
        except ssl.SSLError:
            return False

    def _rescue(self) -> None:
        """Read what the kernel still holds.

        A server that refuses a large body answers, then closes with bytes unread, which resets the
        connection. If our next write finds the reset first, the loop gives up on the answer that
        lies there.
        """
        sock = self._transport.get_extra_info("socket")
        if self.tls is not None or sock is None:
            return
        with contextlib.suppress(OSError):
            while self._waiter is not None and (
                count := os.readv(sock.fileno(), [self.get_buffer(-1)])
            ):
                self.buffer_updated(count)


def _unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the kernel holds until the peer acknowledges them; 0 where it does not tell."""
    if sys.platform != "linux":
        return 0
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return 0
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return cast(int, struct.unpack("i", answer)[0])
