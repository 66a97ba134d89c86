"""Walk a directory tree in the order of whole keys, from any place to any place.

The order is that of the keys' code points, which is the one in which OSS lists the same names. A
place is a key, or `dir//` for behind everything in `dir/` (no key of a file has two slashes). To
find a place again, the directories on the way to it are listed, and nothing that lies before it.
"""

import errno
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from stat import S_IFMT, S_IFREG, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISSOCK

from ossimport.errors import Fatal, StorageError, Transient
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.naming import display
from ossimport.sources.local_errors import GONE, code_of, explain
from ossimport.sources.local_names import Directory

_MAX_NS = 2**63 - 1  # the year 2262; some file systems hold times that no 64 bits do


def mtime_ns(status: os.stat_result) -> int:
    """Time of the last modification, cut to what 64 bits hold."""
    mtime = status.st_mtime_ns
    return mtime if -_MAX_NS <= mtime <= _MAX_NS else max(-_MAX_NS, min(mtime, _MAX_NS))


def root_error(exc: OSError, root: str) -> StorageError:
    """What it means that srcPrefix itself cannot be listed."""
    code = "NotFound" if exc.errno in GONE else code_of(exc)
    if code == "NotFound":
        message = (
            f"srcPrefix {root} is no directory on this host. Cure: correct srcPrefix, or mount "
            "the file system, on every host that runs a master or a worker."
        )
    else:
        message = explain(exc, f"cannot list srcPrefix {root}")
    kind = Fatal if code in {"NotFound", "AccessDenied"} else Transient
    return kind(message, code=code, op="scan")


class LocalScan:
    """A walk over one lane. See `base.Scan`.

    Files and directories that vanish before their turn were never listed. But where the file system
    has been unmounted, what seems to have vanished is only out of reach: that part of the walk is
    a failed entry, and if it is the whole, Fatal is raised.

    Memory: of each directory from the root to the current one up to NAMES_IN_MEMORY names, or of a
    larger directory 50 KB for each run of so many; the runs are in a file in `scratch`.
    """

    def __init__(
        self, root: str, lane: Lane, *, allow_symlinks: bool, split_depth: int, scratch: Path | None
    ) -> None:
        self._root = root
        self._last = lane.cursor
        self._until = lane.until
        self._allow_symlinks = allow_symlinks
        self._split_depth = split_depth
        self._scratch = scratch
        self._stack: list[Directory] = []

    @property
    def until(self) -> str:
        return self._until

    def __iter__(self) -> Iterator[Scanned]:
        try:
            yield from self._enter("", self._last, self._until)
            while self._stack:
                here = self._stack[-1]
                folder = yield from self._files(here)
                if folder:
                    yield from self._enter(here.prefix + folder, *here.enter(folder))
                else:
                    self._stack.pop().close()
        finally:
            for directory in self._stack:
                directory.close()

    def split(self) -> Lane | None:
        """Give away half of the subdirectories that are left, on the highest level that has any.

        Only `split_depth` levels are looked at: with 1, those directly below the root.
        """
        for depth, directory in enumerate(self._stack[: self._split_depth]):
            if cut := directory.cut():
                for above in self._stack[:depth]:
                    above.end_at(cut)
                given = Lane(cut, self._until)
                self._until = cut
                return given
        return None

    def _enter(self, prefix: str, cursor: str, until: str) -> Iterator[Scanned]:
        """List a directory; if that fails, yield the entry that stands for all of it."""
        path = self._root + prefix
        try:
            self._stack.append(Directory(path, prefix, cursor, until, self._scratch))
        except OSError as exc:
            if not prefix:
                raise root_error(exc, path) from exc
            if exc.errno in GONE:
                yield from self._after_vanishing()
            else:
                rest = Lane(prefix + cursor, prefix + (until or "/"))
                what = explain(exc, f"cannot list {display(path)}")
                yield self._failed(prefix, rest, code_of(exc), what)

    def _files(self, directory: Directory) -> Generator[Scanned, None, str]:
        """Yield what comes before the next subdirectory; return its name, "" when there is none."""
        path, prefix, names = directory.path, directory.prefix, directory.names
        describe: Callable[[str], os.stat_result] = os.stat if self._allow_symlinks else os.lstat
        for name in names:
            if name[-1] == "/":
                return "" if directory.is_beyond(name) else name
            key = prefix + name
            try:
                status = describe(path + name)
            except OSError as exc:
                yield from self._undescribed(key, exc)
                if directory.names is not names:
                    return ""  # the directory was closed
                continue
            if S_IFMT(status.st_mode) == S_IFREG:
                self._last = key
                yield Scanned(ObjectInfo(key, status.st_size, mtime_ns(status)), key)
            elif reason := _why_no_object(path + name, status.st_mode):
                yield self._excluded(key, *reason)
        return ""

    def _undescribed(self, key: str, exc: OSError) -> Iterator[Scanned]:
        path = self._root + key
        leads_nowhere = exc.errno in GONE or exc.errno == errno.ELOOP
        if leads_nowhere and self._allow_symlinks and os.path.islink(path):
            yield self._excluded(key, "DanglingSymlink", "the symbolic link leads nowhere")
        elif exc.errno in GONE:
            yield from self._after_vanishing()
        else:
            what = explain(exc, f"cannot look at {display(path)}")
            yield self._failed(key, Lane(self._last, key), code_of(exc), what)

    def _after_vanishing(self) -> Iterator[Scanned]:
        """Something is not where it was listed: see that its file system still is."""
        for depth, directory in enumerate(self._stack):
            try:
                mounted = os.stat(directory.path + ".").st_dev == directory.device
            except OSError as exc:
                if depth and exc.errno in GONE:
                    return  # deleted, together with what was in it
                mounted = False
            if not mounted:
                what = f"{display(directory.path)} was unmounted or replaced while it was scanned"
                if not depth:
                    message = f"{what}. Cure: mount srcPrefix again, then start the job again."
                    raise Fatal(message, code="Unmounted", op="scan")
                for below in self._stack[depth:]:
                    below.close()
                message = f"{what}. Cure: mount it again, then retry."
                rest = Lane(self._last, directory.end)
                yield self._failed(directory.prefix, rest, "Unmounted", message)
                return

    def _failed(self, key: str, rest: Lane, code: str, message: str) -> Scanned:
        self._last = rest.until
        return Scanned(ObjectInfo(key, 0), rest.until, Verdict.FAILED, code, message, rest)

    def _excluded(self, key: str, code: str, message: str) -> Scanned:
        self._last = key
        return Scanned(ObjectInfo(key, 0), key, Verdict.EXCLUDED, code, message)


def _why_no_object(path: str, mode: int) -> tuple[str, str] | None:
    """Code and message for what is no regular file; None for a directory.

    A name that was no directory when it was listed, and is one now, was made since.
    """
    if S_ISLNK(mode):
        return "Symlink", "a symbolic link, and isAllowSymbolicLink is false"
    if S_ISDIR(mode):
        if os.path.islink(path):
            return "SymlinkDirectory", "a symbolic link to a directory; these are never followed"
        return None
    if S_ISFIFO(mode):
        return "Fifo", "a named pipe, no file"
    if S_ISSOCK(mode):
        return "Socket", "a socket, no file"
    return "Device", "a device, no file"
