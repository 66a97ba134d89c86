"""A cheap HTTP server that speaks enough of OSS and S3 to measure clients with.

    python -m tests.bench.server --port 9000 [--delay-ms F] [--tls DIR]

It costs little so that the client is what limits, trusts what it is sent and checks no signature.
Objects are in memory; buckets exist when they are named, and those whose name begins with `null`
drop bodies. `/_ctl/stats`, `/_ctl/reset`, `/_ctl/fill?bucket=B&count=N&size=S`,
`/_ctl/forget?bucket=B` and `/_ctl/times?bucket=B` are for the benchmark.
"""

import asyncio
import gc
import json
import re
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, unquote_to_bytes

import click
import uvloop

from tests.bench.authority import server_context
from tests.bench.body import Body, Chunks
from tests.bench.store import Bucket, Stored, http_time, listing_xml, parts_xml

_RANGE = re.compile(rb"bytes=(\d+)-(\d*)")
# Bucket in the host name: juicefs is given one.
_HOSTS = (b".127.0.0.1", b".localhost")

Handler = Callable[["Request"], bytes]


class Request:
    """One request: its head, and its body when it is there."""

    __slots__ = ("body", "bucket", "head", "key", "lower", "method", "query")

    def __init__(self, service: "Service", head: bytes) -> None:
        self.head = head
        self.lower = head.lower()
        self.method, target, _ = head[: head.index(b"\r\n")].split(b" ")
        path, _, query = target.partition(b"?")
        self.query = (
            dict(parse_qsl(query.decode(), keep_blank_values=True, separator="&")) if query else {}
        )
        host = self.field(b"\r\nhost:").partition(b":")[0]
        if host.endswith(_HOSTS) and host not in (h[1:] for h in _HOSTS):
            name, key = host[: -len(_HOSTS[host.endswith(_HOSTS[1])])], path[1:]
        else:
            name, _, key = path[1:].partition(b"/")
        self.key = unquote_to_bytes(key) if b"%" in key else key
        self.bucket = service.bucket(name.decode())
        self.body: Body

    def field(self, name: bytes) -> bytes:
        """The value of a header; `name` is `\\r\\nname:` in lower case."""
        at = self.lower.find(name)
        if at < 0:
            return b""
        at += len(name)
        return self.head[at : self.head.index(b"\r\n", at)].strip()


class Service:
    """All buckets, and what is answered to whom."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._counts: dict[str, list[float]] = {}
        self._cpu = 0.0
        self.connections = 0
        self.reset()

    def bucket(self, name: str) -> Bucket:
        """The bucket of that name, made if need be."""
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = Bucket(name)
        return found

    def reset(self) -> None:
        """Begin to count anew."""
        self._counts = {}
        self.connections = 0
        self._cpu = time.process_time()

    def answer(self, request: Request) -> bytes:
        """Carry out a request whose body is there."""
        kind, handler = _route(request)
        counts = self._counts.get(kind)
        now = time.monotonic()
        if counts is None:
            self._counts[kind] = [1, now, now]
        else:
            counts[0] += 1
            counts[2] = now
        return handler(request)

    def control(self, request: Request) -> bytes:
        """Carry out an order of the benchmark."""
        query = request.query
        told: dict[str, object] = {}
        match request.key:
            case b"reset":
                self.reset()
            case b"fill":
                self.bucket(query["bucket"]).fill(int(query["count"]), int(query["size"]))
            case b"forget":
                objects = self._buckets.pop(query["bucket"], Bucket("")).objects.values()
                told = {"objects": len(objects), "size": sum(each.size for each in objects)}
            case b"times":
                objects_ = self.bucket(query["bucket"]).objects
                told = {key.decode(): each.time for key, each in objects_.items()}
            case b"stats":
                told = {
                    "requests": {kind: int(counts[0]) for kind, counts in self._counts.items()},
                    "seconds": {kind: each[2] - each[1] for kind, each in self._counts.items()},
                    "connections": self.connections,
                    "cpu": time.process_time() - self._cpu,
                }
        return reply(200, json.dumps(told).encode())


def _route(request: Request) -> tuple[str, Handler]:
    """What kind of request it is, and who answers it."""
    method, query = request.method, request.query
    if not request.key:
        listed = method == b"GET" and not query.keys() & _SUBRESOURCES
        return ("list", _list) if listed else ("other", _other)
    if b"-copy-source:" in request.lower:
        return "other", _refuse
    return _ROUTES[method, "uploadId" in query]


_SUBRESOURCES = {"location", "uploads", "acl", "versioning", "policy", "bucketInfo", "encryption"}


def reply(status: int, body: bytes = b"", extra: str = "") -> bytes:
    """An answer with everything that clients look for."""
    return (
        b"HTTP/1.1 %d OK\r\nServer: bench\r\nDate: %b\r\nx-oss-request-id: 5C3D9175B6FC201293AD4890"
        b"\r\nContent-Length: %d\r\n%b\r\n%b"
        % (status, http_time(int(time.time())).encode(), len(body), extra.encode(), body)
    )


def _described(stored: Stored) -> str:
    return f'ETag: "{stored.etag}"\r\nx-oss-hash-crc64ecma: {stored.crc}\r\n'


def _missing(code: str) -> bytes:
    return reply(404, f"<Error><Code>{code}</Code><Message>absent</Message></Error>".encode())


def _stored(request: Request) -> Stored:
    body = request.body
    return Stored(body.size, body.crc, body.etag, time.time(), body.bytes)


def _put(request: Request) -> bytes:
    stored = _stored(request)
    request.bucket.put(request.key, stored)
    return reply(200, extra=_described(stored))


def _part(request: Request) -> bytes:
    upload = request.bucket.uploads.get(request.query["uploadId"])
    if upload is None:
        return _missing("NoSuchUpload")
    stored = _stored(request)
    upload.parts[int(request.query["partNumber"])] = stored
    return reply(200, extra=_described(stored))


def _get(request: Request) -> bytes:
    """GetObject and HeadObject."""
    stored = request.bucket.objects.get(request.key)
    head = request.method == b"HEAD"
    if stored is None or (stored.body is None and not head):
        return reply(404) if head else _missing("NoSuchKey")
    extra = (
        f"{_described(stored)}Last-Modified: {http_time(int(stored.time))}\r\n"
        "Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n"
        "x-oss-object-type: Normal\r\n"
    )
    if head:
        answer = reply(200, extra=extra)
        length = b"Content-Length: %d\r\n" % stored.size
        return answer.replace(b"Content-Length: 0\r\n", length, 1)
    body = stored.body or b""
    asked = _RANGE.match(request.field(b"\r\nrange:"))
    if asked is None:
        return reply(200, body, extra)
    first, last = int(asked[1]), min(int(asked[2] or stored.size), stored.size - 1)
    extra += f"Content-Range: bytes {first}-{last}/{stored.size}\r\n"
    return reply(206, body[first : last + 1], extra)


def _refuse(request: Request) -> bytes:
    return reply(501, b"<Error><Code>NotImplemented</Code></Error>")


def _delete(request: Request) -> bytes:
    request.bucket.remove(request.key)
    return reply(204)


def _initiate(request: Request) -> bytes:
    upload_id = request.bucket.begin(request.key)
    return reply(
        200,
        f"<InitiateMultipartUploadResult><Bucket>{request.bucket.name}</Bucket>"
        f"<Key>key</Key><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>".encode(),
    )


def _complete(request: Request) -> bytes:
    if request.query["uploadId"] not in request.bucket.uploads:
        return _missing("NoSuchUpload")
    stored = request.bucket.complete(request.query["uploadId"])
    body = (
        f"<CompleteMultipartUploadResult><Bucket>{request.bucket.name}</Bucket><Key>key</Key>"
        f'<ETag>"{stored.etag}"</ETag></CompleteMultipartUploadResult>'
    )
    return reply(200, body.encode(), _described(stored))


def _abort(request: Request) -> bytes:
    request.bucket.uploads.pop(request.query["uploadId"], None)
    return reply(204)


def _parts(request: Request) -> bytes:
    if request.query["uploadId"] not in request.bucket.uploads:
        return _missing("NoSuchUpload")
    return reply(200, parts_xml(request.bucket, request.query["uploadId"]))


def _list(request: Request) -> bytes:
    query = request.query
    after = query.get("marker") or query.get("start-after") or ""
    token = query.get("continuation-token")
    page = request.bucket.page(
        query.get("prefix", "").encode(),
        query.get("delimiter", "").encode(),
        bytes.fromhex(token) if token else after.encode(),
        int(query.get("max-keys") or 1000),
    )
    return reply(200, listing_xml(request.bucket, query, page), "Content-Type: application/xml\r\n")


def _other(request: Request) -> bytes:
    """Buckets: there, without properties. Several deletions at once are not spoken."""
    if request.method == b"GET" and "location" in request.query:
        return reply(200, b"<LocationConstraint></LocationConstraint>")
    return reply(200)


_ROUTES: dict[tuple[bytes, bool], tuple[str, Handler]] = {
    (b"PUT", False): ("put", _put),
    (b"PUT", True): ("part", _part),
    (b"GET", False): ("get", _get),
    (b"GET", True): ("parts", _parts),
    (b"HEAD", False): ("head", _get),
    (b"DELETE", False): ("delete", _delete),
    (b"DELETE", True): ("abort", _abort),
    (b"POST", False): ("initiate", _initiate),
    (b"POST", True): ("complete", _complete),
}


class Exchange(asyncio.Protocol):
    """One connection: requests one after another."""

    def __init__(self, service: Service, delay: float) -> None:
        self._service = service
        self._delay = delay
        self._transport: asyncio.Transport
        self._rest = b""
        self._request: Request | None = None
        self._left = 0  # bytes of the body that are still to come
        self._chunks: Chunks | None = None  # the body's transfer coding
        self._inner: Chunks | None = None  # what S3 clients put into the body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Get ready for the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._service.connections += 1

    def data_received(self, data: bytes) -> None:
        """Go on with the request that is open, or begin one."""
        if self._request is None:
            if self._rest:
                data = self._rest + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            self._rest = b""
            self._begin(data[: end + 2])
            data = data[end + 4 :]
        self._take(data)

    def _begin(self, head: bytes) -> None:
        request = Request(self._service, head)
        self._request = request
        lower = request.lower
        self._left = int(request.field(b"\r\ncontent-length:") or 0)
        chunked = b"\r\ntransfer-encoding: chunked" in lower
        self._chunks = Chunks() if chunked else None
        self._inner = Chunks() if b"aws-chunked" in lower else None
        posts = request.method == b"POST"
        oss = b"\r\nauthorization: oss" in lower
        request.body = Body(keeps=request.bucket.keeps and not posts, md5=not oss)
        if b"\r\nexpect: 100" in lower:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take(self, data: bytes) -> None:
        request = self._request
        assert request is not None
        if self._chunks:
            data, ended, rest = self._chunks.feed(data)
        else:
            size = len(data)
            data, rest = (
                (data, b"") if size <= self._left else (data[: self._left], data[self._left :])
            )
            self._left -= len(data)
            ended = not self._left
        if data:
            request.body.add(self._inner.feed(data).data if self._inner else data)
        if ended:
            self._request = None
            self._finish(request)
            if rest:
                self.data_received(rest)

    def _finish(self, request: Request) -> None:
        service = self._service
        if request.bucket.name == "_ctl":
            self._send(service.control(request))
        elif self._delay:
            later = partial(self._send_late, service.answer(request))
            asyncio.get_running_loop().call_later(self._delay, later)
        else:
            self._send(service.answer(request))
        if b"\r\nconnection: close" in request.lower:
            asyncio.get_running_loop().call_later(self._delay, self._transport.close)

    def _send(self, answer: bytes) -> None:
        self._transport.write(answer)

    def _send_late(self, answer: bytes) -> None:
        if not self._transport.is_closing():  # a client that was killed meanwhile
            self._transport.write(answer)


async def serve(port: int, delay_s: float, tls: ssl.SSLContext | None) -> None:
    """Serve until cancelled."""
    service = Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Exchange(service, delay_s), "127.0.0.1", port, ssl=tls, backlog=1024
    )
    async with server:
        await server.serve_forever()


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--delay-ms", default=0.0, help="Answer so much later; costs no CPU.")
@click.option("--tls", type=click.Path(path_type=Path), help="Directory for a CA made now.")
def main(port: int, delay_ms: float, tls: Path | None) -> None:
    """Run the server until it is ended."""
    gc.disable()  # hundreds of thousands of objects that never go, and no cycles that matter
    uvloop.run(serve(port, delay_ms / 1000, server_context(tls) if tls else None))


if __name__ == "__main__":
    main()
