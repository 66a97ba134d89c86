"""docker-compose.yml of a clone: what a shell does with it, and its services on an engine."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers.installation import ROOT, free_port
from tests.servers.migration import wait_for

COMPOSE_FILE = ROOT / "docker-compose.yml"
# Without an engine, or without the images on it or a way to get them, these tests are skipped.
BASES = {
    "OSSIMPORT_PYTHON_IMAGE": ("python:3.12.12-slim-bookworm", "python:3.12-slim-bookworm"),
    "OSSIMPORT_REDIS_IMAGE": ("valkey/valkey:8.1.4-alpine", "valkey/valkey:8-alpine"),
}


def succeeds(*command: str, timeout: float = 20) -> bool:
    """The command is there and ends well."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=timeout)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


# Compose v2 and docker-compose 1.29, as far as they are here.
COMPOSES = {
    name: command
    for name, command in {"v2": ["docker", "compose"], "1.29": ["docker-compose"]}.items()
    if succeeds(*command, "version")
}
needs_compose = pytest.mark.skipif(not COMPOSES, reason="there is no docker compose here")


def init(clone: Path) -> str:
    """Run deploy/compose/init.sh from somewhere else."""
    script = clone / "deploy" / "compose" / "init.sh"
    return subprocess.run(
        ["sh", script], cwd="/", capture_output=True, text=True, check=True
    ).stdout


def fresh_clone(home: Path) -> Path:
    """What a fresh clone has of all this, without its conf and its code."""
    clone = home / "clone"
    ignored = shutil.ignore_patterns("secrets", ".env")
    shutil.copytree(ROOT / "deploy", clone / "deploy", ignore=ignored)
    shutil.copy(COMPOSE_FILE, clone)
    return clone


def secrets_of(clone: Path) -> dict[str, str]:
    """What init.sh made, by name."""
    folder = clone / "deploy" / "compose" / "secrets"
    return {path.name: path.read_text() for path in folder.iterdir()}


def compose(
    home: Path, *arguments: str, which: str = "", timeout: float = 60, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run docker compose in a clone; only these OSSIMPORT_ variables are set."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OSSIMPORT_")}
    return subprocess.run(
        [*(COMPOSES[which] if which else next(iter(COMPOSES.values()))), *arguments],
        cwd=home,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def docker(*arguments: str) -> str:
    """Run docker, which must end well; return what it printed on both outputs."""
    done = subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def base_images() -> dict[str, str]:
    """The images to build on: those that are pinned, else others of the same series that this
    engine has. Skips the test when there are none."""
    if not COMPOSES or not succeeds("docker", "info"):
        pytest.skip("no Docker engine with docker compose answers here")
    chosen = {}
    for variable, (pinned, series) in BASES.items():
        if succeeds("docker", "image", "inspect", pinned) or succeeds(
            "docker", "pull", pinned, timeout=300
        ):
            chosen[variable] = pinned
        elif succeeds("docker", "image", "inspect", series):
            chosen[variable] = series
        else:
            pytest.skip(f"the engine has no image {pinned} and cannot get it")
    return chosen


# Reads back every object of the sandbox with the stock SDK, inside the network of the containers.
READ_BACK = """
import hashlib, json, oss2
auth = oss2.AuthV4("sandbox", "sandbox-secret")
bucket = oss2.Bucket(auth, "http://sandbox:9580", "ossimport-demo", region="cn-hangzhou")
keys = [info.key for info in oss2.ObjectIteratorV2(bucket, prefix="demo/")]
print(json.dumps({key: hashlib.md5(bucket.get_object(key).read()).hexdigest() for key in keys}))
"""


class Containers:
    """The services in a project of their own, slow enough that something can happen meanwhile."""

    def __init__(self, home: Path, images: dict[str, str], which: str = "") -> None:
        clone = fresh_clone(home)
        init(clone)
        self.secrets = secrets_of(clone)
        self.source = home / "source"
        self.source.mkdir()
        self.name = f"ossimport-test-{os.urandom(4).hex()}"
        self.environment = {
            **images,
            "OSSIMPORT_SECRETS": str(clone / "deploy" / "compose" / "secrets"),
            "OSSIMPORT_SOURCE": str(self.source),
            "OSSIMPORT_FLOWER_PORT": str(free_port()),
        }
        self._which = which
        self._override = home / "override.yml"
        self._override.write_text(json.dumps({"services": _slower(home)}))
        self._give_redis_its_volume(images["OSSIMPORT_REDIS_IMAGE"])

    def _give_redis_its_volume(self, image: str) -> None:
        """As the official image does; another one may have no /data of its user."""
        volume = f"{self.name}_redis"
        labels = ("project=" + self.name, "volume=redis")
        docker(
            *("volume", "create", *(f"--label=com.docker.compose.{label}" for label in labels)),
            volume,
        )
        chown = ("--user", "0", "--entrypoint", "chown", image, "999:1000", "/data")
        docker("run", "--rm", "--volume", f"{volume}:/data", *chown)

    def compose(self, *arguments: str) -> str:
        """Run docker compose, which must end well; return what it printed."""
        files = ("-f", str(COMPOSE_FILE), "-f", str(self._override))
        command = ("-p", self.name, *files, "--profile", "demo", *arguments)
        done = compose(ROOT, *command, which=self._which, timeout=1200, **self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def remove(self) -> None:
        """Leave nothing but the image."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def all(self, service: str) -> list[str]:
        """Ids of the service's containers, running or not."""
        # Not `ps -q`: in Compose v2 it leaves out what does not run.
        labels = {"project": self.name, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={labels[key]}" for key in labels]
        return docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()

    def one(self, service: str) -> str:
        """The id of one of them."""
        return self.all(service)[0]

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        (found,) = json.loads(docker("inspect", container))
        return dict(found)

    def health(self, service: str) -> str:
        """`healthy`, `unhealthy` or `starting`."""
        return str(self.inspect(self.one(service))["State"]["Health"]["Status"])

    def crash(self, service: str) -> None:
        """kill -9, and start again, as the restart policy does after a crash of its own."""
        container = self.one(service)
        docker("kill", container)
        docker("start", container)
        wait_for(lambda: self.health(service) == "healthy", f"{service} after a crash", 120)

    def exit_code(self, service: str) -> int:
        """Wait for the end of the service's container."""
        return int(docker("wait", self.one(service)))

    def job(self) -> dict[str, Any]:
        """The job of `stat --json`, asked in the master's container, which is there at once."""
        told = docker("exec", self.one("master"), "python", "-m", "ossimport", "stat", "--json")
        jobs = json.loads(told)["jobs"]
        nothing = {"objects": {"copied": 0, "left": 0}, "tasks": {"running": 0}}
        return dict(jobs[0]) if jobs else nothing

    def limit(self, rate: str) -> None:
        """How fast all workers go together; `unlimited` when what was waited for has been seen.

        So a test need not hurry to catch a job under way.
        """
        command = ("python", "-m", "ossimport", "throttle", "--all", "--bytes", rate)
        docker("exec", self.one("master"), *command)

    def stored(self) -> dict[str, str]:
        """MD5 of every object in the sandbox."""
        told = self.compose(
            "run", "--rm", "-T", "--entrypoint", "python", "console", "-c", READ_BACK
        )
        stored: dict[str, str] = json.loads(told.splitlines()[-1])
        return stored

    def fill(self, objects: int, size: int) -> None:
        """Put files into the source."""
        for number in range(objects):
            (self.source / f"object-{number}").write_bytes(os.urandom(size))

    def sent(self) -> dict[str, str]:
        """MD5 of every file of the source, by the key it should have."""
        return {
            f"demo/{path.name}": hashlib.md5(path.read_bytes()).hexdigest()
            for path in self.source.iterdir()
        }


def _slower(home: Path) -> dict[str, object]:
    """What to lay over docker-compose.yml: 300 kB/s per worker and small tasks."""
    settings, job = home / "sys.properties", home / "demo.cfg"
    text = (ROOT / "deploy" / "compose" / "sys.properties").read_text()
    settings.write_text(text.replace("(KB/s)=0", "(KB/s)=300"))
    text = (ROOT / "deploy" / "compose" / "demo.cfg").read_text()
    job.write_text(f"{text}\ntaskObjectCountLimit=25\n")
    return {
        "worker": {"volumes": [f"{settings}:/etc/ossimport/conf/sys.properties:ro"]},
        "demo": {"volumes": [f"{job}:/ossimport/demo.cfg:ro"]},
    }
