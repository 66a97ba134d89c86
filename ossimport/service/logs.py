"""Log files, named as the original names them.

Several processes write to import.log at once. Each reopens it when it has been moved, so that
one of them, the supervisor, can rotate it by renaming.
"""

import logging
from logging.handlers import WatchedFileHandler
from pathlib import Path

LIMIT_BYTES = 50 * 1024 * 1024
KEPT = 5  # older ones, import.log.1 the youngest


def log_to(path: Path | None) -> None:
    """Send this process's log to the file, None: to standard error."""
    handler = WatchedFileHandler(path, encoding="utf-8") if path else logging.StreamHandler()
    # A file name that is not UTF-8 must not stop the log.
    handler.setFormatter(
        logging.Formatter("[%(asctime)s] [%(levelname)s] [%(processName)s] %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def rotate(path: Path, *, over: int = LIMIT_BYTES) -> None:
    """Move the log away if it is longer than `over` bytes, and drop the oldest."""
    if not path.exists() or path.stat().st_size <= over:
        return
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
