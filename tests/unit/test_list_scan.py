"""A walk over a list: whole, from any place, split, gzipped, edited; servers together."""

import gzip
import random
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from ossimport.errors import Fatal
from ossimport.model import Lane, Scanned, Verdict
from ossimport.sources.http_url import Place
from ossimport.sources.list_file import ListFile
from ossimport.sources.list_lines import Columns
from ossimport.sources.list_scan import ListScan, UrlList

Make = Callable[..., UrlList]
ALL = Lane()


@pytest.fixture(params=["plain", "gzipped"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    def write(text: str | bytes, window: int = 200) -> UrlList:
        data = text if isinstance(text, bytes) else text.encode()
        path = tmp_path / "http.list"
        path.write_bytes(gzip.compress(data) if request.param == "gzipped" else data)
        return UrlList(ListFile(path, window), Columns(size=3))

    return write


def lines(count: int, servers: int = 3) -> str:
    return "".join(f"http://h{n % servers}/ d/{n:04d} {n}\n" for n in range(count))


def walk(urls: UrlList, lane: Lane = ALL) -> list[Scanned]:
    return list(ListScan(urls, lane))


def keys(entries: list[Scanned]) -> list[str]:
    return [entry.info.key for entry in entries]


def server(entry: Scanned) -> str:
    return Place.unpack(entry.info.etag).base


@pytest.mark.parametrize("window", [40, 200, 100_000])
def test_every_line_is_an_object(make: Make, window: int) -> None:
    entries = walk(make(lines(100), window))
    assert sorted(keys(entries)) == [f"d/{n:04d}" for n in range(100)]
    assert {e.info.key: e.info.size for e in entries} == {f"d/{n:04d}": n for n in range(100)}


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_of_all_systems(make: Make, ends: bytes, bom: bytes, last: bool) -> None:
    text = bom + b"http://h/ a 1" + ends + ends + b"  " + ends + b"http://h/ b 2" + ends * last
    entries = walk(make(text))
    assert [(e.info.key, e.info.size) for e in entries] == [("a", 1), ("b", 2)]
    for index, entry in enumerate(entries):
        assert walk(make(text), Lane(entry.cursor)) == entries[index + 1 :]


def test_a_server_s_objects_come_together_whatever_the_order(make: Make) -> None:
    entries = walk(make(lines(1000, servers=7), window=100_000))
    assert [name for name, _ in groupby(map(server, entries))] == [
        f"http://h{n}:80/" for n in range(7)
    ]
    windowed = walk(make(lines(1000, servers=7), window=2000))
    assert len(list(groupby(map(server, windowed)))) <= 7 * 12


def test_an_endless_line_is_one_failure_in_little_memory(make: Make) -> None:
    endless = b"http://h/ " + b"x" * 3_000_000
    entries = walk(make(b"http://h/ a 1\n" + endless + b"\nhttp://h/ b 2\n" + endless, 1000))
    assert [(e.verdict, e.code) for e in entries] == [
        (Verdict.COPY, ""),
        (Verdict.FAILED, "ListLineTooLong"),
        (Verdict.COPY, ""),
        (Verdict.FAILED, "ListLineTooLong"),
    ]
    assert [e.info.key for e in entries] == ["a", "http.list:2", "b", "http.list:4"]
    for index, entry in enumerate(entries):
        urls = make(b"http://h/ a 1\n" + endless + b"\nhttp://h/ b 2\n" + endless, 1000)
        assert walk(urls, Lane(entry.cursor)) == entries[index + 1 :]


def test_a_line_longer_than_a_window_is_whole(make: Make) -> None:
    entries = walk(make(f"http://h/ {'k' * 500} 5\nhttp://h/ b 6\n", 100))
    assert keys(entries) == ["k" * 500, "b"]


BAD = (
    "prefix name size\n"
    "http://h1/ a 1\n"
    "http://h2/ b 1\n"
    "\n"
    "nonsense\n"
    "http://h1/ c x\n"
    "http://me:secret@h1/ d 1\n"
    "http://h1/ e 1\n"
)


def test_bad_lines_fail_by_number_and_never_in_silence(make: Make) -> None:
    entries = walk(make(BAD, 100_000))
    odd = {e.info.key: (e.verdict, e.code) for e in entries if e.verdict is not Verdict.COPY}
    assert odd == {
        "http.list:1": (Verdict.EXCLUDED, "ListHeading"),
        "http.list:5": (Verdict.FAILED, "ListColumns"),
        "http.list:6": (Verdict.FAILED, "ListSize"),
        "http.list:7": (Verdict.FAILED, "ListPassword"),
    }
    for entry in entries:
        assert "secret" not in repr(entry)
        if entry.verdict is Verdict.FAILED:
            assert entry.message.startswith(f"line {entry.info.key.rpartition(':')[2]} of ")
            assert "Cure: " in entry.message
    assert sorted(keys([e for e in entries if e.verdict is Verdict.COPY])) == ["a", "b", "e"]


@pytest.mark.parametrize("window", [30, 90, 100_000])
def test_numbers_of_lines_are_right_from_any_place(make: Make, window: int) -> None:
    text = lines(20) + BAD + lines(20) + "nonsense\n" * 3
    whole = walk(make(text, window))
    sizes = sorted(e.info.key for e in whole if e.code == "ListSize")
    assert sizes == ["http.list:21", "http.list:26"]
    assert sorted(e.info.key for e in whole if e.code == "ListColumns") == [
        *("http.list:25", "http.list:49", "http.list:50", "http.list:51")
    ]
    for index, entry in enumerate(whole):
        assert walk(make(text, window), Lane(entry.cursor)) == whole[index + 1 :]


def test_a_mended_line_is_walked_again_by_its_number(make: Make) -> None:
    failed = [e for e in walk(make(BAD)) if e.verdict is Verdict.FAILED]
    failed.sort(key=lambda entry: entry.info.key)
    mended = (
        BAD.replace("nonsense", "http://h9/ long/mended 5")
        .replace(" c x", " c 3")
        .replace("me:secret@", "")
    )
    urls = make(mended)
    again = [walk(urls, entry.rescan) for entry in failed if entry.rescan]
    assert [keys(entries) for entries in again] == [["long/mended"], ["c"], ["d"]]
    urls = make(BAD)
    for entry in reversed(failed):
        assert entry.rescan is not None
        (same,) = walk(urls, entry.rescan)
        assert (same.info, same.code, same.rescan) == (entry.info, entry.code, entry.rescan)
        assert walk(urls, Lane(same.cursor, entry.rescan.until)) == []
    gone = make("http://h/ a 1\n")
    assert [walk(gone, entry.rescan) for entry in failed if entry.rescan] == [[], [], []]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("window", [60, 333])
def test_kills_and_splits_lose_nothing_and_double_nothing(
    make: Make, seed: int, window: int
) -> None:
    choice = random.Random(seed)
    count = choice.randrange(1, 120)
    text = lines(count, choice.randrange(1, 5))
    text = text.replace("\n", "\n\n", choice.randrange(4)) + "bad\n" * choice.randrange(3)
    urls = make(text, window)
    lanes, seen = [ALL], []
    while lanes:
        lane = lanes.pop(choice.randrange(len(lanes)))
        scan = ListScan(urls, lane)
        found = []  # what a killed master has not written down
        for entry in scan:
            found.append(entry)
            if choice.random() < 0.3 and (given := scan.split()):
                lanes.append(given)
                assert given.until == lane.until
                lane = lane._replace(until=scan.until)
            if choice.random() < 0.5:
                seen += found
                found, lane = [], lane._replace(cursor=entry.cursor)
            if choice.random() < 0.2:
                found = []
                lanes.append(lane)
                break
        seen += found
    assert sorted(e.info for e in seen) == sorted(e.info for e in walk(make(text, window)))


def test_splits_share_a_plain_list(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(lines(1000))
    urls = UrlList(ListFile(tmp_path / "list", 1000), Columns(size=3))
    scan = ListScan(urls, ALL)
    entries = iter(scan)
    next(entries)
    given = scan.split()
    assert given is not None
    assert 400 < len(walk(urls, given)) < 600
    assert len([*entries]) + 1 + len(walk(urls, given)) == 1000


def test_a_gzipped_list_is_not_split(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(gzip.compress(lines(1000).encode()))
    scan = ListScan(UrlList(ListFile(tmp_path / "list", 1000), Columns()), ALL)
    next(iter(scan))
    assert scan.split() is None


def test_what_is_appended_is_found_and_other_edits_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "list"

    def opened() -> UrlList:
        return UrlList(ListFile(path, 300), Columns())

    path.write_text(lines(40))
    entries = walk(opened())
    path.write_text(lines(60))
    assert len(walk(opened(), Lane(entries[-1].cursor))) == 20
    for entry in entries:
        path.write_text("http://h/ one-more\n" + lines(40))
        with pytest.raises(Fatal, match="edited since.*Cure: ") as caught:
            walk(opened(), Lane(entry.cursor))
        assert caught.value.code == "ListChanged"
    data = bytearray(lines(40).encode())
    start = int(entries[-1].cursor.partition("-")[0])
    data[start - 1] = ord("x")  # two lines became one, and all else is where it was
    path.write_bytes(data)
    with pytest.raises(Fatal, match="edited since"):
        walk(opened(), Lane(entries[-1].cursor))
    path.write_text(lines(2))
    with pytest.raises(Fatal, match="edited since"):
        walk(opened(), Lane(entries[-1].cursor))
    with pytest.raises(Fatal, match="no place in a list"):
        walk(opened(), Lane("somewhere"))


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, "ListNotReadable", "No such file.*path in the job file"),
        (gzip.compress(lines(5000).encode())[:-200], "ListDamaged", "gzip -t"),
        (b"\x1f\x8b nonsense", "ListDamaged", "gzip -t"),
        (lines(3).encode("utf-16"), "ListEncoding", "UTF-16.*iconv"),
    ],
)
def test_a_list_that_cannot_be_read_stops_the_job(
    tmp_path: Path, content: bytes | None, code: str, words: str
) -> None:
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(Fatal, match=words) as caught:
        walk(UrlList(ListFile(tmp_path / "list"), Columns()))
    assert caught.value.code == code
