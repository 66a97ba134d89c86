"""Exact bytes of the listed version, or an error that says what to do."""

import asyncio
import errno
import os
import socket
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ossimport.config import SourceConfig
from ossimport.errors import Fatal, Permanent, PreflightError, StorageError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.sources import local, open_source
from ossimport.sources.local import LocalSource


def open_local(root: Path, *, symlinks: bool = False) -> LocalSource:
    return LocalSource(root=f"{root}/", allow_symlinks=symlinks, split_depth=1)


def write(path: Path, body: bytes) -> ObjectInfo:
    path.write_bytes(body)
    status = path.stat()
    return ObjectInfo(path.name, status.st_size, status.st_mtime_ns)


def keep_time(path: Path, info: ObjectInfo) -> None:
    os.utime(path, ns=(info.mtime_ns, info.mtime_ns))


async def refusal(source: LocalSource, info: ObjectInfo) -> StorageError:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError) as caught:
        await source.read(info, 0, info.size)
    assert set(os.listdir("/proc/self/fd")) == before
    assert caught.value.key == info.key
    return caught.value


async def test_part_of_a_sparse_file_of_terabytes_is_read_in_its_own_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(3 << 40)
        file.seek(2 << 40)
        file.write(b"needle")
    status = path.stat()
    info = ObjectInfo("sparse", status.st_size, status.st_mtime_ns)
    source = open_local(tmp_path)
    tracemalloc.start()
    payload = await source.read(info, 2 << 40, 4 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert payload.body[:6] == b"needle"
    assert len(payload.body) == 4 << 20
    assert peak < 5 << 20
    await source.close()


async def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    info = write(tmp_path / os.fsdecode(b"caf\xe9"), b"coffee")
    source = open_local(tmp_path)
    assert (await source.read(info, 0, 6)).body == b"coffee"
    assert await source.stat(info.key) == info


@pytest.mark.parametrize(
    ("body", "same_time", "words"),
    [
        (b"grown!!", True, "it had 6 bytes and has 7"),
        (b"less", True, "it had 6 bytes and has 4"),
        (b"", True, "it had 6 bytes and has 0"),
        (b"other!", False, "another modification time"),
    ],
)
async def test_a_changed_file_is_refused_and_the_message_says_how_it_changed(
    tmp_path: Path, body: bytes, same_time: bool, words: str
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9\n")
    info = write(path, b"listed")
    write(path, body)
    if same_time:
        keep_time(path, info)
    else:
        os.utime(path, ns=(info.mtime_ns, info.mtime_ns + 1))
    error = await refusal(open_local(tmp_path), info)
    assert isinstance(error, Permanent)
    assert error.code == "SourceChanged"
    assert words in str(error)
    assert "caf\\xe9\\x0a has changed" in str(error)


async def test_a_change_while_the_bytes_are_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    info = write(path, b"listed")
    real = os.read

    def changed_underneath(fd: int, size: int) -> bytes:
        body = real(fd, size)
        path.write_bytes(b"after!")
        os.utime(path, ns=(info.mtime_ns, info.mtime_ns + 1000))
        return body

    monkeypatch.setattr(os, "read", changed_underneath)
    assert (await refusal(open_local(tmp_path), info)).code == "SourceChanged"


async def test_reading_beyond_the_end_is_refused(tmp_path: Path) -> None:
    info = write(tmp_path / "file", b"listed")
    with pytest.raises(Permanent, match="ended at byte 6") as caught:
        await open_local(tmp_path).read(info, 2, 5)
    assert caught.value.code == "SourceChanged"


async def test_short_reads_of_the_system_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = write(tmp_path / "file", bytes(range(256)))
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 100)))
    payload = await open_local(tmp_path).read(info, 3, 250)
    assert payload.body == bytes(range(3, 253))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def link_to_an_equal_file(path: Path) -> None:
    path.symlink_to("equal")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("swap", [fifo, directory, unix_socket, link_to_an_equal_file])
@pytest.mark.parametrize("offset", [0, 2])
async def test_a_file_swapped_for_something_else_is_refused_and_does_not_hang(
    tmp_path: Path, swap: Callable[[Path], None], offset: int
) -> None:
    path = tmp_path / "file"
    info = write(path, b"listed")
    path.rename(tmp_path / "equal")
    swap(path)
    with pytest.raises(Permanent) as caught:
        await open_local(tmp_path).read(info, offset, 4)
    assert caught.value.code == "SourceChanged"
    with pytest.raises(Permanent) as caught:
        await open_local(tmp_path).stat("file")
    assert caught.value.code == "NotFound"


async def test_a_link_is_read_when_symbolic_links_are_allowed(tmp_path: Path) -> None:
    info = write(tmp_path / "target", b"linked")
    (tmp_path / "link").symlink_to("target")
    source = open_local(tmp_path, symlinks=True)
    linked = await source.stat("link")
    assert linked == info._replace(key="link")
    assert (await source.read(linked, 0, 6)).body == b"linked"


async def test_a_link_to_a_device_is_never_taken_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    status = os.stat("/dev/zero")
    source = open_local(tmp_path, symlinks=True)
    error = await refusal(source, ObjectInfo("zero", 0, status.st_mtime_ns))
    assert error.code == "SourceChanged"


async def test_what_is_gone_is_not_found(tmp_path: Path) -> None:
    source = open_local(tmp_path)
    write(tmp_path / "file", b"")
    for key in ("gone", "gone/deeper", "file/deeper", "nul\0", "half\ud83d"):
        error = await refusal(source, ObjectInfo(key, 0))
        assert (error.code, error.op) == ("NotFound", "read")
        assert str(error).isprintable()
        with pytest.raises(Permanent) as caught:
            await source.stat(key)
        assert (caught.value.code, caught.value.op) == ("NotFound", "stat")


@pytest.mark.parametrize("call", ["open", "read"])
@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.EACCES, Permanent, "AccessDenied"),
        (errno.EPERM, Permanent, "AccessDenied"),
        (errno.ENAMETOOLONG, Permanent, "NameTooLong"),
        (errno.EIO, Transient, "EIO"),
        (errno.ESTALE, Transient, "ESTALE"),
        (errno.EMFILE, Transient, "EMFILE"),
        (errno.EAGAIN, Transient, "EAGAIN"),
    ],
)
async def test_each_error_of_the_system_says_what_to_do(
    tmp_path: Path, number: int, kind: type[StorageError], code: str, call: str
) -> None:
    info = write(tmp_path / "file", b"listed")

    def broken(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, broken)
        with pytest.raises(StorageError) as caught:
            await open_local(tmp_path).read(info, 0, 6)
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert "Cure: " in str(caught.value)
    assert str(tmp_path / "file") in str(caught.value)


async def test_quick_small_reads_stay_on_the_loop_and_slow_ones_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = write(tmp_path / "file", b"listed")
    source = open_local(tmp_path)
    now = seconds = 0.0
    threads: list[int] = []
    real = os.read

    def disk(fd: int, size: int) -> bytes:
        nonlocal now
        threads.append(threading.get_ident())
        now += seconds
        return real(fd, size)

    monkeypatch.setattr(os, "read", disk)
    monkeypatch.setattr(local, "time", SimpleNamespace(perf_counter=lambda: now))
    here = threading.get_ident()

    async def on_loop(count: int) -> list[bool]:
        threads.clear()
        for _ in range(count):
            await source.read(info, 0, 6)
        return [thread == here for thread in threads]

    assert all(await on_loop(20))
    seconds = 0.02
    assert not any((await on_loop(10))[5:])
    seconds = 0.0
    assert not any(await on_loop(1))
    now += 60
    assert all(await on_loop(20))
    seconds = 0.02
    assert not any((await on_loop(10))[5:])
    await source.close()


async def test_large_reads_run_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = write(tmp_path / "file", bytes(local.SMALL + 1))
    source = open_local(tmp_path)
    together = threading.Barrier(4, timeout=60)
    real = os.read

    def disk(fd: int, size: int) -> bytes:
        together.wait()
        return real(fd, size)

    monkeypatch.setattr(os, "read", disk)
    payloads = await asyncio.gather(*(source.read(info, 0, info.size) for _ in range(4)))
    assert {len(payload.body) for payload in payloads} == {info.size}
    await source.close()


def test_a_locale_that_would_change_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "gbk")
    with pytest.raises(Fatal, match="gbk.*Cure: set PYTHONUTF8=1"):
        open_local(tmp_path).check()


def config(kind: str, prefix: str = "") -> SourceConfig:
    return SourceConfig(type=kind, prefix=prefix)


def test_a_source_is_opened_by_its_type(tmp_path: Path) -> None:
    write(tmp_path / "file", b"listed")
    source = open_source(config("local", f"{tmp_path}/"), scan_depth=1, scratch=tmp_path)
    source.check()
    assert [entry.info.key for entry in source.scan(Lane())] == ["file"]


def test_a_type_that_is_not_there_yet_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="srcType=ftp .* which has: .*local.* Cure: "):
        open_source(config("ftp"), scan_depth=1, scratch=tmp_path)


@pytest.mark.parametrize("key", ["", ".", "a/", "a//b", "./a", "a/./b", "a/../a", "../x/a", "/a"])
async def test_a_name_that_no_scan_has_is_not_found(tmp_path: Path, key: str) -> None:
    (tmp_path / "a").write_bytes(b"x")
    source = open_local(tmp_path)
    with pytest.raises(Permanent) as caught:
        await source.stat(key)
    assert (caught.value.code, caught.value.op) == ("NotFound", "stat")
    await source.close()
