"""What a request asks for: bucket, key, parameters and headers, however it is addressed."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from tornado.httputil import HTTPHeaders, RequestStartLine

from ossimport.sandbox.files import Content
from ossimport.sandbox.refusal import Refusal, invalid_argument

_MAX_KEY = 1023  # bytes
_MAX_DIGITS = 18
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_SERVICE_HOST = re.compile(r"(s3\.)?oss-[a-z0-9-]+\.aliyuncs\.com")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, before its body. Header names are in lower case, their values latin-1."""

    method: str
    bucket: str  # "" for the service itself
    key: bytes  # b"" for the bucket itself
    params: Mapping[str, str]
    headers: Mapping[str, str]
    endpoint: str  # host and port without the bucket

    def header(self, name: str, default: str = "") -> str:
        """The value of a header; `name` in lower case."""
        return self.headers.get(name, default)


@dataclass(slots=True)
class Answer:
    """What goes back. `content` is sent in place of `body` when an object's bytes are asked for."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: Content | None = None


def read_request(start_line: RequestStartLine, headers: HTTPHeaders) -> Request:
    """Make a Request of what came over the wire.

    On an IP address, a name without a dot (`localhost`) and the service's own host names the bucket
    is the first part of the path; on any other host it is the first label. The path is decoded
    once: `/` may come as `%2F`. A target in absolute form (as sent to a proxy) counts for more
    than the Host header.
    """
    lowered = {name.lower(): headers[name] for name in headers}
    target, host = start_line.path, lowered.get("host", "")
    if not target.startswith("/"):
        target, host = _absolute(target)
    raw_path, _, query = target.partition("?")
    path = unquote_to_bytes(raw_path.encode("latin-1"))[1:]
    bucket = _bucket_of_host(host)
    if bucket:
        key, endpoint = path, host[len(bucket) + 1 :]
    else:
        name, _, key = path.partition(b"/")
        bucket, endpoint = name.decode("utf-8", "replace"), host
    try:
        params = dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError as exc:
        raise invalid_argument("Query parameters must be UTF-8.") from exc
    return Request(start_line.method, bucket, key, params, lowered, endpoint)


def _absolute(target: str) -> tuple[str, str]:
    """Split `http://host/path?query` into target and host."""
    try:
        parts = urlsplit(target)
    except ValueError as exc:
        raise Refusal("BadRequest") from exc
    return f"{parts.path or '/'}?{parts.query}", parts.netloc


def whole(text: str) -> int | None:
    """The number that a header or parameter holds; None if it is no number of at most 18 digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None


def check_names(request: Request) -> None:
    """Refuse names that OSS does not allow."""
    if request.bucket:
        check_bucket(request.bucket)
    if request.key:
        check_key(request.key)


def check_bucket(name: str) -> None:
    """Refuse a bucket name that OSS does not allow."""
    if not _BUCKET.fullmatch(name):
        raise Refusal("InvalidBucketName", details={"BucketName": name})


def check_key(key: bytes) -> None:
    """Refuse a key that is not UTF-8, too long, or begins with a slash or a backslash."""
    try:
        key.decode()
    except UnicodeDecodeError:
        legal = False
    else:
        legal = 0 < len(key) <= _MAX_KEY and key[:1] not in {b"/", b"\\"}
    if not legal:
        raise Refusal("InvalidObjectName", details={"ObjectName": key.decode("utf-8", "replace")})


@lru_cache(maxsize=256)
def _bucket_of_host(host: str) -> str:
    """The bucket that the host name says, "" when the path says it."""
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
    if "." not in name or _SERVICE_HOST.fullmatch(name):
        return ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.partition(".")[0]
    return ""
