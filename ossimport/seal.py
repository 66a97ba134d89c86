"""Secrets on their way through Redis: sealed under the cluster key (Fernet: AES-128-CBC and HMAC).

The key comes from OSSIMPORT_CLUSTER_KEY or from `conf/cluster.key` of the installation; every host
of a cluster needs the same one.
"""

import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from ossimport.errors import ConfigError, Problem

KEY_VARIABLE = "OSSIMPORT_CLUSTER_KEY"
KEY_FILE = Path("conf", "cluster.key")

_MAX_KEY_BYTES = 1024  # a key has 44


class Sealer:
    """Seals and unseals under one key. `origin` says in messages where the key came from."""

    def __init__(self, key: bytes, origin: str) -> None:
        self._origin = origin
        try:
            self._fernet = Fernet(key)
        except ValueError:  # not base64, or not 32 bytes of it
            message = "the cluster key is not 32 bytes in URL-safe base64"
            cure = (
                f"copy the key from the host that made it, or remove {origin} on every host: "
                f"a new {KEY_FILE} is made on the next start, and jobs must be submitted again"
            )
            raise _unusable(origin, message, cure) from None

    def seal(self, plain: str) -> bytes:
        """Encrypt. The same text gives another token each time."""
        return self._fernet.encrypt(plain.encode("utf-8", "surrogatepass"))

    def unseal(self, token: bytes) -> str:
        """Decrypt what `seal` gave. Raises ConfigError when it was sealed under another key."""
        try:
            return self._fernet.decrypt(token).decode("utf-8", "surrogatepass")
        except InvalidToken:
            message = "the settings in the ledger are sealed under another cluster key"
            cure = (
                "give every host the key of the host where the job was submitted "
                f"({KEY_VARIABLE} or {KEY_FILE}), or clean the job and submit it again"
            )
            raise _unusable(self._origin, message, cure) from None


def cluster_key(home: Path) -> Sealer:
    """The sealer of an installation. Makes `conf/cluster.key`, mode 0600, when there is no key.

    Processes that make it at the same time end up with the same one. Raises ConfigError.
    """
    key, origin = _found_or_made(home)
    return Sealer(key, origin)


def key_text(home: Path) -> bytes:
    """The key itself, for the other hosts of a cluster; made and checked as by `cluster_key`."""
    key, origin = _found_or_made(home)
    Sealer(key, origin)
    return key


def _found_or_made(home: Path) -> tuple[bytes, str]:
    """The key, and where it came from."""
    given = os.environ.get(KEY_VARIABLE, "")
    if given:
        return os.fsencode(given.strip()), KEY_VARIABLE
    path = home / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            key = file.read(_MAX_KEY_BYTES)
    except OSError as exc:
        message = f"the cluster key cannot be read or made: {exc.strerror}"
        cure = f"let this user read and write {path.parent}, or set {KEY_VARIABLE}"
        raise _unusable(str(path), message, cure) from None
    return key.strip(), str(path)


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; another process's key that came first stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".cluster.key.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # unlike rename, this does not replace a key that came first
    except FileExistsError:
        pass
    finally:
        os.unlink(name)


def _unusable(where: str, message: str, cure: str) -> ConfigError:
    return ConfigError([Problem(where, 0, "", "", message, cure)])
