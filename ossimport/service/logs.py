"""Log files, named as the original names them.

Several processes write to import.log at once. Each reopens it when it has been moved, so that
one of them, the supervisor, can rotate it by renaming.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path

from ossimport.service.pulse import READY_FILE

# Set to `stdout`, as in a container, it sends the log there and to no file; `json`: one JSON object
# per line.
WHERE = "OSSIMPORT_LOG"
OUTPUT = "ossimport2.log"  # what the supervisor and all that it starts print
TAIL_LINES = 15
LIMIT_BYTES = 50 * 1024 * 1024
KEPT = 5  # older ones, import.log.1 the youngest
LINE = "[%(asctime)s] [%(levelname)s] [%(processName)s %(process)d] %(message)s"


def log_to(path: Path) -> None:
    """Send this process's log to the file; without a supervisor, to standard error as well.

    With OSSIMPORT_LOG=stdout or =json it goes to standard output alone.
    """
    if to_standard_output():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Names that are not UTF-8 are logged with their bytes escaped.
    handlers: list[logging.Handler] = [
        WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    ]
    if READY_FILE not in os.environ:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format=LINE, handlers=handlers, force=True)


def to_standard_output() -> bool:
    """Send this process's log there, if OSSIMPORT_LOG says so; False if it does not."""
    where = os.environ.get(WHERE)
    if where not in ("stdout", "json"):
        return False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if where == "json" else logging.Formatter(LINE))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    return True


class JsonLines(logging.Formatter):
    """One JSON object per line, in ASCII, for those who collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": f"{record.processName} {record.process}",
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


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
