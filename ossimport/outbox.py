"""Bring what workers report from the ledger into the journal."""

from collections.abc import Iterable, Iterator

import zstandard

from ossimport import manifest
from ossimport.journal import Journal
from ossimport.ledger.base import Event, EventKind, MasterLedger
from ossimport.model import Task

# So few that a step takes less than the master's lease, on a slow disk too. The text of a flush
# costs one sync, and those of a step are made together; a task that moves or ends costs some more.
EVENTS_PER_STEP = 1000
MOVES_PER_STEP = 100


def write_down(job: str, ledger: MasterLedger, journal: Journal) -> bool:
    """Write down the oldest events, then drop them; False if no more is to be done at once.

    For the next lines of logs nobody waits. Doing it twice changes nothing: a log's text knows its
    place, and directories move once.
    """
    events = list(_few_moves(ledger.outbox(job, EVENTS_PER_STEP)))
    if not events:
        return False
    for event in events:
        _write(event, journal)
    journal.sync()
    ended = [event.task_id for event in events if event.kind == EventKind.ENDED]
    ledger.acknowledge(job, events[-1].id, ended)
    has_moved = any(event.kind != EventKind.LOG for event in events)
    return has_moved or len(events) == EVENTS_PER_STEP


def _few_moves(events: Iterable[Event]) -> Iterator[Event]:
    moves = 0
    for event in events:
        moves += event.kind != EventKind.LOG
        yield event
        if moves == MOVES_PER_STEP:
            return


def _write(event: Event, journal: Journal) -> None:
    match event.kind:
        case EventKind.CLAIMED:
            journal.claimed(event.task_id, event.worker)
        case EventKind.CUT:
            objects = tuple(manifest.unpack(event.manifest))
            journal.cut(event.task_id, Task(journal.root.name, event.part, objects))
        case EventKind.RELEASED:
            journal.released(event.task_id)
        case EventKind.LOG:
            journal.append(event.task_id, event.offset, zstandard.decompress(event.log))
        case EventKind.ENDED:
            assert event.state is not None  # noqa: S101 -- every ENDED event carries its state
            journal.ended(event.task_id, event.worker, event.state, event.offset)
