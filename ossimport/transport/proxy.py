"""Which proxy stands between us and a host, by the conventions of the environment."""

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # mypy knows one of them on macOS only
    getproxies_environment,
    proxy_bypass_environment,
)

from ossimport.errors import Fatal
from ossimport.transport.wire import Endpoint

_DEFAULT_PORT = 80


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy. Only `url` and `headers` show its password."""

    host: str
    port: int
    url: str = field(repr=False)  # for other clients than ours
    headers: Mapping[str, str] = field(repr=False)  # what it wants to see in a request to it

    def __str__(self) -> str:
        return str(Endpoint("http", self.host, self.port))


def through(endpoint: Endpoint, proxy: Proxy | None) -> str:
    """Where something happened, for people."""
    return str(endpoint) if proxy is None else f"{endpoint} through the proxy {proxy}"


class Proxies:
    """The proxy for each scheme, and the hosts that are reached without one."""

    def __init__(self, urls: Mapping[str, str] | None = None, *, loopback: bool = True) -> None:
        """`urls` is as `urllib.request.getproxies_environment` gives it: a URL for `http`, `https`
        and `all`, and a list of hosts in `no`. Without `loopback` this host is reached directly.
        """
        self._urls = dict(urls or {})
        self._loopback = loopback

    @classmethod
    def from_environment(cls) -> Self:
        """HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case; never for loopback."""
        return cls(getproxies_environment(), loopback=False)

    def between(self, endpoint: Endpoint) -> Proxy | None:
        """The proxy to `endpoint`; None where there is none. Raises Fatal for an unusable one."""
        url = self._urls.get(endpoint.scheme) or self._urls.get("all")
        if not url:
            return None
        if proxy_bypass_environment(endpoint.authority, self._urls):
            return None
        if not self._loopback and _is_loopback(endpoint.host):
            return None
        return _parse(url, endpoint.scheme)


def _parse(url: str, scheme: str) -> Proxy:
    """Read a proxy's URL; what is wrong is said without quoting it, for it may hold a password."""
    variables = f"{scheme.upper()}_PROXY or ALL_PROXY"
    cure = f"Cure: set {variables} to http://HOST:PORT, or name the host in NO_PROXY"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        message = f"{variables} is not the URL of a proxy. {cure}"
        raise Fatal(message, code="InvalidProxy") from None
    if parts.scheme != "http" or not parts.hostname:
        message = f"{variables} names a proxy of the kind {parts.scheme}://. {cure}"
        raise Fatal(message, code="InvalidProxy")
    return Proxy(parts.hostname, port, parts.geturl(), _headers(parts))


def _headers(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
