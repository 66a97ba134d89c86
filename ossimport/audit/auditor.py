"""Compare one object with its copy. In a job's tasks the auditor has the place of the engine.

A copy that matches is `skipped`: the destination has it already. One that does not has `failed`,
with a code of `compare.Code`; so `retry` compares again what did not match. Only with `repair`
is anything written: then what does not match is copied.
"""

from collections.abc import Sequence

from ossimport import naming
from ossimport.audit.compare import (
    Code,
    Difference,
    Mode,
    age_difference,
    header_difference,
    size_difference,
)
from ossimport.audit.content import Contents, Pace
from ossimport.copying import (
    Copying,
    CopyPolicy,
    Ends,
    Engine,
    SaveUpload,
    expected_headers,
    list_dest,
    renew,
)
from ossimport.dest.base import Described
from ossimport.engine import CopyEngine
from ossimport.errors import Permanent, Transient
from ossimport.listed import NOTHING_LISTED, Listed
from ossimport.model import CopyResult, ObjectInfo, Outcome, Proof, Upload
from ossimport.parts import PartsCopy
from ossimport.sources.base import Source
from ossimport.wording import counted


class Auditor:
    """Compares objects of one job on one event loop."""

    def __init__(
        self,
        engine: CopyEngine,
        mode: Mode,
        *,
        repair: bool = False,
        copies: Source | None = None,
        pace: Pace | None = None,
    ) -> None:
        """`engine` has both ends, and copies if need be. `copies`: the destination, to be read.

        `pace` is asked before bytes are read.
        """
        self._engine = engine
        self._contents = Contents(engine.ends, engine.policy, copies=copies, pace=pace)
        self._mode = mode
        self._repair = repair
        self._copies = copies

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
        """Bytes of large objects that are not done: read, or at the destination in a repair."""
        return self._contents.moving + self._engine.moving

    async def close(self) -> None:
        """Give back what both ends hold. Idempotent."""
        await self._engine.close()
        if self._copies is not None:
            await self._copies.close()

    async def look_ahead(self, objects: Sequence[ObjectInfo], *, begun_before: bool) -> Listed:
        """List sizes. Whatever else is asked for of an object says its size as well."""
        if self._mode is not Mode.SIMPLE:
            return NOTHING_LISTED
        return await list_dest(self.ends, self.policy.dest_prefix, objects)

    async def copy(
        self,
        info: ObjectInfo,
        *,
        upload: Upload | None = None,
        save: SaveUpload,
        begun_before: bool = False,
        listed: Listed = NOTHING_LISTED,
    ) -> CopyResult:
        """Compare one object with its copy and say how that ended. Raises only Fatal."""
        it = Copying(info, save, listed=listed)
        try:
            found = await self._audit(it)
        except (Permanent, Transient) as exc:
            return it.refused(exc)
        if isinstance(found, Proof):
            return it.ended(Outcome.SKIPPED, found)
        if self._repair:
            return await self._mend(it, found, upload)
        return it.ended(Outcome.FAILED, code=found.code, message=found.message)

    async def _mend(self, it: Copying, found: Difference, upload: Upload | None) -> CopyResult:
        """Copy what does not match; the result still tells what was wrong."""
        result = await self._engine.copy(it.info, upload=upload, save=it.save, begun_before=True)
        if result.outcome is Outcome.COPIED:
            return result._replace(code=found.code, message=f"before: {found.message}")
        if result.outcome is Outcome.FAILED:
            message = f"{found.message}; not repaired, {result.code}: {result.message}"
            return result._replace(code=found.code, message=message)
        return result

    async def _audit(self, it: Copying) -> Proof | Difference:
        """What differs, or how well it is proved that nothing does.

        A difference counts if it was seen in what the destination says now, and if the source has
        not changed meanwhile. Who looks at two ends that both may move looks again, a few times.
        """
        key = naming.dest_key(self.policy.dest_prefix, it.info.key)
        found: Proof | Difference = Difference(Code.MISSING, "")
        for _ in range(self.policy.changes):
            version, looks_again = it.info, key in it.listed.seen
            try:
                found = await self._look(it, key)
            except Permanent as exc:
                if exc.code != "SourceChanged":
                    raise
                found, looks_again = Difference(Code.CONTENT, f"it never held still: {exc}"), True
            if isinstance(found, Proof):
                return found
            it.listed = NOTHING_LISTED
            it.info = await self.ends.at_source.ask(renew, self.ends.source, it.info, it=it)
            if it.info[:4] == version[:4] and not looks_again:  # only `stat` knows a CRC64
                break
        return found

    async def _look(self, it: Copying, key: str) -> Proof | Difference:
        """Compare what both ends have now. Raises Permanent SourceChanged where one moves."""
        if key in it.listed.seen:
            listed = it.listed.found.get(key)
            copy = Described(listed, {}) if listed is not None else None
        else:
            copy = await self.ends.at_dest.ask(self.ends.dest.describe, key, it=it)
        if copy is None:
            size = counted(it.info.size, "byte")
            text = f"the source has {size}, the destination has no such object"
            return Difference(Code.MISSING, text)
        other_size = size_difference(it.info, copy.info)
        if other_size is not None:
            return other_size
        if self._mode is Mode.SIMPLE:
            return Proof.SIZE
        return await self._look_closely(it, key, copy)

    async def _look_closely(self, it: Copying, key: str, copy: Described) -> Proof | Difference:
        ends = self.ends
        about = await ends.at_source.ask(ends.source.read, it.info, 0, 0, it=it)
        wanted = expected_headers(self.policy, it.info, about)
        differences = [age_difference(it.info, copy, wanted), header_difference(copy, wanted)]
        proof = Proof.SIZE
        if self._mode is Mode.DETAILED:
            content, proof = await self._contents.checksum_difference(it, copy.info, about)
            differences.insert(0, content)
        elif self._mode is Mode.DEEP:
            held = copy.info._replace(key=it.info.key)
            differences.insert(0, await self._contents.byte_difference(it, held))
            proof = Proof.SOURCE
        found = [each for each in differences if each is not None]
        if not found:
            return proof
        said = [each.message for each in found]
        if self._mode in {Mode.DETAILED, Mode.DEEP} and found[0].code is not Code.CONTENT:
            said.append("the bytes are the same")
        return Difference(found[0].code, "; ".join(said))


_check: type[Engine] = Auditor
