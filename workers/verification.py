"""See by the destination's own word that it holds what a task has copied."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from ossimport import naming
from ossimport.audit import arrived
from ossimport.audit.arrived import NOTHING_WRITTEN, Expected, Written
from ossimport.audit.compare import RESULT_OF, Mode
from ossimport.copying import Engine
from ossimport.listed import PAGE, together
from ossimport.model import CopyResult, Mark, Outcome, Upload
from workers.notes import Notes

log = logging.getLogger(__name__)

AHEAD_S = 0.05  # between two looks at what may be verified

_NOT_THERE = frozenset({Mark.FAILED, Mark.VANISHED, Mark.GIVEN})


class Checks(NamedTuple):
    """What is to be seen of each object."""

    mode: Mode = Mode.SIMPLE
    not_after_ns: int = 0  # objects changed later than this are left out; 0 = none are
    auditor: Engine | None = None  # for DETAILED: compares what this run did not copy


class Verification:
    """Of one task. `copy` copies an object once more."""

    def __init__(
        self,
        task_id: str,
        notes: Notes,
        engine: Engine,
        checks: Checks,
        copy: Callable[[int], Awaitable[CopyResult]],
    ) -> None:
        self._task_id = task_id
        self._notes = notes
        self._engine = engine
        self._checks = checks
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
        """Verify one stretch after another, as far as they are sorted: others take many pages."""
        while True:
            await asyncio.sleep(AHEAD_S)
            while stretch := self._copied_stretch():
                keys = [self._notes.objects[index].key for index in stretch]
                if keys != sorted(keys):
                    return
                async with self._at_work:
                    await self._verify(stretch)
                    self._verified = stretch.stop

    def _copied_stretch(self) -> range:
        """What is worth a listing now: a page, and parts of it when the end is near, so that there
        is little to verify while nothing is copied any more."""
        marks, start = self._notes.marks, self._verified
        copied = marks.find(Mark.LEFT, start)
        if copied >= start + PAGE:
            return range(start, start + PAGE)
        is_worth_it = copied >= start + PAGE // 4 and len(marks) - copied <= PAGE // 2
        return range(start, copied if is_worth_it else start)

    async def _verify(self, indexes: range) -> None:
        """See that the objects are there.

        One that is not is copied once more; if it is still not there then, it has failed.
        """
        notes = self._notes
        for index in await self._absent(self._verified_of(indexes)):
            shown = naming.display(notes.objects[index].key)
            log.warning("task %s: %s is not there", self._task_id, shown)
            notes.take_back(index)
            result = await self._copy(index)
            notes.note(index, result)
            if result.outcome is Outcome.COPIED and await self._absent([index]):
                notes.take_back(index)
                text = "OSS answered that it stored the object, but does not show it as it was sent"
                code = "NotAtDestination"
                notes.note(index, CopyResult(Outcome.FAILED, result.size, code=code, message=text))

    def _verified_of(self, indexes: range) -> list[int]:
        """Those of the objects that should be there."""
        marks, objects = self._notes.marks, self._notes.objects
        there = [i for i in indexes if marks[i] not in _NOT_THERE]
        if not_after := self._checks.not_after_ns:
            return [i for i in there if objects[i].mtime_ns <= not_after]
        return there

    async def _absent(self, indexes: list[int]) -> list[int]:
        """Those of the objects that the destination does not hold as they were copied."""
        ends, written = self._engine.ends, self._notes.written
        if self._checks.mode is not Mode.DETAILED:
            if self._checks.mode is Mode.SIMPLE:
                written = {}
            prefix, expected = self._engine.policy.dest_prefix, self._expected(indexes, written)
            missing = await arrived.absent(ends.dest, prefix, expected, ask=ends.at_dest.ask)
            return self._of_keys(indexes, missing)
        own = [i for i in indexes if i in written]
        missing = await arrived.unproved(
            ends.dest, self._expected(own, written), ask=ends.at_dest.ask
        )
        others = [i for i in indexes if i not in written]
        return self._of_keys(own, missing) + await self._different(others)

    def _expected(self, indexes: Iterable[int], written: Mapping[int, Written]) -> Expected:
        # Keys are as `naming.dest_key` makes them: an object that can have none has failed.
        objects, size = self._notes.objects, self._notes.size
        prefix = self._engine.policy.dest_prefix
        return {
            prefix + objects[i].key: (size(i), written.get(i, NOTHING_WRITTEN)) for i in indexes
        }

    def _of_keys(self, indexes: list[int], keys: Collection[str]) -> list[int]:
        """Those of the objects that have one of these keys at the destination: mostly none."""
        prefix, objects = self._engine.policy.dest_prefix, self._notes.objects
        return [i for i in indexes if prefix + objects[i].key in keys] if keys else []

    async def _different(self, indexes: list[int]) -> list[int]:
        """Those of the objects that are not what the source has: none of them did this run copy."""
        auditor = self._checks.auditor
        if auditor is None:
            return []
        different: list[int] = []
        todo = iter(indexes)

        async def take() -> None:
            for index in todo:
                result = await auditor.copy(self._notes.objects[index], save=_nothing)
                if result.outcome is Outcome.FAILED and result.code in RESULT_OF:
                    different.append(index)

        await together(take() for _ in range(min(arrived.IN_FLIGHT, len(indexes))))
        return different


async def _nothing(upload: Upload | None) -> None:
    """Nothing is uploaded by who only compares."""
