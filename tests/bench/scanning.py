"""The case of listing local files, beside `find`.

As a program it is one scan, in a process of its own: python -m tests.bench.scanning DIRECTORY
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from ossimport.model import Lane
from ossimport.sources.local import LocalSource
from tests.bench.bench import SMALL, Bench
from tests.bench.cheap_server import ROOT
from tests.bench.figures import OURS, Table
from tests.bench.measure import CLIENT_CORES, on_cores, run

_FIND = ("-type", "f", "-size", "-1000000k")  # looks at every file, as a scan does


def scan(bench: Bench) -> list[Table]:
    """LocalSource.scan of the larger tree, and `find -size` of the same."""
    _, tree = bench.tree(SMALL, *bench.counts(SMALL))
    table = Table("scan", f"{bench.many:,} local files listed with size and time", compares=True)
    for _ in range(bench.runs):
        spent = {OURS: _ours(tree, bench.many), "find -size": _find(tree, bench)}
        for name, cpu in spent.items():
            each = cpu / bench.many
            table.add(name, {"CPU us/file": each * 1e6, "files per CPU s": 1 / each})
    return [table]


def _find(tree: Path, bench: Bench) -> float:
    return run(["find", str(tree), *_FIND], environment={}, log=bench.log()).cpu


def _ours(tree: Path, files: int) -> float:
    """Seconds of CPU that a scan takes, without the interpreter's start."""
    with on_cores(CLIENT_CORES):
        told = subprocess.run(
            [sys.executable, "-m", "tests.bench.scanning", str(tree)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    found = json.loads(told)
    if found["files"] != files:
        raise RuntimeError(f"{found['files']} files found, not {files}")
    cpu: float = found["cpu"]
    return cpu


def main() -> None:
    """Scan a directory and say how many files it has and what that cost."""
    source = LocalSource(root=f"{sys.argv[1]}/", allow_symlinks=False, split_depth=1)
    began = time.process_time()
    files = sum(1 for _ in source.scan(Lane()))
    print(json.dumps({"cpu": time.process_time() - began, "files": files}))


if __name__ == "__main__":
    main()
