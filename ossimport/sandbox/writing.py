"""PutObject, AppendObject, CopyObject, DeleteObject."""

import base64
import binascii
import hashlib
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from ossimport.crc64 import crc64_combine
from ossimport.sandbox import xml
from ossimport.sandbox.call import Call
from ossimport.sandbox.reading import check_conditions
from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Answer, check_key
from ossimport.sandbox.store import Entry
from ossimport.sandbox.traits import (
    encryption_headers,
    is_readable,
    read_storage_class,
    read_traits,
    without_restore,
)

_MAX_COPY = 1 << 30  # bytes that one CopyObject takes


def check_put(call: Call) -> None:
    """Refuse what can be refused before the body."""
    call.forbid_overwrite()
    content_md5(call)
    read_storage_class(call)
    read_traits(call.request)


def put_object(call: Call) -> Answer:
    """OSS: PutObject."""
    request = call.request
    call.forbid_overwrite()
    digest = check_md5(call)
    incoming = call.received()
    entry = Entry(
        kind="Normal",
        size=incoming.size,
        etag=digest.hex().upper(),
        crc64=incoming.crc64,
        modified=call.second,
        storage_class=read_storage_class(call),
        traits=read_traits(request),
        pieces=incoming.pieces,
    )
    call.store.put(request.bucket, request.key, entry)
    headers = {
        "ETag": f'"{entry.etag}"',
        "x-oss-hash-crc64ecma": str(entry.crc64),
        "Content-MD5": base64.b64encode(digest).decode(),
        **encryption_headers(entry.traits),
    }
    return Answer(200, headers)


def append_object(call: Call) -> Answer:
    """OSS: AppendObject. What is appended becomes one more piece."""
    request = call.request
    entry = _appendable(call)
    check_md5(call)
    incoming = call.received()
    tail = incoming.md5.hex()
    mixed = hashlib.md5((entry.etag + tail).encode(), usedforsecurity=False)
    longer = replace(
        entry,
        size=entry.size + incoming.size,
        etag=mixed.hexdigest().upper(),
        crc64=crc64_combine(entry.crc64, incoming.crc64, incoming.size),
        modified=call.second,
        pieces=entry.pieces + incoming.pieces,
    )
    call.store.put(request.bucket, request.key, longer)
    headers = {
        "ETag": f'"{longer.etag}"',
        "x-oss-hash-crc64ecma": str(longer.crc64),
        "x-oss-next-append-position": str(longer.size),
        **encryption_headers(longer.traits),
    }
    return Answer(200, headers)


def check_append(call: Call) -> None:
    """Refuse what can be refused before the body."""
    content_md5(call)
    _appendable(call)


def _appendable(call: Call) -> Entry:
    """The object to append to, an empty one if there is none."""
    request = call.request
    if "position" not in request.params:
        raise Refusal("MissingArgument", details={"ArgumentName": "position"})
    position = call.number("position", 0, 0, 1 << 62)
    found = call.store.find(request.bucket, request.key)
    entry = found or Entry(
        kind="Appendable",
        size=0,
        etag="",
        crc64=0,
        modified=call.second,
        storage_class=read_storage_class(call),
        traits=read_traits(request),
    )
    if entry.kind != "Appendable":
        raise Refusal("ObjectNotAppendable", details={"Key": request.key.decode()})
    if position != entry.size:
        headers = {"x-oss-next-append-position": str(entry.size)}
        raise Refusal("PositionNotEqualToLength", headers=headers)
    return entry


def copy_object(call: Call) -> Answer:
    """OSS: CopyObject. A copy onto itself replaces the metadata whatever the directive says."""
    request = call.request
    call.forbid_overwrite()
    bucket, key, source = copy_source(call)
    itself = (bucket, key) == (request.bucket, request.key)
    if source.size > _MAX_COPY and not itself:
        raise Refusal("EntityTooLarge", details={"MaxSizeAllowed": str(_MAX_COPY)})
    traits = read_traits(request)
    if _directive(call, "x-oss-metadata-directive") == "COPY" and not itself:
        sealed = encryption_headers(source.traits)  # no metadata: the copy has its own
        kept = {n: v for n, v in source.traits.headers.items() if n not in sealed}
        traits = replace(traits, headers=kept | encryption_headers(traits))
    if _directive(call, "x-oss-tagging-directive") == "COPY":
        traits = replace(traits, tags=source.traits.tags)
    entry = replace(
        source,
        kind=source.kind if itself or source.kind == "Symlink" else "Normal",
        modified=call.second,
        storage_class=read_storage_class(call),
        traits=without_restore(replace(traits, target=source.traits.target)),
    )
    call.store.put(request.bucket, request.key, entry, shared=True)
    etag = f'"{entry.etag}"'
    body = xml.document(
        "CopyObjectResult",
        xml.tag("LastModified", xml.iso_time(entry.modified)),
        xml.tag("ETag", etag),
    )
    headers = {"ETag": etag, "x-oss-hash-crc64ecma": str(entry.crc64)}
    return Answer(200, headers | encryption_headers(entry.traits), body)


def copy_source(call: Call) -> tuple[str, bytes, Entry]:
    """Read `x-oss-copy-source` and its conditions; return bucket, key and object."""
    text = call.request.header("x-oss-copy-source")
    path, _, version = text.partition("?")
    if version:
        raise Refusal("NotImplemented", "Versions are not kept by this local endpoint.")
    name, _, key = unquote_to_bytes(path.encode("latin-1")).removeprefix(b"/").partition(b"/")
    if not name or not key:
        raise invalid_argument(
            "Copy Source must mention the source bucket and key.", "x-oss-copy-source", text
        )
    check_key(key)
    bucket = call.store.bucket(name.decode("utf-8", "replace")).name
    entry = call.store.get(bucket, key)
    check_conditions(call, entry, "x-oss-copy-source-")
    if not is_readable(entry, call.now):
        raise Refusal("InvalidObjectState", details={"ObjectName": key.decode()})
    return bucket, key, entry


def _directive(call: Call, header: str) -> str:
    directive = call.request.header(header, "COPY").upper()
    if directive not in {"COPY", "REPLACE"}:
        raise invalid_argument(f"{header} must be COPY or REPLACE.", header, directive)
    return directive


def delete_object(call: Call) -> Answer:
    """OSS: DeleteObject. No object is no error."""
    call.store.delete(call.request.bucket, [call.request.key])
    return Answer(204)


def content_md5(call: Call) -> bytes:
    """The MD5 that the client says the body has, b"" when it says none. Refuses what is none."""
    text = call.request.header("content-md5")
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b"?"
    if len(digest) not in {0, 16}:
        raise Refusal("InvalidDigest", details={"Content-MD5": text})
    return digest


def check_md5(call: Call) -> bytes:
    """Return the MD5 of the body on disk, which must be the one that the client said."""
    expected, digest = content_md5(call), call.received().md5
    if expected and expected != digest:
        raise Refusal(
            "InvalidDigest",
            details={
                "ClientMD5": expected.hex().upper(),
                "ServerMD5": digest.hex().upper(),
                "Content-MD5": call.request.header("content-md5"),
            },
        )
    return digest
