"""A process's word to those who watch it that it does its work.

The supervisor waits for the first word. Health checks of containers look at how old the last one
is, and systemd ends a service that does not say it for long (WatchdogSec).
"""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

# Names the file whose time of change is when the process last said it.
READY_FILE = "OSSIMPORT_READY_FILE"
NOTIFY_SOCKET = "NOTIFY_SOCKET"  # set by systemd

EVERY_S = 5.0


class Pulse:
    """Says it no more often than each `EVERY_S` seconds, so it may be told at any rate."""

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        file = environ.get(READY_FILE)
        self._file = Path(file) if file else None
        self._socket = environ.get(NOTIFY_SOCKET) if sys.platform == "linux" else None
        self._clock = clock
        self._next = clock()

    @property
    def is_due(self) -> bool:
        """Somebody listens, and has heard nothing for a while."""
        return bool(self._file or self._socket) and self._clock() >= self._next

    def beat(self) -> None:
        """Say that this process works: it is not stuck, and Redis answers it.

        Who cannot say it, as on a disk that became read-only, goes on working.
        """
        if not self.is_due:
            return
        self._next = self._clock() + EVERY_S
        try:
            if self._file:
                self._file.touch()
            if self._socket:
                _notify(self._socket, b"READY=1\nWATCHDOG=1")
        except OSError as exc:
            log.warning("nobody hears that this process works: %s", exc)


def _notify(address: str, words: bytes) -> None:
    """What sd_notify(3) does."""
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.connect(name)
        out.send(words)
