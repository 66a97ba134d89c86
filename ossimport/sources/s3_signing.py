"""S3's V4 signature in the `Authorization` header, for requests without a body.

The signing key changes once a day and the time stamp once a second; both are kept. What is left of
each request is one SHA-256 and one HMAC.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

_SERVICE = "s3"
_ALGORITHM = "AWS4-HMAC-SHA256"
_TERMINATOR = "aws4_request"
_NOTHING = hashlib.sha256(b"").hexdigest()  # of the body


def encode_path(path: str) -> str:
    """Percent-encode a path as it is signed and sent: all but unreserved characters and `/`."""
    return quote(path, errors="surrogateescape")


def encode_query(params: Mapping[str, str]) -> str:
    """Return the query string, sorted and encoded as it is signed and sent."""
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in params.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


class SignerV4:
    """Signs requests to one host for one pair of keys in one region. Not for several threads."""

    def __init__(
        self, host: str, access_key: str, secret_key: str, region: str, security_token: str = ""
    ) -> None:
        """`host` is as in the header."""
        self._access_key = access_key
        self._seed = f"AWS4{secret_key}".encode()
        self._region = region
        self._fixed = {"host": host, "x-amz-content-sha256": _NOTHING, "x-amz-date": ""}
        if security_token:
            self._fixed["x-amz-security-token"] = security_token
        self._names = ";".join(self._fixed)  # in the order of the alphabet already
        self._second = -1
        self._day = self._scope = self._credential = self._preamble = self._rest = ""
        self._key = b""

    def sign(self, method: str, path: str, query: str, now: float) -> dict[str, str]:
        """Return the headers of the signature, names in lower case; others may go with them.

        `path` is by `encode_path` and `query` by `encode_query`, both as they will be sent. `now`
        is seconds since 1970.
        """
        if int(now) != self._second:
            self._start_second(int(now))
        request = f"{method}\n{path}\n{query}\n{self._rest}"
        digest = hashlib.sha256(request.encode("latin-1")).hexdigest()
        signature = hmac.digest(self._key, f"{self._preamble}{digest}".encode(), "sha256").hex()
        return {**self._fixed, "authorization": f"{self._credential}, Signature={signature}"}

    def _start_second(self, second: int) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        if stamp[:8] != self._day:
            self._start_day(stamp[:8])
        self._second = second
        self._fixed["x-amz-date"] = stamp
        lines = "".join([f"{name}:{value}\n" for name, value in self._fixed.items()])
        self._rest = f"{lines}\n{self._names}\n{_NOTHING}"
        self._preamble = f"{_ALGORITHM}\n{stamp}\n{self._scope}\n"

    def _start_day(self, day: str) -> None:
        self._day = day
        self._scope = f"{day}/{self._region}/{_SERVICE}/{_TERMINATOR}"
        who = f"{_ALGORITHM} Credential={self._access_key}/{self._scope}"
        self._credential = f"{who}, SignedHeaders={self._names}"
        self._key = self._seed
        for step in (day, self._region, _SERVICE, _TERMINATOR):
            self._key = hmac.digest(self._key, step.encode(), "sha256")
