"""How each host of the fleet is now, for `stat`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ossimport.config import SystemConfig, load_workers
from ossimport.errors import ServiceError
from ossimport.fleet import here, members, package
from ossimport.fleet.control import AT_ONCE, NOTHING, look
from ossimport.fleet.here import Seen, skew
from ossimport.fleet.ssh import Ssh, Unreachable


@dataclass(frozen=True)
class HostState:
    """One host as `stat` shows it."""

    host: str
    state: str  # the supervisor's word; stopped, absent (nothing deployed), unreachable, unknown
    version: str = ""
    build: str = ""
    processes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def states(system: SystemConfig) -> list[HostState]:
    """Every host, this one first; none if there is no other one.

    Hosts that conf/workers names no more are among them until they are stopped.
    """
    listed = members.others(system)
    gone = tuple(host for host in members.started(system) if host not in listed)
    if not listed and not gone:
        return []
    ssh, own = Ssh(system), package.pack().build

    def state_of(host: str) -> HostState:
        try:
            state = _state(host, look(ssh, system, host), own)
        except Unreachable as error:
            state = HostState(host, "unreachable", notes=[str(error)])
        except ServiceError as error:
            state = HostState(host, "unknown", notes=[str(error)])
        if host in gone:
            cure = f"bash console.sh stop {host}"
            state.notes.append(f"conf/workers names it no more\n    cure: {cure}")
        return state

    with ThreadPoolExecutor(AT_ONCE, "fleet") as pool:
        return [_own_state(system, own), *pool.map(state_of, (*listed, *gone))]


def _own_state(system: SystemConfig, build: str) -> HostState:
    seen = here.see(system)
    name = load_workers(members.workers_file(system))[0]
    return HostState(name, seen.state, package.version_of(build), build, seen.processes)


def _state(host: str, seen: Seen | None, own: str) -> HostState:
    if seen is None:
        return HostState(host, "absent", notes=[NOTHING])
    build = seen.running_build or seen.build
    notes = [*skew(host, seen, own), *seen.troubles]
    return HostState(host, seen.state, package.version_of(build), build, seen.processes, notes)
