"""One thing done on many hosts at once; a host that fails does not keep the others from it."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ossimport.config import SystemConfig
from ossimport.errors import ServiceError
from ossimport.fleet import here, members, package
from ossimport.fleet.here import Seen, skew
from ossimport.fleet.settings import SETTINGS_FILE
from ossimport.fleet.ssh import Answer, Ssh
from ossimport.service.control import LONGEST_STOP_S

AT_ONCE = 32
START_S = 120.0
NOTHING = "nothing is deployed there\n    cure: bash console.sh deploy"
NOT_DEPLOYED = 69  # what the command below ends with then; no verb does
# The build's own directory is named, not `current`: what runs must stay one build when deploy
# changes the link.
_COMMAND = (
    f'cd "$0/deployed/current" 2>/dev/null && p=$(pwd -P)/bin/python && [ -x "$p" ]'
    f' || exit {NOT_DEPLOYED}; cd /; exec "$p" "$@"'
)


@dataclass(frozen=True)
class Outcome:
    """What came of it on one host."""

    host: str
    done: bool
    text: str


def each(hosts: Iterable[str], act: Callable[[str], Outcome]) -> Iterator[Outcome]:
    """Act on all hosts at once; yield in their order. What is raised becomes an outcome."""

    def guarded(host: str) -> Outcome:
        try:
            return act(host)
        except ServiceError as error:
            return Outcome(host, False, str(error))

    with ThreadPoolExecutor(AT_ONCE, "fleet") as pool:
        yield from pool.map(guarded, hosts)


def run_there(
    ssh: Ssh, system: SystemConfig, host: str, *arguments: str, patience: float = 30
) -> Answer:
    """Run the deployed Python on a host, with its settings as the last argument."""
    directory = str(system.working_dir)
    settings = f"{directory}/conf/{SETTINGS_FILE}"
    command = shlex.join(["sh", "-c", _COMMAND, directory, "-m", *arguments, settings])
    return ssh.run(host, command, patience=patience)


def look(ssh: Ssh, system: SystemConfig, host: str) -> Seen | None:
    """What is there; None if nothing is deployed. Raises Unreachable, ServiceError."""
    answer = run_there(ssh, system, host, "ossimport.fleet")
    if answer.code == NOT_DEPLOYED:
        return None
    if answer.code:
        raise ServiceError(answer.err or f"exit code {answer.code}")
    return here.read(answer.out)


def start(system: SystemConfig) -> Iterator[Outcome]:
    """Start the workers of all hosts in conf/workers; those that run stay as they are."""
    hosts, before = members.others(system), members.started(system)
    ssh, own = Ssh(system), package.pack().build
    members.note_started(system, hosts)

    def act(host: str) -> Outcome:
        seen = look(ssh, system, host)
        if seen is None:
            return Outcome(host, False, NOTHING)
        answer = run_there(ssh, system, host, "ossimport", "start", "--sys", patience=START_S)
        if answer.code:
            return Outcome(host, False, answer.err or answer.out)
        return Outcome(host, True, "\n".join([answer.out, *skew(host, seen, own)]))

    for outcome in each(hosts, act):
        if not outcome.done and outcome.host not in before:
            members.note_stopped(system, (outcome.host,))
        yield outcome


def stop(system: SystemConfig, hosts: tuple[str, ...]) -> Iterator[Outcome]:
    """Stop workers: they finish the objects in flight and hand back the rest of their tasks.

    A host that does not answer is still remembered, unless conf/workers names it no more: then
    it may well be gone for good.
    """
    ssh, listed = Ssh(system), members.others(system)

    def act(host: str) -> Outcome:
        answer = run_there(
            ssh, system, host, "ossimport", "stop", "--sys", patience=LONGEST_STOP_S + 10
        )
        if answer.code == NOT_DEPLOYED:
            return Outcome(host, True, NOTHING.partition("\n")[0])
        return Outcome(host, not answer.code, answer.err or answer.out)

    for outcome in each(hosts, act):
        if outcome.done or outcome.host not in listed:
            members.note_stopped(system, (outcome.host,))
        yield outcome
