"""The names of one directory: sorted, in a range, and in bounded memory."""

import gc
import os
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from ossimport.errors import Fatal
from ossimport.sources import local_names
from ossimport.sources.local_names import Directory


def names_of(
    path: Path, cursor: str = "", until: str = "", scratch: Path | None = None
) -> list[str]:
    directory = Directory(f"{path}/", "", cursor, until, scratch)
    names = list(directory.names)
    directory.close()
    return names


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A directory with 3,000 files and 3 subdirectories, made in no order."""
    root = tmp_path / "wide"
    root.mkdir()
    numbers = list(range(3000))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        (root / f"file-with-a-rather-long-name-{number:05}").touch()
    for name in ("file", "file-with-a-rather-long-name-01500", "zoo"):
        (root / f"{name}.d").mkdir()
    return root


def open_paths() -> list[str]:
    """What this process has open."""
    paths = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the directory that was being listed
            paths.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(paths)


def test_a_large_directory_sorts_on_disk_as_in_memory(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = names_of(wide)
    assert in_memory == sorted(in_memory)
    assert len(in_memory) == 3003
    for limit in (1, 7, 1000, 3002, 3003):
        monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", limit)
        assert names_of(wide) == in_memory


def test_only_names_in_range_are_kept(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = names_of(wide)
    low, high = everything[1000], everything[2000]
    for limit in (100_000, 100):
        monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", limit)
        assert names_of(wide, low, high) == everything[1001:2001]
        assert names_of(wide, "zoo.d/inside") == ["zoo.d/"]
        assert names_of(wide, "zoo.d//") == []
        assert names_of(wide, "", "file.d/inside")[-1] == "file.d/"
        assert (
            names_of(wide, "", "file.d/")[-1:] == everything[everything.index("file.d/") - 1 :][:1]
        )


def test_memory_is_bounded_by_the_run_and_not_by_the_directory(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peak(limit: int) -> int:
        monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", limit)
        monkeypatch.setattr(local_names, "_RUN_BUFFER", 1024)
        gc.collect()
        tracemalloc.start()
        directory = Directory(f"{wide}/", "", "", "", None)
        assert sum(1 for _ in directory.names) == 3003
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        directory.close()
        return size

    assert peak(200) < peak(100_000) / 3


def test_the_temporary_file_is_in_scratch_and_goes_when_the_walk_is_left(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", 1000)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = open_paths()
    directory = Directory(f"{wide}/", "", "", "", scratch)
    next(directory.names)
    (temporary,) = set(open_paths()) - set(before)
    assert temporary.startswith(f"{scratch}/")
    directory.close()
    assert open_paths() == before
    assert list(scratch.iterdir()) == []


def test_a_scratch_that_cannot_be_used_is_fatal_and_not_the_directorys_fault(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", 1000)
    with pytest.raises(Fatal, match="missing.* Cure: make room there"):
        names_of(wide, scratch=tmp_path / "missing")


def test_a_directory_that_breaks_off_leaves_no_file_open(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", 1000)
    before = open_paths()
    real = os.scandir

    class BreaksOff:
        def __init__(self, path: str) -> None:
            self.entries = real(path)

        def __enter__(self) -> "BreaksOff":
            return self

        def __exit__(self, *_: object) -> None:
            self.entries.close()

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            yield from islice(self.entries, 2500)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", BreaksOff)
    with pytest.raises(OSError, match="Input/output error"):
        names_of(wide)
    assert open_paths() == before
