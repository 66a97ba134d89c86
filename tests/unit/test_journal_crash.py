"""A process dies at any change of the disk: its successor loses nothing, counts nothing twice.

One history of a job is carried out again and again, each time killed one change later. The
successor does what a master does: restore an empty ledger, do the interrupted step again, go on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from ossimport.journal import Journal, rebuild
from ossimport.ledger.base import ScanState
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import Counts, Lane, Outcome, Proof, TaskState
from tests.unit.journal_parts import (
    JOB,
    NAME,
    WORKER,
    Killed,
    MortalDisk,
    excluded,
    log_text,
    make_step,
    make_task,
    scan_failure,
    tree,
)

Step = Callable[[Journal], None]
COPIED, SKIPPED, FAILED = Outcome.COPIED, Outcome.SKIPPED, Outcome.FAILED
ONE, TWO, THREE = (make_task(number) for number in (1, 2, 3))
LANES = {0: Lane("after 1", ""), 1: Lane("", "x")}
BAD = log_text(ONE, [COPIED, FAILED, SKIPPED])
MENDED = log_text(ONE, [COPIED], first=1)
GOOD = log_text(TWO, [COPIED, COPIED, COPIED])

HISTORY: list[tuple[str, Step]] = [
    ("open", lambda j: j.open(JOB)),
    (
        "plan 1",
        lambda j: j.plan(
            make_step(1, [ONE, TWO], excluded=1, excluded_bytes=5),
            [ONE, TWO],
            LANES,
            [excluded("socket")],
        ),
    ),
    ("claimed 1", lambda j: j.claimed(ONE.task_id, WORKER)),
    ("append 1", lambda j: j.append(ONE.task_id, 0, BAD)),
    ("sync", lambda j: j.sync()),
    (
        "plan 2",
        lambda j: j.plan(
            make_step(2, [THREE], excluded=1, excluded_bytes=5, failures=[scan_failure("locked/")]),
            [THREE],
            {},
            [excluded("pipe")],
        ),
    ),
    ("finish scan", lambda j: j.finish_scan()),
    ("claimed 2", lambda j: j.claimed(TWO.task_id, "other:1:2")),
    ("released 2", lambda j: j.released(TWO.task_id)),
    ("claimed 2 again", lambda j: j.claimed(TWO.task_id, WORKER)),
    ("ended 1", lambda j: j.ended(ONE.task_id, WORKER, TaskState.FAILED, len(BAD))),
    ("append 2", lambda j: j.append(TWO.task_id, 0, GOOD)),
    ("ended 2", lambda j: j.ended(TWO.task_id, WORKER, TaskState.SUCCEED, len(GOOD))),
    ("rescanned", lambda j: j.rescanned(ScanState(2, {2: Lane("again", "")}, False))),
    ("requeued 1", lambda j: j.requeued(ONE.task_id)),
    ("claimed 1 again", lambda j: j.claimed(ONE.task_id, WORKER)),
    ("append to 1", lambda j: j.append(ONE.task_id, len(BAD), MENDED)),
    (
        "ended 1 again",
        lambda j: j.ended(ONE.task_id, WORKER, TaskState.SUCCEED, len(BAD + MENDED)),
    ),
    ("finish scan again", lambda j: j.finish_scan()),
    ("sync again", lambda j: j.sync()),
]


class Found(NamedTuple):
    """What a rebuilt ledger knows."""

    counts: Counts
    proof: dict[Proof, int]
    scan: ScanState


@contextmanager
def mortal(last: int) -> Iterator[MortalDisk]:
    with pytest.MonkeyPatch.context() as patch:
        disk = MortalDisk(patch)
        disk.last = last
        yield disk


@pytest.fixture(autouse=True)
def _no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    MortalDisk(monkeypatch)


def counts_of(journal: Journal) -> Found:
    """What a ledger that came up empty knows of the job after the journal was replayed."""
    ledger = MemoryLedger()
    rebuild(journal, ledger)
    once = ledger.snapshot(NAME)
    rebuild(journal, ledger)
    assert ledger.snapshot(NAME).counts == once.counts
    assert once.counts.left.objects >= 0
    state = ledger.scan_state(NAME)
    assert state == journal.scan_state()
    return Found(once.counts, dict(once.proof), state)


def known_counts(root: Path) -> dict[str, Found]:
    """What is to be counted after each step of the history, when nothing goes wrong."""
    journal = Journal(root, NAME)
    found = {}
    for name, step in HISTORY:
        step(journal)
        found[name] = counts_of(_copy_of(root))
    return found


def _copy_of(root: Path) -> Journal:
    """A journal on a copy of the tree, for a rebuild moves dispatched tasks back."""
    copy = root.with_name("copy")
    target = copy / str(len(list(copy.iterdir())) if copy.exists() else 0)
    for path, content in tree(root).items():
        if content is None:
            (target / path).mkdir(parents=True, exist_ok=True)
        else:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(content)
    return Journal(target, NAME)


def test_a_process_killed_at_any_change_of_the_disk_loses_nothing(tmp_path: Path) -> None:
    after = known_counts(tmp_path / "calm" / "master")
    final = tree(tmp_path / "calm" / "master")
    before = {name: after[earlier] for earlier, name in pairwise(after)} | {"open": after["open"]}
    kills = 0
    while True:
        kills += 1
        root = tmp_path / str(kills) / "master"
        with mortal(kills) as disk:
            killed_in = _carry_out(Journal(root, NAME), HISTORY)
        if killed_in is None:
            break
        name = HISTORY[killed_in][0]
        if Journal.jobs(root):
            found = counts_of(_copy_of(root))
            if name.startswith("append"):  # half of the lines may be there, and are true
                assert found.counts.listed == before[name].counts.listed
                assert before[name].counts.left.objects >= found.counts.left.objects
                assert found.counts.left.objects >= after[name].counts.left.objects
            else:
                assert found in (before[name], after[name]), (kills, name)
        assert disk.calls == kills
        assert _carry_out(Journal(root, NAME), HISTORY[killed_in:]) is None
        assert tree(root) == final, (kills, name)
    assert kills > 100


def _carry_out(journal: Journal, history: list[tuple[str, Step]]) -> int | None:
    """Index of the step in which the process was killed."""
    for index, (_, step) in enumerate(history):
        try:
            step(journal)
        except Killed:
            return index
    return None


def test_a_step_killed_before_its_checkpoint_may_be_another_one_next_time(tmp_path: Path) -> None:
    """The source may list something else when it is scanned again."""
    other = make_task(9)
    last = 0
    while True:
        last += 1
        journal = Journal(tmp_path / str(last), NAME)
        journal.open(JOB)
        with mortal(last):
            killed = _carry_out(journal, [("plan", HISTORY[1][1])]) is not None
        if not killed:
            break
        successor = Journal(tmp_path / str(last), NAME)
        step = make_step(1, [other, TWO], excluded=1, excluded_bytes=5)
        done = successor.scan_state().seq == 1
        successor.plan(step, [other, TWO], LANES, [excluded("another")])
        found = {stored.task.task_id for stored in successor.tasks()}
        assert found == {task.task_id for task in ([ONE, TWO] if done else [other, TWO])}
        names = (successor.root / "excluded.list").read_text()
        assert ("another" in names) != done
        assert ("socket" in names) == done


def test_the_same_process_may_plan_again_after_the_disk_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path, NAME)
    journal.open(JOB)
    with mortal(4):
        assert _carry_out(journal, [("plan", HISTORY[1][1])]) == 0
    journal.plan(make_step(1, [THREE]), [THREE], {}, [])
    assert [stored.task for stored in journal.tasks()] == [THREE]


def test_a_job_whose_removal_was_killed_is_gone_or_whole(tmp_path: Path) -> None:
    last = 0
    while True:
        last += 1
        root = tmp_path / str(last)
        journal = Journal(root, NAME)
        _carry_out(journal, HISTORY[:6])
        whole = tree(root / "jobs")
        with mortal(last):
            killed = _carry_out(journal, [("remove", lambda j: j.remove())]) is not None
        if not killed:
            break
        if Journal.jobs(root):
            assert tree(root / "jobs") == whole
        Journal(root, NAME).remove()
        assert [path for path in root.rglob("*") if path.is_file()] == []
    assert last > 3


def test_every_directory_is_on_the_disk_before_anything_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: set[Path] = set()
    synced: set[Path] = set()

    def note(name: str, _call: object, args: tuple[int | Path, ...]) -> None:
        if name == "mkdir":
            made.add(Path(args[0]) if isinstance(args[0], Path) else Path())
        elif name == "fsync":
            synced.add(Path(f"/proc/self/fd/{args[0]}").readlink())

    disk = MortalDisk(monkeypatch)
    monkeypatch.setattr(disk, "count", note)
    journal = Journal(tmp_path / "new" / "master", NAME)
    journal.open(JOB)
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    journal.claimed(ONE.task_id, WORKER)
    assert len(made) > 10
    assert {path.parent for path in made} <= synced


def test_what_was_planned_or_ended_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure loses what was not synced: no rename may come before its content's sync."""
    journal = Journal(tmp_path, NAME)
    journal.open(JOB)
    calls: list[str] = []
    disk = MortalDisk(monkeypatch)
    monkeypatch.setattr(disk, "count", lambda name, _call, args: calls.append(name))
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    task, checkpoint = calls.index("replace"), len(calls) - calls[::-1].index("replace") - 1
    assert calls[:task] == ["mkdir", "write", "fsync"]
    assert calls[task:checkpoint].count("fsync") == 3  # the task's directory, pending_tasks, .cpt
    assert calls[checkpoint:] == ["replace", "fsync"]
    calls.clear()
    journal.append(ONE.task_id, 0, BAD)
    assert calls == ["write"]
    journal.sync()
    assert calls == ["write", "fsync", "fsync"]
    journal.sync()
    assert len(calls) == 3
    calls.clear()
    journal.ended(ONE.task_id, WORKER, TaskState.FAILED, len(BAD))
    assert calls.pop() == "replace"  # the move; its directories are synced with the next `sync`
    assert calls[0] == "fsync"
    for place, call in enumerate(calls):
        if call == "replace":
            assert calls[place - 1] == "fsync"
    calls.clear()
    journal.sync()
    assert calls == ["fsync", "fsync"]
