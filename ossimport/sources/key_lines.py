"""Lines of a list of keys, or of an inventory that a store has written: what one of them says.

A list has one whole key per line, as it is. An inventory (of S3, of OSS, or made like theirs) is
CSV without a heading; its keys are percent-encoded, and its columns have the names of `_NAMES`.
"""

import csv
from typing import NamedTuple, Protocol

from ossimport.listing import ARCHIVED, decoded, time_ns
from ossimport.model import ObjectInfo
from ossimport.sources.list_file import LONGEST, BadLine

_COLUMNS_CURE = "see inventoryColumns, or fileSchema in manifest.json"
_NAMES = {  # as S3 and OSS call them, without blanks and in lower case -> the field of Columns
    "bucket": "bucket",
    "key": "key",
    "size": "size",
    "lastmodifieddate": "modified",
    "lastmodified": "modified",
    "etag": "etag",
    "islatest": "latest",
    "isdeletemarker": "marker",
    "storageclass": "storage",
}


class Said(NamedTuple):
    """What a line says of an object. The key is whole."""

    info: ObjectInfo
    is_known: bool  # size and version are; else the store has to be asked
    excluded: str = ""  # a code, if it is no object to copy
    message: str = ""
    archived: str = ""  # see `Scanned.archived`


class Lines(Protocol):
    """How the lines of a list are to be read."""

    def read(self, line: bytes) -> Said:
        """Read a line. Raises BadLine."""


class KeyLines:
    """One key per line."""

    def read(self, line: bytes) -> Said:
        """See `Lines`."""
        return Said(ObjectInfo(_text(line), 0), False)


class Columns(NamedTuple):
    """The numbers of the columns, from 0; -1 = the inventory has none."""

    key: int = -1
    bucket: int = -1
    size: int = -1
    modified: int = -1
    etag: int = -1
    latest: int = -1
    marker: int = -1
    storage: int = -1


def columns_of(schema: str) -> Columns:
    """The columns by their names, which stand apart by commas; other names may be among them.

    Raises ValueError if there is no Key, or a name twice.
    """
    found: dict[str, int] = {}
    for number, name in enumerate(schema.split(",")):
        field = _NAMES.get(name.replace(" ", "").lower())
        if field in found:
            raise ValueError(f"the column {name.strip()} is there twice")
        if field:
            found[field] = number
    if "key" not in found:
        raise ValueError("there is no column Key")
    return Columns(**found)


class InventoryLines:
    """Rows of an inventory of `bucket`."""

    def __init__(self, columns: Columns, bucket: str) -> None:
        self._columns = columns
        self._most = max(columns)
        self._bucket = bucket

    def read(self, line: bytes) -> Said:
        """See `Lines`."""
        try:
            (row,) = csv.reader([_text(line)], strict=True)
        except (csv.Error, ValueError) as exc:
            message = f"the line is not CSV: {exc}"
            raise BadLine("InventoryCsv", message, "get the inventory again") from None
        if len(row) <= self._most:
            message = f"there are {len(row)} columns, {self._most + 1} are needed"
            raise BadLine("InventoryColumns", message, _COLUMNS_CURE)
        columns = self._columns
        key = decoded(row[columns.key])
        if not key:
            raise BadLine("InventoryColumns", "the key is empty", _COLUMNS_CURE)
        if columns.bucket >= 0 and row[columns.bucket] != self._bucket:
            cure = "check srcBucket and inventoryFile"
            raise BadLine("InventoryBucket", "the line is about another bucket", cure)
        if columns.marker >= 0 and row[columns.marker].lower() == "true":
            return Said(ObjectInfo(key, 0), True, "DeleteMarker", "the object is deleted")
        size = _size(row[columns.size]) if columns.size >= 0 else None
        if columns.latest >= 0 and row[columns.latest].lower() == "false":
            return Said(ObjectInfo(key, size or 0), True, "NotLatest", "a version of the past")
        etag = row[columns.etag].strip('"') if columns.etag >= 0 else ""
        modified = _time(row[columns.modified]) if columns.modified >= 0 else 0
        storage = row[columns.storage] if columns.storage >= 0 else ""
        return Said(
            ObjectInfo(key, size or 0, modified, etag),
            size is not None and bool(etag),
            archived=storage if storage.upper() in ARCHIVED else "",
        )


def _text(line: bytes) -> str:
    if len(line) > LONGEST:
        cure = "end every line with LF; no name of an object is so long"
        raise BadLine("ListLineTooLong", f"the line has more than {LONGEST} bytes", cure)
    try:
        return line.decode()
    except UnicodeDecodeError:
        cure = "convert the list (iconv -t UTF-8)"
        raise BadLine("ListEncoding", "the line is not UTF-8", cure) from None


def _size(cell: str) -> int | None:
    if not cell:
        return None
    if cell.isdecimal() and len(cell) < 19:
        return int(cell)
    raise BadLine("InventoryColumns", "the size is not a number of bytes", _COLUMNS_CURE)


def _time(cell: str) -> int:
    try:
        return time_ns(cell) if cell else 0
    except ValueError:
        message = "the time of the last change is none"
        raise BadLine("InventoryColumns", message, _COLUMNS_CURE) from None
