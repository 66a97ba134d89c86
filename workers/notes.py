"""What became of a task's objects: marks, counts, and lines that are not written down yet."""

import time
from itertools import compress
from operator import attrgetter

import zstandard

from ossimport import auditlog, manifest
from ossimport.audit.arrived import Written
from ossimport.ledger.base import Claim, Flush
from ossimport.model import CopyResult, Mark, Upload, mark_of, sums_of_marks


class Notes:
    """Of one claim. `objects` and `marks` go by the object's number in the task."""

    def __init__(self, claim: Claim) -> None:
        self.objects = manifest.unpack(claim.manifest)
        self.marks = bytearray(claim.marks.ljust(len(self.objects), b"\0"))
        bytes_of = [0] * len(Mark)  # by mark
        ended = compress(zip(self.objects, self.marks, strict=True), self.marks)  # 0 is LEFT
        for info, mark in ended:
            bytes_of[mark] += info.size
        given = bytes_of[Mark.GIVEN]
        self.bytes_total = sum(map(attrgetter("size"), self.objects)) - given
        self._bytes_flushed = sum(bytes_of) - given
        self.written: dict[int, Written] = {}
        self._sizes: dict[int, int] = {}  # of objects that changed since they were listed
        self._reset()

    def _reset(self) -> None:
        self.lines: list[str] = []  # of audit.log
        self._objects_of = [0] * len(Mark)  # by mark
        self._bytes_of = [0] * len(Mark)

    @property
    def bytes_done(self) -> int:
        """Of the objects that have an outcome."""
        return self._bytes_flushed + sum(self._bytes_of)

    def size(self, index: int) -> int:
        """The object's size, as far as it is known by now."""
        return self._sizes.get(index, self.objects[index].size)

    def note(self, index: int, result: CopyResult) -> None:
        """Note how an object ended."""
        info = self.objects[index]
        mark = mark_of(result.outcome, result.proof, is_less=bool(result.unkept))
        self.marks[index] = mark
        size = info.size
        self._objects_of[mark] += 1
        self._bytes_of[mark] += size
        if result.etag:
            self.written[index] = result.etag, result.crc64
        if result.size != size:
            self._sizes[index] = result.size
        self.lines.append(auditlog.format_line(index, info.key, result, time.time()))

    def take_back(self, index: int) -> None:
        """Undo an outcome that turned out not to be true: the object is left again."""
        info, mark = self.objects[index], self.marks[index]
        self._objects_of[mark] -= 1
        self._bytes_of[mark] -= info.size
        self.marks[index] = Mark.LEFT
        self.written.pop(index, None)
        self._sizes.pop(index, None)
        self.lines.append(auditlog.format_check_failed(index, info.key, time.time()))

    def give(self, numbers: list[int], task_id: str) -> None:
        """Another task has these objects now."""
        for index in numbers:
            self.marks[index] = Mark.GIVEN
            self.bytes_total -= self.objects[index].size
        self.lines.append(auditlog.format_given(task_id, numbers, time.time()))

    def note_upload(self, index: int, known: Upload | None, upload: Upload | None) -> None:
        """Note that a multipart upload began, or that the `known` one ended."""
        key = self.objects[index].key
        if upload is not None:
            if known is None or known.upload_id != upload.upload_id:
                # Without a word about `known`: it could not be aborted, so `clean` has to.
                self.lines.append(auditlog.format_upload(index, key, upload, time.time()))
        elif known is not None:
            word = auditlog.UPLOAD_ENDED
            self.lines.append(auditlog.format_upload(index, key, known, time.time(), word=word))

    def take(self, number: int, moving: int) -> Flush:
        """All that was noted since the last time, as flush `number`."""
        text = "".join(self.lines).encode()
        objects, bytes_, proof, unkept = sums_of_marks(self._objects_of, self._bytes_of)
        self._bytes_flushed = self.bytes_done
        self._reset()
        return Flush(
            number=number,
            marks=bytes(self.marks),
            objects=objects,
            bytes_=bytes_,
            proof=proof,
            log=zstandard.compress(text, 1),
            log_size=len(text),
            moving=moving,
            unkept=unkept,
        )
