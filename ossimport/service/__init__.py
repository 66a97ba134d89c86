"""The processes of one installation: where their Redis is, how they are started, watched, stopped.

`embedded` is the Redis server, `programs` what is run, `supervisor` the process that keeps it
running, `control` what the console's start and stop do, `borrow` the Redis and the sandbox for
verbs that need them while no service runs. `pulse` is how each of them says that it works.
"""

from ossimport.config import SystemConfig
from ossimport.service.embedded import EmbeddedServer


def redis_url(system: SystemConfig) -> str:
    """The Redis of this installation: `redisUrl`, else the embedded one. Raises ServiceError."""
    return system.redis_url.reveal() or EmbeddedServer(system.working_dir).url
