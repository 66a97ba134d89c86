"""Open a job's destination for a few requests: checks and clearing away, not copying."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ossimport.config import DestConfig
from ossimport.credentials import keys_of
from ossimport.dest.base import Destination
from ossimport.transport import Endpoint, Transport


@asynccontextmanager
async def opened(config: DestConfig, connections: int = 2) -> AsyncIterator[Destination]:
    """The destination with a transport of its own; both are closed at the end."""
    # oss2 is slow to import: only those who talk to OSS shall pay for it.
    from ossimport.dest.oss import OssDestination  # noqa: PLC0415

    transport = Transport(max_connections=connections)
    try:
        dest = OssDestination(
            endpoint=Endpoint(config.scheme, config.host, config.port),
            bucket=config.bucket,
            keys=keys_of(config, "destCredentials"),
            region=config.region,
            transport=transport,
        )
        try:
            yield dest
        finally:
            await dest.close()
    finally:
        await transport.close()
