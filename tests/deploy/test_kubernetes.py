"""The manifests of deploy/kubernetes: built by kustomize, held to the schemas of Kubernetes."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kombu.transport.redis import Channel

from ossimport.config import load_system
from ossimport.queue import QUEUE
from ossimport.service.programs import GRACE_S
from tests.servers.installation import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
ROLES = {"master": "master", "worker": "worker", "flower": "monitor"}  # workload: verb
OLDEST, NEWEST = "1.28", "1.37"

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="there is no kubectl here to build with"
)


@cache
def built(name: str) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def only(kind: str, name: str) -> dict[str, Any]:
    """The one object of the example with that kind and name."""
    (found,) = [
        each
        for each in built("example")
        if each["kind"] == kind and each["metadata"]["name"] == f"ossimport-{name}"
    ]
    return found


def pod(role: str) -> dict[str, Any]:
    found: dict[str, Any] = only("Deployment", role)["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_what_kubernetes_takes(version: str) -> None:
    checked = []
    for each in built("example"):
        if not each["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(each, version, strict=True)
            checked.append(each["kind"])
    assert checked.count("Deployment") == 3
    assert {"Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget"} < set(checked)


def test_the_base_needs_neither_keda_nor_an_ingress_controller() -> None:
    kinds = {each["kind"] for each in built("base")}
    assert not {"ScaledObject", "TriggerAuthentication", "Ingress", "Secret"} & kinds


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_may_do_nothing_that_it_need_not(role: str) -> None:
    spec = pod(role)
    (container,) = spec["containers"]
    assert container["args"] == [ROLES[role]]
    assert container["image"] == "registry.example.com/ossimport:3.0.0"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    # Else the Service of Flower becomes FLOWER_... variables, which Flower takes for options.
    assert spec["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= container["resources"].keys()


@pytest.mark.parametrize("role", ROLES)
def test_kubernetes_waits_longer_than_a_pod_needs_to_stop(role: str) -> None:
    assert pod(role)["terminationGracePeriodSeconds"] > GRACE_S[ROLES[role]]


@pytest.mark.parametrize("role", ["master", "worker"])
def test_the_probes_are_the_health_check_of_compose(role: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][role]
    (container,) = pod(role)["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        shell, option, script = container[probe]["exec"]["command"]
        assert (shell, option) == ("sh", "-c")
        assert ["CMD-SHELL", script] == compose["healthcheck"]["test"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert environment["OSSIMPORT_READY_FILE"] in script


def test_secrets_are_files_of_those_who_need_them() -> None:
    def secrets(role: str) -> set[str]:
        found = set()
        for volume in pod(role)["volumes"]:
            for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                if "secret" in source:
                    found.add(source["secret"].get("secretName") or source["secret"]["name"])
        return found

    assert secrets("master") == secrets("worker") == {"ossimport-redis", "ossimport-cluster"}
    assert secrets("flower") == {"ossimport-redis", "ossimport-flower"}
    for role in ROLES:
        (container,) = pod(role)["containers"]
        assert all("value" in each for each in container["env"])  # none from a secret


def test_the_settings_load(tmp_path: Path) -> None:
    settings = tmp_path / "sys.properties"
    text = (FOLDER / "base" / "sys.properties").read_text()
    (tmp_path / "url").write_text("redis://:secret@redis:6379/0\n")
    settings.write_text(text.replace("/run/secrets/redis/", f"{tmp_path}/"))
    system = load_system(settings)
    assert system.redis_url.reveal() == "redis://:secret@redis:6379/0"
    assert system.flower_port == 5555
    (worker,) = pod("worker")["containers"]
    assert str(system.worker_processes) == worker["resources"]["requests"]["cpu"]
    assert not system.warnings


def test_keda_counts_the_tasks_that_wait_and_those_that_are_carried_out() -> None:
    spec = only("ScaledObject", "worker")["spec"]
    assert spec["scaleTargetRef"] == {"name": only("Deployment", "worker")["metadata"]["name"]}
    assert "replicas" not in only("Deployment", "worker")["spec"]
    counted = {trigger["name"]: trigger["metadata"]["listName"] for trigger in spec["triggers"]}
    assert counted == {"waiting": QUEUE, "taken": Channel.unacked_key}
    modifiers = spec["advanced"]["scalingModifiers"]
    assert set(re.findall("[a-z]+", modifiers["formula"])) == counted.keys()
    assert modifiers["target"] == pod("worker")["containers"][0]["resources"]["requests"]["cpu"]
    keys = {each["parameter"] for each in only_authentication()["spec"]["secretTargetRef"]}
    assert keys == {"address", "password"}
    for trigger in spec["triggers"]:
        assert trigger["type"] == "redis"
        assert all(isinstance(value, str) for value in trigger["metadata"].values())
        assert trigger["authenticationRef"] == {"name": only_authentication()["metadata"]["name"]}
    known = {
        *("scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval"),
        *("cooldownPeriod", "advanced", "triggers"),
    }
    assert spec.keys() <= known
    assert spec["minReplicaCount"] < spec["maxReplicaCount"]


def only_authentication() -> dict[str, Any]:
    return only("TriggerAuthentication", "redis")


def test_the_tracker_is_reached_through_its_service() -> None:
    service, (container,) = only("Service", "flower"), pod("flower")["containers"]
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] in {each["name"] for each in container["ports"]}
    (rule,) = only("Ingress", "flower")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    template = only("Deployment", "flower")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= template.items()
