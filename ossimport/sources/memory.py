"""Objects in a dictionary: the reference implementation of a source, and a source for tests."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ossimport.errors import Permanent
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.naming import display
from ossimport.sources.base import Checksum, Payload


class MemorySource:
    """A source whose objects the caller puts in, changes and removes. See `base.Source`.

    `reads` lists every read as (key, offset, length), so that tests can count the work. `on_read`,
    if set, is called with the object at the beginning of every read; it may change the source, or
    raise a StorageError.
    """

    def __init__(self, *, checksums: bool = False) -> None:
        self.reads: list[tuple[str, int, int]] = []
        self.on_read: Callable[[ObjectInfo], None] | None = None
        self._checksums = checksums
        self._objects: dict[str, _Stored] = {}
        self._odd: dict[str, Scanned] = {}

    def put(self, key: str, body: bytes, *, mtime_ns: int = 1_700_000_000_000_000_000) -> None:
        """Add an object, or replace it by another version."""
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self._objects[key] = _Stored(body, mtime_ns, md5)

    def remove(self, key: str) -> None:
        """Forget the object or the odd entry, if there is one."""
        self._objects.pop(key, None)
        self._odd.pop(key, None)

    def exclude(self, key: str, code: str) -> None:
        """List an entry that is no object."""
        info = ObjectInfo(key, 0)
        self._odd[key] = Scanned(info, key, Verdict.EXCLUDED, code, f"{display(key)} is no object")

    def fail(self, key: str, code: str) -> None:
        """List an entry that stands for a part of the source that cannot be listed.

        `remove` mends it. Its lane then holds an object that was put under the same key.
        """
        info = ObjectInfo(key, 0)
        self._odd[key] = Scanned(
            info, key, Verdict.FAILED, code, f"{display(key)} cannot be listed"
        )

    def check(self) -> None:
        """There is nothing that could be configured wrongly."""

    def scan(self, lane: Lane) -> "MemoryScan":
        return MemoryScan(self, lane)

    async def stat(self, key: str) -> ObjectInfo:
        return self._find(key, "stat").info(key)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        self.reads.append((info.key, offset, length))
        if self.on_read:
            self.on_read(info)
        stored = self._find(info.key, "read")
        body = stored.body[offset : offset + length]
        if stored.info(info.key) != info or len(body) != length:
            message = f"{display(info.key)} has changed since it was listed"
            raise Permanent(message, code="SourceChanged", op="read", key=info.key)
        if self._checksums:
            return Payload(body, checksum=Checksum("md5", stored.md5))
        return Payload(body)

    async def close(self) -> None:
        """There is nothing to give back."""

    def entry(self, key: str) -> Scanned | None:
        """What a scan says of `key` now."""
        if key in self._odd:
            return self._odd[key]
        stored = self._objects.get(key)
        return Scanned(stored.info(key), key) if stored else None

    def keys(self, lane: Lane) -> list[str]:
        """The keys of a lane, in order."""
        return sorted(
            key
            for key in self._objects.keys() | self._odd.keys()
            if key > lane.cursor and (not lane.until or key <= lane.until)
        )

    def _find(self, key: str, op: str) -> "_Stored":
        stored = self._objects.get(key)
        if stored is None:
            raise Permanent(f"{display(key)} is gone", code="NotFound", op=op, key=key)
        return stored


class MemoryScan:
    """A walk over the keys that are there when it begins. See `base.Scan`."""

    def __init__(self, source: MemorySource, lane: Lane) -> None:
        self._source = source
        self._until = lane.until
        self._last = lane.cursor
        self._keys = source.keys(lane)

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        for key in self._keys:
            entry = self._source.entry(key)
            if entry is None:
                continue
            if entry.verdict is Verdict.FAILED:
                entry = entry._replace(rescan=Lane(self._last, key))
            self._last = key
            yield entry

    def split(self) -> Lane | None:
        """Give away half of the keys that are left."""
        cut = (bisect_right(self._keys, self._last) + len(self._keys)) // 2
        if not 0 < cut < len(self._keys):
            return None
        given = Lane(self._keys[cut - 1], self._until)
        self._until = given.cursor
        del self._keys[cut:]
        return given


class _Stored(NamedTuple):
    body: bytes
    mtime_ns: int
    md5: str

    def info(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.body), self.mtime_ns, self.md5)
