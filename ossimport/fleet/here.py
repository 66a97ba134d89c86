"""What a host says of itself when `look` asks it over ssh, and how the answer is read."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ossimport.config import SystemConfig
from ossimport.errors import ServiceError
from ossimport.fleet.package import version_of
from ossimport.fleet.settings import digest_of, settings_there
from ossimport.service import control


@dataclass(frozen=True)
class Seen:
    """One host at one instant. A build is the name of a directory in `deployed`."""

    build: str  # what `start` would start
    settings: str  # a digest
    state: str = "stopped"  # of the service, in the supervisor's words
    running_build: str = ""
    processes: dict[str, str] = field(default_factory=dict)  # name -> state
    troubles: list[str] = field(default_factory=list)


def see(system: SystemConfig) -> Seen:
    """Look at the host that this runs on."""
    build, digest = Path(sys.prefix).name, digest_of(settings_there(system))
    status = control.status(system)
    if status is None:
        return Seen(build, digest)
    return Seen(
        build,
        digest,
        state=status.state,
        running_build=Path(status.prefix).name,
        processes={name: str(each["state"]) for name, each in status.processes.items()},
        troubles=status.troubles,
    )


def describe(system: SystemConfig) -> str:
    """Say it in one line of JSON."""
    return json.dumps(asdict(see(system)))


def read(text: str) -> Seen:
    """Take an answer of `describe` apart. Raises ServiceError if another version speaks otherwise.

    A login shell may have printed something before it.
    """
    try:
        return Seen(**json.loads(text.rpartition("\n")[2]))
    except (ValueError, TypeError) as error:
        raise ServiceError(
            "The build that is deployed there does not answer as this one would.\n"
            "    cure: bash console.sh deploy"
        ) from error


def skew(host: str, seen: Seen, own: str) -> Iterator[str]:
    """What to say of a host whose build is not this one's, or was not when it was started."""
    if seen.build != own:
        same = version_of(seen.build) == version_of(own)
        what = "build" if same else "version"
        yield (
            f"another {what} is deployed there: {seen.build}, here it is {own}"
            "\n    cure: bash console.sh deploy"
        )
    if seen.running_build not in ("", seen.build):
        yield (
            f"{seen.running_build} runs there still, {seen.build} is deployed"
            f"\n    cure: bash console.sh stop {host}; bash console.sh start"
        )
