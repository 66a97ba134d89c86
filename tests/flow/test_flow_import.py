"""Whole jobs: real server, real workers, the real protocol, read back with the stock SDK."""

import json
import os
import random
import re
import socket
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.installation import PATIENCE_S, ROOT, free_port
from tests.servers.migration import Migration, migration, wait_for

pytestmark = pytest.mark.slow

ODD_NAMES = [
    "plain.txt",
    "with blank.txt",
    " leading and trailing ",
    "percent%20sign%",
    "plus+and&equals=?#",
    "quote'\"`$(x)",
    "back\\slash",
    "deep/er/and/deeper/file",
    "dots/...",
    "a..b/.hidden",
    "中文/文件名.txt",
    "emoji 🎉/🎈.png",
    "combining é é",
    "x" * 255,
    "/".join(["d" * 200] * 4) + "/" + "n" * 200,
    "tab\tin it",
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def demo(home: Path) -> Iterator[Migration]:
    with migration(home, multipartUploadThreshold="1m", multipartUploadPartSize="200k") as made:
        yield made


def fill(made: Migration, number: int, seed: int = 1) -> None:
    """So many small files, in a few directories."""
    rng = random.Random(seed)
    for index in range(number):
        made.write(f"dir{index % 7}/sub{index % 3}/file{index}", rng.randbytes(rng.randrange(3000)))


def test_everything_arrives_whatever_it_is_called_and_however_large(demo: Migration) -> None:
    fill(demo, 600)
    for name in ODD_NAMES:
        demo.write(name, name.encode())
    demo.write("empty", b"")
    rng = random.Random(2)
    for size in ((1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20, 3 * 200 * 1024 + (1 << 20)):
        demo.write(f"sizes/{size}", rng.randbytes(size))
    os.truncate(demo.source / "empty", 0)
    (demo.source / "sparse").touch()
    os.truncate(demo.source / "sparse", 30 << 20)

    out = demo.import_job()

    assert "JobState:Succeed" in out
    demo.verb("start")
    assert demo.stored() == demo.sent()
    job = demo.look()
    assert job["objects"]["copied"] == len(demo.sent())
    assert job["proof"] == {"3": 0, "2": len(demo.sent()), "1": 0}
    assert demo.uploads() == []


def test_what_cannot_arrive_is_named_and_the_rest_arrives(demo: Migration) -> None:
    fill(demo, 50)
    demo.write(b"caf\xe9.txt", b"not UTF-8")
    demo.write("line\nbreak", b"not for XML")
    demo.write("ok", b"ok")
    os.symlink("ok", demo.source / "link")
    os.mkfifo(demo.source / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(demo.source / "s"))

    out = demo.import_job(code=2)

    assert "JobState:Failed" in out
    assert "caf\\xe9.txt" in out
    assert "line\\nbreak" in out or "line\\x0abreak" in out
    objects = demo.look()["objects"]
    assert objects == {
        "listed": 56,
        "copied": 51,
        "skipped": 0,
        "failed": 2,
        "vanished": 0,
        "excluded": 3,
        "left": 0,
    }
    errors = [path.read_text() for path in demo.tree.glob("failed_tasks/*/error.list")]
    assert sum(text.count("\n") for text in errors) == 2


def test_a_second_run_skips_what_is_there(demo: Migration) -> None:
    demo.job["isSkipExistFile"] = "true"
    demo.apply()
    fill(demo, 40)
    for path in demo.source.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    demo.import_job()
    demo.write("new", b"n")
    demo.import_job()
    objects = demo.look()["objects"]
    assert (objects["copied"], objects["skipped"]) == (1, 40)


def test_a_job_that_finds_nothing_is_no_success(demo: Migration) -> None:
    out = demo.import_job(code=4)
    assert "JobState:Succeed" not in out
    assert "nothing" in out.lower() or "no object" in out.lower()


def test_the_directories_are_the_originals(demo: Migration) -> None:
    demo.write("a.txt", b"hello")
    demo.import_job()
    root = demo.tree
    (task,) = (root / "succeed_tasks").iterdir()
    task_id, _, host = task.name.partition("@")
    digest, _, millis = task_id.partition("_")
    assert (len(digest), digest, len(millis), host) == (32, digest.upper(), 13, "localhost")
    assert (task / "STATUS").read_text() == "Completed"
    assert (task / "error.list").read_text() == ""
    assert (task / "DONE").read_text()
    assert "a.txt" in (task / "TASK").read_text()
    assert " Copied a.txt Detail:" in (task / "audit.log").read_text()
    for folder in ("pending_tasks", "failed_tasks"):
        assert not list((root / folder).iterdir())
    assert list((root / "checkpoints" / "0").glob("*.cpt"))


def test_the_step_by_step_verbs_do_the_same(demo: Migration) -> None:
    fill(demo, 30)
    assert "no jobs is running or finished." in demo.verb("stat")
    out = demo.verb("submit", str(demo.job_file))
    assert "submit job:local_test success!\n" in out
    assert "please clean it first" in demo.verb("submit", str(demo.job_file), code=None)
    assert "Start import service completed." in demo.verb("start")
    assert demo.finish()["state"] == "Succeed"
    assert demo.stored() == demo.sent()
    assert "None failed tasks for job:local_test." in demo.verb("retry")
    assert "Stop import service completed." in demo.verb("stop")
    assert demo.look()["objects"]["copied"] == 30
    assert "Clean job:local_test completed." in demo.verb("clean")
    assert not demo.tree.exists()


def ask_tracker(demo: Migration, path: str) -> str:
    """What Flower answers to whoever knows the password."""
    password = (demo.wd / "run" / "flower.password").read_text().strip()
    credentials = b64encode(f"ossimport:{password}".encode()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{demo.system['flowerPort']}{path}")
    request.add_header("Authorization", f"Basic {credentials}")
    with urllib.request.urlopen(request) as answer:
        text: str = answer.read().decode()
        return text


def test_the_tracker_shows_every_task_behind_its_password(home: Path) -> None:
    with migration(home, {"flowerPort": free_port()}) as demo:
        fill(demo, 60)
        demo.begin_job()
        job = demo.finish()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{demo.system['flowerPort']}/tasks")
        assert (demo.wd / "run" / "flower.password").stat().st_mode & 0o777 == 0o600
        shown = ""

        def all_are_shown() -> bool:
            nonlocal shown
            shown = ask_tracker(demo, "/api/tasks")
            return shown.count('"SUCCESS"') == int(job["tasks"]["succeed"])

        wait_for(all_are_shown, "the last task in the tracker")
        assert "sandbox-secret" not in shown


def test_the_tracker_shows_the_progress_of_a_running_task(home: Path) -> None:
    parts = {"multipartUploadThreshold": "1m", "multipartUploadPartSize": "110k"}
    with migration(home, {"flowerPort": free_port()}, **parts) as demo:
        demo.write("large", bytes(16 << 20))
        demo.begin_job(limit=200_000)
        pattern = re.compile(r"[1-9]\d?% 0/1 obj \d+\.\dMB/s")
        wait_for(lambda: pattern.search(ask_tracker(demo, "/api/tasks")), "a share of the task")
        assert demo.look()["running"][0]["bytesDone"] > 0
        demo.limit(None)
        assert demo.finish()["state"] == "Succeed"


def test_no_secret_is_ever_to_be_seen(demo: Migration) -> None:
    fill(demo, 20)
    demo.begin_job()
    demo.finish()
    processes = subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True).stdout
    password = json.loads((demo.wd / "run" / "redis.json").read_text())["password"]
    texts = {"process list": processes, "logs": demo.logs()}
    for path in demo.home.rglob("*"):
        with suppress(FileNotFoundError):  # what runs writes and renames meanwhile
            if path.is_file() and "conf" not in path.parts and path.stat().st_mode & 0o077:
                texts[str(path)] = path.read_text(errors="replace")
    for where, text in texts.items():
        assert "sandbox-secret" not in text, where
        assert password not in text, where


def test_the_readme_command_works_from_another_directory(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "console.sh"), "version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert "ossimport" in done.stdout
