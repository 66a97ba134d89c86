"""monitor."""

import os
import sys

import click

from ossimport.config import SystemConfig
from ossimport.console.options import with_system
from ossimport.errors import ServiceError
from ossimport.service import ports
from ossimport.service.control import prepare
from ossimport.tracker import port_of, run_monitor


@click.command()
@with_system
def monitor(system: SystemConfig) -> None:
    """Run Flower, the tracker, on flowerPort (5555 if that is empty) until SIGTERM or Ctrl-C."""
    prepare(system)
    if not ports.is_free(port_of(system)):
        raise ServiceError(
            f"Port {port_of(system)} of {ports.LOOPBACK} is in use; the service here may run Flower"
            " already.\n    cure: end that program, or give flowerPort another port"
        )
    if sys.platform != "win32":
        os.nice(5)  # who looks on must not slow down who works
    run_monitor(system)
