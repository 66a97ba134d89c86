"""docker-compose.yml and what belongs to it, read: no engine is needed."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ossimport.config import load_job, load_system
from ossimport.seal import KEY_VARIABLE, cluster_key
from ossimport.service.programs import GRACE_S
from ossimport.service.pulse import EVERY_S
from tests.servers.compose import (
    BASES,
    COMPOSE_FILE,
    compose,
    fresh_clone,
    init,
    needs_compose,
    secrets_of,
)
from tests.servers.installation import ROOT

SECRETS = {"redis_password", "redis_conf", "cluster_key", "flower_password"}
FILE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, Any] = FILE["services"]
STAY = ("redis", "master", "worker", "flower", "sandbox")  # the others do one thing and end


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return fresh_clone(tmp_path)


# -- what the file says --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_nothing_that_it_need_not(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"cap_add", "privileged", "network_mode", "pid", "devices"} & service.keys()
    user = re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["user"])
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_that_both_versions_of_compose_know(name: str) -> None:
    service = SERVICES[name]
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert "deploy" not in service  # of swarms; docker-compose 1.29 passes over it


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_stays_is_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("unless-stopped" if name in STAY else "no")
    assert ("healthcheck" in service) == (name in STAY)


@pytest.mark.parametrize("name", ["master", "worker"])
def test_the_word_of_a_process_may_come_late_a_few_times(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"][1]
    assert SERVICES[name]["environment"]["OSSIMPORT_READY_FILE"] in test
    (limit,) = re.findall(r"'-(\d+) seconds'", test)
    assert int(limit) >= 4 * EVERY_S


@pytest.mark.parametrize(
    ("service", "program"), [(x, {"flower": "monitor"}.get(x, x)) for x in STAY]
)
def test_docker_waits_longer_than_a_service_needs_to_stop(service: str, program: str) -> None:
    assert int(SERVICES[service]["stop_grace_period"].removesuffix("s")) > GRACE_S[program]


def test_each_secret_is_seen_only_by_those_who_need_it() -> None:
    def names(service: dict[str, Any]) -> set[str]:
        return {s if isinstance(s, str) else s["source"] for s in service.get("secrets", [])}

    assert {name: names(service) for name, service in SERVICES.items()} == {
        "redis": {"redis_password", "redis_conf"},
        **dict.fromkeys(("master", "worker", "console", "demo"), {"redis_password", "cluster_key"}),
        "flower": {"redis_password", "flower_password"},
        "sandbox": set(),
    }


def test_redis_is_on_a_network_without_a_way_out() -> None:
    assert FILE["networks"]["ledger"]["internal"] is True
    assert SERVICES["redis"]["networks"] == ["ledger"]
    assert "ledger" not in SERVICES["sandbox"]["networks"]


def test_the_base_images_are_pinned_and_one_image_has_all_roles() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    redis = images.pop("redis")
    assert set(images.values()) == {"ossimport:local"}
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    (python,) = re.findall(r"^ARG PYTHON=(.*)$", dockerfile, re.MULTILINE)
    assert SERVICES["master"]["build"]["args"]["PYTHON"] == f"${{OSSIMPORT_PYTHON_IMAGE:-{python}}}"
    assert redis == f"${{OSSIMPORT_REDIS_IMAGE:-{BASES['OSSIMPORT_REDIS_IMAGE'][0]}}}"
    assert python == BASES["OSSIMPORT_PYTHON_IMAGE"][0]
    for image in (python, BASES["OSSIMPORT_REDIS_IMAGE"][0]):
        assert re.search(r":\d+\.\d+\.\d+-", image), f"{image} is not one version"


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
