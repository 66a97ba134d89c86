"""Qiniu Kodo as far as a reader sees it, from its reference; tokens are recomputed.

Written from the pages list, stat, Access token, Download token, qetag and the table of status
codes. The service's own Python SDK can use it. All its services and the domain of the bucket are at
one address.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from tests.servers.object_http import Answer, ObjectServer, Request, Stored

_MESSAGES = {
    400: "bad request",
    401: "bad token",
    403: "access denied",
    404: "Document not found",
    612: "no such file or directory",
    631: "no such bucket",
}


class Refused(Exception):
    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.message = message or _MESSAGES[status]


class QiniuServer(ObjectServer):
    """One region, one account, one bucket with a domain."""

    def __init__(
        self,
        access_key: str = "qiniu-access",
        secret_key: str = "qiniu-secret",
        bucket: str = "box",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.access_key = access_key
        self.secret_key = secret_key
        self.bucket = bucket
        self.buckets[bucket] = {}
        self.can_read = True
        self._clock = clock
        self._markers: dict[str, str] = {}

    @property
    def domain(self) -> str:
        """As srcDomain has it."""
        return f"http://127.0.0.1:{self.port}"

    def put(self, *args: Any, **more: Any) -> Stored:
        stored = super().put(*args, **more)
        stored.etag = hash_of(stored.body)
        return stored

    def answer(self, request: Request) -> Answer:
        try:
            answer = self._answer(request)
        except Refused as exc:
            answer = _json(exc.status, {"error": exc.message})
        return answer._replace(headers={**answer.headers, "X-Reqid": "the-request"})

    def _answer(self, request: Request) -> Answer:
        if request.path == "/v4/query":
            return self._query(request.params)
        if "authorization" in request.headers:
            self._authenticate(request)
            if request.path == "/list":
                return self._list(request.params)
            if request.path.startswith("/stat/"):
                return self._stat(request.path.removeprefix("/stat/"))
            raise Refused(400)
        return self._download(request)

    def _query(self, params: dict[str, str]) -> Answer:
        if params["bucket"] not in self.buckets:
            raise Refused(631)
        here = {"domains": [f"127.0.0.1:{self.port}"]}
        host = {"region": "z0", "ttl": 86400, "io": here, "rs": here, "rsf": here, "api": here}
        return _json(200, {"hosts": [host]})

    def _list(self, params: dict[str, str]) -> Answer:
        objects = self.buckets.get(params["bucket"])
        if objects is None:
            raise Refused(631)
        limit = int(params.get("limit", 1000))
        prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
        if not 1 <= limit <= 1000:
            raise Refused(400, "invalid limit")
        names: list[str] = []
        for key in sorted(objects, key=_bytes):
            if key.startswith(prefix):
                end = key.find(delimiter, len(prefix)) if delimiter else -1
                name = key[: end + 1] if end >= 0 else key
                if name not in names[-1:]:
                    names.append(name)
        if marker := params.get("marker", ""):
            if marker not in self._markers:
                raise Refused(400, "invalid marker")
            behind = self._markers[marker]
            names = [name for name in names if _bytes(name) >= _bytes(behind)]
        page, rest = names[:limit], names[limit:]
        folders = [
            name for name in page if delimiter and name.endswith(delimiter) and name != prefix
        ]
        items = [
            self._described(objects[name]) | {"key": name} for name in page if name not in folders
        ]
        said: dict[str, Any] = {"items": items or None}
        if rest:
            said["marker"] = base64.urlsafe_b64encode(hash_of(_bytes(rest[0])).encode()).decode()
            self._markers[said["marker"]] = rest[0]
        if folders:
            said["commonPrefixes"] = folders
        return _json(200, said)

    def _stat(self, entry: str) -> Answer:
        bucket, _, key = (
            base64.urlsafe_b64decode(entry).decode("utf-8", "surrogatepass").partition(":")
        )
        stored = self.buckets.get(bucket, {}).get(key)
        if stored is None:
            raise Refused(612 if bucket in self.buckets else 631)
        return _json(200, self._described(stored))

    def _described(self, stored: Stored) -> dict[str, Any]:
        return {
            "fsize": len(stored.body),
            "hash": stored.etag,
            "mimeType": stored.headers.get("content-type", "application/octet-stream"),
            "putTime": stored.mtime * 10**7 + 1234567,
            "type": 2 if stored.archived else 0,
            "status": 0,
        }

    def _download(self, request: Request) -> Answer:
        self._check_token(request)
        if not self.can_read:
            raise Refused(403)
        key = unquote(request.path, errors="surrogateescape")[1:]
        stored = self.buckets[self.bucket].get(key)
        if stored is None:
            raise Refused(404)
        if stored.archived:
            raise Refused(403, "the object is archived and must be restored")
        answer = self.serve(request, stored, {})
        if isinstance(answer, int):
            return Answer(answer, {})
        return answer

    # -- who asks ----------------------------------------------------------------------------------

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers["authorization"].partition(" ")
        if scheme != "Qiniu":
            raise Refused(401)
        target = request.path
        if request.raw_query:
            target += f"?{request.raw_query}"
        lines = [f"{request.method} {target}", f"Host: {request.host}"]
        content_type = request.headers.get("content-type", "")
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        own = sorted(name for name in request.headers if name.startswith("x-qiniu-"))
        lines += [f"{name.title()}: {request.headers[name]}" for name in own]
        text = "\n".join(lines) + "\n\n"
        if content_type not in {"", "application/octet-stream"}:
            text += request.body.decode()
        if given != f"{self.access_key}:{self._sign(text)}":
            raise Refused(401)
        if date := request.headers.get("x-qiniu-date"):
            stamp = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
            if abs(stamp - self._clock()) > 15 * 60:
                raise Refused(403, "request time is too skewed")

    def _check_token(self, request: Request) -> None:
        query, _, token = request.raw_query.partition("&token=")
        url = f"http://{request.host}{request.path}?{query}"
        if token != f"{self.access_key}:{self._sign(url)}":
            raise Refused(401, "download token auth failed")
        if int(query.rpartition("e=")[2]) < self._clock():
            raise Refused(401, "expired token")

    def _sign(self, text: str) -> str:
        digest = hmac.digest(self.secret_key.encode(), text.encode(), "sha1")
        return base64.urlsafe_b64encode(digest).decode()


def hash_of(body: bytes) -> str:
    """The service's name for these contents."""
    blocks = [
        body[start : start + 4 * 1024 * 1024] for start in range(0, len(body), 4 * 1024 * 1024)
    ]
    hashes = [hashlib.sha1(block).digest() for block in blocks or [b""]]
    if len(hashes) == 1:
        return base64.urlsafe_b64encode(b"\x16" + hashes[0]).decode()
    return base64.urlsafe_b64encode(b"\x96" + hashlib.sha1(b"".join(hashes)).digest()).decode()


def _json(status: int, said: object) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(said).encode())


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")
