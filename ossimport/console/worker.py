"""worker."""

import os
import subprocess
import sys

import click

from ossimport.config import SystemConfig
from ossimport.console.options import with_system
from ossimport.service.control import prepare

WINDOWS = sys.platform == "win32"


@click.command()
@with_system
def worker(system: SystemConfig) -> None:
    """Run a Celery worker that copies objects until SIGTERM or Ctrl-C."""
    prepare(system)
    pool = "threads" if WINDOWS else "prefork"
    command = [
        *(sys.executable, "-m", "celery", "--quiet", "-A", "workers.app", "worker"),
        *(f"--pool={pool}", f"--concurrency={system.worker_processes}"),
        *("--hostname=ossimport@%h", "--events", "--without-gossip", "--without-mingle"),
    ]
    environment = {**os.environ, "OSSIMPORT_SYS": str(system.path)}
    if WINDOWS:  # its exec would leave this process's parent without a child to wait for
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    # In place of this process, so that signals meet the worker itself.
    os.execve(command[0], command, environment)  # noqa: S606 -- an argument list, no shell
