"""monitor."""

import os
import sys

import click

from ossimport.config import SystemConfig
from ossimport.console.options import with_system
from ossimport.service.control import prepare
from ossimport.tracker import run_monitor


@click.command()
@with_system
def monitor(system: SystemConfig) -> None:
    """Run Flower on flowerPort until SIGTERM or Ctrl-C."""
    prepare(system)
    if sys.platform != "win32":
        os.nice(5)  # who looks on must not slow down who works
    run_monitor(system)
