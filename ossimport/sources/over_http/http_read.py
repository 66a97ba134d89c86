"""Describe and read the objects of any store that serves them over HTTP.

A store brings its `Dialect`: how it signs, refuses, and names things. That what comes is the whole
of what was asked for, of the version that was listed, is seen to here.
"""

import re
from collections.abc import Mapping
from typing import Protocol

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.http_date import http_date_ns
from ossimport.model import ObjectInfo
from ossimport.naming import display
from ossimport.sources.base import NO_HEADERS, Checksum, Payload
from ossimport.transport import Response
from ossimport.transport.wire import Body
from ossimport.wording import counted

_MAX_REFUSAL = 64 << 10  # bytes of an answer that is not what was asked for
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)


class Dialect(Protocol):
    """What differs from store to store. Keys are relative to srcPrefix."""

    meta_prefix: str  # what the names of headers with user metadata begin with, in lower case

    async def ask(
        self, method: str, op: str, key: str, headers: Mapping[str, str], max_body: int
    ) -> Response:
        """Send a signed GET or HEAD for the object."""

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        """What an answer that is not a success means; code NotFound: there is no such object."""

    def checksum(self, headers: Mapping[str, str]) -> Checksum | None:
        """What an answer's headers say of the whole object."""


async def stat(dialect: Dialect, key: str) -> ObjectInfo:
    """Describe the object now. See `base.Source.stat`."""
    response = await _ask(dialect, "HEAD", "stat", key)
    headers = response.headers
    size = headers.get("content-length", "")
    if not size.isdecimal():
        raise _bad("it does not say how large the object is", "stat", key)
    checksum = dialect.checksum(headers)
    return ObjectInfo(
        key,
        int(size),
        http_date_ns(headers.get("last-modified", "")),
        headers.get("etag", "").strip('"'),
        int(checksum.value) if checksum is not None and checksum.algorithm == "crc64" else None,
    )


async def read(dialect: Dialect, info: ObjectInfo, offset: int, length: int) -> Payload:
    """Read a range of one version. See `base.Source.read`.

    The whole object comes in one request with all that travels with it. No bytes of an object that
    has some are a HEAD: for those who want only what travels with it.
    """
    pin = _pin(info)
    if length == 0 and info.size:
        response = await head(dialect, info)
        body: Body = b""
    elif (offset, length) == (0, info.size):
        try:
            response = await _ask(dialect, "GET", "read", info.key, pin=pin, length=length)
        except Permanent as exc:
            if exc.code != "BadResponse":
                raise
            raise _changed(info, f"it has more than {counted(info.size, 'byte')} now") from exc
        body = _whole(info, response)
    else:
        pin["range"] = f"bytes={offset}-{offset + length - 1}"
        response = await _ask(dialect, "GET", "read", info.key, pin=pin, length=length)
        body = _part(info, response, offset, length)
    _expect_version(info, response)
    headers = response.headers
    mtime_ns = info.mtime_ns or http_date_ns(headers.get("last-modified", ""))
    return Payload(body, headers, dialect.checksum(headers), mtime_ns, dialect.meta_prefix)


async def head(dialect: Dialect, info: ObjectInfo) -> Response:
    """Ask for all that travels with one version, and for none of its bytes."""
    response = await _ask(dialect, "HEAD", "read", info.key, pin=_pin(info))
    _expect_size(info, response.headers.get("content-length", ""))
    _expect_version(info, response)
    return response


async def check(dialect: Dialect, objects: list[ObjectInfo]) -> None:
    """See that objects can be read, with one byte of one of them. Raises Fatal or Transient."""
    info = next((info for info in objects if info.size), None)
    if info is None:
        return
    try:
        await read(dialect, info, 0, 1)
    except Permanent as exc:
        if exc.code == "AccessDenied":
            raise Fatal(str(exc), code=exc.code, op="check", request_id=exc.request_id) from exc


def _pin(info: ObjectInfo) -> dict[str, str]:
    return {"if-match": f'"{info.etag}"'} if info.etag else {}


async def _ask(
    dialect: Dialect,
    method: str,
    op: str,
    key: str,
    *,
    pin: Mapping[str, str] = NO_HEADERS,
    length: int = 0,
) -> Response:
    try:
        response = await dialect.ask(method, op, key, pin, max(length, _MAX_REFUSAL))
    except StorageError as exc:
        exc.op, exc.key = op, key
        raise
    if response.status in {200, 206}:
        return response
    if response.status in {412, 416}:
        raise _changed(ObjectInfo(key, 0), "there is another version now")
    error = dialect.refused(response, op, key)
    error.op, error.key = op, key
    raise error


def _whole(info: ObjectInfo, response: Response) -> Body:
    if response.status != 200:
        raise _bad("a part came, and the whole was asked for", "read", info.key)
    size = len(response.body)
    if size != info.size:
        if size < info.size and "content-length" not in response.headers:
            raise _bad(f"it ended after {counted(size, 'byte')} of {info.size}", "read", info.key)
        _expect_size(info, str(size))
    return response.body


def _part(info: ObjectInfo, response: Response, offset: int, length: int) -> Body:
    # Where the range was not looked at. (There are servers that say 200 of a part as well.)
    if response.status == 200 and "content-range" not in response.headers:
        return memoryview(_whole(info, response))[offset : offset + length]
    said = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if said is None:
        raise _bad("it does not say which part it is", "read", info.key)
    if said[3] != "*":
        _expect_size(info, said[3])
    if (int(said[1]), int(said[2])) != (offset, offset + length - 1):
        raise _bad(f"bytes {said[1]}-{said[2]} came, others were asked for", "read", info.key)
    if len(response.body) != length:
        raise _bad(
            f"it ended after {counted(len(response.body), 'byte')} of {length}", "read", info.key
        )
    return response.body


def _expect_version(info: ObjectInfo, response: Response) -> None:
    etag = response.headers.get("etag", "").strip('"')
    time = response.headers.get("last-modified", "")
    if info.etag and etag:
        if etag != info.etag:
            raise _changed(info, "it has another ETag")
    elif info.mtime_ns and time and http_date_ns(time) != info.mtime_ns // 10**9 * 10**9:
        raise _changed(info, "it has another modification time")


def _expect_size(info: ObjectInfo, said: str) -> None:
    if said != str(info.size):
        raise _changed(
            info, f"it had {counted(info.size, 'byte')} and has {said or 'nobody knows how many'}"
        )


def _changed(info: ObjectInfo, what: str) -> Permanent:
    message = f"{display(info.key)} has changed since it was listed: {what}"
    return Permanent(message, code="SourceChanged", op="read", key=info.key)


def _bad(what: str, op: str, key: str) -> Transient:
    message = f"the answer for {display(key)} is not usable: {what}"
    return Transient(message, code="BadResponse", op=op, key=key)
