"""What OSS's refusals mean for a job: one table, from HTTP status and error code to our errors.

OSS answers `<Error>` with Code, Message, RequestId and EC; to HEAD, which has no body, the same in
base64 in `x-oss-err`. Nothing else of an answer is repeated to the operator: SignatureDoesNotMatch
comes with the string that was signed, which holds security tokens.
"""

import base64
import re
from collections.abc import Mapping
from typing import NamedTuple

from ossimport.answers import code_of_status, header, retry_after, xml_field
from ossimport.errors import Fatal, Permanent, StorageError, Transient


class Role(NamedTuple):
    """Which end of a job is refused something: what the job's keys for it begin with, and what the
    access key must be allowed to do."""

    name: str
    object_access: str
    bucket_access: str


SOURCE = Role(
    "src",
    "the keys need oss:GetObject on this object; see also the bucket's policy",
    "the keys need oss:ListObjects on the bucket, and oss:GetObject under srcPrefix; see also the "
    "bucket's policy",
)
DESTINATION = Role(
    "dest",
    "the keys need oss:PutObject, oss:AbortMultipartUpload and oss:ListParts on this object; see "
    "also the bucket's policy",
    "the keys need oss:ListObjects on the bucket, and oss:PutObject and oss:AbortMultipartUpload "
    "under destPrefix; see also the bucket's policy",
)

# What these are refused, every object is refused.
BUCKET_OPS = frozenset({"check", "list", "scan"})

# In a cure, {role} stands for what the job's keys begin with: src or dest.
_CHECK_KEYS = "check {role}AccessKey and {role}SecretKey of the job"
_RENEW = "put a new security token in {role}SecurityToken, with the keys that belong to it"
_DOMAIN = "set {role}Domain to the endpoint of the bucket's region, without the bucket's name"

_PLACE = "check {role}Domain and {role}Bucket; see whether what answers is OSS"

_FATAL = {
    "InvalidAccessKeyId": _CHECK_KEYS,
    "SignatureDoesNotMatch": f"{_CHECK_KEYS}, and {{role}}Region if it is set",
    "InvalidSecurityToken": _RENEW,
    "SecurityTokenExpired": _RENEW,
    "NoSuchBucket": "check {role}Bucket, and that {role}Domain is the endpoint of its region",
    "InvalidBucketName": "check {role}Bucket, and that {role}Domain does not contain the bucket's "
    "name",
    "SecondLevelDomainForbidden": _DOMAIN,
    "UserDisable": "the account is disabled or in arrears: settle it with the service",
}
_TRANSIENT = {
    "RequestTimeTooSkewed": "set this host's clock (NTP); if it is right the host is overloaded: "
    "lower workerTaskThreadNum",
    "RequestTimeout": "the network is slow or full; lower workerTaskThreadNum",
    "BadRequest": "",
    "InvalidDigest": "",  # the body was damaged on the way; it is still in memory
    "QpsLimitExceeded": "lower workerTaskThreadNum, or ask for a higher limit of the account",
}
_PERMANENT = {
    "InvalidObjectName": "rename the object at the source",
    "InvalidObjectState": "the object is archived: restore it, then retry",
    "FileAlreadyExists": "the bucket forbids overwriting; see its retention policy",
    "FileImmutable": "a retention policy of the bucket protects the object",
    "EntityTooLarge": "lower multipartUploadThreshold",
    "EntityTooSmall": "raise multipartUploadPartSize to 100k or more",
    "SymlinkTargetNotExist": "the object is a symbolic link whose target is gone: remove one or "
    "restore the other, then retry",
}
_FATAL_EC = {  # of InvalidArgument, which by itself says too little
    "0002-00000226": "check {role}Region and {role}Domain: both must name the bucket's region",
}
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_PASSING_STATUS = frozenset({401, 408, 429})  # besides 5xx; as OSS's own SDK of 2023 retries


class Refusal(NamedTuple):
    """What an answer that is not a success says."""

    status: int
    code: str  # "" where it has none
    message: str
    request_id: str
    ec: str  # OSS's finer error code, which its support pages list
    endpoint: str  # where the bucket is, if it was asked for in the wrong region
    retry_after: float  # seconds


def read_refusal(status: int, headers: Mapping[str, str], body: bytes | bytearray) -> Refusal:
    """Read an answer of any server, of OSS or of something in between. `headers` in lower case."""
    if not body and "x-oss-err" in headers:
        try:
            body = base64.b64decode(headers["x-oss-err"])
        except ValueError:
            body = b""
    text = body.decode("utf-8", "replace")
    return Refusal(
        status=status,
        code=xml_field(text, "Code"),
        message=xml_field(text, "Message"),
        request_id=header(headers, "x-oss-request-id") or xml_field(text, "RequestId"),
        ec=xml_field(text, "EC") or header(headers, "x-oss-ec"),
        endpoint=xml_field(text, "Endpoint"),
        retry_after=retry_after(headers),
    )


def translate(refusal: Refusal, role: Role, *, op: str, bucket: str, key: str) -> StorageError:
    """Say what a refusal means: for this object, for the whole job, or for the moment only."""
    code = refusal.code or code_of_status(refusal.status)
    kind, cure = _disposition(refusal, code, op, role)
    said = f"HTTP {refusal.status} {code}"
    if refusal.message:
        said = f"{said}: {refusal.message.rstrip('.')}"
    marks = {"request id": refusal.request_id, "EC": refusal.ec}
    quoted = ", ".join(f"{name} {value}" for name, value in marks.items() if value)
    where = f"{op} of {key!r} in bucket {bucket!r}" if key else f"{op} of bucket {bucket!r}"
    message = f"{where}: {said}" + (f" ({quoted})" if quoted else "")
    if cure:
        message = f"{message}. Cure: {cure.format(role=role.name)}"
    error = kind(message, code=code, op=op, key=key, request_id=refusal.request_id)
    if isinstance(error, Transient):
        error.retry_after = refusal.retry_after
    return error


def _disposition(
    refusal: Refusal, code: str, op: str, role: Role
) -> tuple[type[StorageError], str]:
    if fatal := _FATAL.get(code) or _FATAL_EC.get(refusal.ec):
        return Fatal, fatal
    if _HOST.fullmatch(refusal.endpoint):
        return Fatal, f"set {{role}}Domain to {refusal.endpoint}, where the bucket is"
    if code in _TRANSIENT or refusal.status in _PASSING_STATUS or refusal.status >= 500:
        return Transient, _TRANSIENT.get(code, "")
    if 300 <= refusal.status < 400:
        return Fatal, f"what answers is not OSS, or not the right endpoint: {_DOMAIN}"
    if op in BUCKET_OPS:
        return Fatal, role.bucket_access if code == "AccessDenied" else _PLACE
    return Permanent, role.object_access if code == "AccessDenied" else _PERMANENT.get(code, "")
