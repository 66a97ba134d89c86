"""What both ledgers compute alike. Pure functions."""

from ossimport.model import Mark, TaskState


def count_marked(marks: bytes | bytearray) -> int:
    """How many objects of a task have an outcome."""
    return len(marks) - marks.count(Mark.LEFT) - marks.count(Mark.GIVEN)


def earlier_claims(state: TaskState, marks: bytes, log_size: int) -> int:
    """How many claims a restored task counts for: one if it had begun, else none."""
    return int(state is TaskState.RUNNING or count_marked(marks) > 0 or log_size > 0)


def thousandths(rate: float) -> int:
    """Whole thousandths of a unit, rounded down: sums of them are exact."""
    return int(rate * 1000)


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded down."""
    return int(seconds * 1000)
