"""Multipart uploads: begin, parts, complete, abort, and the two listings."""

import hashlib
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from ossimport.crc64 import crc64, crc64_combine
from ossimport.sandbox import xml
from ossimport.sandbox.call import Call
from ossimport.sandbox.files import Content, cut
from ossimport.sandbox.reading import read_range
from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Answer, whole
from ossimport.sandbox.store import Entry, Traits
from ossimport.sandbox.traits import (
    encryption_headers,
    read_acl,
    read_storage_class,
    read_traits,
)
from ossimport.sandbox.uploads import Part, Upload
from ossimport.sandbox.writing import check_md5, content_md5, copy_source

_MIN_PART = 100 * 1024  # bytes; the last part may be smaller
_MAX_PARTS = 10_000
_COPY_CHUNK = 1 << 20


def begin_upload(call: Call) -> Answer:
    """OSS: InitiateMultipartUpload."""
    request = call.request
    call.forbid_overwrite()
    traits = replace(read_traits(request), acl="default")  # CompleteMultipartUpload has it
    storage_class = read_storage_class(call)
    upload_id = call.uploads.begin(request.bucket, request.key, call.second, storage_class, traits)
    encoding = request.params.get("encoding-type", "")
    body = xml.document(
        "InitiateMultipartUploadResult",
        xml.tag("EncodingType", encoding) if encoding else "",
        xml.tag("Bucket", request.bucket),
        xml.tag("Key", xml.key_text(request.key, encoding)),
        xml.tag("UploadId", upload_id),
    )
    return Answer(200, encryption_headers(traits), body)


def _upload(call: Call) -> Upload:
    request = call.request
    return call.uploads.get(request.bucket, request.key, request.params["uploadId"])


def _part_number(call: Call) -> int:
    number = call.number("partNumber", 0, 1, _MAX_PARTS)
    if not number:
        raise invalid_argument("Part number must be an integer from 1 to 10000.", "partNumber")
    return number


def check_part(call: Call) -> None:
    """Refuse what can be refused before the body."""
    _part_number(call)
    content_md5(call)
    _upload(call)


def upload_part(call: Call) -> Answer:
    """OSS: UploadPart."""
    upload = _upload(call)
    digest = check_md5(call)
    incoming = call.received()
    part = Part(
        _part_number(call),
        digest.hex().upper(),
        incoming.crc64,
        incoming.size,
        call.second,
        incoming.pieces,
    )
    call.uploads.put_part(upload.id, part)
    headers = {"ETag": f'"{part.etag}"', "x-oss-hash-crc64ecma": str(part.crc64)}
    return Answer(200, headers | encryption_headers(upload.traits))


def upload_part_copy(call: Call) -> Answer:
    """OSS: UploadPartCopy. The bytes are read once for their checksums; they are not moved."""
    number, upload = _part_number(call), _upload(call)
    _, _, source = copy_source(call)
    window = read_range(call.request.header("x-oss-copy-source-range"), source.size)
    start, length = window or (0, source.size)
    pieces = cut(source.pieces, start, length)
    md5, crc = hashlib.md5(usedforsecurity=False), 0
    with closing(Content(call.store.files, pieces)) as content:
        for chunk in content.chunks(_COPY_CHUNK):
            md5.update(chunk)
            crc = crc64(chunk, crc)
    part = Part(number, md5.hexdigest().upper(), crc, length, call.second, pieces)
    call.uploads.put_part(upload.id, part, shared=True)
    etag = f'"{part.etag}"'
    body = xml.document(
        "CopyPartResult",
        xml.tag("LastModified", xml.iso_time(part.modified)),
        xml.tag("ETag", etag),
    )
    headers = {"ETag": etag, "x-oss-hash-crc64ecma": str(crc)}
    if window:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{source.size}"
    return Answer(200, headers | encryption_headers(upload.traits), body)


def complete_upload(call: Call) -> Answer:
    """OSS: CompleteMultipartUpload. The parts' pieces become the object's."""
    request = call.request
    upload = _upload(call)
    call.forbid_overwrite()
    parts = _chosen_parts(call, upload)
    crc, digests = 0, hashlib.md5(usedforsecurity=False)
    for part in parts:
        crc = crc64_combine(crc, part.crc64, part.size)
        digests.update(bytes.fromhex(part.etag))
    entry = Entry(
        kind="Multipart",
        size=sum(part.size for part in parts),
        etag=f"{digests.hexdigest().upper()}-{len(parts)}",
        crc64=crc,
        modified=call.second,
        storage_class=upload.storage_class,
        traits=_with_acl(call, upload.traits),
        pieces=tuple(piece for part in parts for piece in part.pieces),
    )
    call.uploads.complete(request.bucket, request.key, upload.id, entry)
    encoding = request.params.get("encoding-type", "")
    etag, key = f'"{entry.etag}"', xml.key_text(request.key, encoding)
    body = xml.document(
        "CompleteMultipartUploadResult",
        xml.tag("EncodingType", encoding) if encoding else "",
        xml.tag("Location", f"http://{request.bucket}.{request.endpoint}/{key}"),
        xml.tag("Bucket", request.bucket),
        xml.tag("Key", key),
        xml.tag("ETag", etag),
    )
    headers = {"ETag": etag, "x-oss-hash-crc64ecma": str(crc)}
    return Answer(200, headers | encryption_headers(upload.traits), body)


def _with_acl(call: Call, traits: Traits) -> Traits:
    if "x-oss-object-acl" not in call.request.headers:
        return traits
    return replace(traits, acl=read_acl(call.request, "x-oss-object-acl"))


def _chosen_parts(call: Call, upload: Upload) -> list[Part]:
    """The parts that the object is to be made of."""
    present = call.uploads.parts(upload.id)
    if call.request.header("x-oss-complete-all").lower() == "yes":
        if call.body:
            raise invalid_argument("x-oss-complete-all takes no body.", "x-oss-complete-all")
        chosen = present
    else:
        chosen = _listed_parts(call.body, {part.number: part for part in present})
    if not chosen:
        raise Refusal("InvalidPart")
    for part in chosen[:-1]:
        if part.size < _MIN_PART:
            raise Refusal(
                "EntityTooSmall",
                details={
                    "MinSizeAllowed": str(_MIN_PART),
                    "ProposedSize": str(part.size),
                    "PartNumber": str(part.number),
                },
            )
    return chosen


def _listed_parts(body: bytes, present: dict[int, Part]) -> list[Part]:
    """The parts that the body names, each with its tag."""
    nodes = xml.parse(body, "CompleteMultipartUpload").all("Part")
    numbers = [whole(node.get("PartNumber")) or 0 for node in nodes]
    if not numbers or 0 in numbers:
        raise Refusal("MalformedXML")
    if any(second <= first for first, second in zip(numbers, numbers[1:], strict=False)):
        raise Refusal("InvalidPartOrder")
    for number, node in zip(numbers, nodes, strict=True):
        etag = node.get("ETag").strip().strip('"').upper()
        if number not in present or present[number].etag != etag:
            raise Refusal("InvalidPart", details={"PartNumber": str(number), "PartEtag": etag})
    return [present[number] for number in numbers]


def abort_upload(call: Call) -> Answer:
    """OSS: AbortMultipartUpload."""
    upload = _upload(call)
    call.uploads.abort(call.request.bucket, upload.key, upload.id)
    return Answer(204)


def list_parts(call: Call) -> Answer:
    """OSS: ListParts."""
    request, upload = call.request, _upload(call)
    limit = call.number("max-parts", 1000, 1, 1000)
    marker = call.number("part-number-marker", 0, 0, _MAX_PARTS)
    encoding = request.params.get("encoding-type", "")
    parts = call.uploads.parts(upload.id, marker)
    page = parts[:limit]
    body = xml.document(
        "ListPartsResult",
        xml.tag("EncodingType", encoding) if encoding else "",
        xml.tag("Bucket", request.bucket),
        xml.tag("Key", xml.key_text(request.key, encoding)),
        xml.tag("UploadId", upload.id),
        xml.tag("StorageClass", upload.storage_class),
        xml.tag("PartNumberMarker", marker),
        xml.tag("NextPartNumberMarker", page[-1].number if page else marker),
        xml.tag("MaxParts", limit),
        xml.tag("IsTruncated", str(len(parts) > limit).lower()),
        *(
            xml.group(
                "Part",
                xml.tag("PartNumber", part.number),
                xml.tag("LastModified", xml.iso_time(part.modified)),
                xml.tag("ETag", f'"{part.etag}"'),
                xml.tag("HashCrc64ecma", part.crc64),
                xml.tag("Size", part.size),
            )
            for part in page
        ),
    )
    return Answer(body=body)


class _Page(NamedTuple):
    """A page of uploads, and the markers that the next one begins behind."""

    uploads: list[Upload]
    prefixes: list[bytes]
    last: bytes
    last_id: str
    truncated: bool


def list_uploads(call: Call) -> Answer:
    """OSS: ListMultipartUploads."""
    params = call.request.params
    limit = call.number("max-uploads", 1000, 1, 1000)
    encoding = params.get("encoding-type", "")
    page = _page(call, limit)
    body = xml.document(
        "ListMultipartUploadsResult",
        xml.tag("EncodingType", encoding) if encoding else "",
        xml.tag("Bucket", call.request.bucket),
        xml.tag("KeyMarker", xml.key_text(call.bytes_param("key-marker"), encoding)),
        xml.tag("UploadIdMarker", params.get("upload-id-marker", "")),
        xml.tag("NextKeyMarker", xml.key_text(page.last, encoding) if page.truncated else ""),
        xml.tag("NextUploadIdMarker", page.last_id if page.truncated else ""),
        xml.tag("Delimiter", xml.key_text(call.bytes_param("delimiter"), encoding)),
        xml.tag("Prefix", xml.key_text(call.bytes_param("prefix"), encoding)),
        xml.tag("MaxUploads", limit),
        xml.tag("IsTruncated", str(page.truncated).lower()),
        *(
            xml.group(
                "Upload",
                xml.tag("Key", xml.key_text(upload.key, encoding)),
                xml.tag("UploadId", upload.id),
                xml.tag("StorageClass", upload.storage_class),
                xml.tag("Initiated", xml.iso_time(upload.initiated)),
            )
            for upload in page.uploads
        ),
        *(
            xml.group("CommonPrefixes", xml.tag("Prefix", xml.key_text(common, encoding)))
            for common in page.prefixes
        ),
    )
    return Answer(body=body)


def _page(call: Call, limit: int) -> _Page:
    prefix, delimiter = call.bytes_param("prefix"), call.bytes_param("delimiter")
    after = call.bytes_param("key-marker")
    after_id = call.request.params.get("upload-id-marker", "")
    uploads: list[Upload] = []
    prefixes: list[bytes] = []
    last, last_id = b"", ""
    for upload in call.uploads.search(call.request.bucket, prefix, after, after_id):
        cut_at = upload.key.find(delimiter, len(prefix)) if delimiter else -1
        common = upload.key[: cut_at + len(delimiter)] if cut_at >= 0 else b""
        if common and (common <= after or common in prefixes[-1:]):
            continue
        if len(uploads) + len(prefixes) == limit:
            return _Page(uploads, prefixes, last, last_id, truncated=True)
        if common:
            prefixes.append(common)
            last, last_id = common, ""
        else:
            uploads.append(upload)
            last, last_id = upload.key, upload.id
    return _Page(uploads, prefixes, last, last_id, truncated=False)
