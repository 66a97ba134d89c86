"""What Redis, or the way to it, refuses: said with what to do about it.

Nearly all of it is LedgerUnavailable, which is waited out: somebody acts on the server, and the
work goes on by itself. `docs/redis.md` has the longer cures.
"""

import ssl
from typing import TypeVar

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    InvalidResponse,
    RedisError,
    TimeoutError,
)

from ossimport.config.redis_url import RedisPlace
from ossimport.errors import LedgerUnavailable

_CLUSTER = (
    "this is a Redis Cluster, for which Celery has no transport: let redisUrl name a single server,"
    " or a primary with replicas behind Sentinel; see docs/redis.md"
)
# redis-py keeps a class for some of them only; the first word is the server's own code for all.
_CURES = {
    "OOM": "Redis is full: give it more memory (maxmemory), or lower the number of tasks in flight",
    "MISCONF": "Redis cannot write to its disk: free some space in its data directory",
    "READONLY": "this is a replica: let redisUrl name the primary, or name it by sentinel://",
    "MASTERDOWN": "the replica has lost its primary: wait for the failover",
    "NOREPLICAS": "Redis has too few replicas to accept writes: start them again",
    "LOADING": "Redis is reading its data from disk: wait until it has done so",
    "BUSY": "Redis is running a script of somebody else for too long: wait, or use SCRIPT KILL",
    "WRONGPASS": "user or password are missing or wrong: mend redisUrl, redis://USER:PASSWORD@HOST",
    "NOPERM": "this Redis user may not do it ({told}): grant it what docs/redis.md lists",
    "CROSSSLOT": _CLUSTER,
    "MOVED": _CLUSTER,
    "ASK": _CLUSTER,
    "TRYAGAIN": _CLUSTER,
    "CLUSTERDOWN": _CLUSTER,
}
# The server's words where its code is ERR, up to Redis 7.0 and since.
_TEXTS = {
    "user executing the script can't": "NOPERM",
    "ACL failure in script": "NOPERM",
    "EXEC without MULTI": "NOPERM",
    "SELECT is not allowed in cluster mode": "CLUSTERDOWN",
}
_WRONG_NAME = {62, 63, 64}  # of OpenSSL: the certificate names no such host, address
_NOT_NOW = {9, 10}  # not yet, not any more
_ENDED = (
    "it ends the connection: if it wants a certificate from its clients (tls-auth-clients yes), add"
    " or mend ssl_certfile and ssl_keyfile in redisUrl"
)
_ON_TLS = {
    "CERTIFICATE_REQUIRED": (
        "it wants a certificate from its clients: add ssl_certfile=/path/client.crt and"
        " ssl_keyfile=/path/client.key to redisUrl"
    ),
    "UNKNOWN_CA": (
        "it does not believe our client certificate: let ssl_certfile name one that its CA has"
        " signed"
    ),
    "KEY_VALUES_MISMATCH": "ssl_keyfile is not the key of the certificate in ssl_certfile",
    "NO_CERTIFICATE": "ssl_ca_certs or ssl_certfile is not a certificate in PEM form",
    "NO_START_LINE": "ssl_certfile or ssl_keyfile is not in PEM form",
    "EOF": _ENDED,
    "WRONG_VERSION": "there is no TLS on this port: write redis://, or the port that has it",
}

_Kind = TypeVar("_Kind", bound=BaseException)


def unavailable(exc: Exception, place: RedisPlace) -> LedgerUnavailable | None:
    """The error in an operator's words; None if it is none of the server's or the network's.

    Kombu's errors are read as well: those of redis-py lie behind them.
    """
    if not isinstance(exc := _cause(exc, RedisError) or exc, RedisError):
        return None
    cure = _cure(exc)
    if cure is not None:
        return LedgerUnavailable(f"Redis at {place} refuses: {cure}.")
    if not isinstance(exc, ConnectionError | TimeoutError | InvalidResponse):
        return None
    insecure = _on_tls(exc, place)
    if insecure is not None:
        return LedgerUnavailable(f"Redis at {place} cannot be reached over TLS: {insecure}.")
    cure = "see that it runs, and that redisUrl, if it is set, leads to it"
    if place.tls is None and _cause(exc, ConnectionResetError):
        cure = "if it speaks TLS on this port, redisUrl begins with rediss://"
    told = str(exc).rstrip(".")
    return LedgerUnavailable(f"Redis at {place} does not answer: {told}. Cure: {cure}.")


def _cure(exc: RedisError) -> str | None:
    told = str(exc).rpartition(" of pipeline caused error: ")[2].partition(" script:")[0]
    code = exc.status_code if exc.status_code in _CURES else told.split(" ")[0]
    if isinstance(exc, AuthenticationError):
        code = "WRONGPASS"
    for text, meaning in _TEXTS.items():
        if text in told:
            code = meaning
    cure = _CURES.get(code)
    return cure and cure.format(told=told)


def _on_tls(exc: RedisError, place: RedisPlace) -> str | None:
    if place.tls is None:
        return None
    refused = _cause(exc, ssl.SSLError)
    if isinstance(refused, ssl.SSLCertVerificationError):
        return _on_certificate(refused)
    if isinstance(refused, ssl.SSLError):
        reason = refused.reason or str(refused)
        known = (text for word, text in _ON_TLS.items() if word in reason)
        return next(known, f"{reason}: see docs/redis.md")
    if _cause(exc, ConnectionResetError):
        return _ENDED
    if "handshake" in str(_cause(exc, OSError) or ""):
        return "nobody answers the handshake: write redis:// if there is no TLS on this port"
    return None


def _on_certificate(refused: ssl.SSLCertVerificationError) -> str:
    why = refused.verify_message.rstrip(".")
    if refused.verify_code in _WRONG_NAME:
        return f"{why}: name it in redisUrl as its certificate does, or give it one that does"
    if refused.verify_code in _NOT_NOW:
        return f"{why}: give the server a new one, or mend this machine's clock"
    return (
        f"{why}: name the CA that has signed the server's certificate,"
        " ?ssl_ca_certs=/path/ca.crt in redisUrl"
    )


def _cause(exc: BaseException | None, kind: type[_Kind]) -> _Kind | None:
    """What lies behind an error, of a kind; the libraries wrap it once or twice."""
    while exc is not None and not isinstance(exc, kind):
        exc = exc.__cause__ or exc.__context__
    return exc
