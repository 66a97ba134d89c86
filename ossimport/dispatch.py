"""Hand tasks to workers, and take them back from those that died.

All jobs share one queue, first come first served. So few messages wait in it, just as many as the
workers take until the master looks again, and they are dealt out among the jobs: a job that comes
later, or that has become more urgent, gets the next free place.
"""

import heapq
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ossimport import identity
from ossimport.ledger.base import MasterLedger, RunningTask, Snapshot
from ossimport.model import JobState, TaskState

log = logging.getLogger(__name__)

SPARE_MESSAGES = 2  # that wait while all workers are busy, however long their tasks take
MOST_SPARE = 200
RATE_S = 1.0  # as many spare ones as tasks ended in this time; the master looks far more often
SLOTS_LOOK_S = 0.5  # between two looks at who works
LOST_AFTER_S = 10.0  # a dispatched task that nobody claimed, and whose message is gone


class Queue(NamedTuple):
    """The way to the workers."""

    send: Callable[[str, str, str], None]  # job, task id, the message's own id
    waiting: Callable[[], set[str]]  # ids of messages


class Demand(NamedTuple):
    """What one job asks of the workers."""

    job: str
    priority: int
    pending: int
    in_flight: int  # tasks that workers hold, help with, or were told of
    ended: int


def deal(room: int, demands: Iterable[Demand]) -> Counter[str]:
    """Deal out the places for messages: to the jobs of the highest priority that have something
    pending, and among these always to the one that has the fewest tasks in flight."""
    given: Counter[str] = Counter()
    heap = [
        (-each.priority, each.in_flight, number, each)
        for number, each in enumerate(demands)
        if each.pending
    ]
    heapq.heapify(heap)
    while heap and given.total() < room:
        priority, in_flight, number, each = heapq.heappop(heap)
        given[each.job] += 1
        if given[each.job] < each.pending:
            heapq.heappush(heap, (priority, in_flight + 1, number, each))
    return given


class Asked(NamedTuple):
    """A task whose holder is asked for a share; or offers parts of its last, large object."""

    job: str
    task_id: str
    fence: int
    offered: int = 0  # parts


def whom_to_ask(idle: int, running: Iterable[tuple[str, RunningTask]]) -> Counter[Asked]:
    """Say how many of the idle workers should take a share of which running task.

    Each goes where the share will be largest. No more are sent to parts on offer than there are.
    """
    asked: Counter[Asked] = Counter()
    heap: list[tuple[float, int, int, Asked]] = []
    for job, task in running:
        left = task.bytes_total - task.bytes_done + task.objects_total - task.objects_done
        whom = Asked(job, task.task_id, task.fence, task.offered)
        if task.objects_done < task.objects_total:
            heap.append((-left / (task.helpers + 2), left, task.helpers, whom))
    heapq.heapify(heap)
    while heap and asked.total() < idle:
        _, left, helpers, whom = heapq.heappop(heap)
        asked[whom] += 1
        if asked[whom] != whom.offered:
            share = left / (helpers + asked[whom] + 2)
            heapq.heappush(heap, (-share, left, helpers, whom))
    return asked


class Window:
    """How many tasks may be in flight, over all jobs."""

    def __init__(self, ledger: MasterLedger, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._looked = -SLOTS_LOOK_S
        self.slots = 0  # tasks that the workers hold at a time, as of the last look at who works
        self.idle = 0  # slots for which there is no task, as of the last look at the room
        self._ended_of: dict[str, int] = {}
        self._ended: deque[tuple[float, int]] = deque()

    def look(self) -> None:
        """See who works, if it is time to."""
        if self._clock() - self._looked >= SLOTS_LOOK_S:
            self._looked = self._clock()
            self.slots = self._ledger.slots()

    def room(self, demands: Iterable[Demand]) -> int:
        """How many more messages to send now."""
        self.look()
        in_flight = 0
        for each in demands:
            in_flight += each.in_flight
            newly = each.ended - self._ended_of.get(each.job, each.ended)
            self._ended_of[each.job] = each.ended
            if newly > 0:
                self._ended.append((self._clock(), newly))
        while self._ended and self._ended[0][0] < self._clock() - RATE_S:
            self._ended.popleft()
        spare = min(MOST_SPARE, sum(number for _, number in self._ended))
        self.idle = max(0, self.slots - in_flight)
        return self.slots + max(SPARE_MESSAGES, spare) - in_flight


class Dispatch:
    """What the workers have been told of one job."""

    def __init__(self, name: str, ledger: MasterLedger, queue: Queue, *, host: str) -> None:
        self._name = name
        self._ledger = ledger
        self._queue = queue
        self._host = host
        self._missed: set[str] = set()

    def demand(self, snapshot: Snapshot) -> Demand:
        """What the job asks for.

        Workers drop the messages of a job that waits (its reason says for what): these take no
        place from other jobs, and one at a time is enough to see whether it still has to wait.
        """
        tasks, dispatched = snapshot.tasks, snapshot.tasks[TaskState.DISPATCHED]
        waits = bool(snapshot.job.reason)
        helpers = sum(task.helpers for task in snapshot.running)
        pending = tasks[TaskState.PENDING] if snapshot.job.state is JobState.RUNNING else 0
        if waits:
            pending = 0 if dispatched else min(1, pending)
        return Demand(
            self._name,
            snapshot.job.priority,
            pending=pending,
            in_flight=tasks[TaskState.RUNNING] + helpers + (0 if waits else dispatched),
            ended=tasks[TaskState.SUCCEED] + tasks[TaskState.FAILED],
        )

    def send(self, number: int) -> None:
        """Send messages for so many pending tasks."""
        for task_id in self._ledger.dispatch(self._name, number):
            self._queue.send(self._name, task_id, task_id)

    def call_helpers(self, task_id: str, number: int) -> None:
        """Send so many messages for a running task whose holder offers parts of an object.

        Whoever finds a task held asks for such parts. Those that were not taken yet are not sent
        again: workers may be gone that were here a moment ago.
        """
        waiting = self._queue.waiting()
        for message in {f"{task_id}+{count}" for count in range(1, number + 1)} - waiting:
            self._queue.send(self._name, task_id, message)

    def take_back_lost(self) -> None:
        """Take tasks back from workers that died."""
        for task in self._ledger.running(self._name):
            if task.expired or identity.is_dead(task.worker, self._host):
                log.warning("task %s: its worker %s is gone", task.task_id, task.worker)
                self._ledger.take_back(self._name, task.task_id, task.fence)

    def send_lost(self, snapshot: Snapshot) -> None:
        """Send messages again that are gone: their tasks were dispatched and nobody claims them.

        One at a time of a job that waits: that is the pace at which it looks again.
        """
        dispatched, waits = snapshot.tasks[TaskState.DISPATCHED], bool(snapshot.job.reason)
        if not dispatched:
            return
        overdue = self._ledger.overdue(self._name, LOST_AFTER_S)
        if not overdue or waits and len(overdue) < dispatched:
            return
        waiting = self._queue.waiting()
        if waits and not waiting.isdisjoint(overdue):
            return
        missed = [task_id for task_id in overdue if task_id not in waiting]
        # A worker that has just taken a message will claim its task before we look again.
        lost = [task_id for task_id in missed if task_id in self._missed]
        if waits:
            del lost[1:]
        self._missed = set(missed).difference(lost)
        for task_id in lost:
            log.warning("task %s: its message is gone, sent again", task_id)
            self._queue.send(self._name, task_id, task_id)
        self._ledger.sent_again(self._name, lost)
