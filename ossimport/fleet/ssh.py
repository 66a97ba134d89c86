"""Commands on other hosts, by the system's `ssh`, which has the operator's configuration and agent.

No secret is ever an argument. Keys go before the password, which ssh asks a helper for: the helper
has it from the environment of that ssh alone.
"""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from ossimport.config import SystemConfig
from ossimport.errors import ServiceError

CONNECT_S = 10
PASSWORD_VARIABLE = "OSSIMPORT_SSH_PASSWORD"  # noqa: S105 -- its name, not its value
_FAILED = 255  # of ssh itself; what is run there never ends so
_ASKPASS = f'#!/bin/sh\nprintf "%s\\n" "${PASSWORD_VARIABLE}"\n'

# By what ssh says; only the advice depends on it.
_CURES = {
    "Permission denied": "let the host accept this user's key (ssh-copy-id), or name the key in"
    " privateKeyFile and the user in workerUserName",
    "Host key verification failed": "if the host was really made anew: ssh-keygen -R {host};"
    " if not, find out who answers in its place",
    "Could not resolve hostname": "mend the name in conf/workers",
    "Connection refused": "start sshd there, or mend sshPort",
    "not accessible": "mend privateKeyFile",
}
_OTHER_CURE = "see that the host runs and that this one reaches its port {port}"


class Unreachable(ServiceError):
    """No command can be run there."""


class Answer(NamedTuple):
    """What a command on a host came to."""

    code: int
    out: str
    err: str


class Ssh:
    """Runs commands on hosts as `workerUserName`, `sshPort`, `privateKeyFile` say."""

    def __init__(self, system: SystemConfig) -> None:
        self._port = system.ssh_port
        self._environment = dict(os.environ)
        self._options = [
            *("-T", "-p", str(system.ssh_port)),
            *("-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR"),
            *("-o", f"ConnectTimeout={CONNECT_S}"),
            *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
        ]
        if system.ssh_user:
            self._options += ["-l", system.ssh_user]
        if system.ssh_key:
            self._options += ["-i", str(system.home / Path(system.ssh_key).expanduser())]
        if system.ssh_password and not system.ssh_key:
            self._use_password(system)
        else:
            self._options += ["-o", "BatchMode=yes"]

    def run(
        self, host: str, command: str, *, data: Path = Path(os.devnull), patience: float = 30
    ) -> Answer:
        """Run a shell command whose input is the file `data`. Raises Unreachable, ServiceError."""
        try:
            with data.open("rb") as stdin:
                done = subprocess.run(
                    ["ssh", *self._options, "--", host, command],  # noqa: S607 -- the operator's own
                    stdin=stdin,
                    capture_output=True,
                    env=self._environment,
                    timeout=CONNECT_S + patience,
                    check=False,
                )
        except FileNotFoundError as error:
            raise ServiceError(
                "There is no ssh on this machine's PATH.\n    cure: install the OpenSSH client"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise Unreachable(self._words(host, f"no answer within {error.timeout:g} s")) from error
        err = done.stderr.decode(errors="replace").strip()
        if done.returncode == _FAILED:
            raise Unreachable(self._words(host, err.rpartition("\n")[2] or "ssh failed"))
        return Answer(done.returncode, done.stdout.decode(errors="replace").strip(), err)

    def _use_password(self, system: SystemConfig) -> None:
        helper = system.working_dir / "run" / "ssh-askpass"
        helper.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        helper.write_text(_ASKPASS)
        helper.chmod(0o700)
        self._environment |= {
            "SSH_ASKPASS": str(helper),
            "SSH_ASKPASS_REQUIRE": "force",
            PASSWORD_VARIABLE: system.ssh_password.reveal(),
        }
        self._options += [
            *("-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"),
            *("-o", "PreferredAuthentications=password,keyboard-interactive"),
        ]

    def _words(self, host: str, what: str) -> str:
        cure = next((cure for sign, cure in _CURES.items() if sign in what), _OTHER_CURE)
        return f"{what}\n    cure: {cure.format(host=host, port=self._port)}"
