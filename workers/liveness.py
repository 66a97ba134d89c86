"""Whether this worker works: its main process takes messages, Redis answers it, no task is stuck.

Celery's own heartbeat asks, in the main process, every two seconds. It stands still while that
process hangs or has lost its connection.
"""

import multiprocessing
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.utils.log import current_process_index
from celery.worker.heartbeat import Heart
from kombu.exceptions import OperationalError

from ossimport.service.pulse import Pulse
from workers.app import system

# A task tells of itself every two seconds; a process of it that is silent for so long hangs.
SILENT_S = 60.0


class Tasks:
    """When each process of this worker was last heard of; 0 for those without a task.

    To be made before the fork.
    """

    def __init__(self, processes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._heard = multiprocessing.RawArray("d", processes)
        self._clock = clock

    def heard(self) -> None:
        """This process has a task and goes on with it."""
        self._heard[current_process_index(base=0) or 0] = self._clock()

    def ended(self) -> None:
        """This process has no task any more."""
        self._heard[current_process_index(base=0) or 0] = 0.0

    @property
    def all_go_on(self) -> bool:
        """No process has a task that it does not go on with."""
        now = self._clock()
        return all(not heard or now - heard < SILENT_S for heard in self._heard)


tasks = Tasks(system.worker_processes)
_pulse = Pulse()
_begun = False


@signals.worker_process_init.connect
def _begin_process(**_: Any) -> None:
    tasks.ended()  # the process that this one replaces may have died with a task


@signals.worker_ready.connect
def _begin(**_: Any) -> None:
    global _begun  # noqa: PLW0603 -- the main process's own; Celery starts its heart before it
    _begun = True
    _pulse.beat()


@signals.heartbeat_sent.connect
def _beat(sender: Heart, **_: Any) -> None:
    if _begun and _pulse.is_due and tasks.all_go_on and _redis_answers(sender):
        _pulse.beat()


def _redis_answers(heart: Heart) -> bool:
    """Ask over the connection of the heartbeat: that it was sent says nothing, as Celery keeps
    events for later when they cannot be sent."""
    connection = heart.eventer.connection
    try:
        connection.default_channel.client.ping()
    except (OperationalError, *connection.connection_errors):
        return False
    return True
