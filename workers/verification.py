"""See by the destination's own listing that it holds what a task has copied."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ossimport import audit, naming
from ossimport.engine import CopyEngine
from ossimport.listed import PAGE
from ossimport.model import CopyResult, Mark, Outcome
from workers.notes import Notes

log = logging.getLogger(__name__)

AHEAD_S = 0.2  # between two looks at what may be verified


class Verification:
    """Of one task. `copy` copies an object once more."""

    def __init__(
        self,
        task_id: str,
        notes: Notes,
        engine: CopyEngine,
        copy: Callable[[int], Awaitable[CopyResult]],
    ) -> None:
        self._task_id = task_id
        self._notes = notes
        self._engine = engine
        self._copy = copy
        self._verified = 0  # up to this object
        self._at_work = asyncio.Lock()

    async def of(self, copying: Awaitable[None], *, stopping: Callable[[], bool]) -> None:
        """Verify what has been copied while the rest still is, then the rest: nobody waits.

        Leaves out the rest when `copying` has ended by the order to stop.
        """
        ahead = asyncio.create_task(self._verify_ahead())
        try:
            await copying
            if Mark.LEFT in self._notes.marks and stopping():
                return
            async with self._at_work:
                ahead.cancel()
        finally:
            ahead.cancel()
            # If it gave up, for whatever reason, what follows meets that reason again.
            await asyncio.gather(ahead, return_exceptions=True)
        await self._verify(range(self._verified, len(self._notes.marks)))

    async def _verify_ahead(self) -> None:
        """Verify stretches of a page each, as far as they are sorted: others take many pages."""
        notes = self._notes
        while True:
            await asyncio.sleep(AHEAD_S)
            stretch = range(self._verified, self._verified + PAGE)
            while notes.marks.find(Mark.LEFT, stretch.start) >= stretch.stop:
                keys = [notes.objects[index].key for index in stretch]
                if keys != sorted(keys):
                    return
                async with self._at_work:
                    await self._verify(stretch)
                    self._verified = stretch.stop
                stretch = range(stretch.stop, stretch.stop + PAGE)

    async def _verify(self, indexes: range) -> None:
        """See that the objects are there.

        One that is not is copied once more; if it is still not there then, it has failed.
        """
        notes = self._notes
        there = [i for i in indexes if notes.marks[i] not in (Mark.FAILED, Mark.VANISHED)]
        for index in await self._absent(there):
            shown = naming.display(notes.objects[index].key)
            log.warning("task %s: %s is not there", self._task_id, shown)
            notes.take_back(index)
            result = await self._copy(index)
            notes.note(index, result)
            if result.outcome is Outcome.COPIED and await self._absent([index]):
                notes.take_back(index)
                text = "OSS answered that it stored the object, but does not list it"
                code = "NotAtDestination"
                notes.note(index, CopyResult(Outcome.FAILED, result.size, code=code, message=text))

    async def _absent(self, indexes: list[int]) -> list[int]:
        notes, prefix, ends = self._notes, self._engine.policy.dest_prefix, self._engine.ends
        by_key = {naming.dest_key(prefix, notes.objects[i].key): i for i in indexes}
        expected = [(key, notes.size(i)) for key, i in by_key.items()]
        missing = await audit.absent(ends.dest, prefix, expected, ask=ends.ask_dest)
        return [by_key[key] for key in missing]
