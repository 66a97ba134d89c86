"""What the tests of the journal share: jobs, tasks, logs, and a disk that stops at a given call."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ossimport import manifest
from ossimport.auditlog import format_line
from ossimport.journal import files
from ossimport.ledger.base import Job, PlannedTask, PlanStep, ScanFailure
from ossimport.model import (
    CopyResult,
    Lane,
    ObjectInfo,
    Outcome,
    Proof,
    Scanned,
    Task,
    Verdict,
)

NAME = "local_test"
JOB = Job(NAME, 1_795_410_305_123, "fingerprint", b"\x00sealed\xff", job_type="audit")
WORKER = "host-1:4711:1795410000"
NOW = 1_795_410_305.0


def make_task(number: int, sizes: Iterable[int] = (10, 20, 30)) -> Task:
    objects = tuple(
        ObjectInfo(f"dir {number}/\u00fc\n{i}\udcff.jpg", size, 1_700_000_000_123_456_789 + i, "e")
        for i, size in enumerate(sizes)
    )
    return Task(NAME, f"{number:032X}_{JOB.created_ms}", objects)


def planned(task: Task) -> PlannedTask:
    return PlannedTask(task.task_id, manifest.pack(task.objects), len(task.objects), task.size)


def make_step(seq: int, tasks: Iterable[Task], **more: Any) -> PlanStep:
    return PlanStep(seq, {}, [planned(task) for task in tasks], **more)


def excluded(key: str) -> Scanned:
    return Scanned(ObjectInfo(key, 5), "c", Verdict.EXCLUDED, "Socket", "not an object")


def scan_failure(key: str) -> ScanFailure:
    return ScanFailure(key, "AccessDenied", "no \\x0a way", Lane(f"{key}\udc80", "z"))


def result(outcome: Outcome, seconds: float = 0.0, unkept: tuple[str, ...] = ()) -> CopyResult:
    if outcome is Outcome.COPIED:
        return CopyResult(outcome, 10, Proof.CRC64, 99, seconds=seconds, unkept=unkept)
    if outcome is Outcome.SKIPPED:
        return CopyResult(outcome, 10)
    return CopyResult(outcome, 10, code="Timeout", message="no answer", request_id="5F")


def log_text(
    task: Task, outcomes: Iterable[Outcome], first: int = 0, unkept: tuple[str, ...] = ()
) -> bytes:
    return "".join(
        format_line(index, task.objects[index].key, result(outcome, index + 1, unkept), NOW)
        for index, outcome in enumerate(outcomes, first)
    ).encode()


def tree(root: Path) -> dict[str, bytes | None]:
    """Every file and directory below `root`, but the leftovers of writes that were cut short."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if path.suffix != ".new"
    }


class Killed(BaseException):
    """The process is gone. No code of ours may catch it."""


class MortalDisk:
    """The `os` and `shutil` of `files.py`, counting what changes the disk.

    The call with the number `last` does not happen, or is cut in half; the process dies there.
    """

    CHANGES = frozenset({"mkdir", "write", "fsync", "ftruncate", "replace", "unlink", "rmtree"})

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.last = 0  # 0: never
        for name in ("os", "shutil"):
            patch.setattr(files, name, _Watched(getattr(files, name), self))

    def count(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.calls += 1
        if self.calls == self.last:
            if name == "write":
                call(args[0], args[1][: len(args[1]) // 2])
            if name == "rmtree":
                for path in args[0].rglob("TASK"):
                    os.unlink(path)
            raise Killed


class _Watched:
    def __init__(self, module: Any, disk: MortalDisk) -> None:
        self._module = module
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._module, name)
        if name not in MortalDisk.CHANGES:
            return call

        def counted(*args: Any) -> Any:
            self._disk.count(name, call, args)
            # Only a power failure, not a death, tells whether a file was synced; and it takes long.
            return None if name == "fsync" else call(*args)

        return counted
