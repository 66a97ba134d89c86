"""What all cases share: sizes, runs, a directory to work in, trees of files, names of buckets."""

import os
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from rich.console import Console

from tests.bench.cheap_server import CheapServer, cheap_server
from tests.bench.figures import OURS, Table
from tests.bench.measure import Spent

KIB, MIB = 1 << 10, 1 << 20
SMALL, MEDIUM = 4 * KIB, 100 * KIB
_OWN_BYTES = 512 * MIB  # of a tree; files beyond are hard links to those before

# Copies the first few objects of a set, or all, into a bucket that is not there yet.
Copy = Callable[[bool, str], Spent]


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
            _make_files(root / "first", few, size, root)
            _make_files(root / "then", many - few, size, root)
        return root / "first", root

    def marginal(
        self, server: CheapServer, copies: Mapping[str, Copy], few: int, many: int, table: Table
    ) -> Table:
        """Fill `table` with what each client spends per object; return our part in detail.

        Clients take turns. What a copy costs in any case, its start among it, is in both of a
        client's copies and so in neither figure.
        """
        parts = Table(f"{table.name}, in detail", f"{OURS} by process")
        for run in range(self.runs):
            for name, copy in copies.items():
                self.console.print(f"{table.name}: run {run + 1}, {name}", highlight=False)
                small, _ = self._copied(server, copy, "put", all_of_it=False)
                large, seconds = self._copied(server, copy, "put", all_of_it=True)
                each = 1e6 / (many - few)
                table.add(
                    name,
                    {
                        "CPU us/object": (large.cpu - small.cpu) * each,
                        "whole job, us/object": large.cpu * 1e6 / many,
                        "objects/s": many / seconds,
                    },
                )
                for part in large.parts:
                    spent = large.parts[part] - small.parts.get(part, 0.0)
                    parts.add(part, {"CPU us/object": spent * each})
        return parts

    def _copied(
        self, server: CheapServer, copy: Copy, kind: str, *, all_of_it: bool
    ) -> tuple[Spent, float]:
        """One copy, and the seconds from its first object to its last as the server saw it."""
        bucket = self.fresh("null")
        server.reset()
        spent = copy(all_of_it, bucket)
        seconds = server.stats().seconds[kind]
        server.forget(bucket)
        return spent, seconds


def _make_files(directory: Path, number: int, size: int, root: Path) -> None:
    """Make files of random bytes, a thousand per directory; the first _OWN_BYTES of them differ."""
    generator = random.Random(str(directory.relative_to(root)))
    own: list[Path] = []
    for index in range(number):
        path = directory / f"{index // 1000:05d}" / f"{index % 1000:03d}"
        if index % 1000 == 0:
            path.parent.mkdir(parents=True)
        if len(own) * size < _OWN_BYTES or not own:
            path.write_bytes(generator.randbytes(size))
            own.append(path)
        else:
            os.link(own[index % len(own)], path)
