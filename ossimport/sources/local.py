"""Files below a directory: local disks, and NFS or SMB mounts, which are plain paths.

What is guarded against while other programs write: a file that changes between the scan and the end
of its copy (size or modification time differ: SourceChanged), a file swapped for a pipe, device or
symbolic link. What is not: a write that leaves both size and modification time as they were, and,
without symbolic links allowed, a *directory* on a file's path that is swapped for a symbolic link
between scan and read; what it leads to is copied if it has the listed size and time.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, TypeVar

from ossimport.errors import Fatal, Permanent, StorageError
from ossimport.model import Lane, ObjectInfo
from ossimport.naming import display
from ossimport.sources.base import Payload, Scan, Source
from ossimport.sources.local_beside import count_beside
from ossimport.sources.local_errors import translate
from ossimport.sources.local_scan import LocalScan, mtime_ns, root_error
from ossimport.wording import counted

if TYPE_CHECKING:
    from ossimport.config import SourceConfig
    from ossimport.transport import Transport

T = TypeVar("T")

SMALL = 1 << 20  # bytes that are read on the event loop while the disk is quick
# Bytes at a time of a file that is in the page cache. A core's own cache holds so many: all of
# 1 MiB would be too much for it, and half a MiB is asked for more often.
PIECE = 768 << 10
SLOW_PIECE = 4 << 20  # of any other: they are worth a thread
SLOW_S = 0.002  # seconds per small read from which on a thread is worth its cost
# One read says no more than this: it may have been another process's turn, not the disk's fault.
LONGEST_S = 4 * SLOW_S
PATIENCE = 50  # of the event loop's time, one part in so many is spent on trying a slow disk again
THREADS = 64  # at most, started when there is work: on a mount far away most of them wait

_ODD_NAMES = frozenset({"", ".", ".."})
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# A pipe that has taken a file's place must not block. Windows has O_BINARY instead.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class LocalSource:
    """The regular files below `root`, which ends with `/`. See `base.Source`.

    Small files, and pieces of large ones that are in the page cache, are read on the event loop as
    long as such reads take less than SLOW_S on average, since a thread costs more than the read;
    everything else is read in threads. Only the bytes that were asked for are in memory.
    """

    def __init__(
        self, *, root: str, allow_symlinks: bool, split_depth: int, scratch: Path | None = None
    ) -> None:
        self._root = root
        self._allow_symlinks = allow_symlinks
        self._split_depth = split_depth
        self._scratch = scratch
        self._flags = _FLAGS if allow_symlinks else _FLAGS | _NO_FOLLOW
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="local-source")
        self._pace_s = 0.0  # moving average of how long a small read takes on the loop
        self._try_again = 0.0  # when the loop may read again, on the clock of time.perf_counter

    def check(self) -> None:
        if sys.getfilesystemencoding() != "utf-8":
            raise Fatal(
                f"file names are read as {sys.getfilesystemencoding()}, but OSS has UTF-8 names. "
                "Cure: set PYTHONUTF8=1 in the environment of every process.",
                code="InvalidLocale",
                op="check",
            )
        try:
            with os.scandir(self._root + ".") as entries:
                next(entries, None)
            os.stat(self._root + ".")
        except OSError as exc:
            refusal = root_error(exc, self._root)
            raise Fatal(str(refusal), code=refusal.code, op="check") from exc

    def scan(self, lane: Lane) -> Scan:
        return LocalScan(
            self._root,
            lane,
            allow_symlinks=self._allow_symlinks,
            split_depth=self._split_depth,
            scratch=self._scratch,
        )

    async def stat(self, key: str) -> ObjectInfo:
        return await self._in_thread(lambda: self._stat(key))

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        if length <= SMALL and time.perf_counter() >= self._try_again:
            return Payload(self._read_timed(info, offset, length))
        return Payload(await self._in_thread(lambda: self._read(info, offset, length)))

    async def read_some(self, info: ObjectInfo, offset: int, most: int) -> bytes:
        """See `base.AtHand`."""
        if time.perf_counter() >= self._try_again and (
            piece := self._read_timed(info, offset, min(most, PIECE), waits=False)
        ):
            return piece
        return await self._in_thread(lambda: self._read(info, offset, min(most, SLOW_PIECE)))

    async def untold(self, most: int) -> dict[str, int]:
        """See `base.Untold`."""
        count = partial(count_beside, self._root, most, allow_symlinks=self._allow_symlinks)
        return await self._in_thread(count)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _stat(self, key: str) -> ObjectInfo:
        path = self._root + key
        if not _ODD_NAMES.isdisjoint(key.split("/")):
            # The system would find another name's file: no scan has such a key.
            message = f"{display(path)} is not the name of a file"
            raise Permanent(message, code="NotFound", op="stat", key=key)
        try:
            status = os.stat(path, follow_symlinks=self._allow_symlinks)
        except (OSError, ValueError) as exc:
            raise _translate(exc, "stat", key, path) from exc
        if not S_ISREG(status.st_mode):
            message = f"{display(path)} is no regular file any more"
            raise Permanent(message, code="NotFound", op="stat", key=key)
        return ObjectInfo(key, status.st_size, mtime_ns(status))

    def _read_timed(
        self, info: ObjectInfo, offset: int, length: int, *, waits: bool = True
    ) -> bytes:
        # Reads in threads say nothing about the disk: they also wait for the interpreter's lock.
        began = time.perf_counter()
        body = self._read(info, offset, length, waits=waits)
        if body and not waits:
            return body  # from the page cache, whose pace is not the disk's
        now = time.perf_counter()
        self._pace_s += (min(now - began, LONGEST_S) - self._pace_s) / 16
        if self._pace_s > SLOW_S:
            self._pace_s = SLOW_S
            self._try_again = now + PATIENCE * (now - began)
        return body

    def _read(self, info: ObjectInfo, offset: int, length: int, *, waits: bool = True) -> bytes:
        """Nothing if a disk would have to be waited for, unless it `waits`."""
        path = self._root + info.key
        try:
            fd = os.open(path, self._flags)
            try:
                if not (waits or _at_hand(fd, offset, length)):
                    return b""
                body = _bytes_of(fd, offset, length)
                status = os.fstat(fd)
            finally:
                os.close(fd)
        except (OSError, ValueError) as exc:
            raise _translate(exc, "read", info.key, path) from exc
        # Looking once, afterwards, is enough: a write sets the time before it changes a byte.
        change = _change(info, status)
        if not change and len(body) < length:
            change = f"ended at byte {offset + len(body)}"
        if change:
            message = f"{display(path)} has changed since it was listed: {change}"
            raise Permanent(message, code="SourceChanged", op="read", key=info.key)
        return body


def open_source(
    config: "SourceConfig", *, scan_depth: int, scratch: Path, transport: "Transport | None"
) -> Source:
    return LocalSource(
        root=config.prefix,
        allow_symlinks=config.allow_symlinks,
        split_depth=scan_depth,
        scratch=scratch,
    )


def _bytes_of(fd: int, offset: int, length: int) -> bytes:
    """Read up to `length` bytes; less only where the file ends."""
    if offset:
        os.lseek(fd, offset, os.SEEK_SET)
    body = os.read(fd, length)
    while len(body) < length and (more := os.read(fd, length - len(body))):
        body += more  # Linux reads at most 2 GiB at a time
    return body


def _at_hand(fd: int, offset: int, length: int) -> bool:
    """Whether the page cache has these bytes, to judge by the first and the last of them.

    False too where the system does not tell: on network file systems, for instance.
    """
    if sys.platform != "linux":
        return False
    try:
        for at in (offset, offset + length - 1):
            os.preadv(fd, [bytearray(1)], at, os.RWF_NOWAIT)
    except OSError:
        return False
    return True


def _change(info: ObjectInfo, status: os.stat_result) -> str:
    """What differs from the version that `info` describes, in words."""
    if not S_ISREG(status.st_mode):
        return "it is no regular file any more"
    if status.st_size != info.size:
        return f"it had {counted(info.size, 'byte')} and has {status.st_size}"
    if mtime_ns(status) != info.mtime_ns:
        return "it has another modification time"
    return ""


def _translate(exc: OSError | ValueError, op: str, key: str, path: str) -> StorageError:
    if isinstance(exc, OSError):
        return translate(exc, op, key, path)
    # The name holds NUL or a surrogate that stands for no byte, so that no file can have it.
    return Permanent(f"{display(path)} cannot exist", code="NotFound", op=op, key=key)
