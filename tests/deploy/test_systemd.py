"""The units of deploy/systemd, read by systemd's own tools."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ossimport.service.programs import GRACE_S
from ossimport.service.pulse import EVERY_S
from tests.servers.installation import ROOT

UNITS = ROOT / "deploy" / "systemd"
NAMES = {"master": "master", "worker": "worker", "flower": "monitor"}  # unit: verb
PYTHON = "/opt/ossimport/bin/python"  # where docs/systemd.md installs it

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


def analyze(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run systemd-analyze with units of the folder, which goes before those of the system."""
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"}
    return subprocess.run(
        ["systemd-analyze", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a Python that is there."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for path in folder.glob("*.service"):
        text = path.read_text()
        assert text.count(PYTHON) == 1
        path.write_text(text.replace(PYTHON, sys.executable))
    return folder


@needs_systemd
def test_systemd_finds_no_mistake_in_the_units(installed: Path) -> None:
    names = [f"ossimport-{name}.service" for name in NAMES]
    done = analyze(installed, "verify", "--man=no", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ossimport" not in done.stderr, done.stderr  # a warning does not change the code


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_exposed_to_little(installed: Path, name: str) -> None:
    unit = str(installed / f"ossimport-{name}.service")
    done = analyze(installed, "security", "--offline=yes", "--threshold=20", unit)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is older than 250")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_systemd_waits_longer_than_a_service_needs_to_stop(name: str) -> None:
    unit = read(name)
    assert unit["ExecStart"] == f"{PYTHON} -m ossimport {NAMES[name]}"
    assert int(unit["TimeoutStopSec"]) > GRACE_S[NAMES[name]]


@pytest.mark.parametrize("name", ["master", "worker"])
def test_systemd_ends_who_says_nothing_for_long(name: str) -> None:
    unit = read(name)
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) > 10 * EVERY_S


def test_the_page_names_every_unit_and_nothing_else() -> None:
    page = (ROOT / "docs" / "systemd.md").read_text()
    named = set(re.findall(r"ossimport-(\w+)(?:\.service)?\b", page))
    assert named == set(NAMES)
    assert PYTHON.removesuffix("/bin/python") in page


def read(name: str) -> dict[str, str]:
    """Section [Service] of a unit that has each key once."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((UNITS / f"ossimport-{name}.service").read_text())
    return dict(parser["Service"])
