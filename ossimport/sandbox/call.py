"""What an operation is given, and what it says of itself to the server."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from ossimport.sandbox.files import Incoming
from ossimport.sandbox.refusal import Refusal, invalid_argument
from ossimport.sandbox.request import Answer, Request, whole
from ossimport.sandbox.store import Store
from ossimport.sandbox.uploads import Uploads

OWNER_ID = "1000000000000000"
OWNER_NAME = "sandbox"


@dataclass(slots=True)
class Call:
    """One request with the store that it is about. `now` is seconds since 1970."""

    store: Store
    uploads: Uploads
    request: Request
    region: str
    now: float
    body: bytes = b""
    incoming: Incoming | None = None

    @property
    def second(self) -> int:
        """`now` in whole seconds, as OSS keeps times."""
        return int(self.now)

    def received(self) -> Incoming:
        """The body on disk, closed. Only for operations that take one."""
        if self.incoming is None:
            raise TypeError("an operation that takes no body asked for one")
        self.incoming.close()
        return self.incoming

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A parameter that is a whole number. Raises Refusal InvalidArgument."""
        text = self.request.params.get(name, "")
        if not text:
            return default
        value = whole(text)
        if value is None or not low <= value <= high:
            raise invalid_argument(f"Argument {name} must be from {low} to {high}.", name, text)
        return value

    def bytes_param(self, name: str) -> bytes:
        """A parameter as bytes, b"" when it is not there."""
        return self.request.params.get(name, "").encode()

    def forbid_overwrite(self) -> None:
        """Raise Refusal FileAlreadyExists if the object is there and must not be overwritten."""
        if self.request.header("x-oss-forbid-overwrite").lower() == "true" and self.store.find(
            self.request.bucket, self.request.key
        ):
            raise Refusal("FileAlreadyExists", details={"Key": self.request.key.decode()})


class Takes(Enum):
    """What becomes of a request's body."""

    TEXT = auto()  # kept in memory, bounded
    OBJECT = auto()  # streamed to disk; a small one may stay in the index
    PIECE = auto()  # streamed to disk


class Anonymous(Enum):
    """The access control lists that let in a request without a signature."""

    NOBODY = frozenset[str]()
    READ = frozenset({"public-read", "public-read-write"})
    WRITE = frozenset({"public-read-write"})


class Operation(NamedTuple):
    """How to answer one kind of request."""

    run: Callable[[Call], Answer]
    check: Callable[[Call], object] | None = None  # before the body is read
    takes: Takes = Takes.TEXT
    anonymous: Anonymous = Anonymous.NOBODY
