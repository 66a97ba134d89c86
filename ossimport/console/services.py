"""start and stop."""

import click

from ossimport import tracker
from ossimport.config import SystemConfig
from ossimport.console.options import with_system
from ossimport.service import control


@click.command()
@with_system
def start(system: SystemConfig) -> None:
    """Start the import service of this installation and wait until all of it answers."""
    if control.supervisor(system):
        click.echo("Import service is running already.")
    start_service(system)


@click.command()
@with_system
def stop(system: SystemConfig) -> None:
    """Stop the import service of this installation. A later start goes on where it was."""
    if control.stop(system):
        click.echo("Stop import service completed.")
    else:
        click.echo("Import service is not running.")


def start_service(system: SystemConfig, *, flower: bool = True) -> None:
    """Start the service if need be, and say where Flower is and what does not run."""
    status = control.start(system, flower=flower)
    click.echo("Start import service completed.")
    if "monitor" in status.processes:
        click.echo(
            f"Flower: http://127.0.0.1:{system.flower_port} (user {tracker.USER}, password in"
            f" {tracker.password_file(system)})"
        )
    for trouble in status.troubles:
        click.echo(f"Warning: {trouble}", err=True)
