"""A server that says exactly what a test tells it to, byte by byte, over a raw socket.

A script is a function of one accepted connection; it runs in a thread of its own. Every socket has
a deadline, so that no script outlives its test for long.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from ossimport.transport import Endpoint

LOOPS = ["asyncio", "uvloop"]
DEADLINE = 60.0

T = TypeVar("T")


def run_on(loop: str, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a fresh event loop of the named kind; it must leave no task or error behind."""
    import uvloop

    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = runner.run(main)
    assert not complaints, complaints
    return result


class Peer:
    """The server's end of one connection. `number` counts the connections from 1."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self._rest = b""

    def read_head(self) -> bytes:
        """The next request's head; b"" when the client has closed."""
        while b"\r\n\r\n" not in self._rest:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self._rest += data
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        return head

    def read_body(self, size: int) -> bytes:
        """`size` bytes, or as many as come before the client closes."""
        came = bytearray(self._rest)
        while len(came) < size and (data := self.sock.recv(65536)):
            came += data
        self._rest = bytes(came[size:])
        return bytes(came[:size])

    def read_request(self) -> tuple[bytes, bytes]:
        """(head, body by its Content-Length) of the next request."""
        head = self.read_head()
        size = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        return head, self.read_body(size)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close so that the client gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_closed(self) -> None:
        """Read until the client closes."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65536):
                pass


class RawServer:
    """Listens on 127.0.0.1 and runs `script` for each connection, then closes that connection."""

    def __init__(self, script: Callable[[Peer], None], tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.errors: list[Exception] = []
        self._script = script
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        scheme = "https" if self._tls is not None else "http"
        return Endpoint(scheme, "127.0.0.1", self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(DEADLINE)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own, which takes the TLS away under a script that runs.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        if kind is None and self.errors:
            raise self.errors[0]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(
                    target=self._serve, args=(sock, self.connections), daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(DEADLINE)
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        with self._lock:
            self._open.add(sock)
        try:
            self._script(Peer(sock, number))
        except OSError:
            pass  # the client's end of the story is what the test looks at
        except Exception as exc:  # noqa: BLE001 - handed to the test, which fails with it
            self.errors.append(exc)
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()
