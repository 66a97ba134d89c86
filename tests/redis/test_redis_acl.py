"""The line of docs/redis.md is enough, and none of it is too much."""

import base64
import re
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from ossimport.errors import LedgerUnavailable
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.queue import QUEUE, Sender, make_app
from tests.contract.ledger_contract import LedgerContract
from tests.contract.ledger_material import JOB
from tests.servers.installation import ROOT, free_port
from tests.servers.migration import migration
from tests.servers.redis import RedisServer, needs_redis, redis_server

pytestmark = needs_redis

PASSWORD = "the-password-of-the-test"


def documented() -> list[str]:
    """The words of the line behind ACL SETUSER."""
    [line] = re.findall(r"^    ACL SETUSER (.*)$", (ROOT / "docs/redis.md").read_text(), re.M)
    return [f">{PASSWORD}" if word == ">PASSWORD" else word for word in str(line).split()]


def commands(words: list[str]) -> set[str]:
    return {word.removeprefix("+") for word in words if word.startswith("+")}


def user(server: RedisServer, *dropped: str) -> str:
    """Make the user, without some of the words; return redisUrl for it."""
    words = [word for word in documented() if word not in dropped]
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", *words)
    return f"redis://{words[0]}:{PASSWORD}@127.0.0.1:{server.port}/0"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        user(running)
        yield running


@pytest.fixture(scope="module")
def url(server: RedisServer) -> str:
    return f"redis://{documented()[0]}:{PASSWORD}@127.0.0.1:{server.port}/0"


def refused(server: RedisServer) -> list[str]:
    """What the server has refused to anybody since it was last asked."""
    with server.client() as client:
        log = client.acl_log()
        client.acl_log_reset()
    return [f"{entry['reason']} {entry['object']} ({entry['context']})" for entry in log]


class TestTheLedgerOfThatUser(LedgerContract):
    @pytest.fixture
    def empty(self, server: RedisServer, url: str) -> Iterator[RedisLedger]:
        with server.client() as client:
            client.flushall()
        ledger = open_ledger(url)
        yield ledger
        ledger.close()
        assert refused(server) == []


def called_by_scripts() -> set[str]:
    folder = ROOT / "ossimport" / "ledger" / "lua"
    return {
        name.lower()
        for path in folder.glob("*.lua")
        for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", path.read_text())
    }


def test_every_command_of_a_script_is_in_the_line() -> None:
    missing = called_by_scripts() - commands(documented())
    assert not missing, f"let the ACL line in docs/redis.md grant {missing}"


@pytest.mark.slow
def test_a_whole_job_runs_under_the_line_and_needs_all_of_it(
    server: RedisServer, url: str, tmp_path: Path
) -> None:
    with server.client() as client:
        client.flushall()
        client.config_resetstat()
    refused(server)
    port = free_port()
    with migration(tmp_path / "m", {"redisUrl": url, "flowerPort": port}) as running:
        running.fill(60)
        running.begin_job()
        password = (running.wd / "run" / "flower.password").read_text().strip()
        basic = base64.b64encode(f"ossimport:{password}".encode()).decode()
        for page in ("api/workers?refresh=1", "api/queues/length", "broker"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/{page}", headers={"Authorization": f"Basic {basic}"}
            )
            with urllib.request.urlopen(request, timeout=90) as answer:
                text = answer.read().decode()
        assert QUEUE in text
        assert running.finish()["objects"]["copied"] == 60
        assert running.stored() == running.sent()
        running.verb("clean")
        running.verb("stop")
        assert "may not" not in running.logs()
    exercise_what_a_good_day_does_not(url)
    assert refused(server) == []
    with server.client() as client:
        stats = client.info("commandstats")
    used = {name.removeprefix("cmdstat_") for name in stats}
    # What the scripts call is not all called in one job, nor is a connection tired in it, and who
    # listens says goodbye only where its connection still stands then.
    elsewhere = {*called_by_scripts(), "select", "unwatch", "punsubscribe"}
    assert commands(documented()) - used <= elsewhere


def exercise_what_a_good_day_does_not(url: str) -> None:
    """A worker that dies gives its message back, and one that comes looks for such messages."""
    taken: list[object] = []
    Sender(url).send("job", "task")
    with make_app(url).connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_consume(QUEUE, False, taken.append, "tag")
        connection.drain_events(timeout=60)
        assert len(taken) == 1
        channel.qos.restore_visible()
        channel.close()  # what was taken and not acknowledged goes back
    assert Sender(url).waiting() == {"task"}
    with make_app(url).connection_for_read() as connection:
        connection.default_channel.queue_purge(QUEUE)


@pytest.mark.parametrize(
    "words",
    [
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("CONFIG", "GET", "requirepass"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("ACL", "LIST"),
        ("SHUTDOWN", "NOSAVE"),
        ("EVAL", "return 1", "0"),
        ("GET", "somebody:else"),
        ("SET", "somebody:else", "1"),
        ("PUBLISH", "somebody", "1"),
        ("MONITOR",),
        ("REPLICAOF", "NO", "ONE"),
    ],
)
def test_what_it_does_not_need_it_may_not(server: RedisServer, url: str, words: list[str]) -> None:
    with Redis.from_url(url) as client, pytest.raises(NoPermissionError):
        client.execute_command(*words)
    refused(server)


@pytest.mark.parametrize("dropped", ["~oi:*", "+evalsha", "+hset", "+time"])
def test_a_missing_right_of_the_ledger_is_told(server: RedisServer, url: str, dropped: str) -> None:
    user(server, dropped)
    with server.client() as client:
        client.flushall()
    ledger = open_ledger(url)

    def work() -> None:
        ledger.jobs()
        ledger.create_job(JOB)
        ledger.overdue(JOB.name, 1)

    try:
        with pytest.raises(LedgerUnavailable, match="this Redis user may not .*docs/redis.md"):
            work()
    finally:
        ledger.close()
        user(server)
        refused(server)


@pytest.mark.parametrize("dropped", ["~ossimport*", "~_kombu.*", "+lpush", "+multi"])
def test_a_missing_right_of_the_queue_is_told(server: RedisServer, url: str, dropped: str) -> None:
    user(server, dropped)
    try:
        with pytest.raises(LedgerUnavailable, match="this Redis user may not .*docs/redis.md"):
            Sender(url).send("job", "task")
    finally:
        user(server)
        refused(server)


def test_without_info_the_settings_are_not_looked_at_and_this_is_told(
    server: RedisServer, url: str
) -> None:
    user(server, "+info")
    ledger = open_ledger(url)
    try:
        [warning] = ledger.examine()
        assert "Grant it +info" in warning
    finally:
        ledger.close()
        user(server)
        refused(server)


def test_a_wrong_password_is_waited_out(server: RedisServer, url: str) -> None:
    ledger = open_ledger(url)
    assert ledger.jobs() is not None
    name = documented()[0]
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", name, "resetpass", ">another")
        client.client_kill_filter(skipme=True)
    with pytest.raises(LedgerUnavailable, match="mend redisUrl"):
        ledger.jobs()
    with suppress(LedgerUnavailable), pytest.raises(LedgerUnavailable, match="mend redisUrl"):
        Sender(url).send("job", "task")
    user(server)
    assert ledger.jobs() is not None
    ledger.close()
    refused(server)
