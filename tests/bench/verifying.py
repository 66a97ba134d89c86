"""What reading listings, verification and notes cost a worker for an object.

    python -m tests.bench.verifying

No server and no sockets: pages are there already, as OSS writes them. Each figure is the least of
many runs, in CPU time of this process.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from ossimport import manifest
from ossimport.audit.compare import Mode
from ossimport.copying import CopyPolicy
from ossimport.ledger.base import Claim
from ossimport.listing import Page
from ossimport.listing_xml import by_parser, by_patterns, parse_page
from ossimport.model import CopyResult, ObjectInfo, Outcome, Proof
from tests.bench.store import Bucket, Stored, listing_xml
from workers.notes import Notes
from workers.verification import Checks, Verification

OBJECTS = 4000
PAGE = 1000
TRIES = 30
PREFIX = "in/"
SIZE = 4096

T = TypeVar("T")


def least(work: Callable[[], object], objects: int) -> float:
    """Microseconds of CPU for an object."""
    lowest = float("inf")
    for _ in range(TRIES):
        began = time.process_time()
        work()
        lowest = min(lowest, time.process_time() - began)
    return lowest / objects * 1e6


class Listing:
    """A bucket at the destination, of which only a listing can be had."""

    def __init__(self, names: list[str]) -> None:
        self._bucket = Bucket("null")
        for number, name in enumerate(names):
            stored = Stored(SIZE, number, f"{number:032X}", 1_700_000_000 + number // 20, None)
            self._bucket.put(f"{PREFIX}{name}".encode(), stored)
        self._pages: dict[str, bytes] = {}

    def page(self, after: str) -> bytes:
        """As OSS writes it."""
        if after not in self._pages:
            page = self._bucket.page(PREFIX.encode(), b"", after.encode(), PAGE)
            query = {"list-type": "2", "encoding-type": "url"}
            self._pages[after] = listing_xml(self._bucket, query, page)
        return self._pages[after]

    async def list(self, prefix: str, after: str, limit: int) -> list[ObjectInfo]:
        """See `dest.base.Destination`."""
        page = parse_page(self.page(after))
        page.go_on(prefix, after)
        return page.objects[:limit]


async def ask(request: Callable[[], Awaitable[T]]) -> T:
    """Make a request."""
    return await request()


async def must_not_copy(index: int) -> CopyResult:
    """Everything is there."""
    raise AssertionError(index)


class Task:
    """A task whose objects are all copied."""

    def __init__(self, names: list[str]) -> None:
        objects = [
            ObjectInfo(name, SIZE, 1_700_000_000 * 10**9 + n) for n, name in enumerate(names)
        ]
        self.claim = Claim("job", "task", 1, "worker", manifest.pack(objects), b"", {}, 0, 1)
        self.results = [
            CopyResult(
                Outcome.COPIED, SIZE, Proof.CRC64, (n + 1) << 51, seconds=0.01, etag=f"{n:032X}"
            )
            for n in range(len(names))
        ]
        self.listing = Listing(names)
        self.notes = self.noted()

    def noted(self) -> Notes:
        """All that a worker writes down of them."""
        notes = Notes(self.claim)
        for index, result in enumerate(self.results):
            notes.note(index, result)
            if index % PAGE == PAGE - 1:
                notes.take(index // PAGE + 1, 0)
        return notes

    def verify(self) -> None:
        """See that all of them are there."""
        policy = CopyPolicy(PREFIX, multipart_threshold=1 << 20, part_size=1 << 20)
        ends = SimpleNamespace(dest=self.listing, at_dest=SimpleNamespace(ask=ask))
        engine = cast(Any, SimpleNamespace(ends=ends, policy=policy))
        verification = Verification("task", self.notes, engine, Checks(Mode.GENERAL), must_not_copy)

        async def nothing_more() -> None:
            """Everything is copied."""

        asyncio.run(verification.of(nothing_more(), stopping=lambda: False))


def main() -> None:
    """Print the figures."""
    tasks = {
        "ASCII": Task([f"photos/object-{number:05d}.jpg" for number in range(OBJECTS)]),
        "Chinese": Task([f"照片/二〇二六/{number:05d}.jpg" for number in range(OBJECTS)]),
    }
    print("us of CPU for an object")
    for names, task in tasks.items():
        body = task.listing.page("")
        readers: dict[str, Callable[[bytes], Page | None]] = {
            "patterns": by_patterns,
            "parser": by_parser,
        }
        assert by_patterns(body) == by_parser(body)
        for reader, read in readers.items():
            shown = f"a page read by the {reader}"
            print(f"  {shown:32} {names:8} {least(lambda: read(body), PAGE):5.2f}")  # noqa: B023
        print(f"  {'verification, pages included':32} {names:8} {least(task.verify, OBJECTS):5.2f}")
        print(f"  {'notes: from claim to flushes':32} {names:8} {least(task.noted, OBJECTS):5.2f}")


if __name__ == "__main__":
    main()
