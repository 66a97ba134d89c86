"""What the protocol servers of the tests have in common: objects in memory, and HTTP around them.

A server that is made of it adds what is its service's own: addresses, signatures, listings, errors.
"""

import hashlib
import re
import threading
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import unquote
from xml.sax.saxutils import escape

import crcmod

_RANGE = re.compile(r"bytes=(\d+)-(\d+)?")
_CARRIED = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
_crc64 = crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF, rev=True)


class Request(NamedTuple):
    """One request, as it came."""

    method: str
    host: str  # of the Host header or of an absolute target; with the port
    path: str  # not decoded
    query: list[tuple[str, str]]  # decoded
    headers: dict[str, str]  # names in lower case
    body: bytes
    raw_query: str = ""  # as it came

    @property
    def params(self) -> dict[str, str]:
        return dict(self.query)

    @property
    def hostname(self) -> str:
        return self.host.partition(":")[0]


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Stored:
    """An object."""

    body: bytes
    mtime: int  # seconds since 1970
    etag: str
    headers: dict[str, str] = field(default_factory=dict)  # that come with it
    parts: bool = False  # sent in several
    archived: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    def tag_set(self) -> str:
        """The tags in XML."""
        tags = "".join(
            f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>"
            for name, value in self.tags.items()
        )
        return f"<TagSet>{tags}</TagSet>"

    @property
    def crc64(self) -> str:
        crc = _crc64.new()
        crc.update(self.body)
        return str(crc.crcValue)


class HttpServer(ThreadingHTTPServer):
    """Takes as many connections at once as workers make; by default five may wait."""

    daemon_threads = True
    request_queue_size = 1000


class ObjectServer(ABC):
    """Listens on 127.0.0.1 while it is entered. `buckets` may be changed at any time."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Stored]] = {}
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def answer(self) -> None:
                request = self._request()
                with server._lock:
                    server.requests.append(request)
                    status, headers, body = server.answer(request)
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if request.method != "HEAD":
                    self.send_header("Content-Length", str(len(body)))
                elif "content-length" not in headers:
                    self.send_header("Content-Length", "0")
                self.end_headers()
                if request.method != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

            def _request(self) -> Request:
                target = self.requestline.split(" ")[1]
                host = self.headers["Host"]
                if target.startswith("http://"):
                    host, _, target = target.removeprefix("http://").partition("/")
                    target = f"/{target}"
                path, _, query = target.partition("?")
                pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
                size = int(self.headers["Content-Length"] or 0)
                return Request(
                    self.command,
                    host,
                    path,
                    [(_decoded(name), _decoded(value)) for name, value in pairs],
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(size),
                    query,
                )

            def log_message(self, *args: Any) -> None:
                pass

        self._http = HttpServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Say what the service would."""

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        mtime: int | None = None,
        parts: int = 0,
    ) -> Stored:
        """Store an object; in `parts`, if not 0, as far as its ETag is concerned."""
        md5 = hashlib.md5(body).hexdigest()
        etag = self.etag_of_parts(md5, parts) if parts else md5
        time_s = int(time.time()) if mtime is None else mtime
        stored = Stored(body, time_s, etag, dict(headers or {}), bool(parts))
        self.buckets.setdefault(bucket, {})[key] = stored
        return stored

    def etag_of_parts(self, md5: str, parts: int) -> str:
        return f"{md5}-{parts}"

    def page(self, bucket: str, prefix: str, marker: str, limit: int) -> tuple[list[str], bool]:
        """The first keys behind the marker, and if there are more."""
        keys = sorted(self.buckets[bucket], key=_bytes)
        keys = keys[bisect_right(keys, _bytes(marker), key=_bytes) if marker else 0 :]
        keys = [key for key in keys if key.startswith(prefix)]
        return keys[:limit], len(keys) > limit

    def stored_from(self, request: Request, meta_prefix: str) -> dict[str, str]:
        """Of a PUT's headers, those that are kept."""
        return {
            name: value
            for name, value in request.headers.items()
            if name in _CARRIED or name.startswith(meta_prefix)
        }

    def serve(self, request: Request, stored: Stored, headers: Mapping[str, str]) -> Answer | int:
        """The answer to a GET or HEAD; 412 or 416 if it is refused."""
        if_match = request.headers.get("if-match")
        if if_match is not None and if_match.strip('"') not in {stored.etag, "*"}:
            return 412
        all_headers = {
            "content-type": "application/octet-stream",
            "etag": f'"{stored.etag}"',
            "last-modified": formatdate(stored.mtime, usegmt=True),
            "accept-ranges": "bytes",
            **headers,
            **stored.headers,
        }
        size = len(stored.body)
        if request.method == "HEAD":
            return Answer(200, {**all_headers, "content-length": str(size)})
        wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        if wanted is None:
            return Answer(200, all_headers, stored.body)
        first, last = int(wanted[1]), min(int(wanted[2] or size), size - 1)
        if first > last:
            return 416
        all_headers["content-range"] = f"bytes {first}-{last}/{size}"
        return Answer(206, all_headers, stored.body[first : last + 1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join(60)
        self._http.server_close()


def _decoded(text: str) -> str:
    """Of a query, where + is a blank."""
    return unquote(text.replace("+", " "), errors="surrogateescape")


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def is_address(hostname: str) -> bool:
    """A host without a bucket's name in it: the path begins with the bucket."""
    return hostname == "localhost" or hostname.replace(".", "").isdigit()
