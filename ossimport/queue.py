"""Celery as a wire: the application, its settings, and the messages. The only Celery import here.

A message is `(job, task id)` and nothing else. It is a pointer to a record in the ledger, so losing
one, or delivering it twice, harms nothing (the master sends lost ones again, a claim refuses the
second). The settings below follow from that; `docs/decisions/delivery.md` gives the measurements.
"""

import json
from urllib.parse import urlsplit

from celery import Celery
from kombu.exceptions import OperationalError

from ossimport.errors import LedgerUnavailable

QUEUE = "ossimport"
COPY = "ossimport.copy"

# A message that a killed worker had taken comes back after this time. It must never come back
# while the task still runs, and recovery does not wait for it: seven days.
VISIBILITY_TIMEOUT_S = 7 * 24 * 3600


def make_app(redis_url: str) -> Celery:
    """Build the Celery application. Nothing connects before the first message."""
    app = Celery("ossimport", broker=redis_url, set_as_current=False)
    options: dict[str, object] = {
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        # Without a timeout a half-open connection blocks the worker for ever.
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": True,
    }
    url = urlsplit(redis_url)
    if url.scheme == "sentinel":
        options["master_name"] = url.query.partition("master_name=")[2].partition("&")[0]
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        # The record is the ledger, so a message is given back when its process dies.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # No message waits behind a task that runs for hours.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=options,
    )
    return app


class Sender:
    """Puts tasks on the queue, and knows which still wait there."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, job: str, task_id: str) -> None:
        """Tell the workers of a task. Sending again is harmless. Raises LedgerUnavailable."""
        try:
            # The tracker shows `argsrepr`; the task's id has a column of its own.
            self._app.send_task(
                COPY, args=[job, task_id], task_id=task_id, argsrepr=job, queue=QUEUE
            )
        except OperationalError as exc:
            raise LedgerUnavailable(f"the message queue does not answer: {exc}") from exc

    def waiting(self) -> set[str]:
        """Ids of the tasks whose message no worker has taken yet. Raises LedgerUnavailable."""
        with self._app.connection_for_read() as connection:
            try:
                messages = connection.default_channel.client.lrange(QUEUE, 0, -1)
            except (OperationalError, *connection.connection_errors) as exc:
                raise LedgerUnavailable(f"the message queue does not answer: {exc}") from exc
        return {json.loads(message)["headers"]["id"] for message in messages}
