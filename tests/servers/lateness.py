"""How late an event loop is: what a busy machine takes from whoever measures time on it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_STEP_S = 0.01
_TOLERATED_S = 0.02  # of which nobody takes notice


class Lateness:
    """The times for which the loop stood still, while it should have run."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []  # when it went on, and for how long it had stood

    def seconds(self, begin: float = 0.0, end: float = float("inf")) -> float:
        """Between two moments of the monotonic clock, in all."""
        return sum(
            max(0.0, min(at, end) - max(at - late, begin)) for at, late in self._late if at > begin
        )

    async def watch(self) -> None:
        """Look at the clock again and again."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(_STEP_S)
            now = time.monotonic()
            if now - last > _STEP_S + _TOLERATED_S:
                self._late.append((now, now - last - _STEP_S))
            last = now


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """Watch the running loop."""
    found = Lateness()
    watching = asyncio.create_task(found.watch())
    try:
        yield found
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
