"""What a destination promises: whole-object, atomic, idempotent writes that say their CRC64."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ossimport.model import ObjectInfo

Body = bytes | bytearray | memoryview


class Limits(NamedTuple):
    """What the service accepts, as data: nothing of it is a constant in the engine."""

    min_part_size: int  # bytes; the last part may be smaller
    max_part_size: int
    max_parts: int
    max_put_size: int
    max_object_size: int
    max_key_bytes: int  # of the UTF-8 form


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


class Destination(Protocol):
    """A bucket to write into. Keys are whole keys: `destPrefix` is already in them.

    Calls run on one event loop and raise StorageError, nothing else. Nothing is retried here.
    """

    limits: Limits

    async def check(self) -> None:
        """See that the bucket answers with these credentials. Raises Fatal with the cure."""

    async def stat(self, key: str) -> ObjectInfo | None:
        """Describe the object; None if there is none."""

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        """Up to `limit` objects under `prefix` with keys greater than `after`, in UTF-8 byte order.

        Fewer than `limit` means that there are no more.
        """

    async def put(self, key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        """Write a whole object; it is there completely or not at all."""

    async def start_upload(self, key: str, headers: Mapping[str, str]) -> str:
        """Begin a multipart upload and return its id."""

    async def upload_part(
        self, key: str, upload_id: str, number: int, body: Body
    ) -> StoredPart:
        """Send part `number` (from 1). Sending a number again replaces it."""

    async def list_parts(self, key: str, upload_id: str) -> dict[int, StoredPart]:
        """The parts that the service holds. Raises Permanent(code="NoSuchUpload")."""

    async def finish_upload(self, key: str, upload_id: str, parts: Mapping[int, str]) -> Stored:
        """Make the object of `parts` (number -> etag)."""

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts. Idempotent: an unknown upload is no error."""

    async def close(self) -> None:
        """Give back connections. Idempotent."""
