"""What the sandbox holds, on disk: an SQLite index beside a directory of data files.

    DIR/index.sqlite3       buckets, objects, uploads, parts; only what is here counts
    DIR/index.sqlite3-wal   the index's log, while a sandbox runs or after it was killed
    DIR/data/000001/...     data files with the bytes of larger objects, numbered, written once

A write puts its bytes into a data file of its own (small ones go into the index: files.py), then
one transaction of the index makes it the object, and only then the files that it replaced go.
Killed at any point, the index and the files agree; what was not yet in the index is swept away at
the next start. An object is a row with a list of pieces (file, offset, length), so that completing
an upload, appending and copying move no bytes.
A file belongs to one row; `shares` counts the further rows that copies have added.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ossimport.errors import ServiceError
from ossimport.sandbox.files import Files, Piece
from ossimport.sandbox.refusal import Refusal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, created INTEGER, acl TEXT, storage_class TEXT
);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key BLOB, kind TEXT, size INTEGER, etag TEXT, crc64 TEXT, modified INTEGER,
    storage_class TEXT, traits TEXT, pieces TEXT, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    bucket TEXT, key BLOB, id TEXT, initiated INTEGER, storage_class TEXT, traits TEXT,
    PRIMARY KEY (bucket, key, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT, number INTEGER, etag TEXT, crc64 TEXT, size INTEGER, modified INTEGER,
    pieces TEXT, PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, body BLOB);
CREATE TABLE IF NOT EXISTS shares (file TEXT PRIMARY KEY, others INTEGER) WITHOUT ROWID;
"""


class Bucket(NamedTuple):
    """A bucket."""

    name: str
    created: int  # seconds since 1970
    acl: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What an object has besides its bytes."""

    headers: dict[str, str] = field(default_factory=dict)  # sent back with it; lower-case names
    acl: str = "default"
    tags: dict[str, str] = field(default_factory=dict)
    target: str = ""  # of a symbolic link
    restored_at: float = 0.0  # when an archived object becomes readable; 0 = nobody asked


@dataclass(frozen=True, slots=True)
class Entry:
    """An object."""

    kind: str  # Normal, Multipart, Appendable, Symlink
    size: int
    etag: str  # without quotes
    crc64: int
    modified: int  # seconds since 1970
    storage_class: str
    traits: Traits
    pieces: tuple[Piece, ...] = ()


class Listed(NamedTuple):
    """An object in a listing."""

    key: bytes
    kind: str
    size: int
    etag: str
    modified: int
    storage_class: str


class Page(NamedTuple):
    """A page of a listing. `last` is where the next one starts, b"" when there is none."""

    objects: list[Listed]
    prefixes: list[bytes]
    last: bytes


class Store:
    """The index and the data files of one directory. For use by one thread."""

    def __init__(self, directory: Path) -> None:
        """Open or create. Raises ServiceError when the directory cannot be used."""
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(directory / "index.sqlite3", timeout=0, isolation_level=None)
            with ExitStack() as undo:
                undo.callback(self.db.close)
                _prepare(self.db)
                self.files = Files(directory / "data", self.db)
                self.files.sweep(self._files_in_use())
                undo.pop_all()
        except (OSError, sqlite3.Error) as exc:
            raise ServiceError(
                f"the sandbox cannot keep objects in {directory}: {exc}\n"
                "    cure: name a directory on a disk with room, that this user may write to and"
                " that no other sandbox is using"
            ) from exc
        rows = self.db.execute("SELECT name, created, acl, storage_class FROM buckets")
        self._buckets = {row[0]: Bucket(*row) for row in rows}

    def close(self) -> None:
        """Close the index."""
        self.db.close()

    def _files_in_use(self) -> set[str]:
        rows = self.db.execute("SELECT pieces FROM objects UNION ALL SELECT pieces FROM parts")
        return {piece.file for (text,) in rows for piece in load_pieces(text)}

    @contextmanager
    def change(self) -> Iterator[Counter[str]]:
        """Run one transaction; files that nobody owns afterwards are removed.

        The counter takes how many rows each data file gains or loses; a new file's first row does
        not count.
        """
        owners: Counter[str] = Counter()
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield owners
            ownerless = [name for name, gained in owners.items() if self._settle(name, gained)]
            self.files.delete_bodies(ownerless)
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:  # SQLite itself rolls back when the disk is full
                self.db.execute("ROLLBACK")
            raise
        self.files.unlink(ownerless)

    def _settle(self, name: str, gained: int) -> bool:
        """Adjust the owners of a file; True when it has none left."""
        if not gained:
            return False
        row = self.db.execute("SELECT others FROM shares WHERE file = ?", (name,)).fetchone()
        others = (row[0] if row else 0) + gained
        if others > 0:
            self.db.execute("INSERT OR REPLACE INTO shares VALUES (?, ?)", (name, others))
        elif row:
            self.db.execute("DELETE FROM shares WHERE file = ?", (name,))
        return others < 0

    # buckets

    def bucket(self, name: str) -> Bucket:
        """The bucket. Raises Refusal NoSuchBucket."""
        if name not in self._buckets:
            raise Refusal("NoSuchBucket", details={"BucketName": name})
        return self._buckets[name]

    def buckets(self) -> list[Bucket]:
        """All buckets by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def put_bucket(self, bucket: Bucket) -> None:
        """Make the bucket or change it."""
        with self.change():
            self.db.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?)", bucket)
        self._buckets[bucket.name] = bucket

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket. Raises Refusal BucketNotEmpty."""
        objects, _, uploads = self.totals(name)
        if objects or uploads:
            raise Refusal("BucketNotEmpty", details={"BucketName": name})
        with self.change():
            self.db.execute("DELETE FROM buckets WHERE name = ?", (name,))
        del self._buckets[name]

    def totals(self, bucket: str) -> tuple[int, int, int]:
        """Return the number of objects, of their bytes, and of uploads under way."""
        objects = "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM objects WHERE bucket = ?"
        uploads = "SELECT COUNT(*) FROM uploads WHERE bucket = ?"
        count, size = self.db.execute(objects, (bucket,)).fetchone()
        return count, size, self.db.execute(uploads, (bucket,)).fetchone()[0]

    # objects

    def find(self, bucket: str, key: bytes) -> Entry | None:
        """The object, None if there is none."""
        row = self.db.execute(
            "SELECT kind, size, etag, crc64, modified, storage_class, traits, pieces FROM objects"
            " WHERE bucket = ? AND key = ?",
            (bucket, key),
        ).fetchone()
        if row is None:
            return None
        kind, size, etag, crc64, modified, storage_class, traits, pieces = row
        return Entry(
            kind,
            size,
            etag,
            int(crc64),
            modified,
            storage_class,
            load_traits(traits),
            load_pieces(pieces),
        )

    def get(self, bucket: str, key: bytes) -> Entry:
        """The object. Raises Refusal NoSuchKey."""
        entry = self.find(bucket, key)
        if entry is None:
            raise Refusal("NoSuchKey", details={"Key": key.decode()})
        return entry

    def put(self, bucket: str, key: bytes, entry: Entry, *, shared: bool = False) -> None:
        """Make `entry` the object. `shared`: its pieces belong to another row already."""
        with self.change() as owners:
            self.put_within(owners, bucket, key, entry, shared=shared)

    def put_within(
        self,
        owners: Counter[str],
        bucket: str,
        key: bytes,
        entry: Entry,
        *,
        shared: bool = False,
    ) -> None:
        """Do what `put` does, in a change that has begun."""
        row = self.db.execute(
            "SELECT pieces FROM objects WHERE bucket = ? AND key = ?", (bucket, key)
        ).fetchone()
        before = files_of(load_pieces(row[0])) if row else set()
        after = files_of(entry.pieces)
        owners.subtract(before - after)
        if shared:
            owners.update(after - before)
        else:
            self.files.write_offered(after - before)
        self.db.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                bucket,
                key,
                entry.kind,
                entry.size,
                entry.etag,
                str(entry.crc64),  # does not fit SQLite's signed 64 bits
                entry.modified,
                entry.storage_class,
                dump_traits(entry.traits),
                dump_pieces(entry.pieces),
            ),
        )

    def delete(self, bucket: str, keys: Iterable[bytes]) -> None:
        """Delete the objects that are there."""
        with self.change() as owners:
            for key in keys:
                row = self.db.execute(
                    "DELETE FROM objects WHERE bucket = ? AND key = ? RETURNING pieces",
                    (bucket, key),
                ).fetchone()
                if row:
                    owners.subtract(files_of(load_pieces(row[0])))

    def page(self, bucket: str, prefix: bytes, after: bytes, delimiter: bytes, limit: int) -> Page:
        """List objects and common prefixes after `after` in byte order, `limit` of both."""
        objects: list[Listed] = []
        prefixes: list[bytes] = []
        start = after + b"\0" if after >= prefix else prefix
        last = b""
        while True:
            for row in self._rows(bucket, prefix, start):
                key = row[0]
                cut = key.find(delimiter, len(prefix)) if delimiter else -1
                common = key[: cut + len(delimiter)] if cut >= 0 else b""
                if common and common <= after:  # was on an earlier page
                    break
                if len(objects) + len(prefixes) == limit:
                    return Page(objects, prefixes, last)
                if common:
                    prefixes.append(common)
                    last = common
                    break
                objects.append(Listed(*row))
                last = key
            else:
                return Page(objects, prefixes, b"")
            start = _successor(common)

    def _rows(self, bucket: str, prefix: bytes, start: bytes) -> Iterator[tuple[Any, ...]]:
        """Rows of objects from `start` on that begin with `prefix`, as they are asked for."""
        return self.db.execute(
            "SELECT key, kind, size, etag, modified, storage_class FROM objects"
            " WHERE bucket = ? AND key >= ? AND key < ? ORDER BY key",
            (bucket, start, _successor(prefix)),
        )


def _prepare(db: sqlite3.Connection) -> None:
    # EXCLUSIVE: one sandbox per directory, and no shared-memory file. synchronous=OFF: a process
    # that is killed loses nothing, since the kernel has what was written; only a power failure
    # can, and data files are not synced for that either.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: 16 MB of log instead of 4
    db.execute("PRAGMA cache_size = -16384")  # KiB
    db.executescript(_SCHEMA)


def _successor(prefix: bytes) -> bytes:
    """The least string that is greater than all UTF-8 that begins with `prefix`."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b"\xff"


def files_of(pieces: Iterable[Piece]) -> set[str]:
    """The data files that hold the pieces."""
    return {piece.file for piece in pieces}


def dump_pieces(pieces: tuple[Piece, ...]) -> str:
    """For a column of the index."""
    return json.dumps(pieces)


def load_pieces(text: str) -> tuple[Piece, ...]:
    """Undo `dump_pieces`."""
    return tuple(Piece(*piece) for piece in json.loads(text))


def dump_traits(traits: Traits) -> str:
    """For a column of the index."""
    return json.dumps([traits.headers, traits.acl, traits.tags, traits.target, traits.restored_at])


def load_traits(text: str) -> Traits:
    """Undo `dump_traits`."""
    return Traits(*json.loads(text))
