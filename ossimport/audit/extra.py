"""Which of the destination's objects the source does not have: an audit the other way round.

The job scans the destination as if it were a source. Its tasks ask the real source for each of the
objects: by the page where that lists keys in order, else one by one.
"""

from collections.abc import Sequence

from ossimport.audit.compare import Code
from ossimport.copying import Copying, CopyPolicy, Ends, Engine, SaveUpload
from ossimport.engine import CopyEngine
from ossimport.errors import Permanent, Transient
from ossimport.listed import NOTHING_LISTED, Listed, list_range
from ossimport.model import CopyResult, ObjectInfo, Outcome, Proof, Upload
from ossimport.parts import PartsCopy
from ossimport.sources.base import Listable
from ossimport.wording import counted


class ExtraAuditor:
    """Looks for the destination's objects at the source. Reads no bytes and writes none."""

    def __init__(self, engine: CopyEngine) -> None:
        """`engine` has both ends."""
        self._engine = engine

    @property
    def policy(self) -> CopyPolicy:
        return self._engine.policy

    @property
    def ends(self) -> Ends:
        return self._engine.ends

    @property
    def parts(self) -> PartsCopy:
        return self._engine.parts

    @property
    def moving(self) -> int:
        """Nothing is copied."""
        return 0

    async def close(self) -> None:
        """Give back what both ends hold. Idempotent."""
        await self._engine.close()

    async def look_ahead(self, objects: Sequence[ObjectInfo], *, begun_before: bool) -> Listed:
        """List the source between these keys, if it can."""
        source = self.ends.source
        if not isinstance(source, Listable):
            return NOTHING_LISTED
        keys = [info.key for info in objects]
        return await list_range(source.list, keys, ask=self.ends.at_source.ask)

    async def copy(
        self,
        info: ObjectInfo,
        *,
        upload: Upload | None = None,
        save: SaveUpload,
        begun_before: bool = False,
        listed: Listed = NOTHING_LISTED,
    ) -> CopyResult:
        """See if the source has an object of the key of `info`. Raises only Fatal."""
        it = Copying(info, save)
        try:
            if info.key not in listed.found:  # a listing that lacks it is asked once more
                await self.ends.at_source.ask(self.ends.source.stat, info.key, it=it)
        except (Permanent, Transient) as exc:
            if exc.code != "NotFound":
                return it.refused(exc)
            size = counted(info.size, "byte")
            text = f"the destination has {size}, the source has no such object"
            return it.ended(Outcome.FAILED, code=Code.EXTRA, message=text)
        return it.ended(Outcome.SKIPPED, Proof.NONE)


_check: type[Engine] = ExtraAuditor
