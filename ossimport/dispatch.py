"""Hand the tasks of one job to workers, and take them back from those that died."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from ossimport import identity
from ossimport.ledger.base import MasterLedger, Snapshot
from ossimport.model import TaskState

log = logging.getLogger(__name__)

IN_FLIGHT_FLOOR = 50  # messages on the queue for a small cluster
IN_FLIGHT_PER_RUNNING = 3  # and for a large one: enough that no worker waits for the next step
LOST_AFTER_S = 10.0  # a dispatched task that nobody claimed, and whose message is gone


class Queue(NamedTuple):
    """The way to the workers."""

    send: Callable[[str, str], None]
    waiting: Callable[[], set[str]]


class Dispatch:
    """What the workers have been told of one job."""

    def __init__(self, name: str, ledger: MasterLedger, queue: Queue, *, host: str) -> None:
        self._name = name
        self._ledger = ledger
        self._queue = queue
        self._host = host
        self._missed: set[str] = set()

    def send(self, snapshot: Snapshot) -> bool:
        """Send messages for pending tasks, as many as the workers need."""
        running = snapshot.tasks[TaskState.RUNNING]
        in_flight = running + snapshot.tasks[TaskState.DISPATCHED]
        wanted = max(IN_FLIGHT_FLOOR, IN_FLIGHT_PER_RUNNING * running) - in_flight
        if wanted <= 0 or not snapshot.tasks[TaskState.PENDING]:
            return False
        task_ids = self._ledger.dispatch(self._name, wanted)
        for task_id in task_ids:
            self._queue.send(self._name, task_id)
        return bool(task_ids)

    def take_back_lost(self) -> None:
        """Take tasks back from workers that died."""
        for task in self._ledger.running(self._name):
            if task.expired or identity.is_dead(task.worker, self._host):
                log.warning("task %s: its worker %s is gone", task.task_id, task.worker)
                self._ledger.take_back(self._name, task.task_id, task.fence)

    def send_lost(self, snapshot: Snapshot) -> None:
        """Send messages again that are gone: their tasks were dispatched and nobody claims them."""
        if not snapshot.tasks[TaskState.DISPATCHED]:
            return
        overdue = self._ledger.overdue(self._name, LOST_AFTER_S)
        if not overdue:
            return
        waiting = self._queue.waiting()
        missed = [task_id for task_id in overdue if task_id not in waiting]
        # A worker that has just taken a message will claim its task before we look again.
        lost = [task_id for task_id in missed if task_id in self._missed]
        self._missed = set(missed).difference(lost)
        for task_id in lost:
            log.warning("task %s: its message is gone, sent again", task_id)
            self._queue.send(self._name, task_id)
        self._ledger.sent_again(self._name, lost)
