"""Objects in a bucket of Amazon S3, or of any store that speaks its protocol.

An archived object must be restored first.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ossimport.answers import header, xml_field
from ossimport.credentials import Credentials, Keys, keys_of
from ossimport.errors import Fatal, StorageError, Transient
from ossimport.listing import MAX_PAGE, MOST_EMPTY, NotAListing, Page, is_behind, loops
from ossimport.listing_xml import parse_page
from ossimport.model import ObjectInfo
from ossimport.sources.base import NO_HEADERS, Checksum, Source, Tagged
from ossimport.sources.lanes.key_range import PAGE
from ossimport.sources.over_http.bucket_source import BucketSource
from ossimport.sources.over_http.checksums import md5_of_etag
from ossimport.sources.over_http.refusals import Refusal, read_xml, translate
from ossimport.sources.over_http.tags import MAX_TAGS, read_tags
from ossimport.sources.over_http.tidied import blame_name
from ossimport.sources.s3_place import Place, find
from ossimport.sources.s3_refusals import S3
from ossimport.sources.s3_signing import SignerV4, encode_path, encode_query
from ossimport.transport import Response, Transport
from ossimport.transport.faults import bad_response
from ossimport.transport.wire import host_header

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_MAX_TOKENS = 256  # that are kept: of pages that threads walk, and of those that are only looked at
_UNCLEAR = frozenset({301, 307, 400, 403})  # another region, or many other reasons
_RENEWALS = 3  # for one request, of credentials that should have lasted
_DENIED = frozenset({400, 401, 403})
_EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"})
_REGION = re.compile(r"[A-Za-z0-9-]{1,40}")
_EXPECTED = re.compile(r"expecting '([^']+)'")
_KMS, _OWN_KEY = "x-amz-server-side-encryption", "x-amz-server-side-encryption-customer-algorithm"
_SKEWED = "The difference between the request time and the"
_NOT_FOUND_BY_NAME = frozenset({"DnsFailure", "TlsError"})


class Access(NamedTuple):
    """Where a bucket is, and who asks."""

    place: Place
    access_key: str
    secret_key: str
    security_token: str = ""
    keys: Keys | None = None  # instead of the three above

    def __repr__(self) -> str:
        return f"Access({self.place})"


class S3Source(BucketSource["_S3"]):
    """The objects of a bucket below `prefix`. See `base.Source`."""

    def __init__(
        self,
        access: Access,
        prefix: str,
        transport: Transport | None = None,
        *,
        page_size: int = PAGE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        def connect(transport: Transport) -> "_S3":
            return _S3(access, prefix, transport, clock)

        super().__init__(connect, prefix, transport, page_size)

    async def tags(self, info: ObjectInfo) -> dict[str, str]:
        """See `base.Tagged`. S3: GetObjectTagging."""
        return await read_tags(self._objects, info)

    async def untold(self, most: int) -> dict[str, int]:
        """See `base.Untold`. S3: ListObjectVersions, if the keys may."""
        return await self._objects.old_versions(most)


_check: tuple[type[Source], type[Tagged]] = (S3Source, S3Source)


class _Site:
    """One bucket at one place: where requests go and how they are signed."""

    def __init__(
        self, place: Place, access: Access, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self.place = place
        self.endpoint, self._root = place.address()
        self._transport = transport
        self._clock = clock
        self.keys = access.keys or Keys.fixed(*access[1:4])
        self._make_signer(self.keys.current)

    def _make_signer(self, credentials: Credentials) -> None:
        self._signs_for = credentials
        self._signer = SignerV4(
            host_header(self.endpoint),
            credentials.access_key,
            credentials.secret_key,
            self.place.region,
            credentials.security_token,
        )

    async def send(
        self, method: str, key: str, query: str, headers: Mapping[str, str], max_body: int
    ) -> tuple[Response, Credentials]:
        """Send a request, whatever its answer; say whose it was, too.

        `query` is by `encode_query`.
        """
        # As it is signed: there are servers that verify the path as it came. Whoever tidies it up
        # on the way makes the signature wrong, and no other object of it.
        path = self._root + encode_path(key)
        target = f"{path}?{query}" if query else path
        used = self.keys.current

        def signed() -> Mapping[str, str]:
            nonlocal used
            used = self.keys.current
            if used is not self._signs_for:
                self._make_signer(used)
            return {**headers, **self._signer.sign(method, path, query, self._clock())}

        if self.keys.due <= self._clock():
            await self.keys.get()
        try:
            response = await self._transport.request(
                self.endpoint, method, target, signed, max_body=max_body
            )
        except Transient as exc:
            if self.place.in_path or exc.code not in _NOT_FOUND_BY_NAME:
                raise
            message = f"{exc}. Cure: check srcDomain; if the store has no names for its buckets, "
            message += f"write {self.place.endpoint}: with a port, the bucket is in the path"
            raise Transient(message, code=exc.code) from exc
        return response, used


class _S3:
    """S3 for `bucket_source`."""

    meta_prefix = "x-amz-meta-"

    def __init__(
        self, access: Access, prefix: str, transport: Transport, clock: Callable[[], float]
    ) -> None:
        self._prefix = prefix

        def at(place: Place) -> _Site:
            return _Site(place, access, transport, clock)

        self._at = at
        self._site = at(access.place)
        self._is_old = False  # it lists behind `marker` and does not know `start-after`
        self._tokens: dict[str, str] = {}  # by the last key of a page: how to go on behind it

    async def page(self, op: str, after: str, limit: int) -> Page:
        params = {"prefix": self._prefix, "max-keys": str(limit), "encoding-type": "url"}
        if self._is_old:
            return await self._list(op, params | {"marker": after})
        page = await self._page_of_v2(op, params | {"list-type": "2"}, after)
        if page is not None and not _goes_back(page, after):
            return page
        # An old server leaves out of account what it does not know. It is one if it does better
        # with what it should know; a listing that is wrong either way is refused by who asked.
        old = await self._list(op, params | {"marker": after})
        if page is not None and not _is_better(old, page, after):
            return page
        self._is_old = True
        return old

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        site, path = self._site, self._prefix + key
        response = await self._send(method, path, "", headers, max_body)
        if method != "HEAD" or response.status not in _UNCLEAR:
            return response
        # It has no body that could say why.
        one_byte = {**headers, "range": "bytes=0-0"}
        used = site.keys.current
        told = await self._send("GET", path, "", one_byte, max_body)
        if self._site is not site or site.keys.current != used:  # that is why
            return await self._send(method, path, "", headers, max_body)
        return told if told.status == response.status else response

    async def old_versions(self, most: int) -> dict[str, int]:
        """How many there are among the first versions; empty if that is none or not told."""
        query = encode_query({"versions": "", "prefix": self._prefix, "max-keys": str(most)})
        response = await self._send("GET", "", query, NO_HEADERS, MAX_PAGE)
        number = response.body.count(b"<IsLatest>false</IsLatest>")
        return {"old versions": number} if number else {}

    async def ask_tags(self, key: str) -> Response:
        return await self._send("GET", self._prefix + key, "tagging=", NO_HEADERS, MAX_TAGS)

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        return self._refused(response, op, self._prefix + key)

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        if headers.get(_KMS, "").startswith("aws:") or _OWN_KEY in headers:
            return None  # the ETag is of what is stored: of the encrypted bytes
        return md5_of_etag(headers.get("etag", ""))

    async def _page_of_v2(self, op: str, params: dict[str, str], after: str) -> Page | None:
        """A page that has keys or is the last; None if only version 1 of the request can tell."""
        try:
            page = await self._next(op, params, after)
        except StorageError as exc:
            if exc.code == "NotImplemented":
                return None
            raise
        seen: set[str] = set()
        while page.truncated and not page.objects:
            if page.token in seen or len(seen) == MOST_EMPTY:
                raise loops(f"{len(seen)} pages without a key came, and it goes on")
            if not page.token:
                return None
            seen.add(page.token)
            page = await self._list(op, params | {"continuation-token": page.token})
        if page.truncated and page.token:
            self._tokens[page.objects[-1].key] = page.token
            if len(self._tokens) > _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
        return page

    async def _next(self, op: str, params: dict[str, str], after: str) -> Page:
        """Ask by the token of the page that has ended with `after`, if there was one.

        A store that does not list in order shows itself in this way; behind a key it leaves out
        what should have come before that.
        """
        if token := self._tokens.pop(after, ""):
            try:
                return await self._list(op, params | {"continuation-token": token})
            except Fatal:
                pass  # it may not live as long as the walk does
        return await self._list(op, params | {"start-after": after})

    async def _list(self, op: str, params: Mapping[str, str]) -> Page:
        query = encode_query({name: value for name, value in params.items() if value})
        response = await self._send("GET", "", query, NO_HEADERS, MAX_PAGE)
        if response.status != 200:
            raise self._refused(response, op, "")
        try:
            return parse_page(response.body)
        except NotAListing as exc:
            what = f"the answer is no listing of S3: {exc}. Cure: check srcDomain"
            raise bad_response(self._site.endpoint, what) from exc

    async def _send(
        self, method: str, key: str, query: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        """Send a request, once more if the bucket turns out to be in another region."""
        site, left = self._site, _RENEWALS
        response, used = await site.send(method, key, query, headers, max_body)
        while left and self._outlived(response, used):
            left -= not site.keys.have_ended(used)
            response, used = await site.send(method, key, query, headers, max_body)
        if response.status in _UNCLEAR and self._moved(site, response):
            response, _ = await self._site.send(method, key, query, headers, max_body)
        return response

    def _outlived(self, response: Response, used: Credentials) -> bool:
        """The service takes these credentials no more, and there may be others."""
        keys = self._site.keys
        if response.status not in _DENIED or keys.is_fixed:
            return False
        code = _read(response).code
        if code not in _EXPIRED:
            return False
        keys.refuse(used, code)
        return True

    def _moved(self, asked: _Site, response: Response) -> bool:
        """Follow the bucket to the region that an answer names; false if there is no other."""
        if self._site is not asked:
            return True  # another request was answered first
        region = _named_region(response)
        if region == asked.place.region or not _REGION.fullmatch(region):
            return False
        self._site = self._at(asked.place.in_region(region))
        return True

    def _refused(self, response: Response, op: str, key: str) -> StorageError:
        refusal = _read(response)
        bucket = self._site.place.bucket
        error = translate(refusal, S3, op=op, bucket=bucket, key=key)
        return blame_name(error, response.status, key)


def _read(response: Response) -> Refusal:
    headers = response.headers
    refusal = read_xml(response.status, headers, response.body, "x-amz-request-id")
    if refusal.message.startswith(_SKEWED):  # rclone's server calls it AccessDenied
        return refusal._replace(code="RequestTimeTooSkewed")
    return refusal if refusal.code else refusal._replace(code=header(headers, "x-minio-error-code"))


def _named_region(response: Response) -> str:
    """The region that an answer says the bucket is in; empty if it says none."""
    if region := response.headers.get("x-amz-bucket-region", ""):
        return region
    text = response.body.decode("utf-8", "replace")
    if region := xml_field(text, "Region"):
        return region
    expected = _EXPECTED.search(xml_field(text, "Message"))
    return expected[1] if expected else ""


def _goes_back(page: Page, after: str) -> bool:
    return bool(after and page.objects and not is_behind(page.objects[0].key, after))


def _is_better(old: Page, page: Page, after: str) -> bool:
    """What came for `marker` lacks nothing of `page`, which does not begin behind `after`."""
    return bool(old.objects) or not is_behind(page.objects[-1].key, after)


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: Transport | None
) -> Source:
    access = Access(
        place=find(config.domain, config.bucket, config.region),
        access_key="",
        secret_key="",
        keys=keys_of(config, "srcCredentials"),
    )
    return S3Source(access, config.prefix, transport)
