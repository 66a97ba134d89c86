"""What needs no other host: what is packed and sent, and which fleets are refused."""

import io
import json
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from ossimport import __version__
from ossimport.config import load_system
from ossimport.config.redis_url import read_redis_url
from ossimport.errors import ConfigError, ServiceError
from ossimport.fleet import here, members, package
from ossimport.fleet.settings import digest_of, settings_for_hosts, settings_there
from tests.servers.certificates import Certificates
from tests.servers.installation import ROOT, Installation

ELSEWHERE = "198.51.100.7"  # of a range for documentation: nobody's


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def write_workers(installation: Installation, *hosts: str) -> None:
    (installation.conf / "workers").write_text("\n".join([*hosts, ""]))


# -- the package ---------------------------------------------------------------------------------


def test_the_wheel_holds_all_that_runs_here_and_is_the_same_each_time() -> None:
    packed = package.pack()
    assert package.pack() == packed
    with zipfile.ZipFile(io.BytesIO(packed.wheel)) as wheel:
        names = set(wheel.namelist())
        record = wheel.read(f"ossimport-{__version__}.dist-info/RECORD").decode()
    here_too = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("ossimport/**/*.*")}
    here_too |= {p.relative_to(ROOT).as_posix() for p in ROOT.glob("workers/**/*.py")}
    assert {name for name in here_too if "__pycache__" not in name} <= names
    assert "ossimport/fleet/install.sh" in names
    assert not [name for name in names if name.endswith(".pyc")]
    assert {line.split(",")[0] for line in record.splitlines()} == names


def test_what_else_is_installed_here_is_pinned() -> None:
    lines = package.pack().constraints.decode().splitlines()
    assert "celery==5.7.0" in lines
    assert not [line for line in lines if line.startswith("ossimport")]


@pytest.mark.long
@pytest.mark.slow
def test_a_wheelhouse_that_lacks_something_is_told_which_python_it_is_for(tmp_path: Path) -> None:
    incoming = tmp_path / "deployed" / "incoming.1"
    (incoming / "wheelhouse").mkdir(parents=True)
    packed = package.pack()
    (incoming / package.WHEEL).write_bytes(packed.wheel)
    (incoming / package.CONSTRAINTS).write_bytes(packed.constraints)
    script = str(ROOT / "ossimport" / "fleet" / "install.sh")
    done = subprocess.run(
        ["sh", script, packed.build], cwd=incoming, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "the wheelhouse must come from a machine of the same kind with Python 3." in done.stderr
    assert not incoming.exists()


def test_another_version_of_anything_is_another_build(monkeypatch: pytest.MonkeyPatch) -> None:
    before = package.pack().build
    assert package.version_of(before) == __version__
    monkeypatch.setattr(package, "_constraints", lambda: b"celery==5.7.1\n")
    assert package.pack().build != before


# -- the settings --------------------------------------------------------------------------------


def test_hosts_get_the_settings_but_not_what_is_this_hosts_alone(
    installation: Installation,
) -> None:
    installation.configure(
        **{
            "redisUrl": "redis://:hidden@198.51.100.1:6379/0",
            "workerPassword": "a password",
            "privateKeyFile": "/a/key",
            "workerUserName": "mover",
            "flowerPort": 5555,
            "workerProcessNum": "",
            "workerMaxThroughput(KB/s)": 700,
        }
    )
    files = settings_for_hosts(load_system(installation.conf / "sys.properties"))
    key = (installation.conf / "cluster.key").read_bytes()
    assert files["cluster.key"] == key
    there = installation.home / "there" / "conf"
    there.mkdir(parents=True)
    (there / "sys.properties").write_bytes(files["sys.properties"])
    system = load_system(there / "sys.properties")
    assert system.host_role == "worker"
    assert system.working_dir == installation.wd
    assert system.redis_url.reveal() == "redis://:hidden@198.51.100.1:6379/0"
    assert system.throughput == 700 * 1024
    assert (system.flower_port, system.sandbox_port) == (None, None)
    assert (system.ssh_user, system.ssh_key, bool(system.ssh_password)) == ("", "", False)
    # Cores are counted there.
    assert b"workerProcessNum" not in files["sys.properties"]


def test_the_files_that_redis_url_names_go_with_the_settings(
    installation: Installation, tmp_path: Path
) -> None:
    """On the host they are found in its own conf/, wherever they are here."""
    made = Certificates(tmp_path / "certificates of ours")
    options = (
        f"ssl_ca_certs={quote(str(made.authority))}&ssl_certfile={quote(str(made.client))}"
        f"&ssl_keyfile={quote(str(made.client_key))}"
    )
    servers = "sentinel://:p%26@198.51.100.1;sentinel://:p%26@198.51.100.2/3"
    for url, more in (("rediss://:p%26@198.51.100.1/3", ""), (servers, "&master_name=m")):
        installation.configure(redisUrl=f"{url}?{options}{more}")
        here_too = load_system(installation.conf / "sys.properties")
        files = settings_for_hosts(here_too)
        there = installation.wd / "conf"
        there.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (there / name).write_bytes(content)
        system = load_system(there / "sys.properties")
        place = read_redis_url(system.redis_url.reveal())
        before = read_redis_url(here_too.redis_url.reveal())
        assert replace(place, tls=None) == replace(before, tls=None)
        assert place.tls is not None
        named = {name: Path(str(place.tls[name])) for name in place.tls if name in options}
        assert {path.parent for path in named.values()} == {there}
        assert named["ssl_ca_certs"].read_bytes() == made.authority.read_bytes()
        assert named["ssl_certfile"].read_bytes() == made.client.read_bytes()
        assert named["ssl_keyfile"].read_bytes() == made.client_key.read_bytes()
        assert digest_of(settings_there(system)) == digest_of(files)
    made.authority.write_bytes(b"renewed")
    assert digest_of(settings_for_hosts(here_too)) != digest_of(files)


def test_a_worker_alone_needs_the_redis_of_its_master(installation: Installation) -> None:
    installation.configure(hostRole="worker")
    with pytest.raises(ConfigError, match=r"hostRole=worker\n.*needs the one of its master"):
        load_system(installation.conf / "sys.properties")


# -- which fleets are refused --------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["deploy", "start"])
@pytest.mark.parametrize("redis_url", ["", "redis://127.0.0.1:6379/0", "unix:///run/redis.sock"])
def test_a_redis_that_other_hosts_do_not_reach_is_refused(
    installation: Installation, verb: str, redis_url: str
) -> None:
    installation.configure(redisUrl=redis_url)
    write_workers(installation, "127.0.0.1", ELSEWHERE)
    answer = installation.run(verb)
    assert answer.returncode == 3
    assert "sys.properties: redisUrl" in answer.stderr
    assert f"other hosts ({ELSEWHERE}) do not reach" in answer.stderr
    assert "cure: run a Redis that all hosts reach and write redisUrl=" in answer.stderr
    assert not (installation.wd / "run" / "status.json").exists()


def test_the_first_host_is_this_machine_and_no_other_one_is(installation: Installation) -> None:
    installation.configure(redisUrl="redis://198.51.100.1:6379/0")
    write_workers(installation, ELSEWHERE, "127.0.0.1", "localhost")
    answer = installation.run("deploy")
    assert answer.returncode == 3
    assert f"host={ELSEWHERE}\n    the first host must be this machine" in answer.stderr
    assert "host=127.0.0.1\n    this is another name of this machine" in answer.stderr
    assert "host=localhost\n    this is another name of this machine" in answer.stderr


def test_alone_there_is_nothing_to_deploy(installation: Installation) -> None:
    for hosts in ((), ("127.0.0.1",)):
        if hosts:
            write_workers(installation, *hosts)
        answer = installation.run("deploy")
        assert answer.returncode == 0
        assert "names no other host; there is nothing to do." in answer.stdout


# -- what is remembered and read -----------------------------------------------------------------


def test_a_started_host_is_remembered_until_it_is_seen_to_stop(
    installation: Installation,
) -> None:
    system = load_system(installation.conf / "sys.properties")
    assert members.started(system) == ()
    members.note_started(system, ("a", "b"))
    members.note_started(system, ("b", "c"))
    members.note_stopped(system, ("b",))
    assert members.started(system) == ("a", "c")


def test_what_a_login_shell_says_first_is_no_answer() -> None:
    seen = here.read('Welcome!\n{"build": "3.0.0-1", "settings": "x", "state": "running"}')
    assert (seen.build, seen.state, seen.processes) == ("3.0.0-1", "running", {})


@pytest.mark.parametrize("text", ["", "Welcome!", "[]", json.dumps({"another": "version's"})])
def test_what_cannot_be_read_is_an_error_with_a_cure(text: str) -> None:
    with pytest.raises(ServiceError, match=r"cure: bash console.sh deploy"):
        here.read(text)
