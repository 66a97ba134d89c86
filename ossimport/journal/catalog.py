"""What an incremental job knows of every object of its source: which version of it is at OSS.

One SQLite file beside the job's tree, kept from round to round. A row is written when a task has
ended, for each object that was copied or was there already; so a failed object has no row, or that
of an older version, and is a candidate in the next round. A version is size, time and etag as the
source lists them: a change that keeps the time (mv, rsync -t) shows in one of the others.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ossimport.errors import ServiceError
from ossimport.filters import BEFORE_IMPORT_SINCE
from ossimport.model import Mark, ObjectInfo, Scanned, Verdict

_NO_ETAG = "\n"  # that no source states
_HELD = frozenset(mark for mark in Mark if mark.proof is not None or mark is Mark.SKIPPED)
_PAGE_CACHE_KIB = 64 << 10

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    key BLOB PRIMARY KEY,      -- UTF-8, as the source names it
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    etag TEXT NOT NULL,
    held INTEGER NOT NULL,     -- 1: this version is at OSS; 0: it was left out by importSince
    round INTEGER NOT NULL     -- in which it was last listed, as far as rounds were told of it
) WITHOUT ROWID
"""
# About 100 bytes each beside the key; looking one up takes some microseconds while the
# scan goes through the keys in order.
_VERSION = "SELECT size, mtime_ns, etag, held FROM object WHERE key = ?"
_SAVE = "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?)"
_DOUBT = "UPDATE object SET etag = ? WHERE key = ?"
_SEEN = "UPDATE object SET round = ? WHERE key = ?"
_GONE = "SELECT key, size FROM object WHERE held = 1 AND round < ? ORDER BY key LIMIT ?"
_FORGET = "DELETE FROM object WHERE key = ?"


class Catalog:
    """Safe for threads: each reads through a connection of its own, one at a time writes.

    Every method may raise ServiceError, with the cure. What was written is durable when the call
    returns.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.Lock()
        self._mine = threading.local()
        self._open: list[sqlite3.Connection] = []

    def compare(self, entries: Iterable[Scanned]) -> Iterator[Scanned]:
        """Give the verdict UNCHANGED to objects whose listed version is at OSS.

        What the first round's importSince left out stays left out for as long as it is the same
        version. An object of which the source states neither time nor etag is always a candidate.
        """
        connection = self._connection()
        for entry in entries:
            info = entry.info
            if entry.verdict is not Verdict.COPY or not (info.mtime_ns or info.etag):
                yield entry
                continue
            with self._explained("read"):
                row = connection.execute(_VERSION, (_packed(info.key),)).fetchone()
            if row is None or row[:3] != (info.size, info.mtime_ns, _plain(info.etag)):
                yield entry
            elif row[3]:
                yield entry._replace(verdict=Verdict.UNCHANGED)
            else:
                yield entry._replace(verdict=Verdict.EXCLUDED, code=BEFORE_IMPORT_SINCE)

    def ended(self, objects: Sequence[ObjectInfo], marks: bytes, number: int) -> None:
        """Keep the versions that a task of round `number` has brought to OSS, by its marks.

        Which version OSS holds of an object that failed is not known: it may have been stored all
        the same. So it equals none until it is brought again, also if the one before comes back.
        """
        held = (info for info, mark in zip(objects, marks, strict=True) if mark in _HELD)
        self._write(_SAVE, (_row(info, held=True, number=number) for info in held))
        failed = (info for info, mark in zip(objects, marks, strict=True) if mark == Mark.FAILED)
        self._write(_DOUBT, ((_NO_ETAG, _packed(info.key)) for info in failed))

    def excluded(self, entries: Iterable[Scanned], number: int) -> None:
        """Keep the versions that importSince left out; what OSS holds of them is not known."""
        infos = (entry.info for entry in entries if entry.code == BEFORE_IMPORT_SINCE)
        self._write(_SAVE, (_row(info, held=False, number=number) for info in infos))

    def seen(self, infos: Iterable[ObjectInfo], number: int) -> None:
        """Remember that round `number` listed these objects, whatever their version."""
        self._write(_SEEN, ((number, _packed(info.key)) for info in infos))

    def gone(self, number: int, most: int) -> list[tuple[str, int]]:
        """Up to `most` objects at OSS (key, size) that round `number` did not list."""
        with self._explained("read"):
            rows = self._connection().execute(_GONE, (number, most)).fetchall()
        return [(key.decode("utf-8", "surrogatepass"), size) for key, size in rows]

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what is known of these objects."""
        self._write(_FORGET, ((_packed(key),) for key in keys))

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        with self._writing:
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._mine = threading.local()

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        with self._writing, self._explained("write"):
            connection = self._connection()
            with connection:
                connection.executemany(statement, rows)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            with self._explained("open"):
                connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
                connection.execute(_SCHEMA)
            self._mine.connection = connection
            self._open.append(connection)
        return connection

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise ServiceError(
                f"cannot {doing} {self.path}: {exc}. Cure: give the disk of workingDir some room"
                " and see that it is sound; if the file is damaged, stop the service and remove"
                " it: the next round then copies every object again (with isSkipExistFile=true,"
                " those that are not at OSS)."
            ) from exc


def _row(info: ObjectInfo, *, held: bool, number: int) -> tuple[object, ...]:
    key, etag = _packed(info.key), _plain(info.etag)
    return key, info.size, info.mtime_ns, etag, int(held), number


def _packed(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _plain(etag: str) -> str:
    """SQLite holds no lone surrogates in a text."""
    return etag.encode("utf-8", "backslashreplace").decode()
