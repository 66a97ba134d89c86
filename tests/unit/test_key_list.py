"""Keys from files: lists and inventories, whole, from any place, split, gzipped, with odd lines."""

import asyncio
import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossimport.errors import Fatal, Permanent, Transient
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.sources.key_lines import InventoryLines, KeyLines, Lines, columns_of
from ossimport.sources.key_list import KeyListSource, read_manifest
from ossimport.sources.list_file import BadLine
from ossimport.sources.memory import MemorySource
from ossimport.transport import Transport

SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
TIME_NS = 1_700_000_000_000_000_000
OPENED: list[KeyListSource] = []


@pytest.fixture(autouse=True)
def _close() -> object:
    yield
    while OPENED:
        asyncio.run(OPENED.pop().close())


def source(
    paths: Sequence[Path], lines: Lines, store: MemorySource, prefix: str = "p/", window: int = 200
) -> KeyListSource:
    def connect(transport: Transport) -> MemorySource:
        return store

    made = KeyListSource(connect, lambda: (paths, lines), prefix, window=window)
    OPENED.append(made)
    return made


def write(path: Path, text: str | bytes, packed: bool = False) -> Path:
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


def walk(made: KeyListSource, lane: Lane = Lane()) -> list[Scanned]:  # noqa: B008 -- frozen
    return list(made.scan(lane))


def filled(count: int) -> MemorySource:
    store = MemorySource()
    for number in range(count):
        store.put(f"{number:04d}", b"x" * number, mtime_ns=TIME_NS)
    return store


def keys(entries: list[Scanned]) -> list[str]:
    return [entry.info.key for entry in entries]


@pytest.mark.parametrize("packed", [False, True])
def test_every_line_is_an_object_and_the_store_says_how_large(tmp_path: Path, packed: bool) -> None:
    text = "".join(f"p/{number:04d}\n" for number in range(300))
    made = source([write(tmp_path / "keys", text, packed)], KeyLines(), filled(300))
    entries = walk(made)
    assert [(e.info.key, e.info.size) for e in entries] == [(f"{n:04d}", n) for n in range(300)]
    assert all(e.info.mtime_ns == TIME_NS and e.info.etag for e in entries)
    for index in range(0, 300, 37):
        assert walk(made, Lane(entries[index].cursor)) == entries[index + 1 :]


def test_lanes_of_several_files_share_them_all(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{file}", "".join(f"p/{file * 9 + n:04d}\n" for n in range(9)), file == 1)
        for file in range(5)
    ]
    made = source(paths, KeyLines(), filled(45))
    scan = made.scan(Lane())
    walked = iter(scan)
    first = next(walked)
    rest = scan.split()
    assert rest is not None
    entries = [first, *walked]
    assert not scan.split()
    assert keys(entries) + keys(walk(made, rest)) == [f"{n:04d}" for n in range(45)]
    assert walk(made, Lane(entries[3].cursor, scan.until)) == entries[4:]
    assert walk(made, Lane(entries[-1].cursor, scan.until)) == []


def test_lines_that_name_nothing_are_told_apart(tmp_path: Path) -> None:
    store = filled(2)
    text = b"p/0000\r\n\r\nother/0001\r\np/\r\np/gone\r\np/\xff\r\n" + b"x" * 70_000 + b"\r\np/0001"
    path = write(tmp_path / "keys", text)
    made = source([path], KeyLines(), store)
    entries = walk(made)
    assert [(e.verdict, e.code, e.info.key) for e in entries] == [
        (Verdict.COPY, "", "0000"),
        (Verdict.EXCLUDED, "OutsidePrefix", "other/0001"),
        (Verdict.EXCLUDED, "PrefixMarker", ""),
        (Verdict.FAILED, "NotFound", "gone"),
        (Verdict.FAILED, "ListEncoding", "keys:6"),
        (Verdict.FAILED, "ListLineTooLong", "keys:7"),
        (Verdict.COPY, "", "0001"),
    ]
    assert "line 5 of" in entries[3].message
    store.put("gone", b"back")
    again = entries[3].rescan
    assert again is not None
    (mended,) = walk(made, again)
    assert (mended.verdict, mended.info.key, mended.info.size) == (Verdict.COPY, "gone", 4)
    assert walk(made, Lane(mended.cursor, again.until)) == []


def test_an_edited_list_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "keys", "p/0000\np/0001\n")
    cursor = walk(source([path], KeyLines(), filled(2)))[0].cursor
    write(path, "p/one-more\np/0000\np/0001\n")
    with pytest.raises(Fatal, match="edited"):
        walk(source([path], KeyLines(), filled(2)), Lane(cursor))


def test_a_store_that_does_not_answer_is_asked_again_from_there(tmp_path: Path) -> None:
    class Shaky(MemorySource):
        shaken = False

        async def stat(self, key: str) -> ObjectInfo:
            if key == "0050" and not self.shaken:
                self.shaken = True
                raise Transient("busy", code="Throttled")
            return await super().stat(key)

    store = Shaky()
    for number in range(100):
        store.put(f"{number:04d}", b"x")
    text = "".join(f"p/{number:04d}\n" for number in range(100))
    made = source([write(tmp_path / "keys", text)], KeyLines(), store)
    seen: list[Scanned] = []
    with pytest.raises(Transient):
        seen.extend(iter(partial(next, iter(made.scan(Lane()))), None))
    assert keys(seen + walk(made, Lane(seen[-1].cursor))) == [f"{n:04d}" for n in range(100)]


# Inventories


def row(*cells: object) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return text.getvalue()


def inventory(schema: str = SCHEMA) -> InventoryLines:
    return InventoryLines(columns_of(schema), "bucket")


def test_a_row_of_s3_needs_no_question(tmp_path: Path) -> None:
    stamp = "2023-11-14T22:13:20.000Z"
    text = (
        row("bucket", "p/a+b%2Bc%E4%B8%AD", "v2", "true", "false", 5, stamp, "0cc1")
        + row("bucket", "p/old", "v1", "false", "false", 7, stamp, "0cc2")
        + row("bucket", "p/gone", "v3", "true", "true", "", stamp, "")
        + row("other", "p/x", "v3", "true", "false", 1, stamp, "0cc3")
        + row("bucket", "p/n", "v3", "true", "false", "many", stamp, "0cc3")
        + row("bucket", "p/n", "v3")
        + '"bucket","p/n\n'
    )
    made = source([write(tmp_path / "i.csv", text)], inventory(), MemorySource())
    entries = walk(made)
    assert [(e.verdict, e.code) for e in entries] == [
        (Verdict.COPY, ""),
        (Verdict.EXCLUDED, "NotLatest"),
        (Verdict.EXCLUDED, "DeleteMarker"),
        (Verdict.FAILED, "InventoryBucket"),
        (Verdict.FAILED, "InventoryColumns"),
        (Verdict.FAILED, "InventoryColumns"),
        (Verdict.FAILED, "InventoryCsv"),
    ]
    assert entries[0].info == ObjectInfo("a b+c中", 5, TIME_NS, "0cc1")


def test_an_inventory_tells_what_is_archived(tmp_path: Path) -> None:
    text = row("a", 1, "e", "DEEP_ARCHIVE") + row("b", 1, "e", "STANDARD")
    path = write(tmp_path / "i.csv", text)
    made = source([path], inventory("Key,Size,ETag,StorageClass"), MemorySource(), prefix="")
    assert [entry.archived for entry in walk(made)] == ["DEEP_ARCHIVE", ""]


def test_without_size_or_version_the_store_is_asked(tmp_path: Path) -> None:
    for number, schema in enumerate(["Key", "Key,Size", "Key,ETag"]):
        text = row("p/0007", *(["9", "0cc1"][: schema.count(",")]))
        path = write(tmp_path / f"{number}.csv", text)
        (entry,) = walk(source([path], inventory(schema), filled(9)))
        assert (entry.info.key, entry.info.size) == ("0007", 7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from([0, 1]))
def test_any_key_comes_through_an_inventory(key: str, how: int) -> None:
    encode: Callable[[str], str] = [quote, quote_plus][how]
    line = row("bucket", encode(key), "", "true", "false", 3, "", "e").removesuffix("\n")
    assert inventory().read(line.encode()).info == ObjectInfo(key, 3, 0, "e")


@given(st.binary(max_size=60))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    for lines in (KeyLines(), inventory("Key,Size"), inventory()):
        try:
            said = lines.read(line)
        except BadLine as exc:
            assert exc.code  # noqa: PT017
        else:
            assert said.info.size >= 0


# Manifests


def manifest(path: Path, data: list[Path], **changed: object) -> Path:
    listed = [{"key": f"inv/data/{f.name}", "size": f.stat().st_size} for f in data]
    document = {"fileFormat": "CSV", "fileSchema": SCHEMA, "files": listed} | changed
    return write(path, json.dumps(document))


@pytest.mark.parametrize("place", [".", "data", "../data"])
def test_a_manifest_names_its_files_wherever_they_were_put(tmp_path: Path, place: str) -> None:
    home = tmp_path / "inv" / "2026-01-01T00-00Z"
    (home / place).mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    files = [write(home / place / f"{n}.csv.gz", f"{n}", packed=True) for n in range(2)]
    paths, schema = read_manifest(manifest(home / "manifest.json", files))
    assert [path.resolve() for path in paths] == [path.resolve() for path in files]
    assert schema == SCHEMA


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fileFormat": "ORC"}, "its files are ORC"),
        ({"files": [{"key": "inv/data/none.csv.gz", "size": 1}]}, "none.csv.gz is not here"),
        ({"files": [{"key": "inv/data/a.csv", "size": 99}]}, "not 99"),
        ({"files": "a"}, "no manifest"),
        ({"fileSchema": None, "files": None}, "no manifest"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    path = manifest(tmp_path / "manifest.json", [write(tmp_path / "a.csv", "x")], **changed)
    with pytest.raises(Fatal, match=message) as caught:
        read_manifest(path)
    assert "Cure: " in str(caught.value)


# Before a job


def test_a_check_reads_a_byte_of_one_of_the_first_objects(tmp_path: Path) -> None:
    store = filled(5)
    source([write(tmp_path / "keys", "p/gone\np/0004\n")], KeyLines(), store).check()
    assert store.reads == [("0004", 0, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("p/a\np/b\n", "none of the first 2 objects"), (b"\xff\n", "no line of the list can be used")],
)
def test_a_check_refuses_a_list_of_nothing(tmp_path: Path, text: str | bytes, message: str) -> None:
    made = source([write(tmp_path / "keys", text)], KeyLines(), filled(1))
    with pytest.raises(Fatal, match=message):
        made.check()


def test_the_store_s_own_calls_pass(tmp_path: Path) -> None:
    made = source([write(tmp_path / "keys", "")], KeyLines(), filled(3))
    info = asyncio.run(made.stat("0002"))
    assert bytes(asyncio.run(made.read(info, 0, 2)).body) == b"xx"
    with pytest.raises(Permanent):
        asyncio.run(made.stat("none"))
