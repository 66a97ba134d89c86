"""Tencent COS's signature in the `Authorization` header, made for many small requests.

Its key is derived from a span of time, not from the request: it is kept for minutes. What is left
is one SHA-1 and one HMAC. The service's own rules are on "Request Signature" of its reference.
"""

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

_PERIOD = 300  # seconds for which one key is used
_EARLY = 300  # before the first of them the span begins: clocks differ
_SPAN = 10_060  # seconds; as long as that of the service's own SDK


class CosSigner:
    """Signs requests with one pair of keys. Not for use by several threads."""

    def __init__(self, secret_id: str, secret_key: str) -> None:
        self._secret_id = secret_id
        self._secret_key = secret_key.encode()
        self._period = -1
        self._span = self._head = ""
        self._key = b""

    def sign(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        now: float,
    ) -> str:
        """Return the value of `Authorization`.

        `path` and `params` are not encoded, `path` is what follows the host. All of `headers` are
        signed; Host among them is without a port. `now` is seconds since 1970.
        """
        if int(now) // _PERIOD != self._period:
            self._start(int(now) // _PERIOD)
        header_list, fields = _joined(headers)
        param_list, query = _joined(params)
        text = f"{method.lower()}\n{path}\n{query}\n{fields}\n"
        digest = hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False)
        signed = f"sha1\n{self._span}\n{digest.hexdigest()}\n"
        signature = hmac.digest(self._key, signed.encode(), "sha1").hex()
        return (
            f"{self._head}&q-header-list={header_list}&q-url-param-list={param_list}"
            f"&q-signature={signature}"
        )

    def _start(self, period: int) -> None:
        self._period = period
        begin = period * _PERIOD - _EARLY
        self._span = f"{begin};{begin + _SPAN}"
        # The key of the second HMAC is the first one as text.
        self._key = hmac.digest(self._secret_key, self._span.encode(), "sha1").hex().encode()
        self._head = (
            f"q-sign-algorithm=sha1&q-ak={self._secret_id}&q-sign-time={self._span}"
            f"&q-key-time={self._span}"
        )


def _joined(fields: Mapping[str, str]) -> tuple[str, str]:
    """The names, and names with values, encoded and in order."""
    names, listed = _in_order(tuple(fields))
    pairs = [
        f"{encoded}={quote(fields[name], safe='', errors='surrogateescape')}"
        for encoded, name in names
    ]
    return listed, "&".join(pairs)


@lru_cache(maxsize=256)  # the requests of a job differ in values, hardly ever in names
def _in_order(names: tuple[str, ...]) -> tuple[list[tuple[str, str]], str]:
    encoded = sorted((quote(name, safe="").lower(), name) for name in names)
    return encoded, ";".join(name for name, _ in encoded)
