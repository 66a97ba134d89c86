"""Which hosts belong to the fleet: those of conf/workers, and those that were and still run."""

import json
import socket
from pathlib import Path

from ossimport.config import SystemConfig, load_workers
from ossimport.config.redis_url import read_redis_url
from ossimport.errors import ConfigError, Problem
from ossimport.service.files import read_json, write_private

_LOOPBACK = ("localhost", "::1")


def workers_file(system: SystemConfig) -> Path:
    """The list of hosts of this installation."""
    return system.path.parent / "workers"


def others(system: SystemConfig) -> tuple[str, ...]:
    """The hosts of conf/workers but this one, which is the first. Raises ConfigError."""
    path = workers_file(system)
    return load_workers(path)[1:] if path.exists() else ()


def check(system: SystemConfig) -> None:
    """Raise ConfigError unless workers on other hosts, if there are any, can work from here."""
    path = workers_file(system)
    if not others(system):
        return
    first, *rest = load_workers(path)
    problems = []
    if not is_this_machine(first):
        message = "the first host must be this machine: the master runs where the console is"
        cure = "use the console on that host, or write an address of this machine on the first line"
        problems.append(Problem(str(path), 0, "host", first, message, cure))
    for host in filter(is_this_machine, rest):
        message = "this is another name of this machine, which has a worker already"
        problems.append(Problem(str(path), 0, "host", host, message, "remove the line"))
    if _is_private(system):
        problems.append(_private_redis(system, rest))
    if problems:
        raise ConfigError(problems)


def is_this_machine(host: str) -> bool:
    """The host's address is one of this machine's own: a socket can be bound to it."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind(address)
            except OSError:
                continue
            return True
    return False


def started(system: SystemConfig) -> tuple[str, ...]:
    """The hosts that were told to start and not yet seen to stop."""
    return tuple(read_json(_memory(system)).get("started", ()))


def note_started(system: SystemConfig, hosts: tuple[str, ...]) -> None:
    """Remember them, before they start: conf/workers may name them no more when they must stop."""
    _remember(system, (*started(system), *(h for h in hosts if h not in started(system))))


def note_stopped(system: SystemConfig, hosts: tuple[str, ...]) -> None:
    """Forget them."""
    if set(hosts) & set(started(system)):
        _remember(system, tuple(host for host in started(system) if host not in hosts))


def _memory(system: SystemConfig) -> Path:
    return system.working_dir / "run" / "fleet.json"


def _remember(system: SystemConfig, hosts: tuple[str, ...]) -> None:
    _memory(system).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(_memory(system), json.dumps({"started": hosts}))


def _is_private(system: SystemConfig) -> bool:
    """No other host can reach this Redis."""
    url = system.redis_url.reveal()
    names = [host for host, _ in read_redis_url(url).hosts] if url else []  # none: a Unix socket
    return all(name in _LOOPBACK or name.startswith("127.") for name in names)


def _private_redis(system: SystemConfig, hosts: list[str]) -> Problem:
    meant = system.redis_url.reveal()
    what = "redisUrl names this machine's loopback" if meant else "the own Redis of a host"
    return Problem(
        file=str(system.path),
        line=0,
        key="redisUrl",
        value="**redacted**" if meant else "",
        message=f"{what}, which other hosts ({', '.join(hosts)}) do not reach",
        cure="run a Redis that all hosts reach and write redisUrl=redis://:PASSWORD@ADDRESS:6379/0;"
        " docs/redis.md has its settings",
    )
