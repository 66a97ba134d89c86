"""A primary dies in mid-job: its replica is promoted, the job goes on and ends right."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ossimport.errors import LedgerUnavailable
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.queue import Sender
from tests.servers.migration import LAW, Migration, migration, wait_for
from tests.servers.redis import RedisServer, Trio, needs_redis, sentinels

pytestmark = [needs_redis, pytest.mark.slow]

PATIENCE_S = 120.0  # a sentinel that stood still for two seconds does nothing for thirty


@pytest.fixture
def trio() -> Iterator[Trio]:
    with sentinels() as running:
        yield running


def until_it_answers(ledger: RedisLedger) -> float:
    """Seconds until the ledger works again."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE_S:
        try:
            ledger.jobs()
            return time.monotonic() - began
        except LedgerUnavailable:
            time.sleep(0.1)
    raise AssertionError("no failover")


def seen(running: Migration) -> dict[str, Any] | None:
    """The job, its sums checked; None while nobody answers."""
    done = running.run("stat", "--json", answers=None)
    if done.returncode:
        assert "Redis at sentinel master mymaster" in done.stderr
        return None
    [job] = json.loads(done.stdout)["jobs"]
    for kind in ("objects", "bytes"):
        assert job[kind]["listed"] == sum(job[kind][name] for name in LAW), job
    found: dict[str, Any] = job
    return found


def finish(running: Migration) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S * 5
    while time.monotonic() < deadline:
        job = seen(running)
        if job is not None and job["state"] != "Running":
            return job
    raise AssertionError(f"the job does not end\n{running.logs()[-4000:]}")


def test_ledger_and_queue_follow_the_primary(trio: Trio) -> None:
    ledger, sender = open_ledger(trio.url), Sender(trio.url)
    assert ledger.examine() == []
    sender.send("job", "before")
    primary = trio.primary()
    with primary.client() as client:
        assert client.wait(1, 60_000)  # for the replica: the primary does not
    primary.kill()
    with pytest.raises(LedgerUnavailable, match="sentinel master mymaster does not answer"):
        ledger.jobs()
    until_it_answers(ledger)
    assert trio.primary() is not primary
    assert "before" in sender.waiting()
    sender.send("job", "after")
    assert "after" in sender.waiting()
    [warning] = ledger.examine()
    assert "no replica is connected" in warning
    ledger.close()


def test_a_wrong_password_of_sentinels_or_servers_is_told(trio: Trio) -> None:
    for secret in (trio.sentinels[0].password, trio.servers[0].password):
        ledger = open_ledger(trio.url.replace(secret, "wr0ng"))
        with pytest.raises(LedgerUnavailable) as caught:
            ledger.jobs()
        assert "wr0ng" not in str(caught.value)
        assert "sentinel master mymaster" in str(caught.value)
        ledger.close()


def is_cut_off(replica: RedisServer) -> bool:
    """It has noticed that it follows nobody."""
    with replica.client() as client:
        return bool(client.info("replication")["master_link_status"] == "down")


def copied(server: RedisServer) -> int:
    """How many objects the server believes to be copied."""
    with server.client() as client:
        return int(client.hget("oi:{local_test}", "copied") or 0)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("lagging", [False, True], ids=["replicated", "writes lost"])
def test_a_job_goes_on_and_ends_right(trio: Trio, tmp_path: Path, lagging: bool) -> None:
    """With `lagging` the replica has not seen the last of what was acknowledged."""
    with migration(tmp_path / "m", {"redisUrl": trio.url}, taskObjectCountLimit=60) as running:
        running.fill(700, 10_000)
        running.begin_job(limit=100_000)  # until its primary is gone
        primary = trio.primary()
        [replica] = [server for server in trio.servers if server is not primary]
        wait_for(lambda: copied(replica) > 100, "objects that the replica knows of", PATIENCE_S)
        if lagging:
            with replica.client() as client:
                client.config_set("masterauth", "not it")  # for the next time it connects
            with primary.client() as client:
                client.client_kill_filter(_type="replica")
            wait_for(lambda: is_cut_off(replica), "the replica to lose its primary", PATIENCE_S)
            known = copied(replica)
            wait_for(lambda: copied(primary) > known, "what only the primary knows", PATIENCE_S)
            assert copied(replica) == known
        primary.kill()
        running.limit(None)  # on the new one
        job_at_end = finish(running)
        assert trio.primary() is replica
        assert job_at_end["state"] == "Succeed"
        assert job_at_end["objects"]["copied"] == job_at_end["objects"]["listed"] == 700
        assert running.stored() == running.sent()
        # The journal says the same: every task in succeed_tasks, none elsewhere.
        ended = {path.name.partition("@")[0] for path in (running.tree / "succeed_tasks").iterdir()}
        assert len(ended) == job_at_end["tasks"]["succeed"]
        for place in ("pending_tasks", "dispatched", "failed_tasks"):
            assert not list((running.tree / place).rglob("TASK")), place
        logs = running.logs()
        assert "Traceback" not in logs
