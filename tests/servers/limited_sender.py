"""A process that sends to a server as fast as its limits allow, until its standard input ends.

python -m tests.servers.limited_sender REDIS_URL PORT JOB NAME SIZE RUNNERS
"""

import asyncio
import sys

from ossimport.errors import Transient
from ossimport.ledger.redis import open_ledger
from ossimport.limiter import Limiter
from ossimport.transport import Endpoint, Transport


async def send(url: str, *, port: int, job: str, name: str, size: int, runners: int) -> None:
    """PUT bodies of `size` bytes, `runners` at a time."""
    limiter = Limiter(open_ledger(url), name)
    transport = Transport(max_connections=runners, way_to=limiter.way_to)
    endpoint, body = Endpoint("http", "127.0.0.1", port), bytes(size)

    async def go_on() -> None:
        while True:
            try:
                response = await transport.request(endpoint, "PUT", "/k", {}, body)
            except Transient:
                await asyncio.sleep(0.2)
            else:
                await asyncio.sleep(0.01 if response.status == 200 else 0.2)

    async with limiter.working(job):
        tasks = [asyncio.create_task(go_on()) for _ in range(runners)]
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await transport.close()


if __name__ == "__main__":
    url, port, job, name, size, runners = sys.argv[1:]
    what = send(url, port=int(port), job=job, name=name, size=int(size), runners=int(runners))
    asyncio.run(what)
