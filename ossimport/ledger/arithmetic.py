"""What both ledgers compute alike. Pure functions."""

from ossimport.model import Mark


def count_marked(marks: bytes) -> int:
    """How many objects of a task have an outcome."""
    return len(marks) - marks.count(Mark.LEFT)


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded down."""
    return int(seconds * 1000)
