"""Requests to any web server: redirects followed, refusals put into words, odd answers mended."""

import ipaddress
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

from ossimport.errors import Permanent, StorageError, Transient
from ossimport.naming import display
from ossimport.sources.http_url import Url, parse_url
from ossimport.transport import Endpoint, Response, Transport

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REMEMBERED = 100  # servers
_OURS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "ossimport"}
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)", re.ASCII)
_PASSING = {408: "Timeout", 425: "ServerError", 429: "Throttled"}
# Where clouds tell each of their hosts of itself, with the keys of its role.
_METADATA = [
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "100.100.100.200/32", "fe80::/10", "fd00:ec2::/32")
]
_ABSENT = frozenset({404, 410})
_DENIED = frozenset({401, 403})


class Web:
    """Any number of servers. `answered` are those that did, the latest last."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.answered: dict[Endpoint, None] = {}

    async def ask(
        self, method: str, url: Url, headers: Mapping[str, str], max_body: int
    ) -> Response:
        """Send a request to wherever the server leads. Nothing in it is a secret.

        Raises Permanent(code="Redirected") where it leads nowhere, from https to http, or to what
        is only this host's to ask for.
        """
        headers = {**_OURS, **headers}
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._transport.request(
                url.endpoint, method, url.target, headers, max_body=max_body
            )
            self._remember(url.endpoint)
            if response.status not in _REDIRECTS or "location" not in response.headers:
                return response
            url = _led_to(url, response.headers["location"])
        raise Permanent(f"{url} leads on and on", code="Redirected")

    def _remember(self, endpoint: Endpoint) -> None:
        self.answered.pop(endpoint, None)
        self.answered[endpoint] = None
        if len(self.answered) > _REMEMBERED:
            del self.answered[next(iter(self.answered))]


def _led_to(url: Url, location: str) -> Url:
    # Headers arrive as latin-1; servers that do not encode paths write UTF-8.
    text = location.encode("latin-1").decode("utf-8", "replace").partition("#")[0]
    try:
        target = parse_url(urljoin(f"{url.endpoint}{url.target}", text))
    except ValueError as exc:
        raise Permanent(f"{url} leads to no URL: {exc}", code="Redirected") from exc
    if (url.endpoint.scheme, target.endpoint.scheme) == ("https", "http"):
        raise Permanent(
            f"{url} leads to {target}, which is not encrypted. Cure: list the URL with http:// if "
            "that is all right",
            code="Redirected",
        )
    if _is_own(target.endpoint.host) and not _is_own(url.endpoint.host):
        raise Permanent(f"{url} leads back to this host: {target}", code="Redirected")
    return target


def _is_own(host: str) -> bool:
    """What answers there depends on who asks: nobody else can mean to send us there."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or any(address in network for network in _METADATA)


def refused(response: Response, url: Url, op: str, key: str) -> StorageError:
    """What an answer that is not a success means."""
    status = response.status
    said = f"{op} of {display(key)} at {url}: HTTP {status}"
    if status in _ABSENT:
        return Permanent(f"{said}. Cure: check the line of the list", code="NotFound")
    if status in _PASSING or status >= 500:
        code = _PASSING.get(status, "ServerError")
        wish = retry_after(response.headers.get("retry-after", ""), response.headers.get("date"))
        return Transient(said, code=code, retry_after=wish)
    if status in _DENIED:
        cure = "let the server allow the workers' addresses; a signed URL may have ended"
        return Permanent(f"{said}. Cure: {cure}", code="AccessDenied")
    return Permanent(f"{said}. Cure: see what the server's log says", code=f"HTTP{status}")


def retry_after(text: str, now: str | None) -> float:
    """The seconds that a server wishes us to wait: a number, or until a time by its own clock."""
    if text.isdecimal():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(now or "")
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, wait.total_seconds())


def total_size(response: Response) -> int | None:
    """The size of the object, by the answer to a request for its first byte; None: not said."""
    if response.status in {206, 416}:
        found = _TOTAL.fullmatch(response.headers.get("content-range", ""))
        return int(found[1]) if found else None
    return len(response.body)


def decoded(response: Response, size: int) -> Response:
    """The answer without a compression that we had not asked for, if it is of so many bytes then.

    `size` is -1 where it is not known: what would come out is not bounded by anything then.
    What stays compressed is stored so, with its Content-Encoding.
    """
    if response.headers.get("content-encoding", "").lower() not in {"gzip", "x-gzip", "deflate"}:
        return response
    if response.status != 200 or len(response.body) == size or size < 0:
        return response
    unpacker = zlib.decompressobj(wbits=47)
    try:
        body = unpacker.decompress(response.body, size + 1)
    except zlib.error:
        return response
    if len(body) != size or not unpacker.eof:
        return response
    headers = {k: v for k, v in response.headers.items() if k != "content-encoding"}
    return Response(200, headers | {"content-length": str(size)}, body)


def strong_only(response: Response) -> Response:
    """The answer without an ETag that does not vouch for the bytes."""
    etag = response.headers.get("etag", "")
    if not etag or (etag.startswith('"') and etag.endswith('"') and len(etag) > 1):
        return response
    headers = {name: value for name, value in response.headers.items() if name != "etag"}
    return replace(response, headers=headers)
