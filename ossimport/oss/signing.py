"""OSS's V4 signature in the `Authorization` header, made for many small requests.

Every upload is signed, so this is on the hottest path of all. The signing key changes once a day
and the time stamp once a second; both are kept. What is left is one SHA-256 and one HMAC. The
service's own rules are on "Include a V4 signature in the Authorization header" of its reference.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
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
def _signed_lines(names: tuple[str, ...]) -> tuple[str, Callable[[Mapping[str, str]], object]]:
    """The lines of those of `names` that are signed, sorted, and what takes their values out."""
    signed = sorted(n for n in names if n.startswith("x-oss-") or n in _SIGNED_NAMES)
    lines = "".join(f"{name.replace('%', '%%')}:%s\n" for name in signed)
    return lines, itemgetter(*signed)


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
        self._day = self._scope = self._credential = self._preamble = ""
        self._inner = self._outer = hashlib.sha256()

    def sign(
        self, method: str, path: str, query: str, headers: Mapping[str, str], now: float
    ) -> dict[str, str]:
        """Return the headers to send: `headers` and those of the signature.

        `path` is `/bucket/key` by `encode_path`, the bucket included even where it is in the host
        name; `query` is by `encode_query`. Headers are as on the wire: names in lower case, values
        latin-1 and without blanks at either end. `now` is seconds since 1970.
        """
        if int(now) != self._second:
            self._start_second(int(now))
        signed = {**headers, **self._own_headers}
        lines, values_of = _signed_lines(tuple(signed))
        request = f"{method}\n{path}\n{query}\n{lines % values_of(signed)}\n\n{_UNSIGNED}"
        digest = hashlib.sha256(request.encode("latin-1")).hexdigest()
        inner = self._inner.copy()
        inner.update(f"{self._preamble}{digest}".encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        signed["authorization"] = f"{self._credential}, Signature={outer.hexdigest()}"
        return signed

    def _start_second(self, second: int) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        if stamp[:8] != self._day:
            self._start_day(stamp[:8])
        self._second = second
        self._own_headers["x-oss-date"] = stamp
        self._preamble = f"{_ALGORITHM}\n{stamp}\n{self._scope}\n"

    def _start_day(self, day: str) -> None:
        """Derive the day's key and keep the two hash states that HMAC begins with.

        Copying the states costs a third of what `hmac.digest` does for a message of this length.
        """
        self._day = day
        self._scope = f"{day}/{self._region}/{_SERVICE}/{_TERMINATOR}"
        self._credential = f"{_ALGORITHM} Credential={self._access_key}/{self._scope}"
        key = self._seed
        for step in (day, self._region, _SERVICE, _TERMINATOR):
            key = hmac.digest(key, step.encode(), "sha256")
        block = key.ljust(_HMAC_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
