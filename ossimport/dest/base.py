"""What a destination promises: whole-object, atomic, idempotent writes that say their CRC64."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ossimport.model import ObjectInfo, Origin
from ossimport.transport import wire

Body = wire.Body | wire.Flowing  # what reading the latter raises comes out of a call as it is


class Limits(NamedTuple):
    """What the service accepts, as data: nothing of it is a constant in the engine."""

    min_part_size: int  # bytes; the last part may be smaller
    max_part_size: int
    max_parts: int
    max_put_size: int
    max_copy_size: int  # that `copy_from` takes; a larger object is copied in parts
    max_object_size: int
    max_key_bytes: int  # of the UTF-8 form


OSS_LIMITS = Limits(
    min_part_size=100 * 1024,
    max_part_size=5 * 1024**3,
    max_parts=10_000,
    max_put_size=5 * 1024**3,
    max_copy_size=1024**3,
    max_object_size=10_000 * 5 * 1024**3,  # 48.8 TB
    max_key_bytes=1023,
)


class Stored(NamedTuple):
    """The service's answer to a completed write."""

    etag: str  # without quotes
    crc64: int | None  # of the whole object as the service computed it; None if it did not say
    request_id: str


class StoredPart(NamedTuple):
    """One part that the service holds."""

    etag: str
    crc64: int | None
    size: int


class Described(NamedTuple):
    """An object as the service describes it."""

    info: ObjectInfo
    headers: Mapping[str, str]  # names in lower case; those it was stored with are among them


class Destination(Protocol):
    """A bucket to write into. Keys are whole keys: `destPrefix` is already in them.

    Calls run on one event loop and raise StorageError, nothing else. Nothing is retried here.
    A key that the service could not store raises Permanent(code="InvalidKey"), and is never sent.
    """

    limits: Limits

    async def check(self, prefix: str = "") -> None:
        """See that the bucket can be listed and written under `prefix`; leave nothing behind.

        Raises Fatal when it refuses, Transient when it does not answer, both with the cure.
        """

    async def stat(self, key: str) -> ObjectInfo | None:
        """Describe the object, CRC64 included; None if there is none."""

    async def describe(self, key: str) -> Described | None:
        """Describe the object with its headers, in the same one request; None if there is none."""

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        """Up to `limit` objects under `prefix` with keys greater than `after`, in UTF-8 byte order.

        Fewer than `limit` means that there are no more.
        """

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        """Write a whole object; it is there completely or not at all.

        Headers are by `wire.encode_headers`, their content-type among them. So they are in
        `start_upload` and `copy_from`.
        """

    async def start_upload(self, key: str, headers: Mapping[str, str]) -> str:
        """Begin a multipart upload and return its id."""

    async def upload_part(self, key: str, upload_id: str, number: int, body: Body) -> StoredPart:
        """Send part `number` (from 1). Sending a number again replaces it."""

    async def copy_from(self, key: str, origin: Origin, headers: Mapping[str, str]) -> Stored:
        """Have the service copy the bytes of a whole object, to be stored with `headers`.

        Raises Permanent if the origin is gone or another version now. A refusal may concern
        copying alone, whatever its class: what the service does not copy by itself can still be
        read and `put`. So it is in `copy_part_from`.
        """

    async def copy_part_from(
        self, key: str, upload_id: str, number: int, origin: Origin, span: range
    ) -> StoredPart:
        """Have the service make part `number` of the bytes of the origin that `span` counts."""

    async def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """The parts that the service holds. Raises Permanent(code="NoSuchUpload")."""

    async def finish_upload(
        self, key: str, upload_id: str, parts: Mapping[int, str], *, acl: str = ""
    ) -> Stored:
        """Make the object of `parts` (number -> etag); without `acl` it has the bucket's.

        Raises Permanent(code="NoSuchUpload") also when an earlier call did it but its answer got
        lost: then `stat` has the object, with the CRC64 that `parts` make.
        """

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts. Idempotent: an unknown upload is no error."""

    async def delete(self, key: str) -> None:
        """Delete the object. Idempotent: one that is not there is no error."""

    async def close(self) -> None:
        """Give back connections. Idempotent."""
