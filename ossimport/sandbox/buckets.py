"""Operations on the service and on buckets, listings and DeleteMultipleObjects among them."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator

from ossimport.sandbox import xml
from ossimport.sandbox.attributes import acl_document, owner
from ossimport.sandbox.call import Call
from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Answer, check_key
from ossimport.sandbox.store import Bucket, Listed, Page
from ossimport.sandbox.traits import OBJECT_ACLS, read_storage_class_name
from ossimport.sandbox.writing import content_md5

_MAX_DELETED = 1000
_BUCKET_ACLS = OBJECT_ACLS - {"default"}


def list_buckets(call: Call) -> Answer:
    """OSS: ListBuckets (GetService)."""
    params = call.request.params
    limit = call.number("max-keys", 100, 1, 1000)
    prefix, marker = params.get("prefix", ""), params.get("marker", "")
    found = [b for b in call.store.buckets() if b.name.startswith(prefix) and b.name > marker]
    page, truncated = found[:limit], len(found) > limit
    body = xml.document(
        "ListAllMyBucketsResult",
        owner(),
        xml.tag("Prefix", prefix),
        xml.tag("Marker", marker),
        xml.tag("MaxKeys", limit),
        xml.tag("IsTruncated", str(truncated).lower()),
        xml.tag("NextMarker", page[-1].name if truncated else ""),
        xml.group("Buckets", *(xml.group("Bucket", *_described(call, b)) for b in page)),
    )
    return Answer(body=body)


def _described(call: Call, bucket: Bucket) -> Iterator[str]:
    yield xml.tag("Name", bucket.name)
    yield xml.tag("CreationDate", xml.iso_time(bucket.created))
    yield xml.tag("Location", f"oss-{call.region}")
    yield xml.tag("Region", call.region)
    yield xml.tag("ExtranetEndpoint", call.request.endpoint)
    yield xml.tag("IntranetEndpoint", call.request.endpoint)
    yield xml.tag("StorageClass", bucket.storage_class)


def put_bucket(call: Call) -> Answer:
    """OSS: PutBucket. The owner may do it again."""
    name = call.request.bucket
    known = {bucket.name: bucket for bucket in call.store.buckets()}
    created, acl = call.second, _bucket_acl(call, "private")
    storage_class = "Standard"
    if call.body:
        wish = xml.parse(call.body, "CreateBucketConfiguration").get("StorageClass", "Standard")
        storage_class = read_storage_class_name(wish)
    if name in known:
        created, storage_class = known[name].created, known[name].storage_class
        acl = _bucket_acl(call, known[name].acl)
    call.store.put_bucket(Bucket(name, created, acl, storage_class))
    return Answer(headers={"Location": f"/{name}"})


def delete_bucket(call: Call) -> Answer:
    """OSS: DeleteBucket."""
    call.store.delete_bucket(call.request.bucket)
    return Answer(204)


def _bucket_acl(call: Call, default: str) -> str:
    acl = call.request.header("x-oss-acl", default)
    if acl not in _BUCKET_ACLS:
        raise invalid_argument("no such bucket access control exists", "x-oss-acl", acl)
    return acl


def get_bucket_acl(call: Call) -> Answer:
    """OSS: GetBucketAcl."""
    return Answer(body=acl_document(call.store.bucket(call.request.bucket).acl))


def put_bucket_acl(call: Call) -> Answer:
    """OSS: PutBucketAcl."""
    bucket = call.store.bucket(call.request.bucket)
    call.store.put_bucket(bucket._replace(acl=_bucket_acl(call, "")))
    return Answer()


def get_bucket_info(call: Call) -> Answer:
    """OSS: GetBucketInfo."""
    bucket = call.store.bucket(call.request.bucket)
    described = xml.group(
        "Bucket",
        *_described(call, bucket),
        owner(),
        xml.group("AccessControlList", xml.tag("Grant", bucket.acl)),
        xml.tag("DataRedundancyType", "LRS"),
    )
    return Answer(body=xml.document("BucketInfo", described))


def get_bucket_location(call: Call) -> Answer:
    """OSS: GetBucketLocation."""
    return Answer(body=xml.document("LocationConstraint", f"oss-{call.region}"))


def get_bucket_stat(call: Call) -> Answer:
    """OSS: GetBucketStat."""
    objects, size, uploads = call.store.totals(call.request.bucket)
    body = xml.document(
        "BucketStat",
        xml.tag("Storage", size),
        xml.tag("ObjectCount", objects),
        xml.tag("MultipartUploadCount", uploads),
        xml.tag("LiveChannelCount", 0),
        xml.tag("LastModifiedTime", call.second),
    )
    return Answer(body=body)


def list_objects(call: Call) -> Answer:
    """OSS: ListObjects (GetBucket)."""
    marker = call.bytes_param("marker")
    limit, page = _page(call, marker)
    encoding = call.request.params.get("encoding-type", "")
    own = [
        xml.tag("Marker", xml.key_text(marker, encoding)),
        xml.tag("MaxKeys", limit),
        xml.tag("NextMarker", xml.key_text(page.last, encoding)) if page.last else "",
    ]
    return _listing(call, page, own, with_owner=True)


def list_objects_v2(call: Call) -> Answer:
    """OSS: ListObjectsV2. The token holds the last key of the page before."""
    params = call.request.params
    token, start_after = params.get("continuation-token", ""), call.bytes_param("start-after")
    encoding = params.get("encoding-type", "")
    limit, page = _page(call, _position(token) if token else start_after)
    next_token = base64.urlsafe_b64encode(page.last).decode()
    own = [
        xml.tag("StartAfter", xml.key_text(start_after, encoding)),
        xml.tag("MaxKeys", limit),
        xml.tag("KeyCount", len(page.objects) + len(page.prefixes)),
        xml.tag("ContinuationToken", token) if token else "",
        xml.tag("NextContinuationToken", next_token) if page.last else "",
    ]
    return _listing(call, page, own, with_owner=params.get("fetch-owner") == "true")


def _position(token: str) -> bytes:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        message = "The continuation token provided is incorrect."
        raise invalid_argument(message, "continuation-token", token) from exc


def _page(call: Call, after: bytes) -> tuple[int, Page]:
    params = call.request.params
    if params.get("encoding-type", "url") != "url":
        raise invalid_argument("Invalid Encoding Method.", "encoding-type", params["encoding-type"])
    limit = call.number("max-keys", 100, 1, 1000)
    prefix, delimiter = call.bytes_param("prefix"), call.bytes_param("delimiter")
    return limit, call.store.page(call.request.bucket, prefix, after, delimiter, limit)


def _listing(call: Call, page: Page, own: Iterable[str], *, with_owner: bool) -> Answer:
    """The body of both versions; `own` are the elements that only one of them has."""
    encoding = call.request.params.get("encoding-type", "")
    owner_tag = owner() if with_owner else ""
    body = xml.document(
        "ListBucketResult",
        xml.tag("Name", call.request.bucket),
        xml.tag("Prefix", xml.key_text(call.bytes_param("prefix"), encoding)),
        xml.tag("Delimiter", xml.key_text(call.bytes_param("delimiter"), encoding)),
        xml.tag("EncodingType", encoding) if encoding else "",
        xml.tag("IsTruncated", str(bool(page.last)).lower()),
        *own,
        *(_contents(listed, encoding, owner_tag) for listed in page.objects),
        *(
            xml.group("CommonPrefixes", xml.tag("Prefix", xml.key_text(prefix, encoding)))
            for prefix in page.prefixes
        ),
    )
    return Answer(body=body)


def _contents(listed: Listed, encoding: str, owner_tag: str) -> str:
    return xml.group(
        "Contents",
        xml.tag("Key", xml.key_text(listed.key, encoding)),
        xml.tag("LastModified", xml.iso_time(listed.modified)),
        xml.tag("ETag", f'"{listed.etag}"'),
        xml.tag("Type", listed.kind),
        xml.tag("Size", listed.size),
        xml.tag("StorageClass", listed.storage_class),
        owner_tag,
    )


def delete_objects(call: Call) -> Answer:
    """OSS: DeleteMultipleObjects. Objects that are not there count as deleted."""
    expected = content_md5(call)
    if expected and expected != hashlib.md5(call.body, usedforsecurity=False).digest():
        raise Refusal("InvalidDigest")
    wish = xml.parse(call.body, "Delete")
    keys = [node.get("Key").encode() for node in wish.all("Object")]
    if not 0 < len(keys) <= _MAX_DELETED:
        raise Refusal("MalformedXML")
    for key in keys:
        check_key(key)
    call.store.delete(call.request.bucket, keys)
    if wish.get("Quiet").strip() == "true":
        return Answer()
    encoding = call.request.params.get("encoding-type", "")
    body = xml.document(
        "DeleteResult",
        xml.tag("EncodingType", encoding) if encoding else "",
        *(xml.group("Deleted", xml.tag("Key", xml.key_text(key, encoding))) for key in keys),
    )
    return Answer(body=body)
