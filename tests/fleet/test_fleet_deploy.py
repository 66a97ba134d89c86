"""deploy, start, stop and stat with real hosts and real ssh. Each test leaves `w1` stopped."""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.fleet import Fleet
from tests.servers.hosts import PASSWORD, USER, Host

pytestmark = pytest.mark.timeout(600)  # an installation, on a machine that may be busy


@pytest.fixture
def fleet(one_host: Fleet) -> Fleet:
    """The fleet with the settings that it began with, here and there."""
    one_host.list_hosts("w1")
    one_host.apply()
    return one_host


def address(fleet: Fleet, name: str = "w1") -> str:
    return fleet.hosts[name].address


def there(fleet: Fleet, path: str) -> Path:
    """A file below the working directory of w1."""
    return fleet.hosts["w1"].files / "ossimport" / path


def test_deploy_makes_an_installation_with_its_own_settings_and_the_cluster_key(
    fleet: Fleet,
) -> None:
    assert there(fleet, "deployed/current/bin/python").is_symlink()
    for name in ("sys.properties", "cluster.key"):
        assert stat.S_IMODE(there(fleet, f"conf/{name}").stat().st_mode) == 0o600
    assert "hostRole=worker\n" in there(fleet, "conf/sys.properties").read_text()
    key = (fleet.conf / "cluster.key").read_text()
    assert there(fleet, "conf/cluster.key").read_text() == key
    assert not list(there(fleet, "deployed").glob("incoming*"))
    assert not list((fleet.wd / "run").glob("deploy.*/"))


def test_nothing_is_done_when_nothing_changed_and_a_bad_host_stops_nobody(fleet: Fleet) -> None:
    installed = there(fleet, "deployed/current/complete").stat().st_mtime_ns
    dead = fleet.net.host("dead")  # without sshd
    (fleet.conf / "workers").write_text(
        f"{fleet.master.address}\n{dead.address}\nno.such.host.invalid\n{address(fleet)}\n"
    )
    said = fleet.verb("deploy", code=4)
    assert f"{address(fleet)}: nothing to do\n" in said
    assert (
        f"{dead.address}: ssh: connect to host {dead.address} port 22: Connection refused" in said
    )
    assert "cure: start sshd there, or mend sshPort" in said
    assert "cure: mend the name in conf/workers" in said
    assert there(fleet, "deployed/current/complete").stat().st_mtime_ns == installed

    said = fleet.verb("start", code=4)
    assert f"{address(fleet)}: Start import service completed.\n" in said
    assert "ossimport.service" in fleet.runs("w1")
    fleet.verb("stop", code=4)
    assert fleet.runs("w1") == []


@pytest.mark.long
@pytest.mark.slow
def test_changed_settings_are_brought_and_count_from_the_next_start(fleet: Fleet) -> None:
    fleet.verb("start")
    fleet.configure(**fleet.system, **{"workerMaxThroughput(KB/s)": 900})
    said = fleet.verb("deploy")
    assert f"{address(fleet)}: deployed new settings; what runs there does not see" in said
    assert "(KB/s)=900" in there(fleet, "conf/sys.properties").read_text()
    assert fleet.verb("deploy") == f"{address(fleet)}: nothing to do\n"
    fleet.verb("stop")
    fleet.apply()
    fleet.verb("deploy")


def test_a_host_runs_a_worker_and_nothing_else_and_stat_has_a_line_for_each(
    fleet: Fleet,
) -> None:
    fleet.verb("start")
    assert {*fleet.runs("w1")} == {"ossimport.service", "celery"}
    text = fleet.verb("stat")
    lines = [line.split() for line in text.partition("hosts:\n")[2].splitlines()]
    assert lines[0][:4] == [fleet.master.address, "running", "3.0.0", "worker,"]
    assert lines[1] == [address(fleet), "running", "3.0.0", "worker"]
    master, host = json.loads(fleet.verb("stat", "--json"))["hosts"]
    assert master["processes"] == {"master": "running", "worker": "running"}
    assert (host["host"], host["state"], host["notes"]) == (address(fleet), "running", [])
    assert fleet.verb("start").count("completed.") == 2  # again: as it is

    fleet.verb("stop", address(fleet))
    assert fleet.runs("w1") == []
    assert [row.split()[1] for row in fleet.verb("stat").splitlines()[-2:]] == [
        "running",
        "stopped",
    ]
    fleet.verb("stop")


@pytest.mark.long
@pytest.mark.slow
def test_a_host_that_is_named_no_more_is_shown_until_it_is_stopped(fleet: Fleet) -> None:
    fleet.verb("start")
    fleet.list_hosts()
    said = fleet.verb("stat")
    assert f"{address(fleet)}  running" in said
    assert f"names it no more\n        cure: bash console.sh stop {address(fleet)}" in said
    fleet.verb("stop", address(fleet))
    assert fleet.runs("w1") == []
    assert "hosts:" not in fleet.verb("stat")
    fleet.verb("stop")


@pytest.mark.long
@pytest.mark.slow
def test_stop_ends_hosts_that_are_named_no_more(fleet: Fleet) -> None:
    fleet.verb("start")
    fleet.list_hosts()
    fleet.verb("stop")
    assert fleet.runs("w1") == []


@pytest.mark.long
@pytest.mark.slow
def test_another_version_is_noticed(fleet: Fleet) -> None:
    deployed = there(fleet, "deployed")
    build = (deployed / "current").readlink()
    (deployed / build).rename(deployed / "2.9.0-0123456789")
    _link(deployed / "current", "2.9.0-0123456789")
    try:
        assert f"another version is deployed there: 2.9.0-0123456789, here it is {build}" in (
            fleet.verb("start")
        )
        (deployed / "2.9.0-0123456789").rename(deployed / build)
        _link(deployed / "current", str(build))
        said = fleet.verb("stat")
        assert f"{address(fleet)}  running  2.9.0" in said
        assert f"2.9.0-0123456789 runs there still, {build} is deployed" in said
    finally:
        if not (deployed / build).exists():
            (deployed / "2.9.0-0123456789").rename(deployed / build)
        _link(deployed / "current", str(build))
        fleet.verb("stop")


def _link(link: Path, target: str) -> None:
    link.unlink()
    link.symlink_to(target)


def test_a_host_without_python_is_told_what_it_lacks(fleet: Fleet) -> None:
    host = fleet.net.host("bare")
    tools = host.files / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname", "mkdir", "mktemp", "rm", "tar"):
        (tools / tool).symlink_to(f"/bin/{tool}")
    host.serve_ssh(fleet.master.files / "root" / ".ssh" / "id_ed25519.pub", path="/srv/bin")
    fleet.hosts["bare"] = host
    fleet.list_hosts("bare", "w1")
    said = fleet.verb("deploy", code=4)
    assert f"{host.address}: There is no Python 3.11 or newer" in said
    assert "cure: Debian, Ubuntu: sudo apt install python3 python3-venv" in said
    assert f"{address(fleet)}: nothing to do" in said
    assert not list((host.files / "ossimport" / "deployed").iterdir())


def test_a_host_that_does_not_reach_redis_is_told_so(fleet: Fleet) -> None:
    fleet.hosts["w1"].run("ip", "route", "add", "unreachable", f"{fleet.redis.address}/32")
    try:
        said = fleet.verb("deploy", code=4)
        assert f"{address(fleet)}: nothing to do, but a worker cannot work there:" in said
    finally:
        fleet.hosts["w1"].run("ip", "route", "del", "unreachable", f"{fleet.redis.address}/32")


def test_a_host_that_is_another_one_now_is_not_trusted(fleet: Fleet) -> None:
    host = fleet.add_host("other")
    fleet.list_hosts("other")
    assert "absent" in fleet.verb("stat")
    host.new_host_key()
    said = fleet.verb("stat")
    assert "unreachable" in said
    assert f"cure: if the host was really made anew: ssh-keygen -R {host.address}" in said


# -- the password --------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from ossimport.config import load_system
from ossimport.fleet.ssh import Ssh
print(Ssh(load_system(Path(sys.argv[1]))).run(sys.argv[2], sys.argv[3]).out)
"""


def _run_by_ssh(fleet: Fleet, host: Host, command: str) -> "subprocess.Popen[str]":
    path = str(fleet.conf / "sys.properties")
    return subprocess.Popen(
        [*fleet.master.enter, sys.executable, "-c", RUN, path, host.address, command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=fleet.environment,
    )


def test_a_password_works_and_no_process_list_shows_it(fleet: Fleet) -> None:
    fleet.configure(**fleet.system, workerUserName=USER, workerPassword=PASSWORD)
    running = _run_by_ssh(fleet, fleet.hosts["w1"], "id -un; sleep 3")
    deadline = time.monotonic() + 20
    while not any("sleep 3" in line for line in fleet.hosts["w1"].processes()):
        assert time.monotonic() < deadline
    for host in (fleet.master, fleet.hosts["w1"]):
        assert "pass$word" not in "\n".join(host.processes())
    out, err = running.communicate(timeout=30)
    assert out == f"{USER}\n", err
    assert "workerPassword lies in the settings" in fleet.verb("deploy", code=None)
    helper = fleet.wd / "run" / "ssh-askpass"
    assert "pass$word" not in helper.read_text()


def test_a_wrong_password_and_a_wrong_key_are_refused_with_a_cure(fleet: Fleet) -> None:
    cure = "cure: let the host accept this user's key (ssh-copy-id)"
    fleet.configure(**fleet.system, workerUserName=USER, workerPassword="another")
    out, err = _run_by_ssh(fleet, fleet.hosts["w1"], "true").communicate(timeout=30)
    assert "Permission denied" in err, out
    assert cure in err
    stranger = fleet.home / "stranger"
    if not stranger.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    fleet.configure(**fleet.system, privateKeyFile=stranger, workerUserName="nobody")
    _, err = _run_by_ssh(fleet, fleet.hosts["w1"], "true").communicate(timeout=30)
    assert cure in err
