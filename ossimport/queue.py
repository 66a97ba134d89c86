"""Celery as a wire: the application, its settings, and the messages. The only Celery import here.

A message is `(job, task id)` and nothing else. It is a pointer to a record in the ledger, so losing
one, or delivering it twice, harms nothing (the master sends lost ones again, a claim refuses the
second). The settings below follow from that; `docs/decisions/delivery.md` gives the measurements.
"""

import json
from urllib.parse import quote, urlencode

from celery import Celery
from kombu.exceptions import OperationalError

from ossimport.config.redis_url import RedisPlace, read_redis_url
from ossimport.errors import LedgerUnavailable
from ossimport.ledger.refusals import unavailable

QUEUE = "ossimport"
COPY = "ossimport.copy"

# A message that a killed worker had taken comes back after this time. It must never come back
# while the task still runs, and recovery does not wait for it: seven days.
VISIBILITY_TIMEOUT_S = 7 * 24 * 3600
_TIMEOUTS = {"socket_timeout": 10, "socket_connect_timeout": 5}


def make_app(redis_url: str) -> Celery:
    """Build the Celery application. Nothing connects before the first message."""
    place = read_redis_url(redis_url)
    app = Celery("ossimport", broker=_broker_url(place), set_as_current=False)
    app.conf.update(
        # For Flower, which reads no options of the URL.
        broker_use_ssl=dict(place.tls) if place.tls is not None else False,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # Without a timeout a half-open connection blocks the worker for ever.
            **_TIMEOUTS,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "retry_on_timeout": True,
            **_sentinel_options(place),
        },
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
    )
    return app


def _broker_url(place: RedisPlace) -> str:
    """The URL as kombu and Flower read it: user, password, database and TLS at every sentinel.

    kombu takes a rediss:// without options for "believe any certificate", wherever it sees one.
    """
    user = ""
    if place.username or place.password:
        user = f"{quote(place.username, safe='')}:{quote(place.password, safe='')}@"
    if place.scheme == "unix":
        return f"redis+socket://{user}{quote(place.path)}?virtual_host={place.db}"
    query = ""
    if place.tls is not None:
        query = "?" + urlencode(place.tls)  # kombu takes False as false
    return ";".join(
        f"{place.scheme}://{user}{f'[{host}]' if ':' in host else host}:{port}/{place.db}{query}"
        for host, port in place.hosts
    )


def _sentinel_options(place: RedisPlace) -> dict[str, object]:
    if place.scheme != "sentinel":
        return {}
    watcher: dict[str, object] = {**_TIMEOUTS}
    if place.sentinel_username:
        watcher["username"] = place.sentinel_username
    if place.sentinel_password:
        watcher["password"] = place.sentinel_password
    if place.tls is not None:
        watcher |= {"ssl": True, **place.tls}
    return {"master_name": place.master_name, "sentinel_kwargs": watcher}


class Sender:
    """Puts tasks on the queue, and knows which still wait there."""

    def __init__(self, redis_url: str) -> None:
        self._app = make_app(redis_url)
        self._place = read_redis_url(redis_url)

    def send(self, job: str, task_id: str, message_id: str = "") -> None:
        """Tell a worker of a task. Sending again is harmless. Raises LedgerUnavailable.

        The message has the id of the task, unless it is one of several.
        """
        try:
            # The tracker shows `argsrepr`; the message's id has a column of its own.
            self._app.send_task(
                COPY,
                args=[job, task_id],
                task_id=message_id or task_id,
                argsrepr=job,
                queue=QUEUE,
            )
        except OperationalError as exc:
            raise self._translate(exc) from exc

    def waiting(self) -> set[str]:
        """Ids of the messages that no worker has taken yet. Raises LedgerUnavailable."""
        with self._app.connection_for_read() as connection:
            try:
                messages = connection.default_channel.client.lrange(QUEUE, 0, -1)
            except (
                OperationalError,
                *connection.connection_errors,
                *connection.channel_errors,
            ) as exc:
                raise self._translate(exc) from exc
        return {json.loads(message)["headers"]["id"] for message in messages}

    def _translate(self, exc: Exception) -> LedgerUnavailable:
        told = unavailable(exc, self._place)
        return told or LedgerUnavailable(f"the message queue does not answer: {exc}")
