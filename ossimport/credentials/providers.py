"""Where credentials come from: a file, a command, the RAM role of the ECS instance.

What they say is JSON, as the STS of Alibaba Cloud answers (`AccessKeyId`, `AccessKeySecret`,
`SecurityToken`, `Expiration`), or as AWS defines it for `credential_process` (`SecretAccessKey`,
`SessionToken`); either may stand in `Credentials`, as AssumeRole answers. Nothing of it is logged.
"""

import http.client
import json
import math
import shlex
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ossimport.credentials.keys import Credentials, Keys, Unavailable

if TYPE_CHECKING:
    from ossimport.config import DestConfig, SourceConfig

COMMAND_S = 60.0
METADATA = "100.100.100.200"

_METADATA_S = 5.0
_ROLES = "/latest/meta-data/ram/security-credentials/"
_MOST = 64 << 10  # bytes of a document
_SECRETS = ("AccessKeySecret", "SecretAccessKey")
_TOKENS = ("SecurityToken", "SessionToken")


def keys_of(config: "SourceConfig | DestConfig", end: str) -> Keys:
    """The keys of one end: those that its reference leads to, else the fixed ones.

    `end` is the key of the job file that has the reference.
    """
    reference = config.credentials
    if not reference:
        token = config.security_token.reveal()
        return Keys.fixed(config.access_key, config.secret_key.reveal(), token)
    return _shared(end, reference)


@lru_cache(32)
def _shared(end: str, reference: str) -> Keys:
    """One for all of this process that use them: they are renewed once."""
    kind, _, what = reference.partition(":")
    fetch: dict[str, Callable[[], Credentials]] = {
        "file": partial(of_file, Path(what)),
        "process": partial(of_process, what),
        "ecs": partial(of_ecs, what),
    }
    return Keys(fetch[kind], end=end, reference=reference)


def of_file(path: Path) -> Credentials:
    """Read a file. It should be replaced as a whole (rename), not written to."""
    try:
        with path.open("rb") as file:
            return parse(file.read(_MOST))
    except OSError as exc:
        raise Unavailable(f"the file {path} cannot be read: {exc.strerror}") from None


def of_process(command: str, timeout_s: float = COMMAND_S) -> Credentials:
    """Run a command, without a shell, and read what it prints. What it says besides is dropped."""
    argv = shlex.split(command)
    try:
        done = subprocess.run(  # noqa: S603 -- the operator's own command, from the job file
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except OSError as exc:
        raise Unavailable(f"the command {argv[0]} cannot be run: {exc.strerror}") from None
    except subprocess.TimeoutExpired:
        message = f"the command {argv[0]} has not ended within {timeout_s:g} s"
        raise Unavailable(message) from None
    if done.returncode:
        raise Unavailable(f"the command {argv[0]} has ended with exit code {done.returncode}")
    return parse(done.stdout[:_MOST])


def of_ecs(role: str, address: str = METADATA) -> Credentials:
    """Ask the instance's metadata service, the hardened one first, for the keys of its RAM role."""
    headers = {}
    path = "/latest/api/token"
    status, token = _metadata(
        address, "PUT", path, {"X-aliyun-ecs-metadata-token-ttl-seconds": "60"}
    )
    if status == http.client.OK:
        headers = {"X-aliyun-ecs-metadata-token": token.decode("latin-1").strip()}
    if not role:
        status, roles = _metadata(address, "GET", _ROLES, headers)
        role = roles.decode("utf-8", "replace").strip() if status == http.client.OK else ""
        if not role or "\n" in role:
            raise Unavailable("the ECS instance names no RAM role; attach one, or write ecs:ROLE")
    status, document = _metadata(address, "GET", _ROLES + quote(role, safe=""), headers)
    if status != http.client.OK:
        raise Unavailable(f"the metadata service answers HTTP {status} for the RAM role {role}")
    return parse(document)


def _metadata(address: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=_METADATA_S)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(_MOST)
    except (OSError, http.client.HTTPException) as exc:
        message = f"the metadata service of ECS does not answer ({type(exc).__name__})"
        raise Unavailable(f"{message}: is this host an ECS instance?") from None
    finally:
        connection.close()


def parse(document: bytes) -> Credentials:
    """Read a document. Raises Unavailable, without a word of what it holds."""
    try:
        data = json.loads(document)
        data = data.get("Credentials", data)
        access_key = data["AccessKeyId"]
        secret_key = next(data[name] for name in _SECRETS if name in data)
        token = next((data[name] for name in _TOKENS if data.get(name)), "")
        stamp = data.get("Expiration")
        expires = _seconds(stamp) if stamp else math.inf
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        needed = "AccessKeyId, AccessKeySecret, SecurityToken and Expiration"
        raise Unavailable(f"what came is not JSON with {needed}") from None
    for text in (access_key, secret_key, token):
        if not isinstance(text, str) or not all("!" <= char <= "~" for char in text):
            raise Unavailable("a key or a token is not plain text")
    return Credentials(access_key, secret_key, token, expires)


def _seconds(stamp: str) -> float:
    time = datetime.fromisoformat(stamp)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
