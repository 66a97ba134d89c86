"""The one Celery task, and what the worker's processes share."""

import functools
import logging
import multiprocessing
import os
import threading
import time
from contextlib import suppress
from typing import Any

from celery import Task, signals
from celery.exceptions import Reject
from celery.worker import state
from kombu.exceptions import OperationalError

from ossimport import identity
from ossimport.errors import Fatal, LedgerUnavailable
from ossimport.ledger.redis import open_ledger
from ossimport.model import TaskState
from ossimport.queue import COPY
from ossimport.service import redis_url
from ossimport.service.logs import log_to
from ossimport.throttle import shared_cell
from workers import liveness, memory
from workers.app import app, system
from workers.runtime import Leaving, Runtime

log = logging.getLogger(__name__)

ENLISTED_S = 16.0  # for so long the master reckons with a worker that was lost without a word

# Made before the fork, so that all processes of this worker have the same ones.
_stopping = multiprocessing.RawValue("b", 0)
_throttle = shared_cell()
_leaving = threading.Event()


@functools.cache
def _runtime() -> Runtime:
    """This process's own, made on its first task: after the fork."""
    runtime = Runtime(system, redis_url(system), throttle=_throttle, stopping=_is_stopping)
    memory.settle()
    return runtime


class TaskFailed(Exception):
    """Some objects of the task could not be copied; the task's error.list names them."""


def _calm(record: logging.LogRecord) -> bool:
    """No alarm at an answer to a message that was lost with the connection to Redis: the claim
    refuses the message when it comes again, and the master misses one that does not."""
    if str(record.msg).startswith(("Couldn't ack", "Couldn't reject")):
        record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
    return True


logging.getLogger("celery.worker.request").addFilter(_calm)


@signals.celeryd_init.connect  # before Celery warns of what it finds
@signals.setup_logging.connect
def _log(**_: Any) -> None:
    log_to(system.working_dir / "logs" / "import.log")


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    threading.Thread(target=_stay_enlisted, daemon=True).start()


def _stay_enlisted() -> None:
    """Let the master know that this worker is there, and how much it takes on."""
    ledger = open_ledger(redis_url(system))
    host = identity.host_name(standalone=not system.redis_url)
    name, slots = identity.name_of_this_process(host), system.worker_processes
    while True:
        leaving = _is_stopping()
        with suppress(LedgerUnavailable):  # said again soon
            ledger.enlist(name, slots, 0 if leaving else ENLISTED_S)
            if leaving:
                return
        _leaving.wait(ENLISTED_S / 4)


@signals.worker_shutting_down.connect
def _drain(sender: str, **_: Any) -> None:
    """Tasks stop taking objects, write down what they have, and hand the rest back."""
    _stopping.value = 1
    _leaving.set()
    threading.Thread(target=_leave, args=(sender,), daemon=True).start()


def _leave(hostname: str) -> None:
    """End this worker when its last task has. Celery's own way takes three seconds more, for a pool
    whose processes have nothing left to say."""
    while state.active_requests:
        time.sleep(0.05)
    with app.events.default_dispatcher(hostname=hostname) as dispatcher:
        dispatcher.send("worker-offline")
    time.sleep(0.1)  # for the last acknowledgement; if it is lost, the message is refused later
    os._exit(0)


def _is_stopping() -> bool:
    return bool(_stopping.value)


@app.task(name=COPY, bind=True, throws=(TaskFailed, Fatal))
def copy(self: Task, job: str, task_id: str) -> str:
    """Copy the objects of a task. A message that comes twice is dropped by the claim."""
    hostname, message_id = self.request.hostname, self.request.id

    def progress(text: str) -> None:
        """Called in a thread of its own, where `self.request` is nobody's."""
        liveness.tasks.heard()
        try:
            with app.events.default_dispatcher(hostname=hostname) as dispatcher:
                # The tracker shows `result`, and no other field, while a task runs.
                dispatcher.send("task-progress", uuid=message_id, result=text)
        except (OperationalError, *app.connection_for_write().connection_errors) as exc:
            log.debug("progress not sent: %s", exc)

    liveness.tasks.heard()
    try:
        outcome = _runtime().run(job, task_id, progress)
    except (LedgerUnavailable, Leaving) as exc:
        raise Reject(str(exc), requeue=True) from exc
    finally:
        liveness.tasks.ended()
    if outcome.state is TaskState.FAILED:
        raise TaskFailed(f"{outcome.text}; see failed_tasks/{task_id}@*/error.list")
    return outcome.text
