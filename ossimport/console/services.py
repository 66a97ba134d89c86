"""start and stop."""

import click

from ossimport import tracker
from ossimport.config import SystemConfig
from ossimport.console.fleet import start_hosts, stop_hosts
from ossimport.console.options import with_system
from ossimport.fleet import members
from ossimport.service import control


@click.command()
@with_system
def start(system: SystemConfig) -> int:
    """Start the import service, here and on all hosts, and wait until all of it answers."""
    if control.supervisor(system):
        click.echo("Import service is running already.")
    return start_service(system)


@click.command()
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@with_system
def stop(system: SystemConfig, hosts: tuple[str, ...]) -> int:
    """Stop the import service, here and on all hosts; or only the workers of the HOSTs named.

    A later start goes on where it was.
    """
    if hosts:
        return stop_hosts(system, hosts)
    stopped, code = stop_service(system)
    click.echo("Stop import service completed." if stopped else "Import service is not running.")
    return code


def stop_service(system: SystemConfig) -> tuple[bool, int]:
    """Stop all of it. Whether anything ran here, and the exit code.

    The other hosts come first: what they still tell, this host's master writes down.
    """
    code = stop_hosts(system)
    return control.stop(system), code


def start_service(system: SystemConfig, *, flower: bool = True) -> int:
    """Start the service if need be; say where Flower is and what does not run. The exit code."""
    members.check(system)
    status = control.start(system, flower=flower)
    click.echo("Start import service completed.")
    if "monitor" in status.processes:
        click.echo(
            f"Flower: http://127.0.0.1:{system.flower_port} (user {tracker.USER}, password in"
            f" {tracker.password_file(system)})"
        )
    for trouble in status.troubles:
        click.echo(f"Warning: {trouble}", err=True)
    return start_hosts(system)
