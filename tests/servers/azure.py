"""Azure Blob Storage as far as a reader sees it, from its reference; signatures are recomputed.

Written from the pages List Blobs, Get Blob, Get Blob Properties, Authorize with Shared Key, Create
an account SAS and Blob service error codes. The service's own Python SDK can use it. Markers say
nothing to who gets them.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from tests.servers.object_http import Answer, ObjectServer, Request, Stored

_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_STATUS = {
    "AuthenticationFailed": 403,
    "AuthorizationPermissionMismatch": 403,
    "AuthorizationProtocolMismatch": 403,
    "BlobArchived": 409,
    "BlobNotFound": 404,
    "ConditionNotMet": 412,
    "ContainerNotFound": 404,
    "InvalidQueryParameterValue": 400,
    "InvalidRange": 416,
    "NoAuthenticationInformation": 401,
    "UnsupportedHttpVerb": 405,
}


class Refused(Exception):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


class AzureServer(ObjectServer):
    """One account; the account is in the path, as with every address that is an IP address."""

    def __init__(
        self,
        account: str = "storeaccount",
        key: str = base64.b64encode(b"the key of the account").decode(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.account = account
        self.key = key
        self.largest_page = 5000
        self.is_utf16 = True  # the order in which it lists; else by directories
        self._clock = clock
        self._markers: dict[str, str] = {}

    @property
    def domain(self) -> str:
        """As srcDomain has it."""
        return f"http://127.0.0.1:{self.port}/{self.account}"

    def answer(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except Refused as exc:
            message = f"Words.\nRequestId:the-request\nTime:{datetime.now(UTC).isoformat()}"
            detail = f"<AuthenticationErrorDetail>{escape(exc.detail)}</AuthenticationErrorDetail>"
            body = (
                f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{exc.code}</Code>'
                f"<Message>{message}</Message>{detail if exc.detail else ''}</Error>"
            )
            headers = {"x-ms-error-code": exc.code, "x-ms-request-id": "the-request"}
            return Answer(_STATUS[exc.code], headers, body.encode())

    def sas(self, permissions: str = "rl", expires_in: float = 3600, protocol: str = "") -> str:
        """An account SAS for all containers, signed by the account's key."""
        expiry = datetime.fromtimestamp(self._clock() + expires_in, UTC)
        fields = {
            "sv": "2021-12-02",
            "ss": "b",
            "srt": "sco",
            "sp": permissions,
            "se": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if protocol:
            fields["spr"] = protocol
        fields["sig"] = self._sas_signature(fields)
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())

    # -- requests ----------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Answer:
        self._authenticate(request)
        path = unquote(request.path, errors="surrogateescape")
        account, _, rest = path.removeprefix("/").partition("/")
        container, _, name = rest.partition("/")
        if account != self.account:
            raise Refused("AuthenticationFailed")
        params = request.params
        if params.get("restype") == "container" and request.method == "PUT":
            self.buckets[container] = {}
            return Answer(201, {})
        blobs = self.buckets.get(container)
        if blobs is None:
            raise Refused("ContainerNotFound")
        if request.method == "GET" and params.get("comp") == "list":
            return self._list(container, params)
        if request.method == "PUT":
            headers = self.stored_from(request, "x-ms-meta-")
            kept = {
                name.removeprefix("x-ms-blob-"): value
                for name, value in request.headers.items()
                if name.startswith("x-ms-blob-content-") or name == "x-ms-blob-cache-control"
            }
            stored = self.put(container, name, request.body, headers | kept)
            return Answer(201, {"ETag": f'"{stored.etag}"', "Last-Modified": _date(stored)})
        stored_blob = blobs.get(name)
        if stored_blob is None:
            raise Refused("BlobNotFound")
        if request.method == "DELETE":
            del blobs[name]
            return Answer(202, {})
        if request.method not in {"GET", "HEAD"}:
            raise Refused("UnsupportedHttpVerb")
        if params.get("comp") == "tags":
            body = f'\ufeff<?xml version="1.0"?><Tags>{stored_blob.tag_set()}</Tags>'
            return Answer(200, {}, body.encode())
        return self._serve(request, stored_blob)

    def _serve(self, request: Request, stored: Stored) -> Answer:
        if stored.archived and request.method == "GET":
            raise Refused("BlobArchived")
        if part := request.headers.get("x-ms-range"):  # wins over Range
            request.headers["range"] = part
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-request-id": "the-request"}
        md5 = base64.b64encode(hashlib.md5(stored.body).digest()).decode()
        is_part = "range" in request.headers and request.method == "GET"
        if not stored.parts:
            headers["x-ms-blob-content-md5" if is_part else "Content-MD5"] = md5
        answer = self.serve(request, stored, headers)
        if isinstance(answer, int):
            raise Refused("ConditionNotMet" if answer == 412 else "InvalidRange")
        return answer

    def _list(self, container: str, params: dict[str, str]) -> Answer:
        prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
        limit = min(int(params.get("maxresults", 5000)), self.largest_page)
        if limit < 1:
            raise Refused("InvalidQueryParameterValue")
        order = self.order
        names: list[str] = []
        for name in sorted(self.buckets[container], key=order):
            if name.startswith(prefix):
                end = name.find(delimiter, len(prefix)) if delimiter else -1
                folded = name[: end + 1] if end >= 0 else name
                if folded not in names[-1:]:
                    names.append(folded)
        if marker := params.get("marker", ""):
            if marker not in self._markers:
                raise Refused("InvalidQueryParameterValue")
            names = [name for name in names if order(name) >= order(self._markers[marker])]
        page, rest = names[:limit], names[limit:]
        items = "".join(self._item(container, name, prefix, delimiter) for name in page)
        body = (
            '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint='
            f'"{self.domain}/" ContainerName="{container}"><MaxResults>{limit}</MaxResults>'
            f"<Blobs>{items}</Blobs><NextMarker>{self._marker(rest)}</NextMarker>"
            "</EnumerationResults>"
        )
        return Answer(200, {"Content-Type": "application/xml"}, body.encode())

    def order(self, name: str) -> Any:
        """What names are sorted by."""
        if self.is_utf16:
            return name.encode("utf-16-be", "surrogatepass")
        return name.split("/")

    def _item(self, container: str, name: str, prefix: str, delimiter: str) -> str:
        if delimiter and name.endswith(delimiter) and name != prefix:
            return f"<BlobPrefix>{_name(name)}</BlobPrefix>"
        blob = self.buckets[container][name]
        return (
            f"<Blob>{_name(name)}<Properties><Creation-Time>{_date(blob)}</Creation-Time>"
            f"<Last-Modified>{_date(blob)}</Last-Modified><Etag>{blob.etag}</Etag>"
            f"<Content-Length>{len(blob.body)}</Content-Length>"
            "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>"
            "<LeaseStatus>unlocked</LeaseStatus></Properties><OrMetadata/></Blob>"
        )

    def _marker(self, rest: list[str]) -> str:
        if not rest:
            return ""
        marker = hashlib.sha256(rest[0].encode("utf-8", "surrogatepass")).hexdigest()
        self._markers[marker] = rest[0]
        return marker

    # -- who asks ----------------------------------------------------------------------------------

    def _authenticate(self, request: Request) -> None:
        if "sig" in request.params:
            self._check_sas(request)
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme != "SharedKey":
            raise Refused("NoAuthenticationInformation")
        account, _, signature = given.partition(":")
        date = request.headers.get("x-ms-date") or request.headers.get("date", "")
        skew = abs(parsedate_to_datetime(date).timestamp() - self._clock())
        if skew > 15 * 60:
            raise Refused("AuthenticationFailed", f"Request date header too old: '{date}'")
        text = self._string_to_sign(request)
        if account != self.account or not secrets.compare_digest(signature, self._sign(text)):
            raise Refused(
                "AuthenticationFailed",
                f"The MAC signature found in the HTTP request '{signature}' is not the same as any "
                f"computed signature. Server used following string to sign: '{text}'.",
            )

    def _string_to_sign(self, request: Request) -> str:
        lines = [request.method]
        for name in _SIGNED:
            value = request.headers.get(name, "")
            if name == "content-length" and value == "0":
                value = ""
            if name == "date" and "x-ms-date" in request.headers:
                value = ""
            lines.append(value)
        own = sorted(name for name in request.headers if name.startswith("x-ms-"))
        lines += [f"{name}:{request.headers[name]}" for name in own]
        lines.append(f"/{self.account}{request.path}")
        values: dict[str, list[str]] = {}
        for name, value in request.query:
            values.setdefault(name.lower(), []).append(value)
        lines += [f"{name}:{','.join(sorted(values[name]))}" for name in sorted(values)]
        return "\n".join(lines)

    def _check_sas(self, request: Request) -> None:
        fields = request.params
        if not secrets.compare_digest(fields["sig"], self._sas_signature(fields)):
            raise Refused("AuthenticationFailed", "Signature did not match.")
        if datetime.fromisoformat(fields["se"]).timestamp() < self._clock():
            raise Refused("AuthenticationFailed", "Signature not valid in the specified time frame")
        if fields.get("spr") == "https":
            raise Refused("AuthorizationProtocolMismatch")
        wanted = {"list": "l", "tags": "t"}.get(fields.get("comp", ""), "r")
        if request.method in {"GET", "HEAD"} and wanted not in fields["sp"]:
            raise Refused("AuthorizationPermissionMismatch")

    def _sas_signature(self, fields: dict[str, str]) -> str:
        names = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")
        values = [self.account, *(fields.get(name, "") for name in names)]
        return self._sign("".join(f"{value}\n" for value in values))

    def _sign(self, text: str) -> str:
        key = base64.b64decode(self.key)
        return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def _name(name: str) -> str:
    if any(ord(c) < 32 or c in "\ufffe\uffff" for c in name):
        return f'<Name Encoded="true">{quote(name)}</Name>'
    return f"<Name>{escape(name)}</Name>"


def _date(stored: Stored) -> str:
    return formatdate(stored.mtime, usegmt=True)
