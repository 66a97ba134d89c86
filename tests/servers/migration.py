"""An installation with a job in it, watched through `stat --json` and read back with stock oss2."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import oss2

from ossimport.config import load_system
from ossimport.errors import LedgerUnavailable
from ossimport.ledger.redis import open_ledger
from ossimport.limits.limit import ALL, Limit
from ossimport.limits.timetable import Rates
from ossimport.service import redis_url
from tests.servers.installation import PATIENCE_S, Installation, write_properties

LAW = ("copied", "skipped", "failed", "vanished", "excluded", "left")


def wait_for(holds: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
    """Look until `holds` is true; fail with `what` if it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


class Migration(Installation):
    """`job` and `system` hold the settings; call `apply` after changing them."""

    def __init__(self, home: Path, system: dict[str, object], job: dict[str, object]) -> None:
        home.mkdir(exist_ok=True)
        super().__init__(home)
        self.system = {"workerProcessNum": 2, "workerTaskThreadNum": 20, **system}
        self.job = job
        self.apply()

    def apply(self) -> None:
        """Write both files anew."""
        self.configure(**self.system)
        self.write_job("local_job.cfg", **self.job)

    def verb(self, *arguments: str, code: int | None = 0) -> str:
        """Run a verb to its end without a terminal; check its exit code, return what it printed."""
        done = self.run(*arguments, answers=None)
        if code is not None:
            assert done.returncode == code, (
                f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout + done.stderr

    def begin_job(self, limit: float | None = None) -> None:
        """Start the service and submit the job, at no more than so many bytes per second."""
        self.verb("start")
        if limit:
            self.limit(limit)
        self.verb("submit", str(self.job_file))

    def join(self, number: int) -> "subprocess.Popen[str]":
        """Start a worker that knows no more than the Redis URL and the cluster key."""
        path = self.conf / f"worker{number}.properties"
        own = {"workingDir": self.home / f"wd{number}", "redisUrl": self.redis_url()}
        write_properties(path, {**self.system, **own})
        return self.begin("worker", "--sys", str(path))

    def redis_url(self) -> str:
        """Where this installation's Redis is."""
        return redis_url(load_system(self.conf / "sys.properties"))

    def limit(self, bytes_: float | None) -> None:
        """How many bytes per second all workers may send, from now on; None: as many as they can.

        So a test need not hurry to catch a job under way, nor wait for what it has caught.
        """
        text = Limit(Rates(bytes_)).to_json() if bytes_ else ""

        def is_set() -> bool:
            with suppress(LedgerUnavailable):
                ledger.set_limit(ALL, text)
                return True
            return False

        with closing(open_ledger(self.redis_url())) as ledger:
            wait_for(is_set, "Redis to take a limit")

    def import_job(self, code: int = 0) -> str:
        """The one-click flow, answered with yes."""
        return self.verb("import", "--yes", "--job", str(self.job_file), code=code)

    # -- the job ---------------------------------------------------------------------------------

    def look(self) -> dict[str, Any]:
        """The one job of `stat --json`, its sums checked."""
        job = self.stat()
        for kind in ("objects", "bytes"):
            sums = job[kind]
            assert sums["listed"] == sum(sums[name] for name in LAW), sums
            assert all(sums[name] >= 0 for name in LAW), sums
        return job

    def wait_until(
        self, holds: Callable[[dict[str, Any]], object], seconds: float = PATIENCE_S
    ) -> Any:
        """Look at the job until `holds` says yes; return what it saw then."""
        last: dict[str, Any] = {}

        def look() -> bool:
            nonlocal last
            last = self.look()
            return bool(holds(last))

        deadline = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < deadline, f"waited {seconds} s; last seen: {last}"
        return last

    def finish(self, seconds: float = PATIENCE_S) -> Any:
        """Wait for the job's end and return its last state."""
        return self.wait_until(lambda job: job["state"] != "Running", seconds)

    @property
    def tree(self) -> Path:
        """The job's journal."""
        return self.wd / "master" / "jobs" / "local_test"

    def forked(self, name: str) -> list[int]:
        """Pids of the processes that a process of the service forked."""
        parent = self.pids()[name]
        path = Path(f"/proc/{parent}/task/{parent}/children")
        return [int(pid) for pid in path.read_text().split()]

    # -- both ends -------------------------------------------------------------------------------

    def write(self, key: str | bytes, body: bytes) -> None:
        """Put a file into the source, whole: a scan may be under way."""
        path = os.path.join(os.fsencode(self.source), os.fsencode(key))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fresh = self.home / "fresh"
        fresh.write_bytes(body)
        os.replace(fresh, path)

    def bucket(self) -> oss2.Bucket:
        """The destination through the stock SDK."""
        auth = oss2.AuthV4("sandbox", "sandbox-secret")
        endpoint = f"http://127.0.0.1:{self.sandbox_port}"
        return oss2.Bucket(auth, endpoint, "ossimport-demo", region="cn-hangzhou")

    def stored(self, prefix: str = "in/") -> dict[str, str]:
        """MD5 of every object under the prefix, read back whole, by its key behind the prefix."""
        bucket = self.bucket()
        keys = self.keys(prefix)
        return {key: _md5(bucket.get_object(prefix + key).read()) for key in keys}

    def keys(self, prefix: str = "in/") -> list[str]:
        """What is stored now under the prefix, of which some may be deleted in the next moment."""
        found = oss2.ObjectIteratorV2(self.bucket(), prefix=prefix)
        return [info.key.removeprefix(prefix) for info in found]

    def sent(self) -> dict[str, str]:
        """MD5 of every regular file of the source, by its key."""
        paths = [path for path in self.source.rglob("*") if path.is_file()]
        return {
            path.relative_to(self.source).as_posix(): _md5(path.read_bytes())
            for path in paths
            if not path.is_symlink()
        }

    def uploads(self) -> list[str]:
        """Multipart uploads that are left behind at the destination."""
        return [upload.key for upload in oss2.MultipartUploadIterator(self.bucket())]

    def logs(self) -> str:
        """Everything that was logged."""
        paths = sorted((self.wd / "logs").glob("*.log*"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')}" for path in paths)


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@contextmanager
def migration(
    home: Path, system: dict[str, object] | None = None, **job: object
) -> Iterator[Migration]:
    """A migration of which nothing runs any more at the end, whatever happens."""
    made = Migration(home, system or {}, job)
    try:
        yield made
    finally:
        made.clear()
