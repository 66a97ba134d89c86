"""The peers, each with the flags that make it fastest here."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.bench.cheap_server import CheapServer
from tests.bench.measure import Spent, run

IN_FLIGHT = 60
_PROGRAMS = Path(sys.executable).parent
_RCLONE_FLAGS = (
    *("--transfers", str(IN_FLIGHT), "--checkers", str(IN_FLIGHT)),
    *("--s3-no-check-bucket", "--s3-no-head", "--s3-disable-checksum"),
    *("--no-check-dest", "--no-traverse", "--stats", "0", "--config", ""),
)
# What a machine may say otherwise about proxies, credentials or certificates is left out.
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG")


class Peer(NamedTuple):
    """A program that copies what we copy."""

    name: str

    def upload(self, source: Path, server: CheapServer, bucket: str, log: Path) -> Spent:
        """Copy a directory into a bucket. Raises RuntimeError if it fails."""
        command = {
            "juicefs": _juicefs(server, f"{source}/", _oss_url(server, bucket)),
            "rclone": _rclone(str(source), _rclone_url(server, bucket)),
            "s5cmd": _s5cmd(server, f"{source}/", f"s3://{bucket}/"),
        }[self.name]
        return run(command, environment=_environment(server), log=log)

    def between(self, source: str, server: CheapServer, bucket: str, log: Path) -> Spent:
        """Copy one bucket into another, through this host. Raises RuntimeError if it fails."""
        command = {
            "juicefs": _juicefs(server, _oss_url(server, source), _oss_url(server, bucket)),
            "rclone": [
                *_rclone(_rclone_url(server, source), _rclone_url(server, bucket)),
                *("--disable", "copy"),  # else the server would be asked to copy by itself
            ],
        }[self.name]
        return run(command, environment=_environment(server), log=log)


JUICEFS, RCLONE, S5CMD = Peer("juicefs"), Peer("rclone"), Peer("s5cmd")
PEERS = (JUICEFS, RCLONE, S5CMD)
BETWEEN = (JUICEFS, RCLONE)  # s5cmd copies between buckets on the server's side only


def _environment(server: CheapServer) -> Mapping[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    keys = {"AWS_ACCESS_KEY_ID": "ak", "AWS_SECRET_ACCESS_KEY": "sk", "AWS_REGION": "us-east-1"}
    if server.ca_file:
        keys |= {"SSL_CERT_FILE": str(server.ca_file), "AWS_CA_BUNDLE": str(server.ca_file)}
    return inherited | keys


def _juicefs(server: CheapServer, source: str, dest: str) -> list[str]:
    plain = [] if server.ca_file else ["--no-https"]
    flags = ["--threads", str(IN_FLIGHT), "--quiet", *plain]
    return [str(_PROGRAMS / "juicefs"), "sync", *flags, source, dest]


def _oss_url(server: CheapServer, bucket: str) -> str:
    return f"oss://ak:sk@{bucket}.127.0.0.1:{server.port}/"


def _rclone(source: str, dest: str) -> list[str]:
    return [str(_PROGRAMS / "rclone"), "copy", source, dest, *_RCLONE_FLAGS]


def _rclone_url(server: CheapServer, bucket: str) -> str:
    settings = f'endpoint="{server.endpoint()}",access_key_id=ak,secret_access_key=sk'
    return f":s3,provider=Other,{settings}:{bucket}"


def _s5cmd(server: CheapServer, source: str, dest: str) -> list[str]:
    flags = ["--endpoint-url", server.endpoint(), "--numworkers", str(IN_FLIGHT), "--log", "error"]
    return [str(_PROGRAMS / "s5cmd"), *flags, "cp", source, dest]
