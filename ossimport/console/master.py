"""master."""

import signal
from types import FrameType

import click

from ossimport import service
from ossimport.config import SystemConfig
from ossimport.console.options import with_system
from ossimport.master import run_master
from ossimport.service import logs
from ossimport.service.control import prepare
from ossimport.service.pulse import Pulse


@click.command()
@with_system
def master(system: SystemConfig) -> None:
    """Scan, plan, dispatch and close jobs until SIGTERM or Ctrl-C."""
    prepare(system)
    logs.log_to(system.working_dir / "logs" / "import.log")
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    run_master(
        system,
        service.redis_url(system),
        stopping=lambda: stopping,
        beat=Pulse().beat,
    )
