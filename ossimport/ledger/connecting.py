"""From a place to a client of redis-py, which connects with the first command."""

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry
from redis.sentinel import Sentinel

from ossimport.config.redis_url import RedisPlace


def connect(place: RedisPlace) -> "Redis":
    """A client of the server, or of whichever the sentinels name.

    A call that gets no answer within 10 s fails. A dropped connection is made anew once, at once,
    and the call repeated, which is safe because every method of the ledger may be called twice.
    """
    options: dict[str, Any] = {
        "protocol": 2,  # pinned: redis-py 8 made RESP3 the default, which changes reply types
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "health_check_interval": 10,
        "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    }
    user: dict[str, Any] = {"username": place.username or None, "password": place.password or None}
    if place.scheme == "unix":
        return Redis(unix_socket_path=place.path, db=place.db, **user, **options)
    options["socket_keepalive"] = True
    if place.tls is not None:
        options |= {"ssl": True, **place.tls}
    if place.scheme == "sentinel":
        watcher = {
            "username": place.sentinel_username or None,
            "password": place.sentinel_password or None,
        }
        # redis-py leaves its Sentinel client without types.
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            place.hosts, sentinel_kwargs={**options, **watcher}, db=place.db, **user, **options
        )
        client: Redis = sentinel.master_for(place.master_name)  # type: ignore[no-untyped-call]
        return client
    [(host, port)] = place.hosts
    return Redis(host, port, db=place.db, **user, **options)
