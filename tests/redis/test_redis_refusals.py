"""A server that is set otherwise, and what it answers at run time: real servers, real answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from ossimport.config.redis_url import read_redis_url
from ossimport.errors import LedgerUnavailable, PreflightError
from ossimport.ledger.redis import open_ledger
from ossimport.ledger.refusals import unavailable
from ossimport.queue import Sender
from tests.contract.ledger_material import JOB
from tests.servers.installation import free_port
from tests.servers.migration import Migration, migration
from tests.servers.redis import RedisServer, needs_redis, redis_server

pytestmark = needs_redis


def examined(url: str) -> list[str]:
    ledger = open_ledger(url)
    try:
        return ledger.examine()
    finally:
        ledger.close()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator["Redis"]:
    with server.client() as client:
        yield client
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        client.config_set("min-replicas-to-write", 0)


@pytest.fixture
def installation(server: RedisServer, client: "Redis", tmp_path: Path) -> Iterator[Migration]:
    with migration(tmp_path / "m", {"redisUrl": server.url, "sandboxPort": ""}) as made:
        yield made


def test_a_good_server_is_good(server: RedisServer) -> None:
    assert examined(server.url) == []


def test_start_and_submit_refuse_a_replica_and_a_server_that_evicts(
    installation: Migration, client: "Redis"
) -> None:
    client.replicaof("127.0.0.1", 1)
    told = installation.verb("start", code=3)
    assert "it is a replica of 127.0.0.1:1, which takes no writes" in told
    client.replicaof("NO", "ONE")
    client.config_set("maxmemory-policy", "allkeys-lru")
    told = installation.verb("submit", str(installation.job_file), code=3)
    assert "Set maxmemory-policy noeviction" in told
    assert "docs/redis.md" in told
    assert not installation.pids()


def test_what_is_only_unwise_is_a_warning(server: RedisServer, client: "Redis") -> None:
    client.config_set("maxmemory-policy", "volatile-lru")
    client.config_set("appendonly", "no")
    policy, file = examined(server.url)
    assert "maxmemory-policy is volatile-lru" in policy
    assert "Set appendonly yes" in file


def test_a_cluster_is_refused_with_what_to_do_instead() -> None:
    with redis_server("cluster-enabled yes", f"cluster-port {free_port()}") as cluster:
        with pytest.raises(PreflightError, match="Redis Cluster.*no transport.*behind Sentinel"):
            examined(cluster.url)
        for url in (cluster.url, cluster.url.replace("/0", "/3")):
            ledger = open_ledger(url)
            with pytest.raises(LedgerUnavailable, match="this is a Redis Cluster.*docs/redis.md"):
                ledger.jobs()
            ledger.close()
        with pytest.raises(LedgerUnavailable, match="this is a Redis Cluster"):
            Sender(cluster.url).send("job", "task")


def test_a_replica_that_has_lost_its_primary_is_told(server: RedisServer, client: "Redis") -> None:
    client.config_set("replica-serve-stale-data", "no")
    client.replicaof("127.0.0.1", 1)
    ledger = open_ledger(server.url)
    try:
        with pytest.raises(LedgerUnavailable, match="wait for the failover"):
            ledger.jobs()
    finally:
        ledger.close()
        client.replicaof("NO", "ONE")
        client.config_set("replica-serve-stale-data", "yes")


def test_too_few_replicas_are_told(server: RedisServer, client: "Redis") -> None:
    client.flushall()
    client.config_set("min-replicas-to-write", 1)
    ledger = open_ledger(server.url)
    with pytest.raises(LedgerUnavailable, match="too few replicas"):
        ledger.create_job(JOB)
    with pytest.raises(LedgerUnavailable, match="too few replicas"):
        Sender(server.url).send("job", "task")
    ledger.close()


def test_a_server_that_still_loads_is_waited_for() -> None:
    """A server that says so to everything, as Redis does while it reads its file."""

    def answer() -> None:
        with suppress(OSError):  # the test is over
            while True:
                link, _ = listener.accept()
                with link, suppress(ConnectionError):  # who was told need not read on
                    while link.recv(65536):
                        link.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        ledger = open_ledger(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        with pytest.raises(LedgerUnavailable, match="Redis is reading its data from disk"):
            ledger.jobs()
        with pytest.raises(LedgerUnavailable, match="Redis is reading its data from disk"):
            ledger.examine()
        ledger.close()


# What no server was at hand to say, as redis-py would raise it.
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("TRYAGAIN", "Redis Cluster"),
        ("MOVED", "Redis Cluster"),
        ("ASK", "Redis Cluster"),
        ("CROSSSLOT", "Redis Cluster"),
        ("MISCONF", "write to its disk"),
        ("BUSY", "SCRIPT KILL"),
        ("OOM", "Redis is full"),
    ],
)
def test_every_code_has_its_cure(code: str, words: str) -> None:
    error = ResponseError(f"{code} some words of the server")
    told = unavailable(error, read_redis_url("redis://:s3cret@h"))
    assert told is not None
    assert words in str(told)
    assert "s3cret" not in str(told)


def test_what_is_a_fault_of_ours_stays_one() -> None:
    place = read_redis_url("redis://h")
    assert unavailable(ResponseError("ERR wrong number of arguments"), place) is None
    assert unavailable(KeyError("x"), place) is None
    wrapped = RuntimeError("kombu's")
    wrapped.__cause__ = ResponseError("OOM command not allowed")
    assert "is full" in str(unavailable(wrapped, place))
    assert isinstance(wrapped.__cause__, RedisError)
