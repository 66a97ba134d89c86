"""docker-compose.yml and what belongs to it: always read, and run where a Docker engine answers."""

import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import tomllib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from ossimport.config import load_job, load_system
from ossimport.seal import KEY_VARIABLE, cluster_key
from tests.servers.installation import ROOT, Installation, free_port
from tests.servers.migration import wait_for
from tests.servers.sandbox import run_sandbox
from tests.servers.valkey import valkey

COMPOSE_FILE = ROOT / "docker-compose.yml"
SECRETS = {"redis_password", "redis_conf", "cluster_key", "flower_password"}


def _succeeds(*command: str) -> bool:
    """The command is there and ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _compose() -> list[str]:
    """Compose v2, else docker-compose 1.29, else nothing."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if _succeeds(*command, "version"):
            return command
    return []


COMPOSE = _compose()
needs_compose = pytest.mark.skipif(not COMPOSE, reason="there is no docker compose here")
needs_engine = pytest.mark.skipif(
    not (COMPOSE and _succeeds("docker", "info")), reason="no Docker engine answers here"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a fresh clone has of all this, without its conf and its code."""
    home = tmp_path / "clone"
    shutil.copytree(
        ROOT / "deploy", home / "deploy", ignore=shutil.ignore_patterns("secrets", ".env")
    )
    shutil.copy(COMPOSE_FILE, home)
    return home


def init(clone: Path) -> str:
    """Run deploy/compose/init.sh from somewhere else."""
    script = clone / "deploy" / "compose" / "init.sh"
    return subprocess.run(
        ["sh", script], cwd="/", capture_output=True, text=True, check=True
    ).stdout


def secrets_of(clone: Path) -> dict[str, str]:
    folder = clone / "deploy" / "compose" / "secrets"
    return {path.name: path.read_text() for path in folder.iterdir()}


def compose(
    clone: Path, *arguments: str, timeout: float = 60, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run docker compose in the clone; only these OSSIMPORT_ variables are set."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OSSIMPORT_")}
    return subprocess.run(
        [*COMPOSE, *arguments],
        cwd=clone,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


# -- what a fresh clone needs --------------------------------------------------------------------


def test_init_makes_each_secret_once_and_lets_only_its_owner_at_them(clone: Path) -> None:
    init(clone)
    made = secrets_of(clone)
    folder = clone / "deploy" / "compose" / "secrets"

    assert made.keys() == SECRETS
    assert len(made["redis_password"]) == 48
    assert made["redis_conf"] == f"requirepass {made['redis_password']}\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    # A container's user is another one, and sees the file alone.
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert made["redis_password"] not in init(clone)
    assert secrets_of(clone) == made
    assert (clone / ".env").read_text() == "OSSIMPORT_SECRETS=./deploy/compose/secrets\n"


def test_two_clones_have_different_secrets(clone: Path) -> None:
    init(clone)
    first = secrets_of(clone)
    shutil.rmtree(clone / "deploy" / "compose" / "secrets")
    init(clone)
    assert not set(first.values()) & set(secrets_of(clone).values())


def test_init_takes_up_a_changed_password_and_leaves_other_settings_alone(clone: Path) -> None:
    (clone / ".env").write_text("OSSIMPORT_SOURCE=/data\nOSSIMPORT_SECRETS=./deploy/x\n")
    init(clone)
    (clone / "deploy" / "compose" / "secrets" / "redis_password").write_text("changed\n")
    init(clone)
    assert secrets_of(clone)["redis_conf"] == "requirepass changed\n"
    assert (clone / ".env").read_text().splitlines() == [
        "OSSIMPORT_SOURCE=/data",
        "OSSIMPORT_SECRETS=./deploy/x",
    ]


def test_the_made_cluster_key_seals(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(clone)
    monkeypatch.setenv(KEY_VARIABLE, secrets_of(clone)["cluster_key"])
    sealer = cluster_key(clone)
    assert sealer.unseal(sealer.seal("settings")) == "settings"


def test_the_settings_and_the_sample_job_load(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OSSIMPORT_REDIS_URL", raising=False)
    init(clone)
    folder = clone / "deploy" / "compose"
    settings = folder / "sys.properties"
    _replace(settings, "/run/secrets/", f"{folder}/secrets/")
    _replace(settings, "/var/lib/ossimport", str(tmp_path / "wd"))
    (tmp_path / "source").mkdir()
    _replace(folder / "demo.cfg", "/source/", f"{tmp_path}/source/")

    system = load_system(settings)
    job = load_job(folder / "demo.cfg", system)

    password = secrets_of(clone)["redis_password"]
    assert system.redis_url.reveal() == f"redis://:{password}@redis:6379/0"
    assert system.flower_port == 5555
    assert (job.name, job.dest.host, job.dest.port) == ("demo", "sandbox", 9580)
    assert not system.warnings
    assert not job.warnings


def test_the_ledger_is_neither_lost_nor_thrown_out() -> None:
    lines = (ROOT / "deploy" / "redis" / "valkey.conf").read_text().splitlines()
    kept = {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"}
    assert kept < set(lines)


def test_the_image_says_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert re.findall(r"^ARG VERSION=(.*)$", dockerfile, re.MULTILINE) == [version]


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# -- what Compose makes of the file --------------------------------------------------------------


@needs_compose
def test_without_secrets_compose_says_what_to_type(clone: Path) -> None:
    told = compose(clone, "config")
    assert told.returncode != 0
    assert "sh deploy/compose/init.sh" in told.stderr


@needs_compose
def test_the_demo_and_the_console_run_only_when_asked_for(clone: Path) -> None:
    init(clone)
    told = compose(clone, "--profile", "demo", "--profile", "console", "config").stdout
    profiles = {
        name: re.findall(r"profiles:\n +- (\w+)", text) for name, text in _services(told).items()
    }
    assert profiles == {
        **dict.fromkeys(("redis", "master", "worker", "flower"), []),
        **dict.fromkeys(("sandbox", "demo"), ["demo"]),
        "console": ["console"],
    }


@needs_compose
def test_only_flower_can_be_reached_and_from_this_host_only(clone: Path) -> None:
    init(clone)
    services = _services(compose(clone, "--profile", "demo", "config").stdout)
    published = [name for name, text in services.items() if "\n    ports:" in text]
    assert published == ["flower"]
    assert "127.0.0.1" in services["flower"].partition("\n    ports:")[2]


@needs_compose
def test_the_secrets_are_files_and_in_no_environment(clone: Path) -> None:
    init(clone)
    told = compose(clone, "--profile", "demo", "config").stdout
    assert not [name for name, secret in secrets_of(clone).items() if secret.strip() in told]
    for name in SECRETS:
        assert f"{clone}/deploy/compose/secrets/{name}" in told
    assert "cluster_key" not in _services(told)["flower"]
    assert "secrets:" not in _services(told)["sandbox"]


def _services(config: str) -> dict[str, str]:
    """The text of each service in what `config` prints; Compose sorts and indents it."""
    _, _, below = config.partition("services:\n")
    body = re.split(r"^(?=\S)", below, maxsplit=1, flags=re.MULTILINE)[0]
    parts = re.split(r"^  (\w+):$", body, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# -- the same processes, each by itself ----------------------------------------------------------

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Start]:
    """Starts a verb with its log on standard output, which goes to `<verb>.out`."""
    with ExitStack() as started:

        def start(
            installation: Installation, verb: str, **environment: str
        ) -> "subprocess.Popen[str]":
            output = started.enter_context((tmp_path / f"{verb}.out").open("w"))
            process = subprocess.Popen(
                installation.command(verb),
                env={**installation.environment, "OSSIMPORT_LOG": "stdout", **environment},
                cwd=installation.home,
                stdout=output,
                stderr=output,
                text=True,
            )
            started.callback(process.wait, 30)
            started.callback(process.terminate)
            return process

        yield start


@pytest.mark.slow
def test_a_job_is_watched_that_a_lone_master_and_worker_carry_out(
    tmp_path: Path, alone: Start
) -> None:
    objects = run_sandbox(tmp_path / "objects", access_key="sandbox", bucket="ossimport-demo")
    with valkey() as redis, objects as sandbox:
        installation = Installation(tmp_path)
        installation.configure(sandboxPort="", redisUrl=redis.url)
        installation.write_job(destDomain=sandbox.endpoint)
        installation.fill(20)
        master = alone(installation, "master")
        wait_for((installation.wd / "run").is_dir, "the directories of a lone master")
        processes = [master, alone(installation, "worker")]

        done = installation.run("import", "--no-start", "--yes")

        assert done.returncode == 0, done.stdout + done.stderr
        assert "JobState:Succeed" in done.stdout
        assert "20 listed = 20 copied" in done.stdout
        assert "import service" not in done.stdout  # that would be another one
        assert [process.poll() for process in processes] == [None, None]
        for process in processes:
            process.terminate()
        assert [process.wait(30) for process in processes] == [0, 0]
    assert "succeeded in" in (tmp_path / "worker.out").read_text()
    assert not (installation.wd / "logs" / "import.log").exists()


def test_watching_others_needs_their_redis(tmp_path: Path) -> None:
    done = Installation(tmp_path).run("import", "--no-start", "--yes")
    assert done.returncode == 1
    assert "redisUrl" in done.stderr


@pytest.mark.slow
def test_flower_alone_takes_its_password_from_the_named_file(tmp_path: Path, alone: Start) -> None:
    port = free_port()
    (tmp_path / "given").write_text("as told\n")
    with valkey() as redis:
        installation = Installation(tmp_path)
        installation.configure(sandboxPort="", flowerPort=port, redisUrl=redis.url)
        given = str(tmp_path / "given")
        flower = alone(installation, "monitor", OSSIMPORT_FLOWER_PASSWORD_FILE=given)
        wait_for(lambda: _status(port, "/healthcheck") == 200, "Flower")
        assert _status(port, "/", "ossimport:as told") == 200
        assert _status(port, "/", "ossimport:other") == 401
        assert not (installation.wd / "run" / "flower.password").exists()
        flower.terminate()
        assert flower.wait(30) == 0


def _status(port: int, path: str, login: str = "") -> int:
    """The HTTP status of Flower's answer; 0 when there is none."""
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


# -- with an engine ------------------------------------------------------------------------------

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

    def __init__(self, home: Path, secrets: Path) -> None:
        self.source = home / "source"
        self.source.mkdir()
        self._name = f"ossimport-test-{os.urandom(4).hex()}"
        self._environment = {
            "OSSIMPORT_SECRETS": str(secrets),
            "OSSIMPORT_SOURCE": str(self.source),
            "OSSIMPORT_FLOWER_PORT": str(free_port()),
        }
        self._override = home / "override.yml"
        self._override.write_text(json.dumps({"services": _slower(home)}))

    def compose(self, *arguments: str) -> str:
        """Run docker compose, which must end well; return what it printed."""
        files = ("-f", str(COMPOSE_FILE), "-f", str(self._override))
        command = ("-p", self._name, *files, "--profile", "demo", *arguments)
        done = compose(ROOT, *command, timeout=600, **self._environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        """The id of the service's first container, running or not."""
        # Not `ps -q`: in Compose v2 it leaves out what does not run.
        labels = {"project": self._name, "service": service, "container-number": "1"}
        filters = [f"--filter=label=com.docker.compose.{key}={labels[key]}" for key in labels]
        return docker("ps", "--all", "--quiet", *filters).strip()

    def crash(self, service: str) -> None:
        """kill -9, and start again, as the restart policy does after a crash of its own."""
        docker("kill", self.container(service))
        docker("start", self.container(service))

    def exit_code(self, service: str) -> int:
        """Wait for the end of the service's container."""
        return int(docker("wait", self.container(service)))

    def look(self) -> dict[str, int]:
        """The job's objects, from `stat --json`."""
        jobs = json.loads(self.compose("run", "--rm", "-T", "console", "stat", "--json"))["jobs"]
        objects: dict[str, int] = jobs[0]["objects"] if jobs else {"copied": 0, "left": 0}
        return objects

    def stored(self) -> dict[str, str]:
        """MD5 of every object in the sandbox."""
        told = self.compose(
            "run", "--rm", "-T", "--entrypoint", "python", "console", "-c", READ_BACK
        )
        stored: dict[str, str] = json.loads(told.splitlines()[-1])
        return stored

    def sent(self) -> dict[str, str]:
        """MD5 of every file of the source, by the key it should have."""
        return {
            f"demo/{path.name}": hashlib.md5(path.read_bytes()).hexdigest()
            for path in self.source.iterdir()
        }


def _slower(home: Path) -> dict[str, object]:
    """What to lay over docker-compose.yml: 1 MB/s per worker and small tasks."""
    settings, job = home / "sys.properties", home / "demo.cfg"
    text = (ROOT / "deploy" / "compose" / "sys.properties").read_text()
    settings.write_text(text.replace("(KB/s)=0", "(KB/s)=1000"))
    text = (ROOT / "deploy" / "compose" / "demo.cfg").read_text()
    job.write_text(f"{text}\ntaskObjectCountLimit=25\n")
    return {
        "worker": {"volumes": [f"{settings}:/etc/ossimport/conf/sys.properties:ro"]},
        "demo": {"volumes": [f"{job}:/ossimport/demo.cfg:ro"]},
    }


def docker(*arguments: str) -> str:
    """Run docker, which must end well; return what it printed."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def containers(clone: Path, tmp_path: Path) -> Iterator[Containers]:
    """Nothing runs before the test; afterwards nothing is left but the image."""
    init(clone)
    made = Containers(tmp_path, clone / "deploy" / "compose" / "secrets")
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


@needs_engine
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_runs_to_its_end_and_stops_everything(containers: Containers) -> None:
    (containers.source / "中文 name").write_bytes(b"content")
    (containers.source / "empty").touch()

    told = containers.compose("up", "--build", "--exit-code-from", "demo")

    assert "JobState:Succeed" in told
    assert "2 listed = 2 copied" in told
    codes = {name: containers.exit_code(name) for name in ("master", "worker", "flower", "redis")}
    assert codes == dict.fromkeys(codes, 0)  # 137 is the code of those who had to be killed


@needs_engine
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_container_may_be_killed_while_a_job_runs(containers: Containers) -> None:
    for number in range(400):
        (containers.source / f"object-{number}").write_bytes(os.urandom(100_000))

    containers.compose("up", "-d", "--build", "--scale", "worker=2")
    for service in ("worker", "master", "redis"):
        copied = containers.look()["copied"]
        wait_for(partial(_goes_on, containers, copied), "progress")
        assert containers.look()["left"] > 0, "the job was over too soon"
        containers.crash(service)

    assert containers.exit_code("demo") == 0
    objects = containers.look()
    assert (objects["listed"], objects["copied"], objects["left"]) == (400, 400, 0)
    assert containers.stored() == containers.sent()


def _goes_on(containers: Containers, copied: int) -> bool:
    """More objects are copied by now."""
    return containers.look()["copied"] > copied
