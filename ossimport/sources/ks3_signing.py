"""KS3's own signature in the `Authorization` header, for requests that read a bucket.

The rules are on "Request signature V2" of the service's reference. That of two slashes in a row the
second is written as %2F, where it is signed and where it is sent, only its SDKs say.
"""

import base64
import hmac
from email.utils import formatdate
from urllib.parse import quote


def encode_path(root: str, key: str) -> str:
    """The path of a key, as it is signed and sent; `root` is what is before all keys."""
    return f"{root}{quote(key, errors='surrogateescape')}".replace("//", "/%2F")


class Ks3Signer:
    """Signs requests to one bucket for one pair of keys."""

    def __init__(
        self, bucket: str, access_key: str, secret_key: str, security_token: str = ""
    ) -> None:
        self._root = f"/{bucket}/"
        self._credential = f"KSS {access_key}"
        self._secret = secret_key.encode()
        self._token = {"x-kss-security-token": security_token} if security_token else {}
        self._lines = "".join([f"{name}:{value}\n" for name, value in self._token.items()])
        self._second = -1
        self._date = ""

    def sign(self, method: str, key: str, now: float) -> dict[str, str]:
        """Return the headers of the signature, names in lower case; others may go with them.

        An empty `key` is the bucket itself. No query is signed. `now` is seconds since 1970.
        """
        if int(now) != self._second:
            self._second = int(now)
            self._date = formatdate(self._second, usegmt=True)
        # Between the method and the date: Content-MD5 and Content-Type, which reads do not have.
        text = f"{method}\n\n\n{self._date}\n{self._lines}{encode_path(self._root, key)}"
        signature = base64.b64encode(hmac.digest(self._secret, text.encode(), "sha1")).decode()
        authorization = f"{self._credential}:{signature}"
        return {"date": self._date, **self._token, "authorization": authorization}
