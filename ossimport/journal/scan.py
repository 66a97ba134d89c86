"""How far the scan of a job has come, on disk: the checkpoint and the lists that belong to it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ossimport.journal import files, texts
from ossimport.journal.texts import Checkpoint
from ossimport.ledger.base import PlanStep, ScanFailure, ScanState
from ossimport.model import Lane, Scanned, Tally

EXCLUDED_LIST = "excluded.list"
FAILURES_LIST = "scan_failures.list"


class ScanRecord:
    """The checkpoint of one job, kept in memory too. Every change is durable when it returns."""

    def __init__(self, root: Path, job: str) -> None:
        digest = hashlib.md5(job.encode(), usedforsecurity=False).hexdigest().upper()
        self.path = root / "checkpoints" / "0" / f"{digest}.cpt"
        self._root = root
        self._point: Checkpoint | None = None

    @property
    def point(self) -> Checkpoint:
        """The last checkpoint; step 0 when there is none."""
        if self._point is None:
            data = files.read(self.path)
            self._point = Checkpoint() if data is None else texts.parse_checkpoint(self.path, data)
        return self._point

    def advance(
        self, step: PlanStep, lanes: Mapping[int, Lane], excluded: Sequence[Scanned]
    ) -> None:
        """Move on by one step. What it adds to the lists counts once the checkpoint is there."""
        point = self.point
        before = point.excluded
        excluded_end = self._lengthen(
            EXCLUDED_LIST, point.excluded_end, texts.excluded_text(excluded)
        )
        failures_end = self._lengthen(
            FAILURES_LIST, point.failures_end, texts.failures_text(step.failures, step.seq)
        )
        self._save(
            replace(
                point,
                seq=step.seq,
                lanes=dict(lanes),
                finished=False,
                excluded=Tally(before.objects + step.excluded, before.bytes + step.excluded_bytes),
                unchanged=Tally(
                    point.unchanged.objects + step.unchanged.objects,
                    point.unchanged.bytes + step.unchanged.bytes,
                ),
                excluded_end=excluded_end,
                failures_end=failures_end,
            )
        )

    def finish(self) -> None:
        """No lane is left."""
        if not self.point.finished:
            self._save(replace(self.point, lanes={}, finished=True))

    def rescan(self, scan: ScanState) -> None:
        """The failures so far have become lanes, as `scan` has them."""
        self._save(
            replace(
                self.point,
                lanes=dict(scan.lanes),
                finished=scan.finished,
                failures_from=self.point.failures_end,
                rescanned_after=self.point.seq,
            )
        )

    def failures(self) -> list[tuple[int, ScanFailure]]:
        """What could not be listed and was not scanned again since, with the step's number."""
        point = self.point
        path = self._root / FAILURES_LIST
        data = files.read(path) or b""
        return texts.parse_failures(path, data[point.failures_from : point.failures_end])

    def forget(self) -> None:
        """Read the checkpoint anew when it is asked for."""
        self._point = None

    def _save(self, point: Checkpoint) -> None:
        files.write(self.path, texts.checkpoint_text(point))
        files.sync_dir(self.path.parent)
        self._point = point

    def _lengthen(self, name: str, end: int, text: bytes) -> int:
        """Put `text` behind what counts of a list; return where it ends then."""
        if text:
            path = self._root / name
            files.write_at(path, end, text)
            files.end_at(path, end + len(text))
            files.sync_dir(self._root)
        return end + len(text)
