"""Kingsoft Cloud KS3 as far as a reader sees it, from the service's reference; signatures are
recomputed.

Written from the pages Request signature V2, GET Bucket, GET Object and Error Codes. The service's
own SDKs for Python and Go can use it.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from tests.servers.object_http import Answer, ObjectServer, Request, Stored, is_address

_HOST = re.compile(r"(?P<bucket>[a-z0-9.-]+)\.ks3-(?P<region>[a-z0-9-]+)\.ksyuncs\.com")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_SIGNED_QUERY = frozenset({"acl", "location", "uploads", "uploadId", "partNumber", "versionId"})
_STATUS = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "InvalidObjectState": 403,
    "InvalidRange": 416,
    "InvalidSecurityToken": 403,
    "NoSuchBucket": 404,
    "NotFound": 404,
    "PermanentRedirect": 301,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
}


class Refused(Exception):
    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message or code


class Ks3Server(ObjectServer):
    """One region, one account."""

    def __init__(
        self,
        access_key: str = "ks3-access",
        secret_key: str = "ks3-secret",
        token: str = "",
        region: str = "cn-beijing",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token
        self.region = region
        self.encoding = True  # honours encoding-type=url
        self.names_marker = True  # a truncated page has NextMarker
        self.has_crc64 = True
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except Refused as exc:
            headers = {"x-kss-request-id": "R-1"}
            if exc.code == "PermanentRedirect":
                headers["Location"] = exc.message
            if request.method == "HEAD":
                return Answer(_STATUS[exc.code], headers)
            body = (
                '<?xml version="1.0" encoding="UTF-8"?>\n<Error>'
                f"<Code>{exc.code}</Code><Message>{escape(exc.message)}</Message>"
                f"<Resource>{escape(request.path)}</Resource><RequestId>R-1</RequestId></Error>"
            ).encode()
            return Answer(_STATUS[exc.code], headers | {"Content-Type": "application/xml"}, body)

    def _answer(self, request: Request) -> Answer:
        bucket, key = self._place(request)
        self._verify(request, bucket, key)
        if bucket not in self.buckets:
            raise Refused("NoSuchBucket", "The specified bucket does not exist.")
        if not key and request.method == "GET":
            return self._list(bucket, request.params)
        if request.method == "PUT":
            stored = self.put(bucket, key, request.body, self.stored_from(request, "x-kss-meta-"))
            headers = {"ETag": f'"{stored.etag}"', "x-kss-checksum-crc64ecma": stored.crc64}
            return Answer(200, headers)
        if request.method == "DELETE":
            self.buckets[bucket].pop(key, None)
            return Answer(204, {})
        stored_now = self.buckets[bucket].get(key)
        if stored_now is None:
            raise Refused("NotFound", "The specified key does not exist.")
        return self._object(request, stored_now)

    def _object(self, request: Request, stored: Stored) -> Answer:
        headers = {"x-kss-request-id": "R-1"}
        if self.has_crc64:
            headers["x-kss-checksum-crc64ecma"] = stored.crc64
        if stored.archived and request.method == "GET":
            raise Refused("InvalidObjectState", "The object is archived")
        answer = self.serve(request, stored, headers)
        if isinstance(answer, Answer):
            return answer
        raise Refused({412: "PreconditionFailed", 416: "InvalidRange"}[answer])

    def _place(self, request: Request) -> tuple[str, str]:
        path = unquote_to_bytes(request.path).decode("utf-8", "surrogateescape")
        path = path.removeprefix("/")
        if is_address(request.hostname):
            bucket, _, key = path.partition("/")
            return bucket, key
        found = _HOST.fullmatch(request.hostname)
        if found is None:
            raise Refused("NoSuchBucket", "The specified bucket does not exist.")
        if found["region"] != self.region:
            host = f"{found['bucket']}.ks3-{self.region}.ksyuncs.com"
            raise Refused("PermanentRedirect", f"http://{host}/{path}")
        return found["bucket"], path

    # -- Request signature V2

    def _verify(self, request: Request, bucket: str, key: str) -> None:
        headers = request.headers
        # The SDK for Go writes AWS, and signs what a reader asks for by the same rule.
        said = re.fullmatch(r"(?:KSS|AWS) ([^:]+):(.+)", headers.get("authorization", ""))
        if said is None:
            raise Refused("AccessDenied", "Access Denied")
        if said[1] != self.access_key:
            raise Refused("InvalidAccessKeyId", "The Access Key Id does not exist.")
        if abs(parsedate_to_datetime(headers["date"]).timestamp() - self._clock()) > 15 * 60:
            raise Refused("RequestTimeTooSkewed", "The difference of times is too large.")
        if self.token and headers.get("x-kss-security-token") != self.token:
            raise Refused("InvalidSecurityToken", "The security token is not valid.")
        resource = f"/{bucket}/{_encode(key, b'/')}".replace("//", "/%2F")
        signed = sorted((n, v) for n, v in request.query if n in _SIGNED_QUERY)
        if signed:
            resource += "?" + "&".join(f"{n}={v}" if v else n for n, v in signed)
        lines = [
            request.method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            headers["date"],
            *(f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-kss-")),
            resource,
        ]
        to_sign = "\n".join(lines).encode()
        digest = hmac.new(self.secret_key.encode(), to_sign, hashlib.sha1).digest()
        if base64.b64encode(digest).decode() != said[2]:
            raise Refused("SignatureDoesNotMatch", f"we have signed {to_sign!r}")

    # -- GET Bucket

    def _list(self, bucket: str, params: dict[str, str]) -> Answer:
        prefix, marker = params.get("prefix", ""), params.get("marker", "")
        limit = min(int(params.get("max-keys") or "1000"), 1000)
        keys, more = self.page(bucket, prefix, marker, limit)
        url = self.encoding and params.get("encoding-type") == "url"

        def show(text: str) -> str:
            return _encode(text, b"") if url else escape(text)

        contents = [
            f"<Contents><Key>{show(key)}</Key>"
            f"<LastModified>{_time(stored.mtime)}</LastModified>"
            f"<ETag>&quot;{stored.etag}&quot;</ETag><Size>{len(stored.body)}</Size>"
            "<Owner><ID>1</ID><DisplayName>one</DisplayName></Owner>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys
            if (stored := self.buckets[bucket][key])
        ]
        body = "".join(
            [
                '<?xml version="1.0" encoding="UTF-8"?>\n'
                '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
                f"<Name>{bucket}</Name><Prefix>{show(prefix)}</Prefix>",
                f"<Marker>{show(marker)}</Marker><MaxKeys>{limit}</MaxKeys>",
                "<EncodingType>url</EncodingType>" if url else "",
                f"<NextMarker>{show(keys[-1])}</NextMarker>" if more and self.names_marker else "",
                f"<IsTruncated>{str(more).lower()}</IsTruncated>",
                *contents,
                "</ListBucketResult>",
            ]
        )
        return Answer(200, {"Content-Type": "application/xml"}, body.encode())


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _encode(text: str, also: bytes) -> str:
    """URL-encode all but letters, digits, -_.~ and what is in `also`."""
    return "".join(
        chr(byte) if byte in _UNRESERVED or byte in also else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
