"""The names in one directory, in the order of whole keys, in bounded memory.

Names of subdirectories end with `/`, also for the purpose of sorting: `a.txt` comes before `a/`, as
`a.txt` comes before `a/x`. Ranges are of keys relative to the directory, see `local_scan`.
"""

import heapq
import os
import tempfile
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice, pairwise
from pathlib import Path

from ossimport.errors import Fatal
from ossimport.sources.local_errors import code_of

# About 5 MB. The names of a larger directory go to a file in sorted runs of so many, of which three
# are in memory while it is listed.
NAMES_IN_MEMORY = 50_000

_RUN_BUFFER = 16 * 1024  # bytes of every run in memory while they are merged; 50 KB as names
_SAMPLE = 64  # one subdirectory of so many in a run is remembered as a place to split


class Directory:
    """A directory that is being walked, from behind `cursor` up to and with `until` ("" = all).

    Making one lists it; raises OSError if that cannot be done.
    """

    def __init__(
        self, path: str, prefix: str, cursor: str, until: str, scratch: Path | None
    ) -> None:
        self.path = path  # ends with "/"
        self.prefix = prefix  # of its keys: "" or ends with "/"
        self._cursor = cursor
        self._until = until
        self._entered = ""
        # Also sees to it that the directory can be searched. One that can only be listed would
        # else fail once for every name in it.
        self.device = os.stat(path + ".").st_dev

        with closing(_sorted_parts(path, cursor, until)) as parts:
            names = next(parts, [])
            more = next(parts, None)
            self._runs = None if more is None else _Runs(chain((names, more), parts), scratch)
        self.names: Iterator[str] = self._runs.names if self._runs else iter(names)
        self._folders = self._runs.folders if self._runs else _folders(names)

    @property
    def end(self) -> str:
        """Where the walk of this directory ends, as a place in the whole walk."""
        return self.prefix + (self._until or "/") if self.prefix else self._until

    def is_beyond(self, folder: str) -> bool:
        """Whether a subdirectory has been given away."""
        return bool(self._until) and folder >= self._until

    def enter(self, folder: str) -> tuple[str, str]:
        """Note that a subdirectory is walked from now on; return its range."""
        self._entered = folder
        size = len(folder)
        cursor = self._cursor[size:] if self._cursor.startswith(folder) else ""
        until = self._until[size:] if self._until.startswith(folder) else ""
        return cursor, "" if until == "/" else until

    def cut(self) -> str:
        """Give away the later half of the subdirectories not yet entered, and what follows.

        Return where that begins, as a place in the whole walk; "" when there are none.
        """
        left = bisect_right(self._folders, self._entered)
        if left == len(self._folders):
            return ""
        middle = (left + len(self._folders)) // 2
        self._until = self._folders[middle]
        del self._folders[middle:]
        return self.prefix + self._until

    def end_at(self, place: str) -> None:
        """Walk nothing more but the subdirectory that holds `place`, and that only to there."""
        self._until = place[len(self.prefix) :]
        self.names = iter(())
        self._folders.clear()

    def close(self) -> None:
        """Walk nothing more, and give nothing away."""
        self.names = iter(())
        self._folders.clear()
        if self._runs:
            self._runs.close()


class _Runs:
    """Sorted runs of names in an unnamed temporary file, merged as they are read."""

    def __init__(self, parts: Iterable[list[str]], scratch: Path | None) -> None:
        self.folders: list[str] = []
        ends = [0]
        with ExitStack() as on_failure:
            with _scratch_errors(scratch):
                self._file = on_failure.enter_context(tempfile.TemporaryFile(dir=scratch))
            for names in parts:
                self.folders += _folders(names)[::_SAMPLE]
                run = "\0".join([*names, ""]).encode(errors="surrogatepass")
                with _scratch_errors(scratch):
                    ends.append(ends[-1] + self._file.write(run))
            on_failure.pop_all()
        self.folders.sort()
        self._scratch = scratch
        self.names = heapq.merge(*(self._run(*span) for span in pairwise(ends)))

    def _run(self, begin: int, end: int) -> Iterator[str]:
        rest = b""
        for at in range(begin, end, _RUN_BUFFER):
            with _scratch_errors(self._scratch):
                self._file.seek(at)
                data = rest + self._file.read(min(_RUN_BUFFER, end - at))
            whole, _, rest = data.rpartition(b"\0")
            if whole:
                yield from whole.decode(errors="surrogatepass").split("\0")

    def close(self) -> None:
        self._file.close()


def _sorted_parts(path: str, cursor: str, until: str) -> Generator[list[str], None, None]:
    with os.scandir(path) as entries:
        while names := [
            entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in islice(entries, NAMES_IN_MEMORY)
        ]:
            if cursor or until:
                names = [name for name in names if _is_within(name, cursor, until)]
            names.sort()
            yield names


def _is_within(name: str, cursor: str, until: str) -> bool:
    """Whether some key that begins with a directory's name, or the file's own key, is in range."""
    if name[-1] != "/":
        return name > cursor and (not until or name <= until)
    inside = cursor.startswith(name) and cursor != name + "/"
    return (inside or name > cursor) and (not until or name < until)


def _folders(names: Iterable[str]) -> list[str]:
    return [name for name in names if name[-1] == "/"]


@contextmanager
def _scratch_errors(scratch: Path | None) -> Iterator[None]:
    """Tell an error of the temporary file from one of the directory that is listed."""
    try:
        yield
    except OSError as exc:
        where = scratch or tempfile.gettempdir()
        raise Fatal(
            f"cannot sort the names of a large directory in {where}: {exc.strerror}. "
            "Cure: make room there, or let ossimport write there; then start the job again.",
            code=code_of(exc),
            op="scan",
        ) from exc
