"""Multipart uploads in the index: begun, given parts, completed or aborted."""

import secrets
from collections import Counter
from typing import NamedTuple

from ossimport.sandbox.files import Piece
from ossimport.sandbox.refusal import Refusal
from ossimport.sandbox.store import (
    Entry,
    Store,
    Traits,
    dump_pieces,
    dump_traits,
    files_of,
    load_pieces,
    load_traits,
)


class Upload(NamedTuple):
    """An upload under way."""

    key: bytes
    id: str
    initiated: int  # seconds since 1970
    storage_class: str
    traits: Traits


class Part(NamedTuple):
    """A part of an upload."""

    number: int
    etag: str  # without quotes
    crc64: int
    size: int
    modified: int  # seconds since 1970
    pieces: tuple[Piece, ...]


def _as_upload(row: tuple[bytes, str, int, str, str]) -> Upload:
    key, upload_id, initiated, storage_class, traits = row
    return Upload(key, upload_id, initiated, storage_class, load_traits(traits))


class Uploads:
    """The uploads of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._db = store.db

    def begin(self, bucket: str, key: bytes, now: int, storage_class: str, traits: Traits) -> str:
        """Begin an upload; return its id."""
        upload_id = secrets.token_hex(16).upper()
        with self._store.change():
            self._db.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)",
                (bucket, key, upload_id, now, storage_class, dump_traits(traits)),
            )
        return upload_id

    def get(self, bucket: str, key: bytes, upload_id: str) -> Upload:
        """The upload. Raises Refusal NoSuchUpload."""
        row = self._db.execute(
            "SELECT key, id, initiated, storage_class, traits FROM uploads"
            " WHERE bucket = ? AND key = ? AND id = ?",
            (bucket, key, upload_id),
        ).fetchone()
        if row is None:
            raise Refusal("NoSuchUpload", details={"UploadId": upload_id})
        return _as_upload(row)

    def search(self, bucket: str, prefix: bytes, after: bytes, after_id: str) -> list[Upload]:
        """All uploads of keys with the prefix after the two markers, by key, then id.

        Without `after_id`, those of the key `after` itself do not come.
        """
        rows = self._db.execute(
            "SELECT key, id, initiated, storage_class, traits FROM uploads"
            " WHERE bucket = ? AND substr(key, 1, ?) = ?"
            " AND (key > ? OR (key = ? AND ? <> '' AND id > ?)) ORDER BY key, id",
            (bucket, len(prefix), prefix, after, after, after_id, after_id),
        )
        return [_as_upload(row) for row in rows]

    def put_part(self, upload_id: str, part: Part, *, shared: bool = False) -> None:
        """Add or replace a part. `shared`: its pieces belong to another row already."""
        with self._store.change() as owners:
            row = self._db.execute(
                "SELECT pieces FROM parts WHERE upload = ? AND number = ?",
                (upload_id, part.number),
            ).fetchone()
            before = files_of(load_pieces(row[0])) if row else set()
            after = files_of(part.pieces)
            owners.subtract(before - after)
            if shared:
                owners.update(after - before)
            self._db.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (upload_id, *part[:2], str(part.crc64), *part[3:5], dump_pieces(part.pieces)),
            )

    def parts(self, upload_id: str, after: int = 0) -> list[Part]:
        """The parts with numbers greater than `after`, ascending."""
        rows = self._db.execute(
            "SELECT number, etag, crc64, size, modified, pieces FROM parts"
            " WHERE upload = ? AND number > ? ORDER BY number",
            (upload_id, after),
        )
        return [
            Part(number, etag, int(crc64), size, modified, load_pieces(pieces))
            for number, etag, crc64, size, modified, pieces in rows
        ]

    def complete(self, bucket: str, key: bytes, upload_id: str, entry: Entry) -> None:
        """Make `entry` the object and end the upload, in one step."""
        with self._store.change() as owners:
            self._store.put_within(owners, bucket, key, entry, shared=True)
            self._end(owners, bucket, key, upload_id)

    def abort(self, bucket: str, key: bytes, upload_id: str) -> None:
        """Drop the upload and its parts."""
        with self._store.change() as owners:
            self._end(owners, bucket, key, upload_id)

    def _end(self, owners: Counter[str], bucket: str, key: bytes, upload_id: str) -> None:
        for part in self.parts(upload_id):
            owners.subtract(files_of(part.pieces))
        self._db.execute("DELETE FROM parts WHERE upload = ?", (upload_id,))
        self._db.execute(
            "DELETE FROM uploads WHERE bucket = ? AND key = ? AND id = ?", (bucket, key, upload_id)
        )
