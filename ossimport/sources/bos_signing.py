"""Baidu BOS's signature in the `Authorization` header (bce-auth-v1), made for many small requests.

Its key is derived from a moment and a lifetime, not from the request: it is kept for a minute. What
is left is one HMAC. The service's own rules are on "Generate an authentication string".
"""

import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

_PERIOD = 60  # seconds for which one key is used
_LIFETIME = 1800  # seconds; as long as that of the service's own SDK


class BosSigner:
    """Signs requests with one pair of keys. Not for use by several threads."""

    def __init__(self, access_key: str, secret_key: str, security_token: str = "") -> None:
        self._access_key = access_key
        self._secret_key = secret_key.encode()
        self._period = -1
        self._head = ""
        self._key = b""
        self._own_headers = {"x-bce-date": ""}
        if security_token:
            self._own_headers["x-bce-security-token"] = security_token

    def sign(self, method: str, path: str, query: str, host: str, now: float) -> dict[str, str]:
        """Return the headers of the signature, all but Host.

        `path` and `query`, by `encode_query`, are what is sent; `host` is the Host header. Other
        headers than these are not signed: by the rules, Content-Length, Content-Type and
        Content-MD5 would be, so they must not be sent. `now` is seconds since 1970.
        """
        if int(now) // _PERIOD != self._period:
            self._start(int(now) // _PERIOD)
        lines = f"host:{quote(host, safe='')}\n{self._signed_headers}"
        request = f"{method}\n{path}\n{query}\n{lines}"
        signature = hmac.digest(self._key, request.encode(), "sha256").hex()
        # The empty field is the list of signed headers: those that must be.
        return {**self._own_headers, "authorization": f"{self._head}//{signature}"}

    def _start(self, period: int) -> None:
        self._period = period
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(period * _PERIOD))
        self._head = f"bce-auth-v1/{self._access_key}/{stamp}/{_LIFETIME}"
        # The key of the second HMAC is the first one as text.
        self._key = hmac.digest(self._secret_key, self._head.encode(), "sha256").hex().encode()
        self._own_headers["x-bce-date"] = stamp
        self._signed_headers = "\n".join(
            f"{name}:{quote(value, safe='')}" for name, value in self._own_headers.items()
        )


def encode_query(params: Mapping[str, str]) -> str:
    """The query string, sorted and encoded as BOS signs it; it can be sent as it is."""
    return "&".join(
        sorted(
            f"{quote(name, safe='')}={quote(value, safe='', errors='surrogateescape')}"
            for name, value in params.items()
        )
    )
