"""Access control lists, tags, symbolic links and the restoring of archived objects."""

from dataclasses import replace
from urllib.parse import quote, unquote

from ossimport.sandbox import xml
from ossimport.sandbox.call import OWNER_ID, OWNER_NAME, Call
from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Answer, check_key
from ossimport.sandbox.store import Entry
from ossimport.sandbox.traits import (
    ARCHIVED,
    check_tags,
    read_acl,
    read_storage_class,
    read_traits,
)

_RESTORE_SECONDS = 1.0  # OSS takes a minute and more


def _object(call: Call) -> Entry:
    return call.store.get(call.request.bucket, call.request.key)


def _keep(call: Call, entry: Entry) -> None:
    call.store.put(call.request.bucket, call.request.key, entry)


def owner() -> str:
    """The one owner of everything."""
    return xml.group("Owner", xml.tag("ID", OWNER_ID), xml.tag("DisplayName", OWNER_NAME))


def acl_document(acl: str) -> bytes:
    """The body of GetBucketAcl and GetObjectACL."""
    grant = xml.group("AccessControlList", xml.tag("Grant", acl))
    return xml.document("AccessControlPolicy", owner(), grant)


def get_object_acl(call: Call) -> Answer:
    """OSS: GetObjectACL."""
    return Answer(body=acl_document(_object(call).traits.acl))


def put_object_acl(call: Call) -> Answer:
    """OSS: PutObjectACL."""
    entry, acl = _object(call), read_acl(call.request, "x-oss-object-acl")
    _keep(call, replace(entry, traits=replace(entry.traits, acl=acl)))
    return Answer()


def get_tagging(call: Call) -> Answer:
    """OSS: GetObjectTagging."""
    tags = (
        xml.group("Tag", xml.tag("Key", name), xml.tag("Value", value))
        for name, value in _object(call).traits.tags.items()
    )
    return Answer(body=xml.document("Tagging", xml.group("TagSet", *tags)))


def put_tagging(call: Call) -> Answer:
    """OSS: PutObjectTagging."""
    sets = xml.parse(call.body, "Tagging").all("TagSet")
    pairs = [(tag.get("Key"), tag.get("Value")) for tags in sets for tag in tags.all("Tag")]
    entry = _object(call)
    _keep(call, replace(entry, traits=replace(entry.traits, tags=check_tags(pairs))))
    return Answer()


def delete_tagging(call: Call) -> Answer:
    """OSS: DeleteObjectTagging."""
    entry = _object(call)
    _keep(call, replace(entry, traits=replace(entry.traits, tags={})))
    return Answer(204)


def put_symlink(call: Call) -> Answer:
    """OSS: PutSymlink. Whether the target exists is not asked."""
    call.forbid_overwrite()
    target = unquote(call.request.header("x-oss-symlink-target"))
    if not target:
        raise invalid_argument("Symlink target is missing.", "x-oss-symlink-target")
    check_key(target.encode())
    entry = Entry(
        kind="Symlink",
        size=0,
        etag="D41D8CD98F00B204E9800998ECF8427E",  # MD5 of no bytes
        crc64=0,
        modified=call.second,
        storage_class=read_storage_class(call),
        traits=replace(read_traits(call.request), target=target),
    )
    _keep(call, entry)
    return Answer(headers={"ETag": f'"{entry.etag}"'})


def get_symlink(call: Call) -> Answer:
    """OSS: GetSymlink."""
    entry = _object(call)
    if entry.kind != "Symlink":
        raise Refusal("NotSymlink")
    target = quote(entry.traits.target, safe="")
    return Answer(headers={"x-oss-symlink-target": target, "ETag": f'"{entry.etag}"'})


def restore_object(call: Call) -> Answer:
    """OSS: RestoreObject: 202 when it begins, 409 while it lasts, 200 when it is done."""
    entry = _object(call)
    if entry.storage_class not in ARCHIVED:
        raise Refusal("OperationNotSupported")
    restored_at = entry.traits.restored_at
    if restored_at > call.now:
        raise Refusal("RestoreAlreadyInProgress")
    if restored_at:
        return Answer(200)
    traits = replace(entry.traits, restored_at=call.now + _RESTORE_SECONDS)
    _keep(call, replace(entry, traits=traits))
    return Answer(202)
