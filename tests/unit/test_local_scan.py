"""A walk over a directory tree: whole, from any place, split, and while the tree changes."""

import errno
import os
import random
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport.errors import Fatal, Transient
from ossimport.model import Lane, Scanned, Verdict
from ossimport.sources import local_names, local_scan
from ossimport.sources.base import Scan
from ossimport.sources.local import LocalSource

# Names that sort differently alone and with the "/" that follows a directory's name.
NAMES = ["a", "a!", "a.txt", "a0", "ab", "b", "\u4e2d", "\U0010ffff", "two\nlines", "caf\udce9"]


ALL = Lane()


def open_scan(root: Path, lane: Lane = ALL, *, symlinks: bool = False, depth: int = 1) -> Scan:
    source = LocalSource(root=f"{root}/", allow_symlinks=symlinks, split_depth=depth, scratch=None)
    return source.scan(lane)


def walk(root: Path, lane: Lane = ALL, *, symlinks: bool = False) -> list[Scanned]:
    return list(open_scan(root, lane, symlinks=symlinks))


def keys(entries: list[Scanned]) -> list[str]:
    return [entry.info.key for entry in entries]


def make(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode(errors="surrogateescape"))
    return root


def expected(root: Path) -> list[tuple[str, int, int]]:
    """What os.walk says is there."""
    found = []
    for directory, _, files in os.walk(root):
        for name in files:
            status = os.stat(os.path.join(directory, name))
            key = os.path.relpath(os.path.join(directory, name), root)
            found.append((key, status.st_size, status.st_mtime_ns))
    return sorted(found)


def random_tree(root: Path, seed: int) -> Path:
    choice = random.Random(seed)

    def fill(directory: Path, depth: int) -> None:
        directory.mkdir()
        for name in choice.sample(NAMES, choice.randrange(len(NAMES))):
            if depth < 3 and choice.random() < 0.45:
                fill(directory / name, depth + 1)
            else:
                (directory / name).write_bytes(b"x" * choice.randrange(9))

    fill(root, 0)
    return root


@pytest.fixture(params=[100_000, 3], ids=["in memory", "sorted on disk"])
def listing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with directories that fit in memory, and with ones that do not."""
    monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", request.param)
    monkeypatch.setattr(local_names, "_RUN_BUFFER", 7)
    monkeypatch.setattr(local_names, "_SAMPLE", 2)


# -- what a walk sees --------------------------------------------------------------------------


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("seed", range(25))
def test_a_walk_sees_what_os_walk_sees_in_the_order_of_whole_keys(
    tmp_path: Path, seed: int
) -> None:
    root = random_tree(tmp_path / "root", seed)
    entries = walk(root)
    assert [tuple(entry.info[:3]) for entry in entries] == expected(root)
    assert all(entry.verdict is Verdict.COPY for entry in entries)


def test_valid_names_come_in_the_order_in_which_oss_lists_them(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{a}/{b}" for a in ("d", "d!", "d0") for b in NAMES[:-1]), "d.txt")
    found = keys(walk(root))
    assert found == sorted(found, key=str.encode)


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("seed", range(8))
def test_a_walk_goes_on_from_every_place_even_if_that_has_gone(tmp_path: Path, seed: int) -> None:
    root = random_tree(tmp_path / "root", seed)
    entries = walk(root)
    for index, entry in enumerate(entries):
        (root / entry.info.key).unlink()
        assert walk(root, Lane(entry.cursor)) == entries[index + 1 :]


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize("depth", [1, 2, 16])
@pytest.mark.parametrize("seed", range(15))
def test_splits_kills_and_restarts_lose_nothing_and_double_nothing(
    tmp_path: Path, seed: int, depth: int
) -> None:
    root = random_tree(tmp_path / "root", seed)
    choice = random.Random(seed)
    lanes, seen = [Lane()], []
    while lanes:
        lane = lanes.pop(choice.randrange(len(lanes)))
        scan = open_scan(root, lane, depth=depth)
        reached = lane.cursor
        for entry in scan:
            seen.append(entry)
            reached = entry.cursor
            while choice.random() < 0.4 and (given_away := scan.split()):
                lanes.append(given_away)
            if choice.random() < 0.2:
                lanes.append(Lane(reached, scan.until))
                break
    assert sorted(seen) == walk(root)


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
places = (
    st.text("ab!./0\u4e2d\U0010ffff", min_size=1, max_size=5).filter(lambda text: "//" not in text)
    | paths
    | paths.map(lambda path: path + "/")
    | paths.map(lambda path: path + "//")
)


@settings(max_examples=100, deadline=None)
@given(st.sets(paths, max_size=15), places, places)
def test_any_two_places_cut_the_walk_into_three_parts(
    files: set[str], one: str, other: str
) -> None:
    def order(place: str) -> str:
        return place.replace("//", "/" + 9 * "\U0010ffff")

    low, high = sorted([one, other], key=order)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for file in files:
            if not any(other.startswith(file + "/") for other in files):
                make(root, file)
        everything = keys(walk(root))
        assert keys(walk(root, Lane("", low))) == [k for k in everything if k <= order(low)]
        assert keys(walk(root, Lane(high, ""))) == [k for k in everything if k > order(high)]
        assert keys(walk(root, Lane(low, high))) == [
            key for key in everything if order(low) < key <= order(high)
        ]


def test_empty_directories_are_no_objects(tmp_path: Path) -> None:
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    assert walk(tmp_path) == []


def test_going_on_lists_only_the_directories_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, *(f"{a}/{b}/file" for a in "abcd" for b in "wxyz"))
    listed: list[str] = []
    scandir = os.scandir

    def recording(path: str) -> "Iterator[os.DirEntry[str]]":
        listed.append(os.path.relpath(path, tmp_path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recording)
    assert keys(walk(tmp_path, Lane("c/y/file", "d/w/file"))) == ["c/z/file", "d/w/file"]
    assert listed == [".", "c", "c/y", "c/z", "d", "d/w"]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A file 1,500 levels down: more than shutil.rmtree can remove, so it is removed here."""
    here = os.getcwd()
    os.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    Path("deep").touch()
    yield tmp_path
    Path("deep").unlink()
    for _ in range(1500):
        os.chdir("..")
        os.rmdir("d")
    os.chdir(here)


def test_a_tree_of_fifteen_hundred_levels_is_walked(deep: Path) -> None:
    key = "d/" * 1500 + "deep"
    assert keys(walk(deep)) == [key]
    assert walk(deep, Lane(key)) == []


def test_a_time_beyond_what_64_bits_hold_is_cut(tmp_path: Path) -> None:
    make(tmp_path, "far")
    status = os.stat(tmp_path / "far")
    fields = list(status)
    future = os.stat_result(fields, {"st_mtime_ns": 10**23, "st_size": 3})
    past = os.stat_result(fields, {"st_mtime_ns": -(10**23), "st_size": 3})
    assert local_scan.mtime_ns(status) == status.st_mtime_ns
    assert (local_scan.mtime_ns(future), local_scan.mtime_ns(past)) == (2**63 - 1, 1 - 2**63)


# -- what is no object -------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    root = make(tmp_path / "root", "dir/inside", "file")
    outside = make(tmp_path / "outside", "target", "x/y")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(root)  # a socket's path must be short
        listener.bind("sock")
        os.chdir(here)
    (root / "to-file").symlink_to(outside / "target")
    (root / "to-dir").symlink_to(outside / "x")
    (root / "to-fifo").symlink_to("fifo")
    (root / "to-itself").symlink_to("to-itself")
    (root / "to-nothing").symlink_to("nothing")
    return root


def codes(entries: list[Scanned]) -> dict[str, str]:
    for entry in entries:
        if entry.verdict is Verdict.EXCLUDED:
            assert entry.code
            assert entry.message
            assert (entry.info.size, entry.cursor) == (0, entry.info.key)
    return {entry.info.key: entry.code or "object" for entry in entries}


def test_without_symbolic_links_each_of_them_is_excluded(odd: Path) -> None:
    assert codes(walk(odd)) == {
        "dir/inside": "object",
        "fifo": "Fifo",
        "file": "object",
        "sock": "Socket",
        "to-dir": "Symlink",
        "to-fifo": "Symlink",
        "to-file": "Symlink",
        "to-itself": "Symlink",
        "to-nothing": "Symlink",
    }


def test_with_symbolic_links_those_to_files_are_objects(odd: Path) -> None:
    entries = walk(odd, symlinks=True)
    assert codes(entries) == {
        "dir/inside": "object",
        "fifo": "Fifo",
        "file": "object",
        "sock": "Socket",
        "to-dir": "SymlinkDirectory",
        "to-fifo": "Fifo",
        "to-file": "object",
        "to-itself": "DanglingSymlink",
        "to-nothing": "DanglingSymlink",
    }
    linked = next(entry for entry in entries if entry.info.key == "to-file")
    target = os.stat(odd.parent / "outside" / "target")
    assert linked.info[1:3] == (target.st_size, target.st_mtime_ns)


def test_a_device_is_excluded(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    assert codes(walk(tmp_path, symlinks=True)) == {"null": "Device"}


# -- what cannot be listed ---------------------------------------------------------------------


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory, and no right to look into what is forbidden, also for root."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        root = make(Path(name) / "root", "a/1", "b/2", "b/c/3", "d/4")
        os.chmod(root, 0o755)
        privileged = os.geteuid() == 0
        if privileged:
            os.seteuid(65534)
        try:
            yield root
        finally:
            if privileged:
                os.seteuid(0)
            for directory in (root, root / "b"):
                directory.chmod(0o755)


@contextmanager
def as_owner() -> Iterator[None]:
    """With the rights that the test itself has."""
    effective = os.geteuid()
    os.seteuid(os.getuid())
    try:
        yield
    finally:
        os.seteuid(effective)


def set_mode(path: Path, mode: int) -> None:
    with as_owner():
        path.chmod(mode)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111], ids=["none", "no search", "no list"])
def test_a_forbidden_directory_is_one_failed_entry_that_can_be_scanned_later(
    unprivileged: Path, mode: int
) -> None:
    set_mode(unprivileged / "b", mode)
    entries = walk(unprivileged)
    assert keys(entries) == ["a/1", "b/", "d/4"]
    failed = entries[1]
    assert (failed.verdict, failed.code) == (Verdict.FAILED, "AccessDenied")
    assert "Cure: " in failed.message
    assert f"{unprivileged}/b/" in failed.message
    assert keys(walk(unprivileged, Lane(failed.cursor))) == ["d/4"]
    assert keys(walk(unprivileged, Lane("", failed.cursor))) == ["a/1", "b/"]

    assert failed.rescan is not None
    assert walk(unprivileged, failed.rescan) == [failed]
    set_mode(unprivileged / "b", 0o755)
    assert keys(walk(unprivileged, failed.rescan)) == ["b/2", "b/c/3"]


def test_of_a_forbidden_directory_only_the_lanes_own_part_fails(unprivileged: Path) -> None:
    set_mode(unprivileged / "b", 0)
    (failed,) = walk(unprivileged, Lane("b/1", "b/5"))
    assert failed.rescan == Lane("b/1", "b/5")
    assert failed.cursor == "b/5"


def test_a_link_into_a_forbidden_directory_is_not_taken_for_a_dangling_one(
    unprivileged: Path,
) -> None:
    with as_owner():
        (unprivileged / "a" / "link").symlink_to(unprivileged / "b" / "2")
    set_mode(unprivileged / "b", 0)
    failed = walk(unprivileged, symlinks=True)[1]
    assert (failed.info.key, failed.verdict) == ("a/link", Verdict.FAILED)
    assert failed.code == "AccessDenied"


def test_a_forbidden_root_is_fatal_and_names_the_cure(unprivileged: Path) -> None:
    set_mode(unprivileged, 0)
    with pytest.raises(Fatal, match="Cure: ") as caught:
        walk(unprivileged)
    assert caught.value.code == "AccessDenied"
    source = LocalSource(root=f"{unprivileged}/", allow_symlinks=False, split_depth=1)
    with pytest.raises(Fatal, match="Cure: "):
        source.check()


def test_files_that_cannot_be_looked_at_fail_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a", "b", "c", "d", "f")
    os.mkfifo(tmp_path / "e")
    lstat = os.lstat

    def broken(path: str) -> os.stat_result:
        if path.endswith(("/b", "/c", "/f")):
            raise OSError(errno.EIO, "Input/output error")
        return lstat(path)

    monkeypatch.setattr(os, "lstat", broken)
    entries = walk(tmp_path)
    monkeypatch.undo()
    assert keys(entries) == ["a", "b", "c", "d", "e", "f"]
    for failed in (entries[1], entries[2], entries[5]):
        key = failed.info.key
        assert (failed.verdict, failed.code, failed.cursor) == (Verdict.FAILED, "EIO", key)
        assert "Cure: " in failed.message
        assert failed.rescan is not None
        assert keys(walk(tmp_path, failed.rescan)) == [key]


def test_a_path_longer_than_the_system_allows_is_a_failed_entry(tmp_path: Path) -> None:
    make(tmp_path, "z")
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(20):
            os.mkdir("n" * 250)
            os.chdir("n" * 250)
    finally:
        os.chdir(here)
    failed, last = walk(tmp_path)
    assert (failed.verdict, failed.code) == (Verdict.FAILED, "NameTooLong")
    assert "Cure: " in failed.message
    assert last.info.key == "z"
    assert keys(walk(tmp_path, Lane(failed.cursor))) == ["z"]


def test_a_root_that_is_missing_or_no_directory_is_fatal(tmp_path: Path) -> None:
    make(tmp_path, "file")
    for name in ("missing", "file"):
        with pytest.raises(Fatal, match="Cure: correct srcPrefix") as caught:
            walk(tmp_path / name)
        assert caught.value.code == "NotFound"


def test_a_root_on_a_sick_disk_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sick(_: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "scandir", sick)
    with pytest.raises(Transient, match="Cure: "):
        walk(tmp_path)


# -- while the tree changes --------------------------------------------------------------------


def walk_and_change(root: Path, after: str, change: Callable[[], object]) -> list[Scanned]:
    entries = []
    for entry in open_scan(root):
        entries.append(entry)
        if entry.info.key == after:
            change()
    return entries


def test_what_vanishes_before_its_turn_was_never_listed(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "a", "b", "c/1", "c/2", "d/1", "e")

    def remove() -> None:
        for name in ("b", "c/1", "c/2", "d/1"):
            (root / name).unlink()
        (root / "c").rmdir()

    assert keys(walk_and_change(root, "a", remove)) == ["a", "e"]


def test_a_directory_that_vanishes_while_it_is_walked_ends_there(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "a/b/1", "a/b/2", "a/c", "d")
    gone = tmp_path / "elsewhere"
    assert keys(walk_and_change(root, "a/b/1", lambda: (root / "a").rename(gone))) == ["a/b/1", "d"]


def test_a_file_and_a_directory_that_trade_places_do_no_harm(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "a", "b", "c/1", "d")

    def trade() -> None:
        (root / "b").unlink()
        make(root, "b/new")
        (root / "c" / "1").unlink()
        (root / "c").rmdir()
        make(root, "c")

    assert keys(walk_and_change(root, "a", trade)) == ["a", "d"]


def test_a_root_that_vanishes_stops_the_job(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "a", "b", "c/1")
    with pytest.raises(Fatal, match="Cure: mount srcPrefix again") as caught:
        walk_and_change(root, "a", lambda: root.rename(tmp_path / "elsewhere"))
    assert caught.value.code == "Unmounted"


@pytest.fixture
def remount(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a directory look as if another file system were mounted on it."""

    def change(directory: Path) -> None:
        real = os.stat

        def changed(path: str, *, follow_symlinks: bool = True) -> os.stat_result:
            status = real(path, follow_symlinks=follow_symlinks)
            if not os.path.abspath(path).startswith(str(directory)):
                return status
            fields = list(status)
            fields[stat.ST_DEV] += 1
            return os.stat_result(fields)

        monkeypatch.setattr(os, "stat", changed)

    return change


def test_a_root_that_is_unmounted_is_not_taken_for_an_empty_one(
    tmp_path: Path, remount: Callable[[Path], None]
) -> None:
    root = make(tmp_path / "root", "a", "b")

    def unmount() -> None:
        (root / "b").unlink()
        remount(root)

    with pytest.raises(Fatal, match="unmounted") as caught:
        walk_and_change(root, "a", unmount)
    assert caught.value.code == "Unmounted"


@pytest.mark.usefixtures("listing")
@pytest.mark.parametrize(("after", "lost"), [("b/c/1", "b/c/2"), ("b/c/3", "b/d")])
def test_a_directory_that_is_unmounted_is_a_failed_entry_for_what_was_left(
    tmp_path: Path,
    remount: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
    after: str,
    lost: str,
) -> None:
    root = make(tmp_path / "root", "a", "b/5", "b/c/1", "b/c/2", "b/c/3", "b/d/4", "b/e", "f")
    complete = keys(walk(root))

    def unmount() -> None:
        (root / lost).rename(tmp_path / "elsewhere")
        remount(root / "b")

    entries = walk_and_change(root, after, unmount)
    monkeypatch.undo()
    (tmp_path / "elsewhere").rename(root / lost)

    *before, failed, last = entries
    assert (failed.info.key, failed.verdict, failed.code) == ("b/", Verdict.FAILED, "Unmounted")
    assert failed.rescan == Lane(after, "b//")
    assert keys([*before, *walk(root, failed.rescan), last]) == complete


# -- splitting ---------------------------------------------------------------------------------


def test_half_of_the_top_directories_is_given_away(tmp_path: Path) -> None:
    make(tmp_path, *(f"{d}/{f}" for d in "abcdef" for f in "12"), "g")
    scan = open_scan(tmp_path)
    entries = iter(scan)
    next(entries)
    assert scan.split() == Lane("d/", "")
    assert scan.until == "d/"
    assert scan.split() == Lane("c/", "d/")
    assert scan.split() == Lane("b/", "c/")
    assert scan.split() is None
    assert [entry.info.key for entry in entries] == ["a/2"]


def test_a_split_stays_within_its_depth(tmp_path: Path) -> None:
    make(tmp_path, "a/b/1", "a/b/2", "a/c/3", "a/d/4", "a/e", "f")
    shallow = open_scan(tmp_path, depth=1)
    next(iter(shallow))
    assert shallow.split() is None
    deep = open_scan(tmp_path, depth=2)
    entries = iter(deep)
    next(entries)
    assert deep.split() == Lane("a/d/", "")
    assert deep.until == "a/d/"
    assert [entry.info.key for entry in entries] == ["a/b/2", "a/c/3"]


def test_what_was_given_away_is_not_in_the_lane_of_a_later_failure(
    tmp_path: Path, remount: Callable[[Path], None]
) -> None:
    root = make(tmp_path / "root", "a/b/c/1", "a/b/c/2", "a/b/d/3", "a/e", "f")
    scan = open_scan(root, depth=3)
    entries = iter(scan)
    next(entries)
    assert scan.split() == Lane("a/b/d/", "")
    (root / "a/b/c/2").unlink()
    remount(root / "a")
    failed = next(entries)
    assert (failed.info.key, failed.rescan) == ("a/", Lane("a/b/c/1", "a/b/d/"))
    assert list(entries) == []


def test_nothing_of_a_failed_directory_is_given_away(
    tmp_path: Path, remount: Callable[[Path], None]
) -> None:
    root = make(tmp_path / "root", "a/1", "a/2", "a/b/3", "a/c/4", "f")
    scan = open_scan(root, depth=2)
    entries = iter(scan)
    next(entries)
    (root / "a/2").unlink()
    remount(root / "a")
    assert next(entries).info.key == "a/"
    assert scan.split() is None
    assert [entry.info.key for entry in entries] == ["f"]


def test_the_message_about_an_odd_name_can_be_printed(unprivileged: Path) -> None:
    odd = unprivileged / os.fsdecode(b"caf\xe9\n")
    with as_owner():
        odd.mkdir(mode=0)
    failed = walk(unprivileged)[-2]
    assert failed.info.key == os.fsdecode(b"caf\xe9\n/")
    assert "caf\\xe9\\x0a/: " in failed.message
    with as_owner():
        odd.rmdir()


def test_nothing_is_given_away_before_the_walk_begins_or_after_it_ends(tmp_path: Path) -> None:
    make(tmp_path, "a/1", "b/2")
    scan = open_scan(tmp_path)
    assert scan.split() is None
    list(scan)
    assert scan.split() is None


@pytest.mark.usefixtures("listing")
def test_many_threads_worth_of_lanes_come_out_of_one_wide_directory(tmp_path: Path) -> None:
    make(tmp_path, *(f"d{i:02}/x" for i in range(40)))
    lanes = [Lane()]
    finished: list[list[str]] = []
    while lanes:
        scan = open_scan(tmp_path, lanes.pop())
        part: list[str] = []
        for entry in scan:
            part.append(entry.info.key)
            if len(lanes) + len(finished) < 8 and (lane := scan.split()):
                lanes.append(lane)
        finished.append(part)
    assert len(finished) >= 8
    assert max(map(len, finished)) <= 25
    assert sorted(sum(finished, [])) == [f"d{i:02}/x" for i in range(40)]
