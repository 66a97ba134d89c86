"""What a host's conf/ holds: the settings of its worker, the cluster key, and the certificates and
the key that redisUrl names.

Not what is this machine's alone: how it logs in to other hosts, and its ports.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ossimport.config import SystemConfig
from ossimport.config.keys import SYSTEM_KEYS
from ossimport.config.properties import Findings, read_entries
from ossimport.config.redis_url import named_files, with_files
from ossimport.seal import KEY_FILE, key_text

SETTINGS_FILE = "sys.properties"
_OF_THIS_HOST = {
    *("workerUserName", "workerPassword", "privateKeyFile", "sshPort"),
    *("flowerPort", "sandboxPort", "dispatcherThreadNum"),
}
# By the option of redisUrl that names them; there redisUrl names these.
_REDIS_FILES = {
    "ssl_ca_certs": "redis-ca.crt",
    "ssl_certfile": "redis-client.crt",
    "ssl_keyfile": "redis-client.key",
}
_WRITTEN_HERE = {"workingDir", "redisUrl", "hostRole"}
_HEAD = "# Written by `console.sh deploy`, which would replace what is changed here.\n"


def settings_for_hosts(system: SystemConfig) -> dict[str, bytes]:
    """The files of a host's conf/ by name. Raises ConfigError if there is no cluster key."""
    names = frozenset(key.name for key in SYSTEM_KEYS)
    findings = Findings(str(system.path), names)  # it was read before, and all found then
    entries = read_entries(system.path, "system configuration", names, findings)
    values = {entry.key: entry.value for entry in entries if entry.value}
    values = {k: v for k, v in values.items() if k not in _OF_THIS_HOST | _WRITTEN_HERE}
    url, redis_files = system.redis_url.reveal(), _redis_files(system)
    conf = system.working_dir / KEY_FILE.parent
    values |= {
        "workingDir": str(system.working_dir),
        "redisUrl": with_files(url, {name: conf / _REDIS_FILES[name] for name in redis_files}),
        "hostRole": "worker",
    }
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    return {
        SETTINGS_FILE: f"{_HEAD}{text}".encode(),
        KEY_FILE.name: key_text(system.home) + b"\n",
        **{_REDIS_FILES[name]: path.read_bytes() for name, path in redis_files.items()},
    }


def digest_of(files: Mapping[str, bytes]) -> str:
    """What tells two such sets of files apart, without showing them."""
    each = [name.encode() + hashlib.sha256(files[name]).digest() for name in sorted(files)]
    return hashlib.sha256(b"".join(each)).hexdigest()


def settings_there(system: SystemConfig) -> dict[str, bytes]:
    """The same files as they are on the host that this runs on."""
    paths = (system.path, system.home / KEY_FILE, *_redis_files(system).values())
    return {path.name: _content(path) for path in paths}


def _redis_files(system: SystemConfig) -> dict[str, Path]:
    url = system.redis_url.reveal()
    return named_files(url) if url else {}


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
