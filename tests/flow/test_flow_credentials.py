"""Whole jobs whose credentials expire on the way: real server, real workers."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ossimport.sandbox.auth import Temporary
from tests.servers.migration import Migration, migration

pytestmark = pytest.mark.slow

SERVICE = Temporary("sandbox-secret")


def put_new(path: Path, life: float) -> None:
    """Replace the file of credentials as a whole."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(SERVICE.issue(time.time() + life)))
    os.replace(fresh, path)


@contextmanager
def rotating(path: Path, life: float) -> Iterator[None]:
    """Put new credentials there in time, as long as this lasts."""
    over = threading.Event()

    def rotate() -> None:
        while not over.wait(life / 2):
            put_new(path, life)

    put_new(path, life)
    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Migration]:
    """A job of many small objects and some large ones, slowed down by the rate of its worker."""
    home = tmp_path / "home"
    with migration(home, multipartUploadThreshold="1m") as made:
        path = home / "sts.json"
        made.job |= {
            "destAccessKey": "",
            "destSecretKey": "",
            "destCredentials": f"file:{path}",
            "multipartUploadPartSize": "200k",
        }
        made.apply()
        for number in range(300):
            made.write(f"d{number % 7}/{number}", os.urandom(10_000))
        for number in range(2):
            made.write(f"large{number}", os.urandom(1_500_000))
        yield made


def test_tokens_that_end_again_and_again_fail_nothing(demo: Migration) -> None:
    with rotating(demo.home / "sts.json", 2.5):
        began = time.monotonic()
        demo.begin_job(limit=1_000_000)
        job = demo.finish()
        assert time.monotonic() - began > 5  # more than one token's life
    assert (job["state"], job["objects"]["copied"]) == ("Succeed", 302), demo.logs()
    assert demo.stored() == demo.sent()
    for secret in ("SecurityToken", "AccessKeySecret"):
        assert SERVICE.issue(0)[secret] not in demo.logs()


def test_a_job_without_credentials_waits_and_goes_on_by_itself(demo: Migration) -> None:
    path = demo.home / "sts.json"
    with rotating(path, 2.5):
        demo.begin_job(limit=200_000)
        demo.wait_until(lambda job: job["objects"]["copied"] > 20)
    job = demo.wait_until(lambda job: "waiting" in job["reason"])
    assert "destCredentials" in job["reason"]
    assert f"put new ones in file:{path}" in job["reason"]
    assert "waiting: " in demo.verb("stat")
    assert (job["state"], job["objects"]["failed"]) == ("Running", 0)
    demo.limit(None)
    with rotating(path, 3.0):
        job = demo.finish()
    assert (job["state"], job["objects"]["copied"], job["reason"]) == ("Succeed", 302, "")
    assert demo.stored() == demo.sent()


def test_a_token_of_the_job_file_is_replaced_by_submitting_again(demo: Migration) -> None:
    def write(life: float) -> None:
        found = SERVICE.issue(time.time() + life)
        demo.job |= {
            "destCredentials": "",
            "destAccessKey": found["AccessKeyId"],
            "destSecretKey": found["AccessKeySecret"],
            "destSecurityToken": found["SecurityToken"],
        }
        demo.apply()

    demo.apply()
    demo.verb("start")
    demo.limit(100_000)
    write(20.0)
    demo.verb("submit", str(demo.job_file))
    job = demo.finish()
    assert (job["state"], job["objects"]["failed"]) == ("Abort", 0), demo.logs()
    assert "SecurityTokenExpired" in job["reason"]
    assert "put a new security token in destSecurityToken" in job["reason"]
    assert 0 < job["objects"]["copied"] < 302
    demo.limit(None)
    demo.verb("stop")
    write(600.0)
    assert "Import to oss completed." in demo.import_job()
    demo.verb("start")
    job = demo.look()
    assert (job["state"], job["objects"]["copied"]) == ("Succeed", 302)
    assert demo.stored() == demo.sent()
