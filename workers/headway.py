"""How far one claim has come, and how fast: for the tracker, and for who shares the task."""

import time
from collections.abc import Callable

from ossimport.ledger.arithmetic import count_marked
from ossimport.model import Mark
from workers import shares
from workers.notes import Notes


class Headway:
    """Since the claim. `moving` tells the bytes at the destination of large unfinished objects."""

    def __init__(self, notes: Notes, moving: Callable[[], int]) -> None:
        self._notes = notes
        self._moving = moving
        self._began = time.monotonic()
        self._bytes_before = notes.bytes_done
        self._objects_before = self.objects_done

    @property
    def objects_total(self) -> int:
        """Those that were not given away."""
        return len(self._notes.objects) - self._notes.marks.count(Mark.GIVEN)

    @property
    def objects_done(self) -> int:
        """Those that have an outcome."""
        return count_marked(self._notes.marks)

    @property
    def pace(self) -> float:
        """Bytes per second; what an object costs besides its bytes counts as some."""
        done = self._notes.bytes_done - self._bytes_before + self._moving()
        done += shares.PER_OBJECT * (self.objects_done - self._objects_before)
        return max(1, done) / max(time.monotonic() - self._began, 0.001)

    def describe(self) -> str:
        """The task in one line, for the tracker: `33% 2/6 obj 41.2MB/s`."""
        total, objects = self.objects_total, self.objects_done
        moved, bytes_total = self._notes.bytes_done + self._moving(), self._notes.bytes_total
        seconds = max(time.monotonic() - self._began, 0.001)
        speed = (moved - self._bytes_before) / seconds / 1e6
        share = moved / bytes_total if bytes_total else objects / max(total, 1)
        return f"{share:.0%} {objects}/{total} obj {speed:.1f}MB/s"
