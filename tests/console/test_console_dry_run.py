"""submit --dry-run: what it says, and that it leaves nothing behind."""

import json
import signal
import socket
import subprocess

from tests.servers.installation import PATIENCE_S, Installation


def fill(installation: Installation) -> None:
    for number in range(50):
        (installation.source / f"{number}.jpg").write_bytes(b"x" * number)
    (installation.source / "tmp").mkdir()
    (installation.source / "tmp" / "a").write_bytes(b"xyz")


def test_a_dry_run_counts_and_changes_nothing(installation: Installation) -> None:
    fill(installation)
    installation.write_job(exclude="tmp/", minSize="10", srcPrefix=f"{installation.source}/")
    answer = installation.run("submit", "--dry-run", "--json")
    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout)
    assert said["complete"]
    assert said["copy"]["objects"] == 40
    assert said["copy"]["bytes"] == sum(range(10, 50))
    assert said["excluded"]["TooSmall"]["objects"] == 10
    assert said["excluded"]["ExcludedByName"] == {
        "objects": 1,
        "bytes": 3,
        "examples": ["tmp/a"],
    }
    assert not installation.wd.exists()
    text = installation.run("submit", "--dry-run").stdout
    assert "  copy  40 objects, 1.2 kB in about 2 tasks" in text


def test_what_would_fail_shows_in_the_exit_code(installation: Installation) -> None:
    (installation.source / "new\nline").write_bytes(b"x")
    answer = installation.run("submit", "--dry-run")
    assert answer.returncode == 2
    assert r"InvalidKey: 1 object, 1 B, such as new\x0aline" in answer.stdout


def test_json_is_for_dry_runs(installation: Installation) -> None:
    assert installation.run("submit", "--json").returncode == 1


def test_an_interrupted_dry_run_says_what_it_has_seen(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        domain = f"http://127.0.0.1:{silent.getsockname()[1]}"
        keys = {"srcAccessKey": "a", "srcSecretKey": "b", "srcBucket": "b"}
        installation.write_job(srcType="s3", srcPrefix="", srcDomain=domain, **keys)
        dry = installation.begin("submit", "--dry-run", stdout=subprocess.PIPE)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(3) == b"GET"
            dry.send_signal(signal.SIGINT)
            out, _ = dry.communicate(timeout=PATIENCE_S)
    assert dry.returncode == 130
    assert "(only a part was listed)" in out
