"""deploy, and what start, stop and stat do and say of the other hosts of conf/workers."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ossimport.config import SystemConfig
from ossimport.console.options import with_system
from ossimport.console.outcome import DONE, STOPPED
from ossimport.fleet import control, members
from ossimport.fleet.control import Outcome
from ossimport.fleet.deploy import deploy as bring
from ossimport.fleet.states import HostState


@click.command()
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory of wheels to install from, for hosts without a package index.",
)
@with_system
def deploy(system: SystemConfig, wheelhouse: Path | None) -> int:
    """Bring this build and its settings to every other host of conf/workers."""
    if not members.others(system):
        click.echo(f"{members.workers_file(system)} names no other host; there is nothing to do.")
        return DONE
    _warn_of_password(system)
    return _report(bring(system, wheelhouse))


def start_hosts(system: SystemConfig) -> int:
    """Start the workers of the other hosts, if there are any; return the exit code."""
    if not members.others(system):
        return DONE
    _warn_of_password(system)
    return _report(control.start(system))


def stop_hosts(system: SystemConfig, hosts: Iterable[str] = ()) -> int:
    """Stop the workers of these hosts, else of all that may run; return the exit code."""
    known = tuple(dict.fromkeys((*members.others(system), *members.started(system))))
    chosen = tuple(hosts) or known
    for host in chosen:
        if host not in known:
            raise click.UsageError(
                f"{members.workers_file(system)} names no other host {host}; without a name, all"
                " of the service is stopped; a job is held by: bash console.sh pause JOB"
            )
    return _report(control.stop(system, chosen)) if chosen else DONE


def hosts_json(states: Iterable[HostState]) -> list[dict[str, Any]]:
    """For `stat --json`."""
    return [asdict(state) for state in states]


def hosts_text(states: list[HostState]) -> str:
    """A line for each host, and below it what the operator should know."""
    rows = [(state.host, state.state, state.version or "-", _processes(state)) for state in states]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["hosts:"]
    for row, state in zip(rows, states, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append(f"  {'  '.join([*cells, row[3]])}".rstrip())
        lines += [f"    {line}" for note in state.notes for line in note.splitlines()]
    return "\n".join(lines)


def _processes(state: HostState) -> str:
    return ", ".join(
        name if said == "running" else f"{name} ({said})" for name, said in state.processes.items()
    )


def _report(outcomes: Iterable[Outcome]) -> int:
    """Say what came of each host, as it is known. Bad news goes to standard error."""
    code = DONE
    for outcome in outcomes:
        click.echo(f"{outcome.host}: {outcome.text}", err=not outcome.done)
        if not outcome.done:
            code = STOPPED
    return code


def _warn_of_password(system: SystemConfig) -> None:
    if system.ssh_password:
        click.echo(
            "Warning: workerPassword lies in the settings for whoever can read them; use a key.\n"
            "    cure: ssh-copy-id to each host, then leave workerPassword empty",
            err=True,
        )
