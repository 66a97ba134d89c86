"""The product, driven as a user does: configuration files, `start`, `submit`, `stat`, `stop`.

What it spends is what all processes of its service spend, from before `submit` to after the job's
end: supervisor, Redis, master, Celery's parent and its children. The verbs themselves are left out.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.bench.cheap_server import CheapServer
from tests.bench.measure import (
    CLIENT_CORES,
    SERVER_CORES,
    Spent,
    difference,
    memory,
    on_cores,
    tree,
)
from tests.bench.peers import IN_FLIGHT
from tests.servers.installation import Installation

LOOK_S = 0.5  # slow: each look is a process
NO_SETTINGS: Mapping[str, object] = MappingProxyType({})
CHILD = "worker processes"
_NAMES = {"worker": "celery parent", "redis": "redis", "master": "master"}


class Refused(Exception):
    """`submit` does not take the job; the text says why."""


class Product:
    """A started service that works for one server."""

    def __init__(self, installation: Installation, server: CheapServer) -> None:
        self._installation = installation
        self._server = server
        self._numbers = count(1)

    def upload(self, source: Path, bucket: str, **settings: object) -> Spent:
        """Copy a directory into a bucket."""
        return self.job(bucket, srcType="local", srcPrefix=f"{source}/", **settings)

    def between(self, source: str, bucket: str, **settings: object) -> Spent:
        """Copy one bucket into another, through this host."""
        # Another name of the same host: the same region and account could copy on their side.
        other = self._server.endpoint("localhost")
        keys = {"srcAccessKey": "ak", "srcSecretKey": "sk", "srcBucket": source}
        return self.job(bucket, srcType="oss", srcDomain=other, srcPrefix="", **keys, **settings)

    def job(self, bucket: str, **settings: object) -> Spent:
        """Run one job from `submit` to its end. Raises Refused; RuntimeError if it fails."""
        name = f"bench-{next(self._numbers)}"
        job_file = self._installation.write_job(
            f"{name}.cfg",
            jobName=name,
            destAccessKey="ak",
            destSecretKey="sk",
            destDomain=self._server.endpoint(),
            destBucket=bucket,
            destPrefix="",
            **settings,
        )
        before = self.cpu()
        began = time.monotonic()
        submitted = self._installation.run("submit", str(job_file))
        if submitted.returncode:
            raise Refused(submitted.stderr or submitted.stdout)
        self._await_end(name)
        wall = time.monotonic() - began
        time.sleep(0.3)  # for what ends a little later than the job
        parts = difference(before, self.cpu())
        self._do("clean", name)
        return Spent(sum(parts.values()), wall, parts)

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU that each part of the service has spent so far."""
        names = self._names()
        spent: dict[str, float] = {}
        for process in tree(self._supervisor):
            name = names.get(process.pid, CHILD)
            spent[name] = spent.get(name, 0.0) + process.cpu
        return spent

    def resident(self) -> Mapping[str, tuple[int, int]]:
        """Resident bytes of each part of the service, now and at most; of children the largest."""
        names = self._names()
        found: dict[str, tuple[int, int]] = {}
        for process in tree(self._supervisor):
            name = names.get(process.pid, CHILD)
            found[name] = max(found.get(name, (0, 0)), memory(process.pid), key=lambda m: m[1])
        return found

    def child(self) -> int:
        """The process that copies."""
        names = self._names()
        (pid,) = (each.pid for each in tree(self._supervisor) if each.pid not in names)
        return pid

    @property
    def _supervisor(self) -> int:
        return self._installation.pids()["supervisor"]

    def _names(self) -> dict[int, str]:
        pids = self._installation.pids()
        return {pid: _NAMES.get(name, name) for name, pid in pids.items()}

    def _await_end(self, name: str) -> None:
        while (job := self._stat(name))["state"] == "Running":
            time.sleep(LOOK_S)
        objects = job["objects"]
        whole = objects["listed"] == objects["copied"] + objects["skipped"]
        if job["state"] != "Succeed" or not whole:
            raise RuntimeError(f"the job ended {job['state']}: {objects}")

    def _stat(self, name: str) -> dict[str, Any]:
        jobs = json.loads(self._do("stat", "--json").stdout)["jobs"]
        job: dict[str, Any] = next(job for job in jobs if job["jobName"] == name)
        return job

    def _do(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        done = self._installation.run(*arguments)
        if done.returncode:
            raise RuntimeError(f"{arguments[0]}: {done.stderr or done.stdout}")
        return done


@contextmanager
def product(
    home: Path,
    server: CheapServer,
    *,
    cores: set[int] | None = None,
    settings: Mapping[str, object] = NO_SETTINGS,
) -> Iterator[Product]:
    """Install into `home`, start on `cores` (default: the client's), and stop at the end.

    It has one worker process and as many requests in flight as the peers, unless the `settings`,
    lines of sys.properties, say something else.
    """
    home.mkdir(parents=True)
    values = {"sandboxPort": "", "flowerPort": "", "workerTaskThreadNum": IN_FLIGHT, **settings}
    installation = Installation(home, **values)
    with _trusting(server):
        try:
            with on_cores(cores or CLIENT_CORES):
                started = installation.run("start")
            if started.returncode:
                raise RuntimeError(started.stderr)
            with on_cores(SERVER_CORES):  # `stat` shall not take time from what it looks at
                yield Product(installation, server)
        finally:
            installation.clear()


@contextmanager
def _trusting(server: CheapServer) -> Iterator[None]:
    """Have this process's children trust the server's authority."""
    if server.ca_file:
        os.environ["SSL_CERT_FILE"] = str(server.ca_file)
    try:
        yield
    finally:
        os.environ.pop("SSL_CERT_FILE", None)
