"""Azure's Shared Key signature, made for many small GETs: one HMAC over what differs.

The service's own rules are on "Authorize with Shared Key" of its reference.
"""

import base64
import hmac
import time
from collections.abc import Mapping

# Names in listings that XML cannot hold come percent-encoded since 2021-02-12; the clouds of other
# operators follow later than the public one.
VERSION = "2021-12-02"


class SharedKeySigner:
    """Signs requests for one account. Not for use by several threads."""

    def __init__(self, account: str, key: bytes) -> None:
        self._account = account
        self._key = key
        self._second = -1
        self._date = ""

    def sign(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        now: float,
    ) -> dict[str, str]:
        """Return the headers to send with a request without a body.

        `path` is as it is sent. Of `headers`, whose names are in lower case, only those that make
        a GET conditional or ask for a part may be there. `now` is seconds since 1970.
        """
        if int(now) != self._second:
            self._second = int(now)
            self._date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
        if_match, part = headers.get("if-match", ""), headers.get("range", "")
        query = "".join([f"\n{name}:{params[name]}" for name in sorted(params)])
        text = (
            f"{method}\n\n\n\n\n\n\n\n{if_match}\n\n\n{part}\n"
            f"x-ms-date:{self._date}\nx-ms-version:{VERSION}\n"
            f"/{self._account}{path}{query}"
        )
        signature = base64.b64encode(hmac.digest(self._key, text.encode("utf-8"), "sha256"))
        return {
            **headers,
            "x-ms-date": self._date,
            "x-ms-version": VERSION,
            "authorization": f"SharedKey {self._account}:{signature.decode()}",
        }
