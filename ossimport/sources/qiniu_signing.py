"""Qiniu's two signatures: of requests to its interfaces, and of URLs from which objects come.

The service's own rules are on "Access token" and "Download token" of its reference.
"""

import base64
import hmac
import time

_FORM = "application/x-www-form-urlencoded"  # must be signed if it is sent, and tools send it
_LIFE_S = 86400  # of a URL, from when it waits for its turn until the request begins


class QiniuSigner:
    """Signs with one pair of keys. Not for use by several threads."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key.encode()

    def headers(self, method: str, host: str, target: str, now: float) -> dict[str, str]:
        """The headers of a request without a body; `host` is as in its Host."""
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        text = f"{method} {target}\nHost: {host}\nContent-Type: {_FORM}\nX-Qiniu-Date: {date}\n\n"
        return {
            "content-type": _FORM,
            "x-qiniu-date": date,
            "authorization": f"Qiniu {self._token(text)}",
        }

    def query(self, url: str, now: float) -> str:
        """What to put behind the `?` of a URL to read a private object from it."""
        deadline = f"e={int(now) + _LIFE_S}"
        return f"{deadline}&token={self._token(f'{url}?{deadline}')}"

    def _token(self, text: str) -> str:
        digest = hmac.digest(self._secret_key, text.encode("utf-8"), "sha1")
        return f"{self._access_key}:{base64.urlsafe_b64encode(digest).decode()}"
