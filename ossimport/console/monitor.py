"""monitor."""

import click

from ossimport.config import SystemConfig
from ossimport.console.options import with_system
from ossimport.tracker import run_monitor


@click.command()
@with_system
def monitor(system: SystemConfig) -> None:
    """Run Flower on flowerPort until SIGTERM or Ctrl-C."""
    run_monitor(system)
