"""Which operation a request is: by what it addresses, its method and its sub-resources."""

from ossimport.sandbox import attributes, buckets, multipart, reading, writing
from ossimport.sandbox.call import Anonymous, Operation, Takes
from ossimport.sandbox.refusal import Refusal
from ossimport.sandbox.request import Request
from ossimport.sandbox.subresources import SELECTORS, UNKNOWN

_SERVICE, _BUCKET, _OBJECT = "service", "bucket", "object"

_PUT = Operation(writing.put_object, writing.check_put, Takes.OBJECT, Anonymous.WRITE)
_PART = Operation(multipart.upload_part, multipart.check_part, Takes.PIECE)
_APPEND = Operation(writing.append_object, writing.check_append, Takes.PIECE)

_OPERATIONS: dict[tuple[str, str, str], Operation] = {
    (_SERVICE, "GET", ""): Operation(buckets.list_buckets),
    (_BUCKET, "PUT", ""): Operation(buckets.put_bucket),
    (_BUCKET, "DELETE", ""): Operation(buckets.delete_bucket),
    (_BUCKET, "GET", ""): Operation(buckets.list_objects, anonymous=Anonymous.READ),
    (_BUCKET, "GET", "acl"): Operation(buckets.get_bucket_acl),
    (_BUCKET, "PUT", "acl"): Operation(buckets.put_bucket_acl),
    (_BUCKET, "GET", "bucketInfo"): Operation(buckets.get_bucket_info),
    (_BUCKET, "GET", "location"): Operation(buckets.get_bucket_location),
    (_BUCKET, "GET", "stat"): Operation(buckets.get_bucket_stat),
    (_BUCKET, "GET", "uploads"): Operation(multipart.list_uploads),
    (_BUCKET, "POST", "delete"): Operation(buckets.delete_objects),
    (_OBJECT, "PUT", ""): _PUT,
    (_OBJECT, "GET", ""): Operation(reading.get_object, anonymous=Anonymous.READ),
    (_OBJECT, "HEAD", ""): Operation(reading.head_object, anonymous=Anonymous.READ),
    (_OBJECT, "HEAD", "objectMeta"): Operation(reading.get_object_meta, anonymous=Anonymous.READ),
    (_OBJECT, "DELETE", ""): Operation(writing.delete_object),
    (_OBJECT, "POST", "append"): _APPEND,
    (_OBJECT, "GET", "acl"): Operation(attributes.get_object_acl),
    (_OBJECT, "PUT", "acl"): Operation(attributes.put_object_acl),
    (_OBJECT, "GET", "tagging"): Operation(attributes.get_tagging),
    (_OBJECT, "PUT", "tagging"): Operation(attributes.put_tagging),
    (_OBJECT, "DELETE", "tagging"): Operation(attributes.delete_tagging),
    (_OBJECT, "GET", "symlink"): Operation(attributes.get_symlink),
    (_OBJECT, "PUT", "symlink"): Operation(attributes.put_symlink),
    (_OBJECT, "POST", "restore"): Operation(attributes.restore_object),
    (_OBJECT, "POST", "uploads"): Operation(multipart.begin_upload),
    (_OBJECT, "PUT", "partNumber uploadId"): _PART,
    (_OBJECT, "POST", "uploadId"): Operation(multipart.complete_upload),
    (_OBJECT, "GET", "uploadId"): Operation(multipart.list_parts),
    (_OBJECT, "DELETE", "uploadId"): Operation(multipart.abort_upload),
}
_COPIES = {
    _PUT: Operation(writing.copy_object),
    _PART: Operation(multipart.upload_part_copy),
}
_LIST_V2 = Operation(buckets.list_objects_v2, anonymous=Anonymous.READ)


def find_operation(request: Request) -> Operation:
    """Raises Refusal MethodNotAllowed or NotImplemented."""
    unknown = sorted(UNKNOWN.intersection(request.params))
    if unknown or request.header("x-oss-callback"):
        asked = unknown[0] if unknown else "x-oss-callback"
        raise Refusal("NotImplemented", f"This local endpoint does not implement {asked}.")
    scope = _OBJECT if request.key else _BUCKET if request.bucket else _SERVICE
    selectors = " ".join(sorted(SELECTORS.intersection(request.params)))
    operation = _OPERATIONS.get((scope, request.method, selectors))
    if operation is None:
        details = {"Method": request.method, "ResourceType": scope}
        raise Refusal("MethodNotAllowed", details=details)
    if "x-oss-copy-source" in request.headers:
        return _COPIES.get(operation, operation)
    if scope == _BUCKET and not selectors and request.params.get("list-type") == "2":
        return _LIST_V2
    return operation


def makes_bucket(operation: Operation) -> bool:
    """Whether the operation is the one that the bucket need not exist for."""
    return operation.run is buckets.put_bucket
