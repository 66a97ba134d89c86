"""What copying an object costs, as a multiple of what it costs at least.

    python -m tests.bench.guard

Both are measured here and now, in turn: the CPU time that a worker's task spends on an object of
4 KiB, file, signature, CRC64 and audit.log included, and that of a loop which reads the same files
and sends the same bytes to the same server, by epoll and by hand. Machines differ and are busy with
other things, but hardly in this ratio. So the limit is a wide one, for mistakes and not for noise.
"""

import asyncio
import os
import random
import select
import socket
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from ossimport import manifest
from ossimport.budget import Budget
from ossimport.copying import CopyPolicy
from ossimport.crc64 import crc64
from ossimport.dest.oss import OssDestination
from ossimport.engine import CopyEngine
from ossimport.ledger.base import Claim, Flush, Orders, WorkerLedger
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import JobState, Lane, ObjectInfo, TaskState
from ossimport.sources.local import LocalSource
from ossimport.transport import Endpoint, Transport
from tests.bench.cheap_server import cheap_server
from tests.bench.measure import CLIENT_CORES, on_cores

MOST = 7.0  # times the least; 3 to 4 when this was written
OBJECTS = 4000
SIZE = 4096
IN_FLIGHT = 60
TRIES = 5


class NoLedger(MemoryLedger):
    """Takes what a task says and forgets it: Redis is another process's cost."""

    def record(self, claim: Claim, flush: Flush) -> None:
        """Forget it."""

    def renew(self, claim: Claim, lease_s: float) -> None:
        """Forget it."""

    def orders(self, claim: Claim) -> Orders:
        """Let it go on."""
        return Orders(JobState.RUNNING)

    def finish(self, claim: Claim, state: TaskState) -> None:
        """See that the task has succeeded."""
        assert state is TaskState.SUCCEED


def fill(directory: Path) -> None:
    """Make the files."""
    for number in range(OBJECTS):
        (directory / f"object-{number:05d}").write_bytes(os.urandom(SIZE))


def least(root: Path, port: int, bucket: str) -> float:
    """CPU seconds of sending the files below `root`, all of SIZE, by system calls and a CRC64."""
    found = sorted(path for path in root.rglob("*") if path.is_file())
    keys = iter(str(path.relative_to(root)) for path in found)
    left = len(found)
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(IN_FLIGHT)]
    waiting = select.epoll()
    by_number = {each.fileno(): each for each in sockets}

    def send(to: socket.socket) -> bool:
        key = next(keys, None)
        if key is None:
            return False
        fd = os.open(f"{root}/{key}", os.O_RDONLY)
        body = os.read(fd, SIZE)
        os.close(fd)
        crc64(body)
        head = (
            f"PUT /{bucket}/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: OSS4\r\n"
            f"Content-Length: {SIZE}\r\n\r\n"
        )
        to.sendall(head.encode() + body)
        return True

    began = time.process_time()
    for each in sockets:
        waiting.register(each, select.EPOLLIN)
        send(each)
    while left:
        for number, _ in waiting.poll():
            answer = by_number[number].recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            left -= 1
            send(by_number[number])
    spent = time.process_time() - began
    waiting.close()
    for each in sockets:
        each.close()
    return spent


async def ours(directory: Path, port: int) -> float:
    """CPU seconds of a worker's task with these files."""
    # Imported here: what is measured must not depend on who imports this module.
    from workers.run_task import TaskRun

    source = LocalSource(root=f"{directory}/", allow_symlinks=False, split_depth=1)
    objects: list[ObjectInfo] = [entry.info for entry in source.scan(Lane())]
    assert len(objects) == OBJECTS
    transport = Transport(max_connections=IN_FLIGHT)
    engine = CopyEngine(
        source,
        OssDestination(
            endpoint=Endpoint("http", "127.0.0.1", port),
            bucket="null-guard",
            access_key="ak",
            secret_key="sk",
            region="cn-hangzhou",
            transport=transport,
        ),
        CopyPolicy(dest_prefix="in/", multipart_threshold=1 << 20, part_size=1 << 20),
        Budget(64 << 20),
        jitter=random.random,
    )
    ledger: WorkerLedger = NoLedger()
    claim = Claim("job", "task", 1, "worker", manifest.pack(objects), b"", {}, 0, 1)
    run = TaskRun(
        claim,
        engine,
        ledger,
        runners=IN_FLIGHT,
        verify=None,
        abort_on_uncaught=True,
        stopping=lambda: False,
        progress=lambda _: None,
    )
    began = time.process_time()
    assert await run.run() is TaskState.SUCCEED
    spent = time.process_time() - began
    await engine.close()
    await transport.close()
    return spent


def main() -> None:
    """Print the ratio; leave with 1 if it is beyond the limit."""
    with tempfile.TemporaryDirectory(prefix="ossimport-guard-") as name:
        directory = Path(name)
        fill(directory)
        lowest = [float("inf"), float("inf")]
        with cheap_server(directory.parent) as server, on_cores(CLIENT_CORES):
            for _ in range(TRIES):
                lowest[0] = min(lowest[0], least(directory, server.port, "null-guard"))
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    lowest[1] = min(lowest[1], runner.run(ours(directory, server.port)))
    least_us, ours_us = (seconds / OBJECTS * 1e6 for seconds in lowest)
    ratio = ours_us / least_us
    print(
        f"an object of {SIZE} bytes costs a worker {ours_us:.0f} us of CPU, {ratio:.1f} times the "
        f"least ({least_us:.0f} us); up to {MOST} times is allowed"
    )
    sys.exit(ratio > MOST)


if __name__ == "__main__":
    main()
