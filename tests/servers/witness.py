"""Stands before a server, passes on what it is asked, and tells afterwards what that was."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from tests.servers.raw_http import DEADLINE, Peer, RawServer

DENIED = b"<Error><Code>AccessDenied</Code><Message>Not by copying.</Message></Error>"


class Seen(NamedTuple):
    """One request."""

    method: str
    key: str  # decoded, the bucket before it
    query: str
    headers: dict[str, str]  # names in lower case
    received: int  # bytes of its body
    answered: int  # bytes of the answer's


@dataclass
class Witness:
    """What was asked so far, and what shall be refused."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    refuses: Callable[[Seen], bool] = lambda _: False

    def of(self, method: str, *, copies: bool = False) -> list[Seen]:
        """The requests for objects with that method; PUTs are copies or are not."""
        return [
            seen
            for seen in self.seen
            if seen.method == method and seen.key.partition("/")[2]
            if method != "PUT" or ("x-oss-copy-source" in seen.headers) == copies
        ]


@contextmanager
def witness(port: int) -> Iterator[Witness]:
    """Stand before the server at this port of loopback."""
    told = Witness()

    def script(client: Peer) -> None:
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
            server = Peer(sock, 0)
            while True:
                head, body = client.read_request()
                if not head:
                    return
                seen = _seen(head.decode("latin-1"), len(body))
                if told.refuses(seen):
                    told.seen.append(seen)
                    length = b"Content-Length: %d\r\n\r\n" % len(DENIED)
                    client.send(b"HTTP/1.1 403 Forbidden\r\n" + length + DENIED)
                    continue
                server.send(head + b"\r\n\r\n" + body)
                answer = server.read_head()
                size = _length(answer) if seen.method != "HEAD" else 0
                told.seen.append(seen._replace(answered=size))
                client.send(answer + b"\r\n\r\n")
                while size:
                    part = server.read_body(min(size, 1 << 20))
                    client.send(part)
                    size -= len(part)

    with RawServer(script) as server:
        told.port = server.endpoint.port
        yield told


def _seen(head: str, received: int) -> Seen:
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return Seen(method, unquote(path).removeprefix("/"), query, headers, received, 0)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
