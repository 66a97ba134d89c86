"""What both ledgers compute alike. Pure functions."""

from ossimport.model import Mark, TaskState, Upload


def count_marked(marks: bytes | bytearray) -> int:
    """How many objects of a task have an outcome."""
    return len(marks) - marks.count(Mark.LEFT) - marks.count(Mark.GIVEN)


def earlier_claims(state: TaskState, marks: bytes, log_size: int) -> int:
    """How many claims a restored task counts for: one if it had begun, else none."""
    return int(state is TaskState.RUNNING or count_marked(marks) > 0 or log_size > 0)


def add_returned(uploads: dict[int, Upload], index: int, returned: Upload) -> None:
    """Add the parts that others made of the upload of an object, if it is still that upload."""
    upload = uploads.get(index)
    if upload is not None and upload.upload_id == returned.upload_id:
        uploads[index] = upload._replace(parts={**upload.parts, **returned.parts})


def thousandths(rate: float) -> int:
    """Whole thousandths of a unit, rounded down: sums of them are exact."""
    return int(rate * 1000)


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded down."""
    return int(seconds * 1000)
