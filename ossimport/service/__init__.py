"""The processes of one installation: where their Redis is, how they are started, watched, stopped.

`embedded` is the Redis server, `programs` what is run, `supervisor` the process that keeps it
running, `control` what the console's start and stop do, `borrow` the Redis and the sandbox for
verbs that need them while no service runs.
"""

import os
from pathlib import Path

from ossimport.config import SystemConfig
from ossimport.service.embedded import EmbeddedServer

# Names the file by which a process tells its supervisor that it does its work now.
READY_FILE = "OSSIMPORT_READY_FILE"


def redis_url(system: SystemConfig) -> str:
    """The Redis of this installation: `redisUrl`, else the embedded one. Raises ServiceError."""
    return system.redis_url.reveal() or EmbeddedServer(system.working_dir).url


def say_ready() -> None:
    """Tell the supervisor, if there is one, that this process does its work now."""
    path = os.environ.get(READY_FILE)
    if path:
        Path(path).touch()
