"""An end that is gone for a while: its job waits, and workers do what other jobs want."""

import json
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.servers.migration import Migration, migration, wait_for
from tests.servers.relay import relay

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]

FILES = 120


def jobs(made: Migration) -> dict[str, Any]:
    return {job["jobName"]: job for job in json.loads(made.run("stat", "--json").stdout)["jobs"]}


def test_a_job_whose_destination_is_gone_leaves_its_workers_to_others(tmp_path: Path) -> None:
    with ExitStack() as stack:
        made = stack.enter_context(migration(tmp_path / "home", {"workerProcessNum": 1}))
        made.verb("start")  # first, so that the relay cannot get the sandbox's port
        made.limit(50_000)
        way = stack.enter_context(relay(made.sandbox_port))
        rng = random.Random(3)
        for index in range(FILES):
            made.write(f"f{index}", rng.randbytes(20_000))
        made.job |= {"destDomain": f"http://127.0.0.1:{way.port}", "taskObjectCountLimit": 40}
        made.apply()
        made.verb("submit", str(made.job_file))
        made.wait_until(lambda job: 0 < job["objects"]["copied"] < FILES)
        way.shut()
        made.limit(None)
        source = made.home / "other"
        source.mkdir()
        for index in range(20):
            (source / f"f{index}").write_bytes(b"x" * 1000)
        other = made.write_job(
            "other.cfg", jobName="other", srcPrefix=f"{source}/", destPrefix="other/"
        )
        made.verb("submit", str(other))

        wait_for(lambda: jobs(made)["other"]["state"] == "Succeed", "the other job", 120)
        held = jobs(made)["local_test"]
        assert held["state"] == "Running"
        assert "waiting: the destination refuses every request" in held["reason"]
        assert held["objects"]["failed"] == 0
        assert 0 < held["objects"]["copied"] < FILES
        assert "waiting: the destination" in made.verb("stat")

        wait_for(lambda: made.logs().count("job local_test waits") > 2, "another look or two", 120)
        assert made.logs().count("is handed back") == 1, "who looks again claims nothing"

        killed = made.kill("worker")  # a new one knows of no limits and of no outage
        wait_for(lambda: made.pids().get("worker", killed) != killed, "a new worker")
        way.reopen()
        wait_for(lambda: jobs(made)["local_test"]["state"] == "Succeed", "the job that waited", 120)
        ended = jobs(made)["local_test"]
        assert (ended["objects"]["copied"], ended["reason"]) == (FILES, "")
        assert made.stored() == made.sent()
