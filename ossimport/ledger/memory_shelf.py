"""What the three parts of the ledger in memory stand on: the records, and the lock around them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ossimport.errors import JobNotFound
from ossimport.ledger.base import Claim
from ossimport.ledger.records import JobRecord, TaskRecord, stale
from ossimport.limits.sharing import Sharing
from ossimport.model import TaskState


class Shelf:
    """The records of all jobs. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[str, JobRecord] = {}
        self._workers: dict[str, tuple[int, int]] = {}  # slots, and the end of the lease in ms
        self._limits: dict[str, str] = {}  # by scope
        self._limits_version = 0
        self._sharing: dict[str, Sharing] = {}  # by rate

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    @contextmanager
    def _record(self, name: str) -> Iterator[JobRecord]:
        """A job's record, for as long as nobody else looks at it."""
        with self._lock:
            if name not in self._records:
                raise JobNotFound(
                    f"There is no job of the name {name}; bash console.sh stat names all."
                )
            yield self._records[name]

    @contextmanager
    def _claimed(self, claim: Claim) -> Iterator[tuple[JobRecord, TaskRecord | None]]:
        """The record and, while the claim is live, its task."""
        with self._lock:
            record = self._records.get(claim.job)
            if record is None:
                raise stale(claim)
            task = record.tasks.get(claim.task_id)
            live = task and task.state is TaskState.RUNNING and task.fence == claim.fence
            yield record, task if live else None
