"""Open a job's destination as its settings say.

It brings oss2, which is slow to import: a worker does that before it forks, others when they
need it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ossimport.config import DestConfig
from ossimport.credentials import keys_of
from ossimport.dest.base import Destination
from ossimport.dest.oss import OssDestination
from ossimport.transport import Endpoint, Transport


def open_dest(config: DestConfig, transport: Transport) -> Destination:
    """The destination over a transport, which stays its maker's. Nothing is sent yet."""
    return OssDestination(
        endpoint=Endpoint(config.scheme, config.host, config.port),
        bucket=config.bucket,
        keys=keys_of(config, "destCredentials"),
        region=config.region,
        transport=transport,
    )


@asynccontextmanager
async def opened(config: DestConfig, connections: int = 2) -> AsyncIterator[Destination]:
    """The destination with a transport of its own, for a few requests; both are closed."""
    transport = Transport(max_connections=connections)
    try:
        dest = open_dest(config, transport)
        try:
            yield dest
        finally:
            await dest.close()
    finally:
        await transport.close()
