"""Bring this installation to other hosts, where it is not yet the same."""

import io
import shlex
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

from ossimport.config import SystemConfig
from ossimport.errors import ServiceError
from ossimport.fleet import members, package
from ossimport.fleet.control import Outcome, each, look, run_there
from ossimport.fleet.here import Seen
from ossimport.fleet.settings import digest_of, settings_for_hosts
from ossimport.fleet.ssh import Ssh, Unreachable
from ossimport.service.control import prepare
from ossimport.service.files import Lock

INSTALL_S = 900.0  # an index far away, on a slow line
_COMMAND = (
    'umask 077; mkdir -p "$0/deployed" && d=$(mktemp -d "$0/deployed/incoming.XXXXXX")'
    ' && cd "$d" && tar -xmf - && exec sh install.sh "$1"'
)


def deploy(system: SystemConfig, wheelhouse: Path | None = None) -> Iterator[Outcome]:
    """Bring build and settings to every other host of conf/workers.

    With a `wheelhouse`, a directory of wheels, hosts need no package index. Raises ConfigError
    before anything is sent, and ServiceError if another deploy is at work.
    """
    members.check(system)
    prepare(system)
    run = system.working_dir / "run"
    with Lock(run / "deploy.lock") as lock:
        if not lock.take():
            raise ServiceError("Another deploy of this installation is at work; wait for it.")
        with tempfile.TemporaryDirectory(dir=run, prefix="deploy.") as folder:
            one = _Deployment(system, Path(folder), wheelhouse)
            yield from each(members.others(system), one.run)


class _Deployment:
    """What every host shall have, packed once for all."""

    def __init__(self, system: SystemConfig, folder: Path, wheelhouse: Path | None) -> None:
        settings, packed = settings_for_hosts(system), package.pack()
        self._system = system
        self._ssh = Ssh(system)
        self._build = packed.build
        self._settings = digest_of(settings)
        # Both hold secrets; the folder is its owner's alone, and so is what comes out there.
        self._only_settings, self._all = folder / "settings.tar", folder / "all.tar"
        with tarfile.open(self._only_settings, "w") as tar:
            _add_settings(tar, settings)
        with tarfile.open(self._all, "w") as tar:
            _add_settings(tar, settings)
            _add(tar, package.WHEEL, packed.wheel)
            _add(tar, package.CONSTRAINTS, packed.constraints)
            if wheelhouse:
                tar.add(wheelhouse, "wheelhouse")

    def run(self, host: str) -> Outcome:
        """Bring a host what it has not, and see whether it reaches Redis."""
        try:
            seen = look(self._ssh, self._system, host)
        except Unreachable:
            raise
        except ServiceError:
            seen = None  # whatever is there does not run: made anew
        if seen and (seen.build, seen.settings) == (self._build, self._settings):
            said = "nothing to do"
        else:
            said = self._bring(host, seen)
        answer = run_there(self._ssh, self._system, host, "ossimport", "stat", "--json", "--sys")
        if answer.code:
            return Outcome(host, False, f"{said}, but a worker cannot work there:\n{answer.err}")
        return Outcome(host, True, said)

    def _bring(self, host: str, seen: Seen | None) -> str:
        """Deploy what differs from what was seen there, and say what that was."""
        same_build = seen is not None and seen.build == self._build
        command = shlex.join(["sh", "-c", _COMMAND, str(self._system.working_dir), self._build])
        data = self._only_settings if same_build else self._all
        answer = self._ssh.run(host, command, data=data, patience=INSTALL_S)
        if answer.code:
            raise ServiceError(answer.err or f"exit code {answer.code}")
        said = f"deployed {'new settings' if same_build else self._build}"
        if seen and seen.state == "running":
            said += (
                "; what runs there does not see that before its next start"
                f"\n    cure: bash console.sh stop {host}; bash console.sh start"
            )
        return said


def _add_settings(tar: tarfile.TarFile, settings: Mapping[str, bytes]) -> None:
    script = resources.files("ossimport.fleet").joinpath("install.sh").read_bytes()
    _add(tar, "install.sh", script)
    for name, data in settings.items():
        _add(tar, f"conf/{name}", data)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    tar.addfile(entry, io.BytesIO(data))
