"""What workers report reaches the journal in steps that are neither too small nor too long."""

from collections.abc import Sequence
from typing import Any

import pytest
import zstandard

from ossimport import outbox
from ossimport.ledger.base import Event, EventKind


class FakeLedger:
    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def outbox(self, name: str, limit: int) -> list[Event]:
        return self.events[:limit]

    def acknowledge(self, name: str, last_id: str, ended: Sequence[str]) -> None:
        [at] = [at for at, event in enumerate(self.events) if event.id == last_id]
        del self.events[: at + 1]


class FakeJournal:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.synced = 0

    def claimed(self, task_id: str, worker: str) -> None:
        self.done.append(task_id)

    def append(self, task_id: str, offset: int, text: bytes) -> None:
        self.done.append(task_id)

    def sync(self) -> None:
        self.synced = len(self.done)


LOG = zstandard.compress(b"text")


def event(number: int, kind: str) -> Event:
    return Event(f"{number}-0", kind, str(number), log=LOG if kind == EventKind.LOG else b"")


def steps(kinds: list[str]) -> list[int]:
    """How many events each step deals with."""
    ledger: Any = FakeLedger([event(number, kind) for number, kind in enumerate(kinds)])
    journal: Any = FakeJournal()
    sizes = []
    before = len(kinds)
    while ledger.events:
        goes_on = outbox.write_down("job", ledger, journal)
        assert goes_on or not ledger.events
        sizes.append(before - len(ledger.events))
        before = len(ledger.events)
        # Nothing is forgotten before it is durable, and nothing is written that is not.
        assert journal.synced == len(journal.done) == len(kinds) - before
    assert journal.done == [str(number) for number in range(len(kinds))]
    assert not outbox.write_down("job", ledger, journal)
    return sizes


@pytest.mark.parametrize(
    ("kinds", "sizes"),
    [
        ([], []),
        ([EventKind.LOG] * 2500, [1000, 1000, 500]),
        ([EventKind.CLAIMED] * 250, [100, 100, 50]),
        ([EventKind.LOG] * 700 + [EventKind.CLAIMED] * 150 + [EventKind.LOG] * 10, [800, 60]),
        ([EventKind.CLAIMED] * 100, [100]),
    ],
)
def test_a_step_has_many_flushes_and_few_moves(kinds: list[str], sizes: list[int]) -> None:
    assert steps(kinds) == sizes


def test_for_lines_of_logs_alone_nobody_looks_again_at_once() -> None:
    def is_busy(kinds: list[str]) -> bool:
        ledger: Any = FakeLedger([event(number, kind) for number, kind in enumerate(kinds)])
        journal: Any = FakeJournal()
        return outbox.write_down("job", ledger, journal)

    assert not is_busy([EventKind.LOG] * 999)
    assert is_busy([EventKind.LOG] * 1000)
    assert is_busy([EventKind.LOG, EventKind.CLAIMED, EventKind.LOG])
