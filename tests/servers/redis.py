"""Real Redis servers as distributions ship them: TLS, ACL users, replicas and sentinels.

Unlike `valkey.py`, whose server is the embedded one, these are `redis-server` of the system; their
tests skip where it is missing. Ends only the processes it started.
"""

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.servers.certificates import Certificates
from tests.servers.installation import free_port

BINARY = shutil.which("redis-server") or ""
needs_redis = pytest.mark.skipif(not BINARY, reason="there is no redis-server: apt install redis")
MASTER = "mymaster"
START_S = 60.0


class RedisServer:
    """One server, or with `sentinel` one sentinel, with a directory of its own.

    `lines` go into its configuration behind the usual ones. With `tls` it speaks nothing else.
    """

    def __init__(
        self,
        folder: Path,
        *lines: str,
        tls: Certificates | None = None,
        sentinel: bool = False,
        password: str | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = secrets.token_urlsafe(16) if password is None else password
        self._tls = tls
        self._sentinel = sentinel
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As redisUrl has it."""
        if self._tls is None:
            return f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        return (
            f"rediss://:{self.password}@127.0.0.1:{self.port}/0?ssl_ca_certs={self._tls.authority}"
        )

    def client(self) -> "Redis":
        """A connection as the user who may do everything; close it."""
        return Redis(
            "127.0.0.1",
            self.port,
            password=self.password or None,
            retry=Retry(NoBackoff(), 0),
            ssl=self._tls is not None,
            ssl_cert_reqs="none",  # whose certificate is good is what tests ask
            ssl_check_hostname=False,
            ssl_certfile=str(self._tls.client) if self._tls else None,
            ssl_keyfile=str(self._tls.client_key) if self._tls else None,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        process = self.begin()
        deadline = time.monotonic() + START_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except RedisError as exc:
                if time.monotonic() > deadline or process.poll() is not None:
                    told = (self.folder / "redis.log").read_text()
                    raise RuntimeError(f"redis-server does not start: {exc}\n{told}") from exc
            time.sleep(0.02)

    def begin(self) -> "subprocess.Popen[bytes]":
        """Start it."""
        config = self.folder / "redis.conf"
        if not config.exists():  # a sentinel writes its own down there, and finds it again
            config.write_text("\n".join(self._settings()) + "\n")
        mode = ["--sentinel"] if self._sentinel else []
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen([BINARY, str(config), *mode], stdout=output)
        self._process = process
        return process

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._wait()

    def kill(self) -> None:
        """End it as SIGKILL does."""
        if self._process is not None:
            self._process.kill()
            self._wait()

    def _wait(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _settings(self) -> Iterator[str]:
        yield f"bind 127.0.0.1\ndir {self.folder}\nlogfile {self.folder}/redis.log"
        if self._tls is None:
            yield f"port {self.port}"
        else:
            yield f"port 0\ntls-port {self.port}\ntls-replication yes"
            yield f"tls-cert-file {self._tls.server}\ntls-key-file {self._tls.server_key}"
            yield f"tls-ca-cert-file {self._tls.authority}\ntls-auth-clients optional"
        if self.password:
            yield f"requirepass {self.password}"
        if not self._sentinel:
            yield "appendonly yes\nappendfsync everysec\nsave ''\nmaxmemory-policy noeviction"
            yield f"masterauth {self.password}\nrepl-diskless-sync-delay 0"
        yield from self._lines


@contextmanager
def redis_server(*lines: str, tls: Certificates | None = None) -> Iterator[RedisServer]:
    """Run a server for the length of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="ossimport-redis-") as folder:
        server = RedisServer(Path(folder), *lines, tls=tls)
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Trio:
    """A primary, a replica and three sentinels, which promote the replica within two seconds."""

    def __init__(self, servers: Sequence[RedisServer], sentinels: Sequence[RedisServer]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        """As redisUrl has it: servers and sentinels have different passwords."""
        places = ";".join(
            f"sentinel://:{self.servers[0].password}@127.0.0.1:{sentinel.port}"
            for sentinel in self.sentinels
        )
        secret = self.sentinels[0].password
        return f"{places}/0?master_name={MASTER}&sentinel_password={secret}"

    def primary(self) -> RedisServer:
        """The server that the sentinels name."""
        with self.sentinels[0].client() as client:
            port = client.sentinel_master(MASTER)["port"]
        return next(server for server in self.servers if server.port == port)


@contextmanager
def sentinels(*lines: str) -> Iterator[Trio]:
    """Run two servers and three sentinels for the length of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="ossimport-sentinel-") as name, ExitStack() as stack:
        folders = [Path(name, str(number)) for number in range(5)]
        for folder in folders:
            folder.mkdir()
        primary = RedisServer(folders[0], *lines)
        secret = primary.password
        follows = f"replicaof 127.0.0.1 {primary.port}"
        replica = RedisServer(folders[1], *lines, follows, password=secret)
        watch = (
            f"sentinel monitor {MASTER} 127.0.0.1 {primary.port} 2",
            f"sentinel auth-pass {MASTER} {secret}",
            f"sentinel down-after-milliseconds {MASTER} 1000",
            f"sentinel failover-timeout {MASTER} 3000",
        )
        inner = secrets.token_urlsafe(16)
        watchers = [
            RedisServer(
                folder, *watch, f"sentinel sentinel-pass {inner}", sentinel=True, password=inner
            )
            for folder in folders[2:]
        ]
        for server in (primary, replica, *watchers):
            stack.callback(server.stop)
            server.start()
        _wait_until_all_are_known(watchers)
        _wait_until_it_follows(replica)
        yield Trio([primary, replica], watchers)


def _wait_until_all_are_known(watchers: Sequence[RedisServer]) -> None:
    deadline = time.monotonic() + START_S
    for watcher in watchers:
        with watcher.client() as client:
            while time.monotonic() < deadline:
                seen = client.sentinel_master(MASTER)
                if seen["num-slaves"] == 1 and seen["num-other-sentinels"] == 2:
                    break
                time.sleep(0.05)
            else:
                raise RuntimeError("the sentinels do not find each other")


def _wait_until_it_follows(replica: RedisServer) -> None:
    deadline = time.monotonic() + START_S
    with replica.client() as client:
        while client.info("replication")["master_link_status"] != "up":
            if time.monotonic() > deadline:
                raise RuntimeError("the replica does not follow its primary")
            time.sleep(0.02)
