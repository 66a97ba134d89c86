"""What the refusals of a service mean for a job: each service has its table, the rest is common.

Of an answer only the service's code and message and the request's id are repeated to the operator:
others hold what was signed, or tokens.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ossimport.answers import code_of_status, header, retry_after, xml_field
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.naming import display

_BUCKET_OPS = frozenset({"check", "scan"})  # what these are refused, every object is refused
_PASSING_STATUS = frozenset({408, 429})  # besides 5xx

CHECK_KEYS = "check srcAccessKey and srcSecretKey of the job"
RENEW = "put a new security token in srcSecurityToken, with the keys that belong to it"
SET_CLOCK = (
    "set this host's clock (NTP); if it is right the host is overloaded: lower workerTaskThreadNum"
)
LESS_LOAD = "lower workerTaskThreadNum, or ask for a higher limit of the account"
RESTORE = "the object is archived: restore it, then retry"


class Refusal(NamedTuple):
    """What an answer that is not a success says."""

    status: int
    code: str  # "" where it has none
    message: str
    request_id: str
    retry_after: float  # seconds


class Refusals(NamedTuple):
    """What the codes of one service mean: each with its cure, "" where there is none."""

    service: str  # its name, for people
    fatal: Mapping[str, str]  # no object can be read until that is mended
    transient: Mapping[str, str]
    permanent: Mapping[str, str]
    absent: frozenset[str]  # there is no such object
    read_cure: str  # of AccessDenied to an object
    list_cure: str  # of AccessDenied to the bucket


def read_xml(
    status: int, headers: Mapping[str, str], body: bytes | bytearray, id_header: str
) -> Refusal:
    """Read an `<Error>`, or what something in between has sent. Names of headers are lower case."""
    text = body.decode("utf-8", "replace")
    return Refusal(
        status=status,
        code=xml_field(text, "Code"),
        message=xml_field(text, "Message"),
        request_id=header(headers, id_header) or xml_field(text, "RequestId"),
        retry_after=retry_after(headers),
    )


def translate(
    refusal: Refusal, refusals: Refusals, *, op: str, bucket: str, key: str
) -> StorageError:
    """Say what a refusal means: for this object, for the whole job, or for the moment only."""
    code = refusal.code or code_of_status(refusal.status)
    kind, cure = _disposition(refusal.status, code, op, refusals)
    where = f"{op} of {display(key)} in bucket {bucket}" if key else f"{op} of bucket {bucket}"
    message = f"{where}: HTTP {refusal.status} {code}"
    if refusal.message:
        message += f": {refusal.message.rstrip('.')}"
    if refusal.request_id:
        message += f" (request id {refusal.request_id})"
    if cure:
        message += f". Cure: {cure}"
    if kind is Permanent and code in refusals.absent:
        code = "NotFound"
    error = kind(message, code=code, op=op, key=key, request_id=refusal.request_id)
    if isinstance(error, Transient):
        error.retry_after = refusal.retry_after
    return error


def _disposition(
    status: int, code: str, op: str, refusals: Refusals
) -> tuple[type[StorageError], str]:
    if code in refusals.fatal:
        return Fatal, refusals.fatal[code]
    if code in refusals.transient or status in _PASSING_STATUS or status >= 500:
        return Transient, refusals.transient.get(code, "")
    elsewhere = f"check srcDomain and srcBucket; see whether what answers is {refusals.service}"
    if 300 <= status < 400:
        return Fatal, elsewhere
    if op in _BUCKET_OPS:
        return Fatal, refusals.list_cure if code == "AccessDenied" else elsewhere
    return Permanent, (
        refusals.read_cure if code == "AccessDenied" else refusals.permanent.get(code, "")
    )
