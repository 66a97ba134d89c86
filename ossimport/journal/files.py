"""Reading and writing of small files that must survive a crash. The only I/O of the journal.

What cannot be done is raised as ServiceError: what, where, why, and how to mend it.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ossimport.errors import ServiceError

_CURES = {
    errno.ENOSPC: "free space on that disk, or move workingDir (sys.properties) to a larger one",
    errno.EDQUOT: "raise the disk quota, or move workingDir (sys.properties) elsewhere",
    errno.EROFS: "mount the disk writable, or set workingDir (sys.properties) to another one",
    errno.EACCES: "give the user that runs ossimport the right to write there (chown, chmod)",
    errno.EPERM: "give the user that runs ossimport the right to write there (chown, chmod)",
    errno.ENOENT: "somebody removed it: stop the service and put it back, or clean the job",
    errno.ENOTDIR: "a file stands where a directory belongs: move it away",
    errno.EEXIST: "a file stands where a directory belongs: move it away",
    errno.EISDIR: "a directory stands where a file belongs: move it away",
    errno.EMFILE: "raise the limit of open files (ulimit -n 65536), then start again",
    errno.ENFILE: "raise the limit of open files of the host (fs.file-max), then start again",
    errno.EIO: "the disk has errors: look into dmesg, and move workingDir to a sound disk",
}
_ANY_CURE = "mend the disk or set workingDir (sys.properties) to another one, then start again"

SYNCS_AT_ONCE = 16


@contextmanager
def _explained(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        cure = _CURES.get(exc.errno or 0, _ANY_CURE)
        raise ServiceError(f"cannot {doing} {path}: {exc.strerror or exc}. Cure: {cure}.") from exc


def damaged(path: Path, why: str) -> ServiceError:
    """The error for a file whose content cannot be ours."""
    return ServiceError(
        f"{path} is damaged: {why}. Cure: put the file back from a backup; if there is none, "
        "clean the job and submit it again (what is in OSS already is skipped if "
        "isSkipExistFile=true)."
    )


def make_dir(path: Path) -> None:
    """Make a directory and those above it, durably. Nothing happens if it is there."""
    if not path.is_dir():
        make_dir(path.parent)
        add_dir(path)
        sync_dir(path.parent)


def add_dir(path: Path) -> None:
    """Make a directory; `sync_dir` of the one above makes it durable. It may be there already."""
    with _explained("make the directory", path):
        try:
            os.mkdir(path)
        except FileExistsError:
            if not path.is_dir():
                raise


def write(path: Path, data: bytes) -> None:
    """Replace the whole file, at once: a crash leaves the old or the new one.

    `sync_dir` of its directory makes the new one durable.
    """
    part = path.with_name(path.name + ".new")
    with _explained("write", path):
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write_all(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(part, path)


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Put `data` at `offset`; the file is made if there is none. Not durable before `sync_file`."""
    with _explained("write", path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            _write_all(fd, data, offset)
        finally:
            os.close(fd)


def end_at(path: Path, size: int) -> None:
    """Cut the file off at `size` bytes, durably; it is made if there is none."""
    with _explained("write", path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            if os.fstat(fd).st_size > size:
                os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_file(path: Path) -> None:
    """Make what was written to a file durable; nothing happens if it is gone."""
    with _explained("write", path):
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync_all(paths: Sequence[Path]) -> None:
    """`sync_file` of many files, together: file systems write down at once what waits together."""
    if len(paths) > 1:
        with ThreadPoolExecutor(min(SYNCS_AT_ONCE, len(paths))) as pool:
            list(pool.map(sync_file, paths))  # raises the first error
    else:
        for path in paths:
            sync_file(path)


def sync_dir(path: Path) -> None:
    """Make the names in a directory durable; nothing happens if it is gone."""
    if os.name != "nt":  # Windows cannot open directories, and keeps their names by itself
        sync_file(path)


def move(source: Path, target: Path) -> None:
    """Rename a file or a directory, at once."""
    with _explained("move to", target):
        os.replace(source, target)


def remove(path: Path) -> None:
    """Remove a file; nothing happens if there is none."""
    with _explained("remove", path):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it; nothing happens if there is none."""
    with _explained("remove", path):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return


def read(path: Path) -> bytes | None:
    """The whole file; None if there is none."""
    with _explained("read", path):
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


def read_start(path: Path, size: int = 4096) -> bytes | None:
    """The first `size` bytes of a file; None if there is none."""
    with _explained("read", path):
        try:
            with path.open("rb") as file:
                return file.read(size)
        except (FileNotFoundError, NotADirectoryError):
            return None


def is_file(path: Path) -> bool:
    """True if a file is there."""
    with _explained("look at", path):
        return path.is_file()


def names(path: Path) -> list[str]:
    """What is in a directory, sorted; nothing if there is none."""
    with _explained("read", path):
        try:
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []
