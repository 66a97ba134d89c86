"""A server that speaks the REST protocol of UPYUN's storage, as its documentation describes it.

Signatures are verified: UPYUN OPERATOR:BASE64(HMAC-SHA1(MD5(PASSWORD), METHOD&URI&DATE[&MD5])), of
the request line as it came. It lists one directory at a time, by name, in pages.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests.servers.object_http import HttpServer

LAST_PAGE = "g2gCZAAEbmV4dGQAA2VvZg"
MAX_SKEW_S = 1800
_KEPT = ("content-type", "x-upyun-meta-")


class Stored(NamedTuple):
    """A file."""

    body: bytes
    seconds: int
    headers: dict[str, str]

    @property
    def md5(self) -> str:
        return hashlib.md5(self.body).hexdigest()


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 -- never changed


class Ask(NamedTuple):
    """A request."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case

    @property
    def is_list(self) -> bool:
        return "x-list-limit" in self.headers


class YoupaiServer:
    """One service of one operator. `faults` may answer in place of it, None leaves it alone."""

    def __init__(self, service: str = "photos", operator: str = "op", password: str = "pass word"):
        self.service, self.operator = service, operator
        self.password_md5 = hashlib.md5(password.encode()).hexdigest()
        self.files: dict[str, Stored] = {}
        self.folders: set[str] = {""}
        self.asks: list[Ask] = []
        self.faults: Callable[[Ask], Answer | None] = lambda ask: None
        self.largest_page = 10_000
        self.speaks_json = True
        self.is_cdn = False  # of the same files: without service, operator and signature
        self._lock = threading.Lock()
        self._server = HttpServer(("127.0.0.1", 0), _handler(self))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @contextmanager
    def running(self) -> Iterator["YoupaiServer"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join(60)
            self._server.server_close()

    def put(self, key: str, body: bytes, seconds: int = 1_600_000_000, **headers: str) -> None:
        """Write a file, and the directories above it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.files[key] = Stored(body, seconds, named)
        parts = key.split("/")[:-1]
        self.folders.update("/".join(parts[: n + 1]) + "/" for n in range(len(parts)))

    # -- a request ---------------------------------------------------------------------------------

    def answer(self, ask: Ask, body: bytes) -> Answer:
        """What the service says."""
        with self._lock:
            self.asks.append(ask)
        fault = self.faults(ask)
        if fault is not None:
            return fault
        path = unquote(ask.target.partition("?")[0]).removeprefix("/")
        if not self.is_cdn:
            refusal = self._refusal(ask)
            if refusal is not None:
                return refusal
            service, _, path = path.partition("/")
            if service != self.service:
                return _refused(401, 40100012, "user need permission")
        elif "authorization" in ask.headers:
            return Answer(400, b"a CDN has no business with signatures")
        return self._serve(ask, path, body)

    def _refusal(self, ask: Ask) -> Answer | None:
        """None if the signature is right."""
        date = ask.headers.get("date", "")
        try:
            skew = abs(parsedate_to_datetime(date).timestamp() - time.time())
        except ValueError:
            return _refused(401, 40100003, "need date header")
        if skew > MAX_SKEW_S:
            return _refused(401, 40100004, "date offset error")
        kind, _, rest = ask.headers.get("authorization", "").partition(" ")
        operator, _, signature = rest.rpartition(":")
        if kind.upper() != "UPYUN" or operator != self.operator:
            return _refused(401, 40100006, "user not exists")
        parts = [ask.method, ask.target, date]
        if ask.headers.get("content-md5"):
            parts.append(ask.headers["content-md5"])
        mac = hmac.new(self.password_md5.encode(), "&".join(parts).encode(), hashlib.sha1)
        if base64.b64encode(mac.digest()).decode() != signature:
            return _refused(401, 40100005, "sign error")
        return None

    def _serve(self, ask: Ask, path: str, body: bytes) -> Answer:
        if ask.method in {"PUT", "POST", "DELETE"}:
            return self._change(ask, path, body)
        if path in self.files:
            return self._file(ask, self.files[path])
        directory = f"{path.rstrip('/')}/".removeprefix("/")
        if directory not in self.folders:
            return _refused(404, 40400001, "file or directory not found")
        if ask.method == "HEAD":
            return Answer(200, b"", {"x-upyun-file-type": "folder"})
        return self._page(ask, directory)

    def _change(self, ask: Ask, path: str, body: bytes) -> Answer:
        if ask.method == "PUT":
            kept = {n: v for n, v in ask.headers.items() if n.startswith(_KEPT)}
            self.put(path, body, int(time.time()), **kept)
        elif ask.method == "POST":
            self.folders.add(f"{path.rstrip('/')}/")
        elif self.files.pop(path, None) is None:
            return _refused(404, 40400001, "file or directory not found")
        return Answer(200)

    def _file(self, ask: Ask, stored: Stored) -> Answer:
        headers = {
            "content-type": "application/octet-stream",
            "content-md5": stored.md5,
            "etag": f'"{stored.md5}"',
            "last-modified": formatdate(stored.seconds, usegmt=True),
            **stored.headers,
        }
        if ask.method == "HEAD":
            headers["x-upyun-file-type"] = "file"
            headers["x-upyun-file-size"] = str(len(stored.body))
            headers["x-upyun-file-date"] = str(stored.seconds)
            return Answer(200, b"", headers)
        wanted = ask.headers.get("range", "")
        if not wanted:
            return Answer(200, stored.body, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        end = min(int(last or len(stored.body)), len(stored.body) - 1)
        if int(first) > end:
            return Answer(416)
        headers["content-range"] = f"bytes {first}-{end}/{len(stored.body)}"
        return Answer(206, stored.body[int(first) : end + 1], headers)

    def _page(self, ask: Ask, directory: str) -> Answer:
        children = self.children(directory)
        marker = ask.headers.get("x-list-iter", "")
        behind = base64.urlsafe_b64decode(marker).decode() if marker else ""
        rest = [child for child in children if child["name"] > behind]
        if ask.headers.get("x-list-order", "asc") == "desc":
            rest.reverse()
        limit = min(int(ask.headers.get("x-list-limit", 100)), self.largest_page)
        page = rest[:limit]
        more = len(rest) > limit
        iter_ = base64.urlsafe_b64encode(page[-1]["name"].encode()).decode() if more else LAST_PAGE
        if "json" in ask.headers.get("accept", "") and self.speaks_json:
            text = json.dumps({"files": page, "iter": iter_}, ensure_ascii=False)
            return Answer(200, text.encode(), {"content-type": "application/json"})
        lines = (
            f"{c['name']}\t{'F' if c['type'] == 'folder' else 'N'}\t{c['length']}\t"
            f"{c['last_modified']}"
            for c in page
        )
        return Answer(200, "\n".join(lines).encode(), {"x-upyun-list-iter": iter_})

    def children(self, directory: str) -> list[dict[str, Any]]:
        """What is in a directory, by name."""
        found: dict[str, dict[str, Any]] = {}
        for folder in self.folders:
            name = folder.removeprefix(directory).rstrip("/")
            if folder.startswith(directory) and name and "/" not in name:
                found[name] = {"name": name, "type": "folder", "length": 0, "last_modified": 1}
        for key, stored in self.files.items():
            name = key.removeprefix(directory)
            if key.startswith(directory) and "/" not in name:
                found[name] = {
                    "name": name,
                    "type": "application/octet-stream",
                    "length": len(stored.body),
                    "last_modified": stored.seconds,
                }
        return [found[name] for name in sorted(found)]


def _refused(status: int, code: int, message: str) -> Answer:
    text = json.dumps({"code": code, "msg": message, "id": "0a1b2c"})
    return Answer(status, text.encode(), {"content-type": "application/json"})


def _handler(server: YoupaiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 60

        def handle_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = server.answer(Ask(self.command, self.path, headers), body)
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if "content-length" not in answer.headers:
                self.send_header("content-length", str(len(answer.body)))
            elif int(answer.headers["content-length"]) > len(answer.body):
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
