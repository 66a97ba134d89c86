"""A network cable in user space: two TAP devices, and frames that travel between them for a while.

`tc netem` does the same where the kernel has it; many (containers', micro VMs') have not. Frames
pass whole, with the header in which the kernel says what is left to do to them (checksum,
segmentation), so that one frame may hold 64 kB and a slow interpreter is fast enough.

    python -m tests.servers.line TAP_A TAP_B

It obeys lines of standard input and ends with it: `delay SECONDS`, `loss PART`, `cut 0|1`, and, of
one IPv4 address at the other end, `forget ADDRESS` and `remember ADDRESS`. Each direction is alike.
"""

import errno
import fcntl
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from typing import NamedTuple

_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
_TAP, _NO_PROTOCOL, _WITH_HEADER = 0x0002, 0x1000, 0x4000
_CHECKSUM_AND_SEGMENTS = 0x01 | 0x02 | 0x04  # TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6
_HEADER_BYTES = 10
_LONGEST_FRAME = 1 << 17
_IPV4 = b"\x08\x00"
_KIND, _SENDER, _RECEIVER = (
    slice(_HEADER_BYTES + begin, _HEADER_BYTES + end)
    for begin, end in ((12, 14), (26, 30), (30, 34))
)


class Frame(NamedTuple):
    """A frame on its way to the other end."""

    due: float
    end: int
    data: bytes


class Line:
    """The cable itself."""

    def __init__(self, names: tuple[str, str]) -> None:
        one, other = (_open_tap(name) for name in names)
        self._other_end = {one: other, other: one}
        self._way: deque[Frame] = deque()  # in the order in which they are due
        self._settings = {"delay": 0.0, "loss": 0.0, "cut": 0.0}
        self._forgotten: set[bytes] = set()

    def run(self) -> None:
        """Carry frames until standard input ends."""
        poll = select.poll()
        for fd in (*self._other_end, sys.stdin.fileno()):
            poll.register(fd, select.POLLIN)
        while True:
            wait = (self._way[0].due - time.monotonic()) if self._way else 3600
            for fd, _ in poll.poll(max(wait, 0) * 1000):
                if fd in self._other_end:
                    if not self._take(fd):
                        return
                elif not self._obey():
                    return
            self._deliver()

    def _take(self, fd: int) -> bool:
        """Take what came in at that end; False if its device is gone, with its host."""
        try:
            for _ in range(64):
                data = os.read(fd, _LONGEST_FRAME)
                if not self._is_lost(data):
                    due = time.monotonic() + self._settings["delay"]
                    self._way.append(Frame(due, self._other_end[fd], data))
        except BlockingIOError:
            return True
        except OSError as exc:
            if exc.errno != errno.EBADFD:
                raise
            return False
        return True

    def _is_lost(self, data: bytes) -> bool:
        if self._settings["cut"] or random.random() < self._settings["loss"]:
            return True
        kind, ends = data[_KIND], (data[_SENDER], data[_RECEIVER])
        return kind == _IPV4 and not self._forgotten.isdisjoint(ends)

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._way and self._way[0].due <= now:
            frame = self._way.popleft()
            with suppress(OSError):  # the device is down, or its queue is full: a frame is lost
                os.write(frame.end, frame.data)

    def _obey(self) -> bool:
        line = os.read(sys.stdin.fileno(), 4096).decode()
        for command in line.splitlines():
            name, _, value = command.partition(" ")
            match name:
                case "forget":
                    self._forgotten.add(socket.inet_aton(value))
                case "remember":
                    self._forgotten.remove(socket.inet_aton(value))
                case _:
                    self._settings[name] = float(value)
            print("done", flush=True)
        return bool(line)


def _open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = _TAP | _NO_PROTOCOL | _WITH_HEADER
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", _HEADER_BYTES))
    fcntl.ioctl(fd, _TUNSETOFFLOAD, _CHECKSUM_AND_SEGMENTS)
    return fd


if __name__ == "__main__":
    made = Line((sys.argv[1], sys.argv[2]))
    print("ready", flush=True)
    made.run()
