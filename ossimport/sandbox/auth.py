"""Verifies OSS's signatures, V1 and V4, in the Authorization header and in the URL.

The strings to sign are built from OSS's published rules alone, not with the signer that this
project sends with: the two must agree over the wire or a test fails.
"""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Request, whole
from ossimport.sandbox.subresources import SIGNED
from ossimport.sandbox.xml import iso_time

_MAX_SKEW = 15 * 60  # seconds
_MAX_LIFE_V4 = 7 * 24 * 3600  # seconds that a V4 URL may live
_ALGORITHM_V4 = "OSS4-HMAC-SHA256"
_LAST_SECOND = 253402300799  # of the year 9999, the last that has four digits
_UNSIGNED = "UNSIGNED-PAYLOAD"
_NO_DATE = "OSS authentication requires a valid Date."
_EXPIRED = "Request has expired."
_READING = frozenset({"GET", "HEAD"})


class _ClaimV4(NamedTuple):
    """What a V4 request says of its own signature."""

    credential: str
    signature: str
    additional: tuple[str, ...]  # names of headers that are signed besides the usual ones
    moment: str  # 20260131T235959Z
    life: int | None  # seconds, for a URL


READER = "-reader"  # behind the access key: with the same secret, a user who may only read


class Gate:
    """Lets in what is signed with the one secret there is, by the owner or by who may read.

    Or with temporary keys of the owner's.
    """

    def __init__(self, access_key: str, secret_key: str, region: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._temporary = Temporary(secret_key)
        self._region = region

    def admit(self, request: Request, now: float) -> bool:
        """Say whether the request is the owner's; False when it is anonymous.

        Raises Refusal when it carries a signature that does not hold, or when a reader writes.
        `now` is seconds since 1970.
        """
        authorization = request.header("authorization")
        params = request.params
        if authorization.startswith(_ALGORITHM_V4):
            access_key = self._check_v4(request, _claim_of_header(request, authorization), now)
        elif authorization.startswith("OSS "):
            access_key = self._check_v1_header(request, authorization, now)
        elif authorization:
            raise invalid_argument("Authorization header is invalid.", "Authorization")
        elif "x-oss-signature-version" in params:
            access_key = self._check_v4(request, _claim_of_url(request), now)
        elif "OSSAccessKeyId" in params or "Signature" in params:
            access_key = self._check_v1_url(request, now)
        else:
            return False
        token = request.header("x-oss-security-token")
        token = token or params.get("security-token", "") or params.get("x-oss-security-token", "")
        if not self._temporary.is_token_of(access_key, token):
            raise Refusal("InvalidSecurityToken")
        if self._temporary.has_expired(access_key, now):
            raise Refusal("SecurityTokenExpired")
        return True

    def _check_v1_header(self, request: Request, authorization: str, now: float) -> str:
        access_key, _, signature = authorization[4:].strip().rpartition(":")
        date = request.header("x-oss-date") or request.header("date")
        moment = _http_time(date)
        if moment is None:
            raise Refusal("AccessDenied", _NO_DATE)
        secret_key = self._secret_of(access_key, request.method)
        _check_skew(moment, now)
        _check_v1(request, date, access_key, secret_key, signature)
        return access_key

    def _check_v1_url(self, request: Request, now: float) -> str:
        params = request.params
        date, signature = params.get("Expires", ""), params.get("Signature", "")
        expires = whole(date)
        if expires is None or not signature or "OSSAccessKeyId" not in params:
            raise Refusal(
                "AccessDenied", "OSS authentication requires OSSAccessKeyId, Expires and Signature."
            )
        if now > expires:
            raise Refusal("AccessDenied", _EXPIRED, details=_expiry(expires, now))
        access_key = params["OSSAccessKeyId"]
        secret_key = self._secret_of(access_key, request.method)
        _check_v1(request, date, access_key, secret_key, signature)
        return access_key

    def _check_v4(self, request: Request, claim: _ClaimV4, now: float) -> str:
        scope = claim.credential.split("/")
        if len(scope) != 5 or scope[4] != "aliyun_v4_request":
            raise invalid_argument("Invalid Credential in Authorization header.", "Credential")
        access_key, day, region, product, _ = scope
        moment = _moment_v4(claim.moment)
        secret_key = self._secret_of(access_key, request.method)
        if region != self._region:
            raise _wrong_scope("region", "0002-00000226", f"{region}, not {self._region}")
        if product != "oss":
            raise _wrong_scope("product", "0002-00000227", product)
        if day != claim.moment[:8]:
            raise invalid_argument("Invalid signing date in Authorization header.", "Date", day)
        if claim.life is None:
            _check_skew(moment, now)
        elif now > moment + claim.life or moment > now + _MAX_SKEW:
            expiry = _expiry(int(moment) + claim.life, now)
            raise Refusal("AccessDenied", _EXPIRED, details=expiry)
        canonical = canonical_request_v4(request, claim.additional)
        text = b"\n".join(
            (
                _ALGORITHM_V4.encode(),
                claim.moment.encode(),
                "/".join(scope[1:]).encode(),
                hashlib.sha256(canonical).hexdigest().encode(),
            )
        )
        key = signing_key_v4(secret_key, day, region, product)
        expected = hmac.digest(key, text, "sha256").hex()
        _compare(expected, claim.signature, access_key, text, canonical)
        return access_key

    def _secret_of(self, access_key: str, method: str) -> bytes:
        if access_key.startswith(Temporary.PREFIX):
            return self._temporary.secret_of(access_key).encode()
        if access_key.removesuffix(READER) != self._access_key:
            raise Refusal("InvalidAccessKeyId", details={"OSSAccessKeyId": access_key})
        if access_key != self._access_key and method not in _READING:
            raise Refusal("AccessDenied", "You have no right to access this object.")
        return self._secret_key.encode()


class Temporary:
    """Temporary keys of an owner, as a security token service hands them out. None is remembered.

    An access key says when it expires; its secret and its token are derived from the owner's.
    """

    PREFIX = "STS."

    def __init__(self, owners_secret: str) -> None:
        self._owners_secret = owners_secret.encode()

    def issue(self, expires: float) -> dict[str, str]:
        """Keys that expire then, in the words of Alibaba Cloud's STS."""
        access_key = f"{self.PREFIX}{int(expires * 1000)}"
        return {
            "AccessKeyId": access_key,
            "AccessKeySecret": self.secret_of(access_key),
            "SecurityToken": self._derived(access_key, "token"),
            "Expiration": datetime.fromtimestamp(expires, UTC).isoformat(),
        }

    def secret_of(self, access_key: str) -> str:
        """The secret of a temporary access key."""
        return self._derived(access_key, "secret")

    def is_token_of(self, access_key: str, token: str) -> bool:
        """Whether the token goes with the access key; keys that last have none."""
        is_temporary = access_key.startswith(self.PREFIX)
        expected = self._derived(access_key, "token") if is_temporary else ""
        return hmac.compare_digest(expected.encode(), token.encode())

    def has_expired(self, access_key: str, now: float) -> bool:
        """Whether a temporary access key is over."""
        until = access_key.removeprefix(self.PREFIX)
        is_temporary = until != access_key
        return is_temporary and (not until.isdecimal() or now * 1000 >= int(until))

    def _derived(self, access_key: str, what: str) -> str:
        return hmac.digest(self._owners_secret, f"{what}:{access_key}".encode(), "sha256").hex()


def _check_v1(
    request: Request, date: str, access_key: str, secret_key: bytes, signature: str
) -> None:
    text = string_to_sign_v1(request, date)
    digest = hmac.digest(secret_key, text, "sha1")
    _compare(base64.b64encode(digest).decode(), signature, access_key, text)


def string_to_sign_v1(request: Request, date: str) -> bytes:
    """OSS: Include signatures in the Authorization header (V1)."""
    headers = sorted(name for name in request.headers if name.startswith("x-oss-"))
    signed = sorted(name for name in request.params if name in SIGNED)
    query = b"&".join(_pair(name, request.params[name]) for name in signed)
    resource = b"/%s/%s" % (request.bucket.encode(), request.key) if request.bucket else b"/"
    lines = [
        request.method,
        request.header("content-md5"),
        request.header("content-type"),
        date,
        *(f"{name}:{request.headers[name]}" for name in headers),
    ]
    head = "".join(f"{line}\n" for line in lines).encode("latin-1")
    return head + resource + (b"?" + query if query else b"")


def _pair(name: str, value: str) -> bytes:
    return (f"{name}={value}" if value else name).encode()


def canonical_request_v4(request: Request, additional: tuple[str, ...]) -> bytes:
    """OSS: Include a V4 signature in the Authorization header, step 1."""
    path = b"/%s/%s" % (request.bucket.encode(), request.key) if request.bucket else b"/"
    query = sorted(
        (_encode(name), _encode(value))
        for name, value in request.params.items()
        if name != "x-oss-signature"
    )
    signed = sorted(
        name
        for name in request.headers
        if name.startswith("x-oss-")
        or name in {"content-type", "content-md5"}
        or name in additional
    )
    lines = [
        request.method,
        quote(path, safe="/"),
        "&".join(f"{name}={value}" if value else name for name, value in query),
        *(f"{name}:{request.headers[name]}" for name in signed),
        "",
        ";".join(sorted(additional)),
        request.header("x-oss-content-sha256", _UNSIGNED),
    ]
    return "\n".join(lines).encode("latin-1")


def _encode(text: str) -> str:
    return quote(text, safe="")


@lru_cache(maxsize=8)  # it changes once a day
def signing_key_v4(secret_key: bytes, day: str, region: str, product: str) -> bytes:
    """OSS: Include a V4 signature in the Authorization header, step 3."""
    key = b"aliyun_v4" + secret_key
    for word in (day, region, product, "aliyun_v4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key


def _claim_of_header(request: Request, authorization: str) -> _ClaimV4:
    """Read the fields by name: clients differ in their order and in the blanks between them."""
    fields: dict[str, str] = {}
    for item in authorization[len(_ALGORITHM_V4) :].split(","):
        name, _, value = item.strip().partition("=")
        fields[name] = value
    if "Credential" not in fields or "Signature" not in fields:
        raise invalid_argument("Authorization header is invalid.", "Authorization")
    if request.header("x-oss-content-sha256") != _UNSIGNED:
        raise invalid_argument(
            "x-oss-content-sha256 must be UNSIGNED-PAYLOAD.", "x-oss-content-sha256"
        )
    additional = _names(fields.get("AdditionalHeaders", ""))
    date = request.header("x-oss-date")
    return _ClaimV4(fields["Credential"], fields["Signature"], additional, date, None)


def _claim_of_url(request: Request) -> _ClaimV4:
    params = request.params
    life = whole(params.get("x-oss-expires", ""))
    if params["x-oss-signature-version"] != _ALGORITHM_V4:
        raise invalid_argument(
            "Invalid signature version.",
            "x-oss-signature-version",
            params["x-oss-signature-version"],
        )
    if life is None or not 1 <= life <= _MAX_LIFE_V4:
        raise invalid_argument("Invalid x-oss-expires.", "x-oss-expires")
    return _ClaimV4(
        params.get("x-oss-credential", ""),
        params.get("x-oss-signature", ""),
        _names(params.get("x-oss-additional-headers", "")),
        params.get("x-oss-date", ""),
        life,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in text.split(";") if name.strip())


@lru_cache(maxsize=64)  # clients stamp every request of one second alike
def _http_time(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


@lru_cache(maxsize=64)
def _moment_v4(text: str) -> float:
    if not re.fullmatch(r"\d{8}T\d{6}Z", text, re.ASCII):
        raise Refusal("AccessDenied", _NO_DATE)
    try:
        moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as exc:
        raise Refusal("AccessDenied", _NO_DATE) from exc
    return moment.timestamp()


def _check_skew(moment: float, now: float) -> None:
    if abs(now - moment) > _MAX_SKEW:
        raise Refusal(
            "RequestTimeTooSkewed",
            details={
                "MaxAllowedSkewMilliseconds": str(_MAX_SKEW * 1000),
                "RequestTime": iso_time(int(moment)),
                "ServerTime": iso_time(int(now)),
            },
        )


def _expiry(expires: int, now: float) -> dict[str, str]:
    return {"Expires": iso_time(min(expires, _LAST_SECOND)), "ServerTime": iso_time(int(now))}


def _wrong_scope(word: str, code: str, value: str) -> Refusal:
    return Refusal(
        "InvalidArgument",
        f"Invalid signing {word} in Authorization header.",
        details={"ArgumentName": word, "ArgumentValue": value, "EC": code},
    )


def _compare(
    expected: str, provided: str, access_key: str, text: bytes, canonical: bytes = b""
) -> None:
    if hmac.compare_digest(expected.encode(), provided.encode()):
        return
    details = {
        "OSSAccessKeyId": access_key,
        "SignatureProvided": provided,
        "StringToSign": text.decode("utf-8", "replace"),
        "StringToSignBytes": text.hex(" ").upper(),
    }
    if canonical:
        details["CanonicalRequest"] = canonical.decode("utf-8", "replace")
    raise Refusal("SignatureDoesNotMatch", details=details)
