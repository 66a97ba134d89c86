"""One request and its answer on a Tornado connection.

This is Tornado's HTTP server below its web framework: a handler object with its routing, cookies
and templates costs more than the whole write of a small object.
"""

import asyncio
import base64
import contextlib
import itertools
import logging
import re
import secrets
import sqlite3
import time
from collections.abc import Iterable
from functools import lru_cache
from http.client import responses

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPOutputError,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError

from ossimport.sandbox import xml
from ossimport.sandbox.auth import Gate
from ossimport.sandbox.call import Anonymous, Call, Operation, Takes
from ossimport.sandbox.files import SMALL, Content, Incoming
from ossimport.sandbox.refusal import Refusal
from ossimport.sandbox.request import Answer, Request, check_names, read_request, whole
from ossimport.sandbox.routes import find_operation, makes_bucket
from ossimport.sandbox.store import Store
from ossimport.sandbox.traits import http_time
from ossimport.sandbox.uploads import Uploads

_MAX_BODY = 5 << 30  # bytes of a PUT, a part or an append
_MAX_TEXT = 8 << 20  # bytes of an XML body; 10,000 parts make about 1 MB
_SEND_CHUNK = 256 << 10
_BODILESS = frozenset({204, 304})
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f]")  # what XML cannot hold

_log = logging.getLogger(__name__)
_request_prefix = secrets.token_hex(8).upper()
_request_numbers = itertools.count(1)


class Sandbox(HTTPServerConnectionDelegate):
    """What all connections share."""

    def __init__(self, store: Store, gate: Gate, region: str) -> None:
        self.store = store
        self.uploads = Uploads(store)
        self.gate = gate
        self.region = region
        self.busy: set[Exchange] = set()  # requests that have come and are not answered
        self.senders: set[asyncio.Task[None]] = set()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> "Exchange":
        """Called by Tornado for each request."""
        return Exchange(self, request_conn)


class Exchange(HTTPMessageDelegate):
    """One request. Tornado calls the four methods of HTTPMessageDelegate."""

    def __init__(self, sandbox: Sandbox, connection: HTTPConnection) -> None:
        self._sandbox = sandbox
        self._connection = connection
        self._started = 0.0
        self._method = ""
        self._host = ""
        self._request_id = ""
        self._operation: Operation | None = None
        self._call: Call | None = None
        self._text: list[bytes] = []
        self._received = 0
        self._refusal: Refusal | None = None
        self._answered = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        """Verify the signature and what else can be refused before the body."""
        if not isinstance(start_line, RequestStartLine):
            raise TypeError("a server reads requests")
        self._sandbox.busy.add(self)
        self._started = time.time()
        self._method = start_line.method
        self._host = headers.get("Host", "")
        self._request_id = f"{_request_prefix}{next(_request_numbers):08X}"
        length = whole(headers.get("Content-Length", ""))
        try:
            self._begin(read_request(start_line, headers), length)
        except (Refusal, OSError, sqlite3.Error) as exc:
            self._refusal = self._as_refusal(exc)
            # The body of a refused request is read to its end: many clients look for the answer
            # only when they have sent everything, and find the connection broken if it is closed.
            if "Expect" in headers or (length or 0) > _MAX_BODY:
                self._answer_refusal(self._refusal)

    def _begin(self, request: Request, length: int | None) -> None:
        sandbox = self._sandbox
        owner = sandbox.gate.admit(request, self._started)
        check_names(request)
        operation = find_operation(request)
        call = Call(sandbox.store, sandbox.uploads, request, sandbox.region, self._started)
        if request.bucket and not makes_bucket(operation):
            sandbox.store.bucket(request.bucket)
        if not owner:
            _check_anonymous(call, operation)
        if operation.takes is not Takes.TEXT:
            if length is None and "transfer-encoding" not in request.headers:
                raise Refusal("MissingContentLength")
            small = SMALL if operation.takes is Takes.OBJECT else 0
            call.incoming = Incoming(sandbox.store.files, small=small)
        if (length or 0) > _limit(operation):
            raise _too_large(operation)
        if operation.check:
            operation.check(call)
        self._operation, self._call = operation, call

    def data_received(self, chunk: bytes) -> None:
        """Take some of the body."""
        if self._refusal or not self._call or not self._operation:
            return
        self._received += len(chunk)
        try:
            if self._received > _limit(self._operation):
                self._answer_refusal(_too_large(self._operation))
            elif self._call.incoming:
                self._call.incoming.write(chunk)
            else:
                self._text.append(chunk)
        except OSError as exc:
            self._refusal = self._as_refusal(exc)

    def finish(self) -> None:
        """Carry out the request and answer it."""
        if self._answered:
            return
        if self._refusal or not self._call or not self._operation:
            self._answer_refusal(self._refusal or Refusal("InternalError"))
            return
        self._call.body = b"".join(self._text)
        try:
            answer = self._operation.run(self._call)
        except (Refusal, OSError, sqlite3.Error) as exc:
            self._answer_refusal(self._as_refusal(exc))
            return
        if self._call.incoming:
            self._call.incoming.keep()
        self._send(answer)

    def on_connection_close(self) -> None:
        """The client went away in the middle of its request."""
        self._discard()
        self._sandbox.busy.discard(self)

    def _discard(self) -> None:
        if self._call and self._call.incoming:
            self._call.incoming.discard()

    def _as_refusal(self, exc: Refusal | OSError | sqlite3.Error) -> Refusal:
        """A full or broken disk is the endpoint's own fault: the client may try again."""
        if isinstance(exc, Refusal):
            return exc
        _log.warning(
            "request %s failed inside the sandbox: %s. "
            "See that its disk has room and can be written, or choose another with --dir.",
            self._request_id,
            exc,
        )
        return Refusal("InternalError", details={"Reason": str(exc)})

    def _answer_refusal(self, refusal: Refusal) -> None:
        self._discard()
        body = xml.document(
            "Error",
            xml.tag("Code", refusal.code),
            xml.tag("Message", refusal.message),
            xml.tag("RequestId", self._request_id),
            xml.tag("HostId", self._host),
            *(xml.tag(n, _UNPRINTABLE.sub("\ufffd", v)) for n, v in refusal.details.items()),
        )
        headers = dict(refusal.headers)
        if refusal.status in _BODILESS:
            body = b""
        elif self._method == "HEAD":
            headers["x-oss-err"] = base64.b64encode(body).decode()
            body = b""
        self._send(Answer(refusal.status, headers, body))

    def _send(self, answer: Answer) -> None:
        self._answered = True
        if answer.content is None:
            self._write_head(answer, len(answer.body), answer.body)
            self._end()
            return
        content = answer.content
        if content.size > _SEND_CHUNK:
            task = asyncio.get_running_loop().create_task(self._stream(answer, content))
            self._sandbox.senders.add(task)
            task.add_done_callback(self._sandbox.senders.discard)
            return
        try:
            body = b"".join(content.chunks(_SEND_CHUNK))
        except OSError as exc:
            self._answer_refusal(self._as_refusal(exc))
            return
        finally:
            content.close()
        self._write_head(answer, len(body), body)
        self._end()

    async def _stream(self, answer: Answer, content: Content) -> None:
        """Send a large object as fast as the client takes it."""
        try:
            self._write_head(answer, content.size, b"")
            for chunk in content.chunks(_SEND_CHUNK):
                await self._connection.write(chunk)
            self._end()
        except StreamClosedError:
            _log.debug("the client of request %s went away", self._request_id)
        except OSError as exc:  # too late for an error: what is missing must show as missing
            self._as_refusal(exc)
            with contextlib.suppress(HTTPOutputError):
                self._connection.finish()
        finally:
            self._sandbox.busy.discard(self)
            content.close()

    def _write_head(self, answer: Answer, length: int, body: bytes) -> None:
        headers = _Headers()
        headers["Server"] = "AliyunOSS (ossimport sandbox)"
        headers["Date"] = http_time(int(time.time()))
        headers["x-oss-request-id"] = self._request_id
        headers["x-oss-server-time"] = str(int((time.time() - self._started) * 1000))
        for name, value in answer.headers.items():
            headers[name] = value
        if body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/xml"
        if answer.status not in _BODILESS and self._method != "HEAD":
            headers["Content-Length"] = str(length)
        start_line = ResponseStartLine("HTTP/1.1", answer.status, responses[answer.status])
        self._connection.write_headers(start_line, headers, body)

    def _end(self) -> None:
        self._connection.finish()
        self._sandbox.busy.discard(self)


class _Headers(HTTPHeaders):
    """Headers that go out with the names that OSS writes: `x-oss-meta-a`, not `X-Oss-Meta-A`."""

    def get_all(self) -> Iterable[tuple[str, str]]:
        for name, value in super().get_all():
            yield _wire_name(name), value


@lru_cache(maxsize=1024)
def _wire_name(name: str) -> str:
    return {"Etag": "ETag"}.get(name) or (name.lower() if name.startswith("X-") else name)


def _limit(operation: Operation) -> int:
    return _MAX_TEXT if operation.takes is Takes.TEXT else _MAX_BODY


def _too_large(operation: Operation) -> Refusal:
    return Refusal("EntityTooLarge", details={"MaxSizeAllowed": str(_limit(operation))})


def _check_anonymous(call: Call, operation: Operation) -> None:
    """Refuse a request without a signature unless an access control list lets it in."""
    request, acl = call.request, ""
    if request.bucket and operation.anonymous is not Anonymous.NOBODY:
        acl = call.store.bucket(request.bucket).acl
        entry = call.store.find(request.bucket, request.key) if request.key else None
        if entry and entry.traits.acl != "default":
            acl = entry.traits.acl
    if acl not in operation.anonymous.value:
        raise Refusal("AccessDenied")
