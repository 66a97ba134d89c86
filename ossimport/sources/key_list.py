"""Objects of a store whose keys are in files on the master's host: the store is not listed.

The files are a list of keys, or an inventory that the store has written, with or without its
manifest.json. Only the master reads them; workers read the objects as of any source.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ossimport.errors import Fatal, Permanent
from ossimport.model import Lane, ObjectInfo, Verdict
from ossimport.sources.base import Payload, Scan, Source
from ossimport.sources.key_lines import InventoryLines, KeyLines, Lines, columns_of
from ossimport.sources.key_scan import KeyFiles, KeyScan
from ossimport.sources.list_file import WINDOW, ListFile
from ossimport.sources.over_http.side_loop import SideLoop
from ossimport.transport import Transport

if TYPE_CHECKING:
    from ossimport.config import SourceConfig

_CHECKED_LINES = 1000
_CHECKED_OBJECTS = 10
_OPEN_FILES = 40  # as many as there are threads, and some
_MOST_MANIFEST = 64 << 20  # bytes: of some 500,000 files


class KeyListSource:
    """The objects of a source that files name. See `base.Source`."""

    def __init__(
        self,
        connect: Callable[[Transport], Source],
        files: Callable[[], tuple[Sequence[Path], Lines]],
        prefix: str,
        *,
        window: int = WINDOW,
    ) -> None:
        """`connect` makes the source that has the objects; `files` finds what is to be read.

        Its `stat` and `read` are for another event loop than ours, so they are the store's own.
        """
        self._side = SideLoop()
        self._store = connect(self._side.transport)
        self._find = files
        self._prefix = prefix
        self._window = window
        self._files: KeyFiles | None = None

    def check(self) -> None:
        """See that lines can be used, and that one of the first objects can be read."""
        lines = islice(KeyScan(self._opened(), Lane()).entries(), _CHECKED_LINES)
        entries = [entry for entry, _ in lines]
        good = [entry.info.key for entry in entries if entry.verdict is Verdict.COPY]
        if good:
            self._side.start(self._read_any(good[:_CHECKED_OBJECTS])).result()
            return
        for entry in entries:
            if entry.verdict is Verdict.FAILED:
                text = f"no line of the list can be used; {entry.message}"
                raise Fatal(text, code=entry.code, op="check")

    def scan(self, lane: Lane) -> Scan:
        return KeyScan(self._opened(), lane)

    async def stat(self, key: str) -> ObjectInfo:
        return await self._store.stat(key)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        return await self._store.read(info, offset, length)

    async def close(self) -> None:
        self._side.close()
        await self._store.close()

    def _opened(self) -> KeyFiles:
        if self._files is None:
            paths, lines = self._find()
            open_file = lru_cache(_OPEN_FILES)(lambda index: ListFile(paths[index], self._window))
            self._files = KeyFiles(
                len(paths),
                open_file,
                lines,
                self._prefix,
                lambda key: self._side.start(self._store.stat(key)),
            )
        return self._files

    async def _read_any(self, keys: list[str]) -> None:
        """Read the first byte of one of these. Raises what the last of them is refused with."""
        refusal: Permanent | None = None
        for key in keys:
            try:
                info = await self._store.stat(key)
                await self._store.read(info, 0, min(1, info.size))
            except Permanent as exc:
                refusal = exc
            else:
                return
        if refusal is not None:
            message = f"none of the first {len(keys)} objects of the list can be read: {refusal}"
            raise Fatal(message, code=refusal.code, op="check") from refusal


def open_listing(config: "SourceConfig", connect: Callable[[Transport], Source]) -> KeyListSource:
    """The source of a job with keyListFile or inventoryFile; `connect` makes the store's."""

    def files() -> tuple[Sequence[Path], Lines]:
        if config.key_list:
            return [Path(config.key_list)], KeyLines()
        path, schema = Path(config.inventory), config.inventory_columns
        paths = [path]
        if path.suffix == ".json":
            paths, schema = read_manifest(path)
        try:
            columns = columns_of(schema)
        except ValueError as exc:
            raise _unusable(path, str(exc), "name each column once, and Key") from exc
        return paths, InventoryLines(columns, config.bucket)

    return KeyListSource(connect, files, config.prefix)


def read_manifest(path: Path) -> tuple[list[Path], str]:
    """The files of an inventory and the names of their columns. Raises Fatal."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_MANIFEST))
        schema, form = str(data["fileSchema"]), str(data["fileFormat"])
        files = [(str(each["key"]), int(each.get("size", -1))) for each in data["files"]]
    except OSError as exc:
        raise _unusable(path, str(exc.strerror), "let the master's user read it") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _unusable(path, "it is no manifest of an inventory", "check inventoryFile") from exc
    if form.upper() != "CSV":
        raise _unusable(path, f"its files are {form}", "have the inventory written as CSV")
    return [_file_of(path, key, size) for key, size in files], schema


def _file_of(manifest: Path, key: str, size: int) -> Path:
    """Where a file of an inventory is, as it was downloaded with its manifest."""
    name = key.rpartition("/")[2]
    above = manifest.parent.parent
    for path in (manifest.parent / name, manifest.parent / "data" / name, above / "data" / name):
        if path.is_file():
            if size >= 0 and path.stat().st_size != size:
                what = f"{path} has {path.stat().st_size} bytes, not {size}"
                raise _unusable(manifest, what, "download the file again")
            return path
    cure = f"download {key} beside manifest.json, or into data/ there"
    raise _unusable(manifest, f"its file {name} is not here", cure)


def _unusable(path: Path, what: str, cure: str) -> Fatal:
    message = f"the inventory {path} cannot be used: {what}. Cure: {cure}"
    return Fatal(message, code="InventoryNotUsable", op="scan")
