"""Log files, named as the original names them.

Several processes write to import.log at once. Each reopens it when it has been moved, so that
one of them, the supervisor, can rotate it by renaming.
"""

import logging
import os
import sys
from logging.handlers import WatchedFileHandler
from pathlib import Path

from ossimport.service import READY_FILE

# Set to `stdout`, as in a container, it sends the log there and to no file.
WHERE = "OSSIMPORT_LOG"
OUTPUT = "ossimport2.log"  # what the supervisor and all that it starts print
TAIL_LINES = 15
LIMIT_BYTES = 50 * 1024 * 1024
KEPT = 5  # older ones, import.log.1 the youngest
LINE = "[%(asctime)s] [%(levelname)s] [%(processName)s %(process)d] %(message)s"


def log_to(path: Path) -> None:
    """Send this process's log to the file; without a supervisor, to standard error as well.

    With OSSIMPORT_LOG=stdout it goes to standard output alone.
    """
    handlers: list[logging.Handler]
    if os.environ.get(WHERE) == "stdout":
        handlers = [logging.StreamHandler(sys.stdout)]
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names that are not UTF-8 are logged with their bytes escaped.
        handlers = [WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")]
        if READY_FILE not in os.environ:
            handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format=LINE, handlers=handlers, force=True)


def rotate(path: Path, *, over: int = LIMIT_BYTES) -> None:
    """Move the log away if it is longer than `over` bytes, and drop the oldest."""
    if not path.exists() or path.stat().st_size <= over:
        return
    for number in range(KEPT - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def tail(working_dir: Path) -> str:
    """What the processes of the service printed last, and where the rest of it is."""
    path = working_dir / "logs" / OUTPUT
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    last = [f"    | {line}" for line in lines[-TAIL_LINES:]]
    return "\n".join([*last, f"    cure: mend what these lines say; more of them in {path}"])
