"""OSS's V4 signature in the `Authorization` header.

The service's own rules are on "Include a V4 signature in the Authorization header" of its
reference.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from urllib.parse import quote

from ossimport.v4_signing import KeptKey

_UNSIGNED = "UNSIGNED-PAYLOAD"  # the CRC64 in the answer proves the body better than a hash would
_SIGNED_NAMES = frozenset({"content-type", "content-md5"})  # besides every x-oss-*


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
        scope = (region, "oss", "aliyun_v4_request")
        self._key = KeptKey("OSS4-HMAC-SHA256", access_key, f"aliyun_v4{secret_key}", scope)
        self._own_headers = {"x-oss-content-sha256": _UNSIGNED, "x-oss-date": ""}
        if security_token:
            self._own_headers["x-oss-security-token"] = security_token

    def sign(
        self, method: str, path: str, query: str, headers: Mapping[str, str], now: float
    ) -> dict[str, str]:
        """Return the headers to send: `headers` and those of the signature.

        `path` is `/bucket/key` by `encode_path`, the bucket included even where it is in the host
        name; `query` is by `encode_query`. Headers are as on the wire: names in lower case, values
        latin-1 and without blanks at either end. `now` is seconds since 1970.
        """
        key, second = self._key, int(now)
        if second != key.second:
            key.start(second)
            self._own_headers["x-oss-date"] = key.stamp
        signed = {**headers, **self._own_headers}
        form, values_of = _form(tuple(signed))
        signed["authorization"] = key.sign(form % (method, path, query, *values_of(signed)))
        return signed
