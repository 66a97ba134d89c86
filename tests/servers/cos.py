"""Tencent COS as far as a reader sees it, from the service's reference; signatures are recomputed.

Written from the pages Request Signature, GET Bucket, GET Object, HEAD Object and Error Codes. The
service's own Python SDK can use it (SDK quirk: it signs the host without the port).
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from tests.servers.object_http import Answer, ObjectServer, Request, Stored, is_address

_HOST = re.compile(r"(?P<bucket>[a-z0-9-]+-[0-9]+)\.cos\.(?P<region>[a-z0-9-]+)\.myqcloud\.com")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_STATUS = {
    "AccessDenied": 403,
    "ExpiredToken": 400,
    "InvalidAccessKeyId": 403,
    "InvalidObjectState": 403,
    "InvalidRange": 416,
    "MethodNotAllowed": 405,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
}


class Refused(Exception):
    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message or code


class CosServer(ObjectServer):
    """One region, one account."""

    def __init__(
        self,
        secret_id: str = "cos-id",
        secret_key: str = "cos-secret",
        token: str = "",
        region: str = "ap-shanghai",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.secret_id = secret_id
        self.secret_key = secret_key
        self.token = token
        self.region = region
        self.encoding = True  # honours encoding-type=url
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except Refused as exc:
            if request.method == "HEAD":
                return Answer(_STATUS[exc.code], {"x-cos-request-id": "R-1"})
            body = (
                "<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n"
                f"\t<Code>{exc.code}</Code>\n\t<Message>{escape(exc.message)}</Message>\n"
                f"\t<Resource>{escape(request.hostname)}</Resource>\n"
                "\t<RequestId>R-1</RequestId>\n\t<TraceId>T-1</TraceId>\n</Error>\n"
            ).encode()
            headers = {"Content-Type": "application/xml", "x-cos-request-id": "R-1"}
            return Answer(_STATUS[exc.code], headers, body)

    def _answer(self, request: Request) -> Answer:
        path = unquote_to_bytes(request.path).decode("utf-8", "surrogateescape")
        self._verify(request, path)
        bucket, key = self._place(request, path)
        if bucket not in self.buckets:
            raise Refused("NoSuchBucket", "The specified bucket does not exist.")
        if not key and request.method == "GET":
            return self._list(bucket, request.params)
        if request.method == "PUT":
            stored = self.put(bucket, key, request.body, self.stored_from(request, "x-cos-meta-"))
            return Answer(200, {"ETag": f'"{stored.etag}"', "x-cos-hash-crc64ecma": stored.crc64})
        if request.method == "DELETE":
            self.buckets[bucket].pop(key, None)
            return Answer(204, {})
        stored_now = self.buckets[bucket].get(key)
        if stored_now is None:
            raise Refused("NoSuchKey", "The specified key does not exist.")
        if "tagging" in request.params:
            return Answer(200, {}, f"<Tagging>{stored_now.tag_set()}</Tagging>".encode())
        return self._object(request, stored_now)

    def _object(self, request: Request, stored: Stored) -> Answer:
        headers = {"x-cos-hash-crc64ecma": stored.crc64, "x-cos-request-id": "R-1"}
        if stored.archived:
            headers["x-cos-storage-class"] = "ARCHIVE"
            if request.method == "GET":
                raise Refused("InvalidObjectState", "The operation is not valid for the object")
        answer = self.serve(request, stored, headers)
        if isinstance(answer, Answer):
            return answer
        raise Refused({412: "PreconditionFailed", 416: "InvalidRange"}[answer])

    def _place(self, request: Request, path: str) -> tuple[str, str]:
        if is_address(request.hostname):
            bucket, _, key = path.removeprefix("/").partition("/")
            return bucket, key
        found = _HOST.fullmatch(request.hostname)
        if found is None or found["region"] != self.region:
            raise Refused("NoSuchBucket", "The specified bucket does not exist.")
        return found["bucket"], path.removeprefix("/")

    # -- Request Signature

    def _verify(self, request: Request, path: str) -> None:
        fields = dict(
            part.partition("=")[::2] for part in request.headers.get("authorization", "").split("&")
        )
        if fields.get("q-sign-algorithm") != "sha1":
            raise Refused("AccessDenied", "Access Denied.")
        if fields["q-ak"] != self.secret_id:
            raise Refused("InvalidAccessKeyId", "The Access Key Id you provided does not exist")
        begin, end = map(int, fields["q-sign-time"].split(";"))
        if begin > self._clock():
            raise Refused("RequestTimeTooSkewed", "The difference of times is too large.")
        if self._clock() > end:
            raise Refused("AccessDenied", "Request has expired")
        if self.token and request.headers.get("x-cos-security-token") != self.token:
            raise Refused("ExpiredToken", "The provided token has expired.")

        names = fields["q-header-list"].split(";") if fields["q-header-list"] else []
        headers = {_encode(name).lower(): value for name, value in request.headers.items()}
        headers["host"] = request.hostname
        must = {"host"} | {name for name in headers if name.startswith("x-cos-")}
        if names != sorted(names) or not must <= {*names}:
            raise Refused("SignatureDoesNotMatch", "not all of the headers are signed")
        keys = fields["q-url-param-list"].split(";") if fields["q-url-param-list"] else []
        params = {_encode(name).lower(): value for name, value in request.query}
        if keys != sorted(params):
            raise Refused("SignatureDoesNotMatch", "not all of the parameters are signed")
        http_string = "\n".join(
            [
                request.method.lower(),
                path,
                "&".join(f"{key}={_encode(params[key])}" for key in keys),
                "&".join(f"{name}={_encode(headers[name])}" for name in names),
                "",
            ]
        ).encode("utf-8", "surrogateescape")
        key_time, sign_time = fields["q-key-time"], fields["q-sign-time"]
        sign_key = hmac.new(self.secret_key.encode(), key_time.encode(), hashlib.sha1).hexdigest()
        to_sign = f"sha1\n{sign_time}\n{hashlib.sha1(http_string).hexdigest()}\n"
        right = hmac.new(sign_key.encode(), to_sign.encode(), hashlib.sha1).hexdigest()
        if right != fields["q-signature"]:
            raise Refused("SignatureDoesNotMatch", f"we have signed {to_sign!r}")

    # -- GET Bucket

    def _list(self, bucket: str, params: dict[str, str]) -> Answer:
        prefix, marker = params.get("prefix", ""), params.get("marker", "")
        limit = min(int(params.get("max-keys", "1000")), 1000)
        keys, more = self.page(bucket, prefix, marker, limit)
        url = self.encoding and params.get("encoding-type") == "url"
        show = _encode if url else escape
        lines = [
            "<?xml version='1.0' encoding='utf-8' ?>\n<ListBucketResult>",
            f"<Name>{bucket}</Name>",
            "<EncodingType>url</EncodingType>" if url else "",
            f"<Prefix>{show(prefix)}</Prefix><Marker>{show(marker)}</Marker>",
            f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>",
            f"<NextMarker>{show(keys[-1])}</NextMarker>" if more else "",
        ]
        for key in keys:
            stored = self.buckets[bucket][key]
            time_text = datetime.fromtimestamp(stored.mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            lines.append(
                f"<Contents><Key>{show(key)}</Key><LastModified>{time_text}</LastModified>"
                f"<ETag>&quot;{stored.etag}&quot;</ETag><Size>{len(stored.body)}</Size>"
                "<Owner><ID>1250000000</ID><DisplayName>1250000000</DisplayName></Owner>"
                f"<StorageClass>{'ARCHIVE' if stored.archived else 'STANDARD'}</StorageClass>"
                "</Contents>"
            )
        lines.append("</ListBucketResult>")
        body = "".join(lines).encode()
        return Answer(200, {"Content-Type": "application/xml", "x-cos-request-id": "R-1"}, body)


def _encode(text: str) -> str:
    """UrlEncode: all but letters, digits and -_.~"""
    return "".join(
        chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
