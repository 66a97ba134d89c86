"""S3's V4 signature in the `Authorization` header, for requests without a body."""

from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote

from ossimport.v4_signing import KeptKey

_NOTHING = sha256(b"").hexdigest()  # of the body


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
        self._fixed = {"host": host, "x-amz-content-sha256": _NOTHING, "x-amz-date": ""}
        if security_token:
            self._fixed["x-amz-security-token"] = security_token
        names = ";".join(self._fixed)  # in the order of the alphabet already
        scope, signed = (region, "s3", "aws4_request"), f"SignedHeaders={names}, "
        self._key = KeptKey("AWS4-HMAC-SHA256", access_key, f"AWS4{secret_key}", scope, signed)
        self._rest = ""  # of a canonical request, behind its query

    def sign(self, method: str, path: str, query: str, now: float) -> dict[str, str]:
        """Return the headers of the signature, names in lower case; others may go with them.

        `path` is by `encode_path` and `query` by `encode_query`, both as they will be sent. `now`
        is seconds since 1970.
        """
        key, second = self._key, int(now)
        if second != key.second:
            key.start(second)
            self._fixed["x-amz-date"] = key.stamp
            lines = "".join(f"{name}:{value}\n" for name, value in self._fixed.items())
            self._rest = f"{lines}\n{';'.join(self._fixed)}\n{_NOTHING}"
        signature = key.sign(f"{method}\n{path}\n{query}\n{self._rest}")
        return {**self._fixed, "authorization": signature}
