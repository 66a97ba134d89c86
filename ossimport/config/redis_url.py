"""What `redisUrl` says: read once, here, for the ledger, for Celery's broker and for Flower.

    redis://[USER:PASSWORD@]HOST[:PORT][/DB]           in the clear
    rediss://...                                       over TLS
    unix://[USER:PASSWORD@]/PATH[?db=DB]               a Unix socket
    sentinel://[USER:PASSWORD@]HOST[:PORT][;sentinel://HOST...][/DB]?master_name=NAME

The libraries behind each read URLs by rules of their own, and not the same ones: kombu takes a
`rediss://` without options for "believe any certificate", Flower looks at no option at all, and of
several sentinels one reads the options of the first, the other those of the last.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from ossimport.config.kinds import Mistake

_FORM = "write redis://:password@host:6379/0, or nothing for an own server"
_SENTINEL_FORM = "write sentinel://host:26379;sentinel://host:26379/0?master_name=NAME"
_SCHEMES = ("redis", "rediss", "unix", "sentinel")
_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS = (*_FILES, "ssl_cert_reqs", "ssl_check_hostname")
_SENTINEL_OPTIONS = ("master_name", "sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a Redis is and how to get in. Its `repr` shows no password."""

    scheme: str  # redis, rediss, unix or sentinel
    hosts: tuple[tuple[str, int], ...] = ()  # more than one: sentinels; none: a Unix socket
    path: str = ""  # of the Unix socket
    db: int = 0
    username: str = ""  # for the data servers, as is the password
    password: str = field(default="", repr=False)
    master_name: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    tls: Mapping[str, object] | None = None  # as redis-py takes it; None: in the clear

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator must hear of it: each leaves the connection open to somebody."""
        if self.tls is None:
            return ()
        if self.tls["ssl_cert_reqs"] == "none":
            return (
                "INSECURE: ssl_cert_reqs=none believes any certificate, so that whoever sits on the"
                " way reads and changes all that goes to Redis, its password first. Name the CA"
                " instead: ssl_ca_certs=/path/ca.crt",
            )
        if not self.tls["ssl_check_hostname"]:
            return (
                "INSECURE: ssl_check_hostname=false believes the certificate of every server that"
                " the CA has signed. Let the server's certificate name the host instead",
            )
        return ()

    def __str__(self) -> str:
        """For messages."""
        if self.scheme == "sentinel":
            return f"sentinel master {self.master_name}"
        return self.path or ":".join(str(part) for part in self.hosts[0])


def read_redis_url(text: str) -> RedisPlace:
    """Read a URL. Raises Mistake, which never repeats it: it may hold a password."""
    scheme = text.partition("://")[0]
    if scheme not in _SCHEMES or any(c.isspace() for c in text):
        message = "the value is not a redis://, rediss://, sentinel:// or unix:// URL"
        raise Mistake(message, _FORM)
    parts = [_split(part, scheme) for part in _parts(text, scheme)]
    options = dict(parse_qsl(parts[-1].query, keep_blank_values=True))
    _refuse_unknown(scheme, options)
    if scheme == "unix":
        if parts[0].netloc.rpartition("@")[2] or parts[0].path in ("", "/"):
            raise Mistake("a unix:// URL names an absolute path", "write unix:///run/redis.sock")
        return RedisPlace(
            scheme,
            path=unquote(parts[0].path),
            db=_db(options.get("db", "")),
            username=unquote(parts[0].username or ""),
            password=unquote(parts[0].password or ""),
        )
    if scheme == "sentinel" and not options.get("master_name"):
        message = "the sentinels are not told which Redis is meant: master_name is missing"
        raise Mistake(message, _SENTINEL_FORM)
    return RedisPlace(
        scheme,
        hosts=tuple((unquote(part.hostname or ""), part.port or _PORTS[scheme]) for part in parts),
        db=_db(parts[-1].path.strip("/")),
        username=unquote(parts[0].username or ""),
        password=unquote(parts[0].password or ""),
        master_name=options.get("master_name", ""),
        sentinel_username=options.get("sentinel_username", ""),
        sentinel_password=options.get("sentinel_password", ""),
        tls=_tls(scheme, options),
    )


def named_files(text: str) -> dict[str, Path]:
    """The files that a URL names, by the option that names each. Raises Mistake."""
    tls = read_redis_url(text).tls or {}
    return {name: Path(str(tls[name])) for name in _FILES if name in tls}


def with_files(text: str, paths: Mapping[str, Path]) -> str:
    """The same URL with other paths in these options, which it has."""
    for name, path in paths.items():
        text = re.sub(rf"(?<=[?&]){name}=[^&]*", f"{name}={quote(str(path))}", text)
    return text


def _parts(text: str, scheme: str) -> list[str]:
    """One URL, or those of several sentinels. A password may have a ; in it."""
    if scheme != "sentinel":
        return [text]
    first, *others = text.split(";sentinel://")
    return [first, *(f"sentinel://{other}" for other in others)]


def _split(text: str, scheme: str) -> SplitResult:
    try:
        part = urlsplit(text)
        port = part.port
    except ValueError:
        port = 0
    # What stands behind a / of a password is no host any more, and no number where the port is.
    if port == 0 or part.fragment or (scheme != "unix" and not part.hostname):
        message = "the URL has no host and port where they should be"
        cure = f"{_FORM}; in a password write %40 for @, %3A for :, %2F for /, %23 for #, %3F for ?"
        raise Mistake(message, cure)
    return part


def _refuse_unknown(scheme: str, options: Mapping[str, str]) -> None:
    known = {
        "redis": (),
        "rediss": _TLS_OPTIONS,
        "unix": ("db",),
        "sentinel": (*_SENTINEL_OPTIONS, "ssl", *_TLS_OPTIONS),
    }[scheme]
    for name in options:
        if name in known:
            continue
        if scheme == "redis" and name in _TLS_OPTIONS:
            raise Mistake(f"{name} is for TLS, and redis:// has none", "write rediss://")
        cure = f"it may have {', '.join(known)}" if known else "write nothing behind the number"
        raise Mistake(f"a {scheme}:// URL has no option {name}", cure)


def _db(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise Mistake("the database of a Redis is a number", "write /0 behind the port")
    return int(text)


def _tls(scheme: str, options: Mapping[str, str]) -> Mapping[str, object] | None:
    given = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
    wanted = _boolean("ssl", options["ssl"]) if "ssl" in options else bool(given)
    if scheme != "rediss" and not wanted:
        if given:
            raise Mistake("ssl=false and other ssl_ options contradict each other", "drop ssl=")
        return None
    for name in _FILES:
        if name in given:
            _check_file(name, given[name])
    if "ssl_certfile" in given and "ssl_keyfile" not in given:
        cure = "add ssl_keyfile=/path/client.key"
        raise Mistake("a client certificate is of no use without its key", cure)
    if given.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise Mistake("ssl_cert_reqs is required or none", "leave ssl_cert_reqs out")
    believes_all = given.get("ssl_cert_reqs") == "none"
    named = _boolean("ssl_check_hostname", given.get("ssl_check_hostname", "true"))
    return {
        **{name: given[name] for name in _FILES if name in given},
        "ssl_cert_reqs": "none" if believes_all else "required",
        "ssl_check_hostname": named and not believes_all,
    }


def _check_file(name: str, path: str) -> None:
    if not os.path.isabs(path):
        raise Mistake(f"{name} is not an absolute path", f"write {name}=/path of the file")
    try:
        with open(path, "rb"):
            pass
    except OSError as exc:
        message = f"the file of {name} cannot be read: {path}: {exc.strerror}"
        raise Mistake(message, "put it there on every host, readable for this user") from None


def _boolean(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise Mistake(f"{name} is true or false", f"write {name}=true")
    return text == "true"
