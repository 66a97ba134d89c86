"""The ledger on Redis or Valkey (6.2 or newer, no Cluster). The only module that imports redis.

Each method is one Lua script (`lua/*.lua`), so it happens wholly or not at all, on the server's
clock. `keys.py` says what is stored where; the methods are in `console_part.py`, `master_part.py`
and `worker_part.py`; here is the connection, and redis-py's errors are translated, once.
"""

from collections.abc import Sequence
from importlib import resources
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    InvalidResponse,
    RedisError,
    TimeoutError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from ossimport.errors import (
    JobExists,
    JobNotFound,
    LedgerBehind,
    LedgerUnavailable,
    OssImportError,
    StaleClaim,
)
from ossimport.ledger.base import Ledger
from ossimport.ledger.console_part import ConsolePart
from ossimport.ledger.master_part import MasterPart
from ossimport.ledger.packing import to_bytes
from ossimport.ledger.scripted import Argument
from ossimport.ledger.worker_part import WorkerPart

# What prelude.lua calls the reasons for which a script refuses.
_REFUSALS: dict[str, tuple[type[OssImportError], str]] = {
    "NOJOB": (JobNotFound, "There is no job of the name {about}."),
    "EXISTS": (JobExists, "A job of the name {about} is there already, please clean it first."),
    "STALE": (StaleClaim, "The claim on {about} is not live any more; somebody else may have it."),
    "BEHIND": (LedgerBehind, "The ledger has lost steps of job {about}."),
}

# Errors that pass when somebody acts on the server. redis-py keeps a class for some of them only;
# the first word is the server's own code for all.
_CURES = {
    "OOM": "Redis is full: give it more memory (maxmemory), or lower the number of tasks in flight",
    "MISCONF": "Redis cannot write to its disk: free some space in its data directory",
    "READONLY": "this is a replica: let redisUrl name the primary, or name it by sentinel://",
    "MASTERDOWN": "the replica has lost its primary: wait for the failover",
    "NOREPLICAS": "Redis has too few replicas to accept writes: start them again",
    "LOADING": "Redis is reading its data from disk: wait until it has done so",
    "BUSY": "Redis is running a script of somebody else for too long: wait, or use SCRIPT KILL",
    "WRONGPASS": "user or password are missing or wrong: mend redisUrl, redis://USER:PASSWORD@HOST",
    "NOPERM": "this Redis user may not do it: grant it ~oi:* and +@all -@dangerous",
    "CROSSSLOT": "this is a Redis Cluster: let redisUrl name a single server, or use Sentinel",
    "MOVED": "this is a Redis Cluster: let redisUrl name a single server, or use Sentinel",
}


def open_ledger(url: str) -> "RedisLedger":
    """The ledger behind a URL. Nothing is sent until the first call.

    redis://[user:password@]host:port/db, rediss:// (TLS; options as of redis-py, such as
    `?ssl_ca_certs=FILE`), unix://[:password@]/path?db=N, or Sentinel:
    sentinel://[user:password@]h1:26379;sentinel://h2:26379/db?master_name=NAME, where user and
    password are those of the data servers. Raises ValueError for anything else.

    A call that gets no answer within 10 s fails. A dropped connection is made anew once, at once,
    and the call repeated, which is safe because every method may be called twice; waiting and
    trying again is the caller's business.
    """
    options: dict[str, Any] = {
        "protocol": 2,  # pinned: redis-py 8 made RESP3 the default, which changes reply types
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    }
    if url.startswith("sentinel://"):
        return RedisLedger(_sentinel_client(url, options))
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("a Redis URL begins with redis://, rediss://, unix:// or sentinel://")
    if url.startswith("unix://"):
        del options["socket_keepalive"]  # of TCP; redis-py refuses it here
    return RedisLedger(Redis.from_url(url, **options))


class RedisLedger(ConsolePart, MasterPart, WorkerPart):
    """The ledger in one database of a server. Safe to share between threads.

    `client` must not decode responses. Make it after a fork, not before.
    """

    def __init__(self, client: "Redis") -> None:
        self._client = client
        self._where = _where(client)
        folder = resources.files("ossimport.ledger") / "lua"
        prelude = (folder / "prelude.lua").read_text("utf-8")
        self._scripts: dict[str, Script] = {
            file.name.removesuffix(".lua"): client.register_script(
                prelude + file.read_text("utf-8")
            )
            for file in folder.iterdir()
            if file.name != "prelude.lua"
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run(
        self, script: str, about: str, keys: Sequence[str], args: Sequence[Argument] = ()
    ) -> Any:
        try:
            return self._scripts[script](
                keys=[to_bytes(key) for key in keys], args=[to_bytes(arg) for arg in args]
            )
        except RedisError as exc:
            raise self._translate(exc, about) from exc

    def _translate(self, exc: RedisError, about: str) -> Exception:
        code = exc.status_code or str(exc).split(" ")[0]
        if code in _REFUSALS:
            kind, text = _REFUSALS[code]
            return kind(text.format(about=about))
        if code == "SUMS":
            return ValueError(f"the numbers given for {about} contradict its marks")
        cure = _CURES.get("WRONGPASS" if isinstance(exc, AuthenticationError) else code)
        if cure is not None:
            return LedgerUnavailable(f"Redis at {self._where} refuses: {cure}.")
        if isinstance(exc, ConnectionError | TimeoutError | InvalidResponse):
            return LedgerUnavailable(f"Redis at {self._where} does not answer: {exc}")
        return exc


def _sentinel_client(url: str, options: dict[str, Any]) -> "Redis":
    parts = [urlsplit(part) for part in url.split(";")]
    query = {name: values[-1] for name, values in parse_qs(parts[-1].query).items()}
    if "master_name" not in query or any(part.scheme != "sentinel" for part in parts):
        raise ValueError(
            "a Sentinel URL reads sentinel://host:26379;sentinel://host:26379/0?master_name=NAME"
        )
    hosts = [(part.hostname or "", part.port or 26379) for part in parts]
    database = int(parts[-1].path.strip("/") or 0)
    # redis-py leaves its Sentinel client without types.
    sentinel = Sentinel(hosts, sentinel_kwargs=options, **options)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        query["master_name"], db=database, **_credentials(parts[0])
    )
    return client


def _credentials(part: SplitResult) -> dict[str, str]:
    found = {"username": part.username, "password": part.password}
    return {name: unquote(value) for name, value in found.items() if value}


def _where(client: "Redis") -> str:
    """Where the server is, for messages: never the password."""
    pool = client.connection_pool
    service = getattr(pool, "service_name", None)
    if service is not None:
        return f"sentinel master {service}"
    options = pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host')}:{options.get('port')}")


_check: type[Ledger] = RedisLedger
