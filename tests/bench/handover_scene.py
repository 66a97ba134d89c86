"""A master, a Redis, and workers that come and go, watched closely enough to time hand-overs.

The master has a Redis of its own (the embedded one) and calls its host `localhost`; workers that
join know the Redis URL and the cluster key only. To the master they are on another host: nobody
sees by their pids that they died. The destination answers late, so that tasks are long and the
machine is idle.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import redis

from ossimport.config import load_system
from ossimport.errors import JobNotFound, ServiceError
from ossimport.journal import places, task_files
from ossimport.ledger.base import RunningTask
from ossimport.ledger.keys import JobKeys
from ossimport.ledger.redis import open_ledger
from ossimport.planner import FIRST_OBJECTS
from ossimport.service import redis_url
from ossimport.service.control import prepare
from ossimport.service.programs import programs
from ossimport.service.pulse import READY_FILE
from tests.bench.cheap_server import CheapServer
from tests.servers.installation import Installation, write_properties

LOOK_S = 0.003  # between two looks at who holds which task
LOST_PATIENCE_S = 90.0
DELAY_MS = 1000.0
IN_FLIGHT = 2  # per process: a task of 32 objects takes 16 s, and next to no CPU
PARTS, PART_SIZE = 60, 200 << 10  # of a large object, which takes 20 s
BUCKET = "null-handover"


class Claimed(NamedTuple):
    """A task that was seen with a new holder."""

    at: float  # epoch seconds
    task_id: str
    pid: int  # of the process that holds it
    fence: int


class Worker:
    """A Celery worker: its main process, and the processes that carry out tasks."""

    def __init__(self, process: "subprocess.Popen[bytes]", sign: Path) -> None:
        self.process = process
        self._sign = sign

    def await_ready(self) -> float:
        """Wait until it says that it is ready; when that was, in epoch seconds."""
        wait_for(self._sign.exists, "a worker to be ready")
        return self._sign.stat().st_mtime

    @property
    def pool(self) -> list[int]:
        """Pids of the processes that it forked."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in path.read_text().split()]
        except FileNotFoundError:
            return []

    def leave(self) -> float:
        """Ask it to end, as a stop does; when that was."""
        self.process.send_signal(signal.SIGTERM)
        return time.time()

    def vanish(self) -> float:
        """Kill all of its processes at once; when that was."""
        os.killpg(self.process.pid, signal.SIGKILL)
        return time.time()

    def end(self) -> None:
        """Whatever it does, it is gone afterwards."""
        if self.process.poll() is None:
            self.vanish()
        self.process.wait()


class Watch:
    """Looks all the time at who holds which task of one job."""

    def __init__(self, url: str, job: str) -> None:
        self.seen: list[Claimed] = []
        self.ended: dict[int, float] = {}  # when a claim, by its fence, was there no more
        self._ledger = open_ledger(url)
        self._job = job
        self._known: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            now, running = time.time(), self._running()
            for fence in self._known.difference(self.ended, (task.fence for task in running)):
                self.ended[fence] = now
            for task in running:
                if task.fence not in self._known:
                    self._known.add(task.fence)
                    pid = int(task.worker.split(":")[1])
                    self.seen.append(Claimed(now, task.task_id, pid, task.fence))

    def _running(self) -> list[RunningTask]:
        try:
            return self._ledger.running(self._job)
        except JobNotFound:
            return []  # not submitted yet

    def claim(
        self, by: Callable[[], list[int]], since: float = 0.0, seconds: float = 60
    ) -> Claimed:
        """The first claim since then by one of these processes; waits for it."""

        def found() -> Claimed | None:
            pids = by()
            return next((c for c in list(self.seen) if c.at >= since and c.pid in pids), None)

        wait_for(found, "a claim", seconds)
        claimed = found()
        assert claimed
        return claimed

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()
        self._ledger.close()


class Scene:
    """One installation for all runs; every run has a job and workers of its own."""

    def __init__(self, home: Path, server: CheapServer) -> None:
        self._server = server
        self._installation = Installation(home, sandboxPort="", workerTaskThreadNum=IN_FLIGHT)
        self._system = load_system(self._installation.conf / "sys.properties")
        self._stack = ExitStack()
        self._numbers = count(1)

    def __enter__(self) -> "Scene":
        prepare(self._system)
        log = self._stack.enter_context((self._installation.home / "services").open("w"))
        for program in programs(self._system):
            if program.name in ("redis", "master"):
                process = program.spawn(log)
                self._stack.callback(_stop, process)
                wait_for(program.ready, f"{program.name} to be ready")
        self._url = redis_url(self._system)
        self._client: Any = redis.Redis.from_url(self._url)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._installation.clear()

    @contextmanager
    def run(self) -> Iterator["Run"]:
        """A run, with nothing left of it afterwards."""
        run = Run(self, f"handover-{next(self._numbers)}")
        try:
            yield run
        finally:
            run.close()
            self._installation.run("clean", run.job)
            self._server.forget(BUCKET)

    def worker(self, *, here: bool) -> Worker:
        """Start a worker with one process, on the master's host or, to all appearances, another."""
        number = next(self._numbers)
        path = self._installation.conf / "sys.properties"
        if not here:
            path = self._installation.conf / f"worker{number}.properties"
            values = {
                "workingDir": self._installation.home / f"wd{number}",
                "redisUrl": self._url,
                "workerProcessNum": 1,
                "workerTaskThreadNum": IN_FLIGHT,
                "flowerPort": "",
            }
            write_properties(path, values)
        sign = self._installation.home / f"ready{number}"
        environment = {**self._installation.environment, READY_FILE: str(sign)}
        with (self._installation.home / "workers").open("a") as log:
            process = subprocess.Popen(
                self._installation.command("worker", "--sys", str(path)),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return Worker(process, sign)

    def watch(self, job: str) -> Watch:
        """Look at a job, which need not be there yet."""
        return Watch(self._url, job)

    def submit(self, job: str, tasks: int) -> None:
        """Submit a job of so many tasks, of as many objects as the first ones ever have."""
        self._submit(job, [b"x"] * (tasks * FIRST_OBJECTS), taskObjectCountLimit=FIRST_OBJECTS)

    def submit_large(self, job: str) -> None:
        """Submit a job of one object in parts."""
        body = bytes(PARTS * PART_SIZE)
        settings = {"multipartUploadThreshold": "1m", "multipartUploadPartSize": PART_SIZE}
        self._submit(job, [body], **settings)

    def _submit(self, job: str, bodies: list[bytes], **settings: object) -> None:
        source = self._installation.home / job
        source.mkdir()
        for number, body in enumerate(bodies):
            (source / f"{number:06d}").write_bytes(body)
        path = self._installation.write_job(
            f"{job}.cfg",
            jobName=job,
            srcPrefix=f"{source}/",
            destDomain=self._server.endpoint(),
            destBucket=BUCKET,
            destPrefix="",
            **settings,
        )
        done = self._installation.run("submit", str(path))
        if done.returncode:
            raise RuntimeError(done.stderr or done.stdout)

    def lease_end(self, job: str, task_id: str) -> float:
        """When the lease of a running task ends, by the server's clock."""
        return float(self._client.zscore(JobKeys(job).running, task_id)) / 1000

    def arrived(self, job: str, task_id: str) -> list[float]:
        """When the objects of a task reached the destination, those that did, in order."""
        root = self._system.working_dir / "master" / "jobs" / job

        def keys() -> list[str]:
            place = places.find(root, task_id)
            try:
                return [i.key for i in task_files.text(root, place).task().objects] if place else []
            except ServiceError:
                return []  # it moves in this moment

        wait_for(keys, "the journal")
        times = self._server.times(BUCKET)
        return sorted(times[key] for key in keys() if key in times)


class Run:
    """One job and its workers."""

    def __init__(self, scene: Scene, job: str) -> None:
        self.job = job
        self._scene = scene
        self.watch = scene.watch(job)  # who holds which task
        self._workers: list[Worker] = []

    def worker(self, *, here: bool = False) -> Worker:
        """A new worker."""
        made = self._scene.worker(here=here)
        self._workers.append(made)
        return made

    def submit(self, tasks: int) -> None:
        """Submit the job."""
        self._scene.submit(self.job, tasks)

    def submit_large(self) -> None:
        """Submit a job of one large object."""
        self._scene.submit_large(self.job)

    def first(self, claimed: Claimed) -> float:
        """When the first object of a task reached the destination after that claim."""

        def found() -> list[float]:
            times = self._scene.arrived(self.job, claimed.task_id)
            return [at for at in times if at > claimed.at - LOOK_S]

        wait_for(found, "an object of the task")
        return found()[0]

    def lease_end(self, claimed: Claimed) -> float:
        """When its lease ends, as far as its holder has renewed it."""
        return self._scene.lease_end(self.job, claimed.task_id)

    def close(self) -> None:
        """End what runs."""
        self.watch.close()
        for worker in self._workers:
            worker.end()


def wait_for(holds: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Look until `holds` is true. Raises RuntimeError if it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(LOOK_S)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()
