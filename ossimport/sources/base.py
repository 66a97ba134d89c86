"""What every source promises: list, stat, and exact bytes of one version.

A source is opened from the job's settings by `sources.open_source`, which imports only the module
of the wanted `srcType`. Listing is synchronous (the master scans in threads); `stat` and `read` run
on a worker's event loop.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from ossimport.model import Lane, ObjectInfo, Origin, Scanned

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Checksum(NamedTuple):
    """A checksum of the whole object that the source itself states."""

    algorithm: str  # "md5" (lower-case hex), "crc64" (decimal, ECMA-182) or "qetag" (see `qetag`)
    value: str


class Payload(NamedTuple):
    """Bytes of one version, wholly in memory, and what travels with them."""

    body: bytes | bytearray | memoryview
    headers: Mapping[str, str] = NO_HEADERS  # as the source says them; names in lower case
    checksum: Checksum | None = None
    mtime_ns: int = 0  # for those whose `ObjectInfo` has none; 0 = not known either
    meta_prefix: str = ""  # what the names of user metadata begin with in `headers`


class Scan(Protocol):
    """A walk over one lane, used by one thread. Closing it early is allowed."""

    def __iter__(self) -> Iterator[Scanned]:
        """Yield every entry of the lane once, each with the cursor that resumes behind it.

        Raises Transient (the lane may be opened again from its last cursor) or Fatal.
        """

    def split(self) -> Lane | None:
        """Give away the later part of what is left; this scan then ends before it.

        Called by the scan's own thread between two entries. None when there is nothing to give.
        """

    @property
    def until(self) -> str:
        """Where this scan ends now (`Lane.until`); `split` moves it."""


class Source(Protocol):
    """A read-only namespace of objects. Every call may raise StorageError, nothing else."""

    def check(self) -> None:
        """List one entry. Raises Fatal when the source cannot be read as configured."""

    def scan(self, lane: Lane) -> Scan:
        """Open a walk over `lane`; `Lane()` is everything."""

    async def stat(self, key: str) -> ObjectInfo:
        """Describe the object now. Raises Permanent(code="NotFound") if it is gone."""

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        """Return exactly `length` bytes from `offset` of the version that `info` describes.

        Raises Permanent(code="NotFound") if the object is gone, Permanent(code="SourceChanged") if
        it is another version now or changed during the read.
        """

    async def close(self) -> None:
        """Give back connections. Idempotent."""


@runtime_checkable
class AtHand(Protocol):
    """What a source promises besides if reading costs little: bytes may be read while they are
    sent, and once more if they have to be sent once more."""

    async def read_some(self, info: ObjectInfo, offset: int, most: int) -> bytes:
        """As `read`, but as many bytes as are best read at once: between one and `most`.

        If the last ones of several come, all of them are of the version that `info` describes.
        """


@runtime_checkable
class Tagged(Protocol):
    """What a source promises besides if it can tell the tags of an object."""

    async def tags(self, info: ObjectInfo) -> dict[str, str]:
        """The tags that the object has now. Raises as `Source.read` does."""


@runtime_checkable
class Placed(Protocol):
    """What a source promises besides if a key alone does not tell a worker where the object is."""

    async def renew(self, info: ObjectInfo) -> ObjectInfo:
        """Describe the object of `info` as it is now. Raises as `Source.stat` does."""


@runtime_checkable
class Listable(Protocol):
    """What a source promises besides if it lists keys in order and can begin behind any of them."""

    async def list(self, after: str, limit: int) -> list[ObjectInfo]:
        """Up to `limit` objects behind the key `after`, in UTF-8 byte order; fewer: no more."""


@runtime_checkable
class Untold(Protocol):
    """What a source promises besides if it can see what no `read` tells and OSS does not get."""

    async def untold(self, most: int) -> dict[str, int]:
        """What that is, in words, and how often it is among about `most` entries. May be empty."""


@runtime_checkable
class Origins(Protocol):
    """What a source promises besides if OSS holds its objects and may copy them by itself."""

    async def origin(self, info: ObjectInfo) -> Origin | None:
        """Say where OSS holds the version that `info` describes.

        None if its bytes have to be read, because a copy inside OSS would be something else, or
        would prove nothing. Raises as `Source.read` does.
        """
