"""Signed requests to one bucket of OSS, over our own transport."""

import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from ossimport.credentials import Credentials, Keys
from ossimport.errors import Fatal, StorageError, Transient
from ossimport.listing import MAX_PAGE, NotAListing, Page
from ossimport.listing_xml import parse_page
from ossimport.oss.refusals import Role, read_refusal, translate
from ossimport.oss.signing import SignerV4, encode_query
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.faults import bad_response
from ossimport.transport.wire import Body, Flowing

LARGEST_PAGE = 1000  # objects that one listing request may ask for

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MAX_BODY = 64 << 20
RENEWALS = 3  # for one request, of credentials that should have lasted
_DENIED = frozenset({400, 401, 403})
_EXPIRED = frozenset({"SecurityTokenExpired", "InvalidSecurityToken", "InvalidAccessKeyId"})
_MISREAD = frozenset({"/", "."})
_DOTS = {".": "%2E", "..": "%2E%2E"}


# Encoded, it is what it was, and nobody on the way finds anything in it to tidy up.
_PLAIN = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?")


def _encoded(key: str) -> tuple[str, str]:
    """The path of a key, as it is signed and as it is sent."""
    path = quote(key, errors="surrogateescape")
    if "/." in path or "//" in path or path[:1] in _MISREAD:
        # Or a proxy would tidy the path up, and another object would be asked for.
        return path, _DOTS.get(path) or path.replace("/", "%2F")
    return path, path


class Access(NamedTuple):
    """Where a bucket is, and who asks."""

    endpoint: Endpoint  # of the region, without the bucket
    bucket: str
    region: str
    access_key: str
    secret_key: str
    security_token: str = ""
    keys: Keys | None = None  # instead of the three above

    @property
    def path_style(self) -> bool:
        """The bucket is in the path, because the host is an IP address or `localhost`."""
        try:
            ipaddress.ip_address(self.endpoint.host)
        except ValueError:
            return self.endpoint.host == "localhost"
        return True

    def __repr__(self) -> str:
        return f"Access({self.endpoint}, {self.bucket})"


class OssBucket:
    """One bucket, for one event loop."""

    def __init__(
        self,
        access: Access,
        transport: Transport,
        role: Role,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises Fatal for a bucket name that OSS cannot have."""
        name = access.bucket
        if not _NAME.fullmatch(name):
            message = f"{name!r} is not a bucket name. Cure: check {role.name}Bucket"
            raise Fatal(message, code="InvalidBucketName", op="open")
        self.name = name
        self.role = role
        self._root = f"/{name}/"
        self._target_root = self._root if access.path_style else "/"
        self.endpoint = access.endpoint
        if not access.path_style:
            self.endpoint = access.endpoint._replace(host=f"{name}.{access.endpoint.host}")
        self._transport = transport
        self._clock = clock
        self._region = access.region
        self.keys = access.keys or Keys.fixed(
            access.access_key, access.secret_key, access.security_token
        )
        self._make_signer(self.keys.current)

    def _make_signer(self, credentials: Credentials) -> None:
        self._signs_for = credentials
        self._signer = SignerV4(
            credentials.access_key,
            credentials.secret_key,
            self._region,
            credentials.security_token,
        )

    async def send(
        self,
        method: str,
        op: str,
        key: str,
        *,
        query: str = "",
        headers: Mapping[str, str] = _NO_HEADERS,
        body: Body | Flowing = b"",
        max_body: int = _MAX_BODY,
    ) -> Response:
        """Send a request; return its answer, whatever the status.

        An empty `key` is the bucket itself; any other is sent as it is, whether or not OSS can have
        it. `query` is by `encode_query`; `headers` are as `SignerV4.sign` wants them.
        """
        path, sent = (key, key) if _PLAIN.fullmatch(key) else _encoded(key)
        target = f"{self._target_root}{sent}?{query}" if query else self._target_root + sent
        keys, left = self.keys, RENEWALS
        used = keys.current

        def signed() -> Mapping[str, str]:
            nonlocal used
            used = keys.current
            if used is not self._signs_for:
                self._make_signer(used)
            return self._signer.sign(method, self._root + path, query, headers, self._clock())

        while True:
            try:
                if keys.due <= self._clock():
                    await keys.get()
                response = await self._transport.request(
                    self.endpoint, method, target, signed, body, max_body=max_body
                )
            except StorageError as exc:
                exc.op, exc.key = op, key
                raise
            if response.status not in _DENIED or keys.is_fixed:
                return response
            refusal = read_refusal(response.status, response.headers, response.body)
            if not left or not self.outlived(refusal.code, used):
                return response
            left -= not keys.have_ended(used)

    def outlived(self, code: str, used: Credentials) -> bool:
        """Whether `code` refuses the credentials, and there may be others: then ask again."""
        if self.keys.is_fixed or code not in _EXPIRED:
            return False
        self.keys.refuse(used, code)
        return True

    async def turn(self) -> None:
        """Wait until a request may be made that goes there by another way than `send`."""
        await self._transport.turn(self.endpoint)

    async def page(self, op: str, prefix: str, after: str, limit: int) -> Page:
        """The first objects, `limit` at most, behind the key `after`. OSS: ListObjectsV2.

        Raises Transient(code="BadResponse") for what is no listing.
        """
        params = {"prefix": prefix, "max-keys": str(limit), "encoding-type": "url"}
        page = await self._list(op, params | {"list-type": "2", "start-after": after})
        if page.truncated and not page.objects:
            # Version 2 goes on by a token that nobody can compare; version 1 names a key.
            page = await self._list(op, params | {"marker": after})
        return page

    async def _list(self, op: str, params: dict[str, str]) -> Page:
        query = encode_query({name: value for name, value in params.items() if value})
        response = await self.send("GET", op, "", query=query, max_body=MAX_PAGE)
        self.expect_success(response, op, "")
        try:
            return parse_page(response.body)
        except NotAListing as exc:
            raise self.not_oss(op, "") from exc

    def expect_success(self, response: Response, op: str, key: str) -> None:
        """Raise what a refusal means."""
        if response.status // 100 != 2:
            raise self.refused(response.status, response.headers, response.body, op, key)

    def refused(
        self, status: int, headers: Mapping[str, str], body: bytes | bytearray, op: str, key: str
    ) -> StorageError:
        """What an answer that is not a success means. Names of headers are in lower case."""
        refusal = read_refusal(status, headers, body)
        return translate(refusal, self.role, op=op, bucket=self.name, key=key)

    def not_oss(self, op: str, key: str) -> Transient:
        """An answer that OSS would not give."""
        what = f"the answer is not one of OSS. Cure: check {self.role.name}Domain"
        fault = bad_response(self.endpoint, what)
        fault.op, fault.key = op, key
        return fault
