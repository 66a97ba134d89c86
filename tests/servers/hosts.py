"""Several hosts on one machine: each has its own network, address, name, processes and home.

A host is a set of Linux namespaces around one idle process; the end of that process is the end of
all that ran there. They are plugged into a switch, each by a `line` that can be slow, lossy or cut.
Nothing is left behind: namespaces have no names, and devices go with them. Needs root, `unshare`
and `/dev/net/tun`.

What is private to a host is its `/srv`, which holds the homes of its users, and `/run`; all other
files are this machine's, so that a path below `/tmp` is to all hosts what a shared volume would be.
`/srv/python` is the Python of these tests, on the PATH that ssh gives.
"""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.servers.installation import ROOT

USER = "mover"  # who is not root
PASSWORD = "a pass$word 'with' blanks"
_TOOLS = ("unshare", "nsenter", "ip", "ssh", "sshd", "ssh-keygen", "openssl")
_PATIENCE_S = 20.0


def missing() -> str:
    """Why there can be no hosts on this machine; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts are namespaces of Linux, which only root can make"
    lacking = [tool for tool in _TOOLS if not _where(tool)]
    if lacking:
        return f"hosts need {', '.join(lacking)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "hosts need /dev/net/tun"
    tried = subprocess.run(["unshare", "-nmuip", "--fork", "true"], check=False)
    return "" if tried.returncode == 0 else "this machine makes no namespaces"


class Namespaces:
    """Namespaces of their own around a process that does nothing."""

    def __init__(self, script: str = "", *, kinds: str = "--net") -> None:
        # PID 1 of a host adopts orphans; who ignores SIGCHLD has no zombies.
        idle = f"set -e\n{script}\ntrap '' CHLD\necho ready\nexec sleep infinity"
        self._outer = subprocess.Popen(
            ["unshare", *kinds.split(), "--fork", "--kill-child", "sh", "-c", idle],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._outer.stdout is not None
        said = self._outer.stdout.readline()
        assert said == "ready\n", f"a host did not start: {said}"
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self.pid = int(children.read_text().split()[0])
        self._kinds = kinds

    @property
    def enter(self) -> list[str]:
        """What goes before a command to run it here."""
        kinds = [kind for kind in self._kinds.split() if kind != "--mount-proc"]
        return ["nsenter", "--target", str(self.pid), *kinds]

    def run(
        self, *command: str, check: bool = True, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command here to its end."""
        done = subprocess.run(
            [*self.enter, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **environment},
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def end(self) -> None:
        """End everything that runs here."""
        assert self._outer.stdout is not None
        self._outer.stdout.close()
        self._outer.kill()
        self._outer.wait()


class Host(Namespaces):
    """One host. `files` is its /srv as this machine sees it."""

    def __init__(self, name: str, address: str, files: Path, switch: Namespaces) -> None:
        self.name = name
        self.address = address
        self.files = files
        self._servers: list[subprocess.Popen[bytes]] = []
        _make_files(files)
        super().__init__(
            _SETUP.format(name=name, files=files, python=sys.base_prefix),
            kinds="--net --mount --uts --ipc --pid --mount-proc",
        )
        self._line = subprocess.Popen(
            [*switch.enter, sys.executable, "-m", "tests.servers.line", f"h{name}", f"s{name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._expect("ready")
        switch.run("ip", "link", "set", f"h{name}", "netns", str(self.pid))
        switch.run("ip", "link", "set", f"s{name}", "master", "bridge", "up")
        self.run("ip", "link", "set", f"h{name}", "name", "eth0")
        self.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    # -- the line --------------------------------------------------------------------------------

    def cut(self) -> None:
        """Let nothing through, in silence: as a pulled cable does."""
        self._tell("cut 1")

    def mend(self) -> None:
        """Let everything through again."""
        self._tell("cut 0")

    def slow_down(self, seconds: float) -> None:
        """Let every frame take so long, there and back alike."""
        self._tell(f"delay {seconds}")

    def lose(self, part: float) -> None:
        """Lose this part of all frames."""
        self._tell(f"loss {part}")

    def forget(self, other: "Host") -> None:
        """Let nothing through to and from one other host; all else stays."""
        self._tell(f"forget {other.address}")

    def remember(self, other: "Host") -> None:
        """Let it through again."""
        self._tell(f"remember {other.address}")

    # -- what runs here --------------------------------------------------------------------------

    def serve_ssh(self, key: Path, path: str = "/srv/python/bin:/usr/bin:/bin") -> None:
        """Start sshd, which lets the holder of this public key in, and who knows PASSWORD.

        `path` is the PATH of who comes in.
        """
        (self.files / "authorized_keys").write_bytes(key.read_bytes())
        (self.files / "sshd_config").write_text(_SSHD.format(address=self.address, path=path))
        log = str(self.files / "sshd.log")
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/srv/host_key")
        self.run(_where("sshd"), "-f", "/srv/sshd_config", "-E", log)

    def new_host_key(self) -> None:
        """Become another machine of the same address, as far as ssh can tell."""
        self.run("pkill", "-F", "/srv/sshd.pid")
        for path in self.files.glob("host_key*"):
            path.unlink()
        self.serve_ssh(self.files / "authorized_keys")

    def make_key(self) -> Path:
        """Give root here a key pair; return the public one."""
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/srv/root/.ssh/id_ed25519")
        return self.files / "root" / ".ssh" / "id_ed25519.pub"

    def processes(self) -> list[str]:
        """The command lines of all that runs here."""
        return self.run("ps", "-eo", "args=").stdout.splitlines()

    def spawn(self, *command: str, **environment: str) -> None:
        """Run a server here, until the host ends; what it says goes to `log`."""
        with (self.files / "log").open("w") as log:
            self._servers.append(
                subprocess.Popen(
                    [*self.enter, *command],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **environment},
                )
            )

    def end(self) -> None:
        super().end()
        for server in self._servers:
            server.wait()
        with suppress(BrokenPipeError):
            self._line.communicate()  # its input ends, and so does it

    def _tell(self, command: str) -> None:
        assert self._line.stdin is not None
        self._line.stdin.write(f"{command}\n")
        self._line.stdin.flush()
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self._line.stdout is not None
        said = self._line.stdout.readline()
        assert said == f"{word}\n", f"the line of {self.name} said {said!r}"


class Network:
    """A switch, the hosts plugged into it, and a way in from this machine."""

    def __init__(self, files: Path) -> None:
        self._files = files
        self._net = f"198.18.{os.getpid() % 250}"  # of the range for benchmarks: nobody's
        self._undo = ExitStack()
        self._switch = Namespaces()
        self._undo.callback(self._switch.end)
        self._hosts: dict[str, Host] = {}
        self._switch.run("ip", "link", "add", "bridge", "type", "bridge")
        self._switch.run("ip", "link", "set", "bridge", "up")
        self._plug_this_machine_in()

    def host(self, name: str) -> Host:
        """The host of this name, made when it is first asked for."""
        if name not in self._hosts:
            address = f"{self._net}.{len(self._hosts) + 1}"
            made = Host(name, address, self._files / name, self._switch)
            self._undo.callback(made.end)
            self._hosts[name] = made
        return self._hosts[name]

    def close(self) -> None:
        """End all hosts."""
        self._undo.close()

    def _plug_this_machine_in(self) -> None:
        """So that tests can look at what hosts serve.

        The device would go with the switch, but a while later; the next network has one of the
        same name.
        """
        ours = f"osi{os.getpid()}"
        unplug = ["ip", "link", "delete", ours]
        self._undo.callback(subprocess.run, unplug, check=False, timeout=_PATIENCE_S)
        veth = ["ip", "link", "add", ours, "type", "veth", "peer", "name", "out"]
        for command in (
            [*veth, "netns", str(self._switch.pid)],
            ["ip", "address", "add", f"{self._net}.254/24", "dev", ours],
            ["ip", "link", "set", ours, "up"],
        ):
            subprocess.run(command, check=True, timeout=_PATIENCE_S)
        self._switch.run("ip", "link", "set", "out", "master", "bridge", "up")


@contextmanager
def network(files: Path) -> Iterator[Network]:
    """A network for the length of a `with` block; hosts keep their files below `files`."""
    made = Network(files)
    try:
        yield made
    finally:
        made.close()


def wait_for_port(address: str, port: int) -> None:
    """Return when something listens there."""
    import socket

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on {address}:{port}"
            time.sleep(0.02)
        else:
            return


def _make_files(files: Path) -> None:
    """What is a host's own, before it starts."""
    for home in ("root", USER):
        (files / home / ".ssh").mkdir(parents=True, mode=0o700)
    for name in ("ossimport", "python"):
        (files / name).mkdir()
    for name in (USER, "ossimport"):
        os.chown(files / name, 4711, 4711)
    users = Path("/etc/passwd").read_text().splitlines()
    others = [line for line in users if not line.startswith(("root:", f"{USER}:"))]
    own = ["root:x:0:0:root:/srv/root:/bin/sh", f"{USER}:x:4711:4711::/srv/{USER}:/bin/sh"]
    (files / "passwd").write_text("\n".join([*own, *others, ""]))
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=PASSWORD,
        check=True,
        capture_output=True,
        text=True,
    )
    shadow = files / "shadow"
    shadow.touch(mode=0o600)
    shadow.write_text(f"root:*:1::::::\n{USER}:{made.stdout.strip()}:1::::::\n")


def _where(tool: str) -> str:
    """The path of a tool; sshd is where only root's PATH leads."""
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin:/usr/local/sbin") or ""


_SETUP = textwrap.dedent("""\
    hostname {name}
    mount --bind {files} /srv
    mount --bind {python} /srv/python
    mount --bind /srv/passwd /etc/passwd
    mount --bind /srv/shadow /etc/shadow
    mount -t tmpfs tmpfs /run
    mkdir /run/sshd
    ip link set lo up""")
_SSHD = textwrap.dedent("""\
    ListenAddress {address}
    HostKey /srv/host_key
    PidFile /srv/sshd.pid
    AuthorizedKeysFile /srv/authorized_keys
    PermitRootLogin yes
    PasswordAuthentication yes
    UsePAM no
    StrictModes no
    SetEnv PATH={path}
    """)
