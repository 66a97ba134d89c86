"""OSS's V4 signature in the `Authorization` header, made for many small requests.

Every upload is signed, so this is on the hottest path of all. The signing key changes once a day
and the time stamp once a second; both are kept. What is left is one SHA-256 and one HMAC. The
service's own rules are on "Include a V4 signature in the Authorization header" of its reference.
"""

import hmac
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from urllib.parse import quote

_SERVICE = "oss"
_ALGORITHM = "OSS4-HMAC-SHA256"
_TERMINATOR = "aliyun_v4_request"
_UNSIGNED = "UNSIGNED-PAYLOAD"  # the CRC64 in the answer proves the body better than a hash would
_SIGNED_NAMES = frozenset({"content-type", "content-md5"})  # besides every x-oss-*
_HMAC_BLOCK = 64  # bytes, of SHA-256


def encode_path(path: str) -> str:
    """Percent-encode a path as OSS does before it signs: all but unreserved characters and `/`."""
    return quote(path, safe="/")


def encode_query(params: Mapping[str, str]) -> str:
    """Return the query string, sorted and encoded as OSS signs it; it can be sent as it is."""
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in params.items())
    return "&".join(f"{name}={value}" if value else name for name, value in pairs)


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


@lru_cache(maxsize=256)  # the objects of a job differ in values, hardly ever in names
def _form(names: tuple[str, ...]) -> tuple[str, Callable[[Mapping[str, str]], tuple[str, ...]]]:
    """A canonical request with gaps for method, path, query and the values of what is signed.

    The second takes these values, in their order, out of headers that have the names. They are
    more than one: every request is signed with its hash and its date.
    """
    signed = sorted(n for n in names if n.startswith("x-oss-") or n in _SIGNED_NAMES)
    lines = "".join(f"{name.replace('%', '%%')}:%s\n" for name in signed)
    return f"%s\n%s\n%s\n{lines}\n\n{_UNSIGNED}", itemgetter(*signed)


class SignerV4:
    """Signs requests for one pair of keys in one region. Not for use by several threads."""

    def __init__(
        self, access_key: str, secret_key: str, region: str, security_token: str = ""
    ) -> None:
        self._access_key = access_key
        self._seed = f"aliyun_v4{secret_key}".encode()
        self._region = region
        self._own_headers = {"x-oss-content-sha256": _UNSIGNED, "x-oss-date": ""}
        if security_token:
            self._own_headers["x-oss-security-token"] = security_token
        self._second = -1
        self._day = self._scope = self._credential = ""
        self._inner = self._begun = self._outer = sha256()

    def sign(
        self, method: str, path: str, query: str, headers: Mapping[str, str], now: float
    ) -> dict[str, str]:
        """Return the headers to send: `headers` and those of the signature.

        `path` is `/bucket/key` by `encode_path`, the bucket included even where it is in the host
        name; `query` is by `encode_query`. Headers are as on the wire: names in lower case, values
        latin-1 and without blanks at either end. `now` is seconds since 1970.
        """
        second = int(now)
        if second != self._second:
            self._start_second(second)
        signed = {**headers, **self._own_headers}
        form, values_of = _form(tuple(signed))
        request = form % (method, path, query, *values_of(signed))
        inner = self._begun.copy()
        inner.update(sha256(request.encode("latin-1")).hexdigest().encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        signed["authorization"] = self._credential + outer.hexdigest()
        return signed

    def _start_second(self, second: int) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        if stamp[:8] != self._day:
            self._start_day(stamp[:8])
        self._second = second
        self._own_headers["x-oss-date"] = stamp
        self._begun = self._inner.copy()
        self._begun.update(f"{_ALGORITHM}\n{stamp}\n{self._scope}\n".encode())

    def _start_day(self, day: str) -> None:
        """Derive the day's key and keep the two hash states that HMAC begins with.

        Copying the states costs a third of what `hmac.digest` does for a message of this length.
        """
        self._day = day
        self._scope = f"{day}/{self._region}/{_SERVICE}/{_TERMINATOR}"
        self._credential = f"{_ALGORITHM} Credential={self._access_key}/{self._scope}, Signature="
        key = self._seed
        for step in (day, self._region, _SERVICE, _TERMINATOR):
            key = hmac.digest(key, step.encode(), "sha256")
        block = key.ljust(_HMAC_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))
