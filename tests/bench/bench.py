"""What all cases share: sizes, runs, a directory to work in, trees of files, names of buckets."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from tests.bench.cheap_server import CheapServer, Held, cheap_server
from tests.bench.figures import OURS, Table
from tests.bench.measure import Spent, difference

KIB, MIB = 1 << 10, 1 << 20
SMALL, MEDIUM = 4 * KIB, 100 * KIB
_OWN_BYTES = 512 * MIB  # of a tree; files beyond are hard links to those before

# Copies the first few objects of a set, or all, into a bucket that is not there yet.
Copy = Callable[[bool, str], Spent]


class Unit(NamedTuple):
    """What CPU is stated in."""

    name: str
    scale: float  # seconds per object to this


class Copied(NamedTuple):
    """What one copy took."""

    spent: Spent
    seconds: float  # from its first bytes to its last, as the server saw them
    server_cpu: float  # seconds that the server itself spent


def unit_for(size: int) -> Unit:
    """Small objects cost by their number, large ones by their bytes."""
    return Unit("us/object", 1e6) if size < MIB else Unit("s/GB", 1e9 / size)


@dataclass
class Bench:
    """One run of the benchmark."""

    directory: Path
    console: Console
    runs: int = 3
    few: int = 20_000  # 4 KiB objects in the smaller job
    many: int = 120_000  # and in the larger
    delay_ms: float = 0.0
    tls: bool = False
    most: int = 1_000_000  # objects in the longest memory run
    _numbers: "count[int]" = field(default_factory=count)

    def counts(self, size: int) -> tuple[int, int]:
        """How many objects of that size the two jobs have: fewer, if they are larger."""
        share = 1 if size <= SMALL else 5
        return self.few // share, self.many // share

    def fresh(self, name: str) -> str:
        """A name that was not used before."""
        return f"{name}{next(self._numbers)}"

    def home(self) -> Path:
        """A directory for an installation."""
        return self.directory / self.fresh("installation-")

    def log(self) -> Path:
        """A file for a command's output."""
        return self.directory / self.fresh("output-")

    def server(
        self, *, delay_ms: float | None = None, tls: bool | None = None
    ) -> AbstractContextManager[CheapServer]:
        """A cheap server, as the options have it unless the case says otherwise."""
        return cheap_server(
            self.directory,
            delay_ms=self.delay_ms if delay_ms is None else delay_ms,
            tls=self.tls if tls is None else tls,
        )

    def tree(self, size: int, few: int, many: int) -> tuple[Path, Path]:
        """Directories with the first few files and with all of them, made on first use."""
        root = self.directory / f"tree-{size}-{few}-{many}"
        if not root.exists():
            _make_files(root / "first", few, size)
            _make_files(root / "then", many - few, size)
        return root / "first", root

    def compare(
        self,
        server: CheapServer,
        copies: Mapping[str, Copy],
        counts: tuple[int, int],
        size: int,
        table: Table,
    ) -> Table:
        """Fill `table` with what each client spends per object; return our part in detail.

        `counts` are the objects of `size` bytes in a copy of the first few, and of all.

        Clients take turns. What a copy costs in any case, its start among it, is in both of a
        client's copies, so that their difference is without it.
        """
        few, many = counts
        unit = unit_for(size)
        parts = Table(f"{table.name}, in detail", f"{OURS} by process")
        for run in range(self.runs):
            for name, copy in copies.items():
                self.console.print(f"{table.name}: run {run + 1}, {name}", highlight=False)
                small = self._copied(server, partial(copy, False), Held(few, few * size))
                large = self._copied(server, partial(copy, True), Held(many, many * size))
                each = unit.scale / (many - few)
                table.add(
                    name,
                    {
                        f"CPU {unit.name}": (large.spent.cpu - small.spent.cpu) * each,
                        f"whole job, {unit.name}": large.spent.cpu * unit.scale / many,
                        "objects/s": (many - few) / (large.seconds - small.seconds),
                        f"the server, {unit.name}": (large.server_cpu - small.server_cpu) * each,
                    },
                )
                for part, cpu in difference(small.spent.parts, large.spent.parts).items():
                    parts.add(part, {f"CPU {unit.name}": cpu * each})
        return parts

    def _copied(self, server: CheapServer, copy: Callable[[str], Spent], expected: Held) -> Copied:
        """One copy into a bucket of its own. Raises RuntimeError if not all of it arrived."""
        bucket = self.fresh("null")
        server.reset()
        spent = copy(bucket)
        stats = server.stats()
        held = server.forget(bucket)
        if held != expected:
            raise RuntimeError(f"the server holds {held}, not {expected}")
        seconds = max(stats.seconds.get(kind, 0.0) for kind in ("put", "part"))
        return Copied(spent, seconds, stats.cpu)


def _make_files(directory: Path, files: int, size: int) -> None:
    """Make files of random bytes, a thousand per directory; the first _OWN_BYTES of them differ."""
    own: list[Path] = []
    for index in range(files):
        path = directory / f"{index // 1000:05d}" / f"{index % 1000:03d}"
        if index % 1000 == 0:
            path.parent.mkdir(parents=True)
        if len(own) * size < _OWN_BYTES or not own:
            path.write_bytes(os.urandom(size))
            own.append(path)
        else:
            os.link(own[index % len(own)], path)
