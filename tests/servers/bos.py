"""Baidu BOS as far as a reader sees it, from the service's reference; signatures are recomputed.

Written from the pages Generate an authentication string, ListObjects, GetObject, GetObjectMeta and
Error codes. The service's own Python SDK can use it.
"""

import base64
import hashlib
import hmac
import json
import time
from calendar import timegm
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from tests.servers.object_http import Answer, ObjectServer, Request, Stored, is_address

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_SKEW = 900  # seconds
_ALWAYS_SIGNED = {"host", "content-length", "content-type", "content-md5"}
_STATUS = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "InvalidHTTPAuthHeader": 400,
    "InvalidObjectState": 403,
    "InvalidRange": 416,
    "InvalidSessionToken": 403,
    "MissingDateHeader": 400,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "PreconditionFailed": 412,
    "RequestExpired": 400,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
}


class Refused(Exception):
    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message or code


class BosServer(ObjectServer):
    """One region, one account."""

    def __init__(
        self,
        access_key: str = "bos-id",
        secret_key: str = "bos-secret",
        token: str = "",
        region: str = "bj",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token
        self.states_md5 = True  # in Content-MD5
        self.states_crc64 = False
        self._domain = f".{region}.bcebos.com"
        self._clock = clock

    def etag_of_parts(self, md5: str, parts: int) -> str:
        return f"-{md5}"

    def answer(self, request: Request) -> Answer:
        common = {"x-bce-request-id": "R-1", "server": "BceBos"}
        if request.headers.get("user-agent", "").startswith("bce-sdk-python"):
            common["connection"] = "close"  # it opens one for each request and forgets it
        try:
            status, headers, body = self._answer(request)
        except Refused as exc:
            fields = {"code": exc.code, "message": exc.message, "requestId": "R-1"}
            body = json.dumps(fields).encode() if request.method != "HEAD" else b""
            headers = {"content-type": "application/json; charset=utf-8"}
            status = _STATUS[exc.code]
        return Answer(status, {**headers, **common}, body)

    def _answer(self, request: Request) -> Answer:
        path = unquote_to_bytes(request.path).decode("utf-8", "surrogateescape")
        self._verify(request, path)
        bucket, key = self._place(request, path)
        if bucket not in self.buckets:
            raise Refused("NoSuchBucket", "The specified bucket does not exist.")
        if not key and request.method == "GET":
            return self._list(bucket, request.params)
        if request.method == "PUT":
            stored = self.put(bucket, key, request.body, self.stored_from(request, "x-bce-meta-"))
            return Answer(200, {"etag": f'"{stored.etag}"'})
        stored_now = self.buckets[bucket].get(key)
        if stored_now is None:
            raise Refused("NoSuchKey", "The specified key does not exist.")
        return self._object(request, stored_now)

    def _object(self, request: Request, stored: Stored) -> Answer:
        headers = {"x-bce-storage-class": "ARCHIVE" if stored.archived else "STANDARD"}
        headers["x-bce-content-crc32"] = "1"
        if self.states_crc64:
            headers["x-bce-content-crc64ecma"] = stored.crc64
        if self.states_md5 and not stored.parts:
            md5 = hashlib.md5(stored.body).digest()
            headers["content-md5"] = base64.b64encode(md5).decode()
        if stored.archived and request.method == "GET":
            raise Refused("InvalidObjectState", "The object is archived.")
        answer = self.serve(request, stored, headers)
        if isinstance(answer, Answer):
            return answer
        raise Refused({412: "PreconditionFailed", 416: "InvalidRange"}[answer])

    def _place(self, request: Request, path: str) -> tuple[str, str]:
        if is_address(request.hostname):
            bucket, _, key = path.removeprefix("/").partition("/")
            return bucket, key
        if not request.hostname.endswith(self._domain):
            raise Refused("NoSuchBucket", "The specified bucket does not exist.")
        return request.hostname.removesuffix(self._domain), path.removeprefix("/")

    # -- Generate an authentication string

    def _verify(self, request: Request, path: str) -> None:
        fields = request.headers.get("authorization", "").split("/")
        if not fields[0]:
            raise Refused("AccessDenied", "Access Denied.")
        if len(fields) != 6 or fields[0] != "bce-auth-v1":
            raise Refused("InvalidHTTPAuthHeader")
        _, access_key, stamp, lifetime, listed, signature = fields
        if access_key != self.access_key:
            raise Refused("InvalidAccessKeyId", "The Access Key ID does not exist.")
        if "x-bce-date" not in request.headers and "date" not in request.headers:
            raise Refused("MissingDateHeader")
        date = _seconds(request.headers.get("x-bce-date", stamp))
        if abs(date - self._clock()) > _SKEW or _seconds(stamp) - self._clock() > _SKEW:
            raise Refused("RequestTimeTooSkewed", "The difference of times is too large.")
        if self._clock() > _seconds(stamp) + int(lifetime):
            raise Refused("RequestExpired", f"Request has expired. Timestamp date is {stamp}.")
        if self.token and request.headers.get("x-bce-security-token") != self.token:
            raise Refused("InvalidSessionToken", "The session token is not valid.")

        names = set(listed.split(";")) if listed else _ALWAYS_SIGNED
        if "host" not in names:
            raise Refused("SignatureDoesNotMatch", "Host must be signed.")
        headers = request.headers | {"host": request.host}
        lines = sorted(
            f"{_encode(name)}:{_encode(value.strip())}"
            for name, value in headers.items()
            if (name in names or (not listed and name.startswith("x-bce-"))) and value.strip()
        )
        query = sorted(
            f"{_encode(name)}={_encode(value)}"
            for name, value in request.query
            if name.lower() != "authorization"
        )
        canonical_uri = "/".join(map(_encode, path.split("/")))
        canonical = "\n".join([request.method, canonical_uri, "&".join(query), "\n".join(lines)])
        head = f"bce-auth-v1/{access_key}/{stamp}/{lifetime}"
        key = hmac.new(self.secret_key.encode(), head.encode(), hashlib.sha256).hexdigest()
        right = hmac.new(key.encode(), canonical.encode(), hashlib.sha256).hexdigest()
        if right != signature:
            raise Refused("SignatureDoesNotMatch", f"we have signed {canonical!r}")

    # -- ListObjects

    def _list(self, bucket: str, params: dict[str, str]) -> Answer:
        prefix, marker = params.get("prefix", ""), params.get("marker", "")
        limit = min(int(params.get("maxKeys", "1000")), 1000)
        keys, more = self.page(bucket, prefix, marker, limit)
        contents = [
            {
                "key": key,
                "lastModified": datetime.fromtimestamp(stored.mtime, UTC).strftime(_STAMP),
                "eTag": stored.etag,
                "size": len(stored.body),
                "storageClass": "ARCHIVE" if stored.archived else "STANDARD",
                "owner": {"id": "1", "displayName": "me"},
            }
            for key in keys
            for stored in [self.buckets[bucket][key]]
        ]
        page = {
            "name": bucket,
            "prefix": prefix,
            "delimiter": "",
            "marker": marker,
            "maxKeys": limit,
            "isTruncated": more,
            "contents": contents,
        }
        if more:
            page["nextMarker"] = keys[-1]
        body = json.dumps(page, ensure_ascii=False).encode()
        return Answer(200, {"content-type": "application/json; charset=utf-8"}, body)


def _seconds(stamp: str) -> int:
    try:
        return timegm(time.strptime(stamp, _STAMP))
    except ValueError:
        raise Refused("InvalidHTTPAuthHeader") from None


def _encode(text: str) -> str:
    """UriEncode: all but letters, digits and -_.~"""
    return "".join(
        chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
