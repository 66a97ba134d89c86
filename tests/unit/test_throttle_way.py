"""The way to an endpoint, when its gates are changed under those who wait."""

import asyncio
import math

from ossimport.limits.gate import Gate
from ossimport.limits.way import Way


async def test_who_waits_at_a_gate_that_goes_waits_at_the_next_one() -> None:
    closed, narrow = Gate(), Gate()
    closed.set(0.0)
    narrow.set(1e-3)
    way = Way()
    way.lead([closed])
    waiting = [asyncio.create_task(way.begin(0, 0)) for _ in range(50)]
    await asyncio.sleep(0)
    way.lead([narrow])
    closed.set(math.inf)
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert len(done) <= 1  # what a gate saves up
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
