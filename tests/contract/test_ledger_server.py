"""What only a real server shows: races, lost replies, crashes, refusals, memory."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ConnectionError

from ossimport.errors import JobNotFound, LedgerUnavailable, StaleClaim
from ossimport.ledger.base import Claim, Held
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.model import JobState, TaskState
from tests.contract.ledger_material import (
    COPIED,
    JOB,
    LEASE,
    LEFT,
    UPLOAD,
    carry_out,
    flush,
    kinds,
    objects,
    planned,
    step,
    take,
    tasks,
)
from tests.servers.valkey import Valkey, valkey


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture
def client(server: Valkey) -> Iterator["Redis"]:
    with Redis.from_url(server.url) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", 0)


@pytest.fixture
def ledger(server: Valkey, client: "Redis") -> Iterator[RedisLedger]:
    ledger = open_ledger(server.url)
    ledger.create_job(JOB)
    yield ledger
    ledger.close()


def test_of_many_workers_at_once_each_task_has_one_holder(ledger: RedisLedger) -> None:
    count = 60
    ledger.plan(JOB.name, step(1, *(planned(number) for number in range(count))))
    ledger.dispatch(JOB.name, count)
    answers: list[Claim | Held | None] = []
    together = threading.Barrier(8)

    def work(worker: str) -> None:
        together.wait()
        for number in range(count):
            answers.append(ledger.claim(JOB.name, f"T{number}", worker, LEASE))

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [answer for answer in answers if isinstance(answer, Claim)]
    assert sorted(claim.task_id for claim in won) == sorted(f"T{n}" for n in range(count))
    assert sum(isinstance(answer, Held) for answer in answers) == 7 * count
    assert len({claim.fence for claim in won}) == count
    for claim in won:
        ledger.renew(claim, LEASE)
    assert {(row.task_id, row.worker) for row in ledger.running(JOB.name)} == {
        (claim.task_id, claim.worker) for claim in won
    }


def test_ended_and_acknowledged_tasks_leave_nothing_but_counters(
    ledger: RedisLedger, client: "Redis"
) -> None:
    def run(numbers: range) -> tuple[list[bytes | str], dict[bytes | str, int]]:
        for number in numbers:
            ledger.plan(JOB.name, step(number + 1, planned(number)))
            ledger.dispatch(JOB.name, 1)
            claim = take(ledger, f"T{number}")
            ledger.save_upload(claim, 0, UPLOAD)
            ledger.save_upload(claim, 0, None)
            ledger.release(claim)
            carry_out(ledger, f"T{number}", COPIED, COPIED, COPIED)
            ledger.acknowledge(JOB.name, ledger.outbox(JOB.name, 99)[-1].id, [f"T{number}"])
        keys = sorted(client.keys("*"))
        return keys, {key: int(client.memory_usage(key, samples=0) or 0) for key in keys}

    keys, memory = run(range(30))
    assert keys == [b"oi:jobs", b"oi:{photos}", b"oi:{photos}:outbox"]
    keys_later, memory_later = run(range(30, 300))
    assert keys_later == keys
    for key in keys:
        assert memory_later[key] <= memory[key] * 1.2, key


def test_a_forgotten_job_leaves_no_key(ledger: RedisLedger, client: "Redis") -> None:
    ledger.plan(JOB.name, step(1, *(planned(number) for number in range(3000))))
    ledger.dispatch(JOB.name, 1000)
    for number in range(4):
        ledger.save_upload(take(ledger, f"T{number}"), 0, UPLOAD)
    carry_out(ledger, "T5", COPIED, COPIED, COPIED)
    ledger.hold_job(JOB.name, "m1", LEASE)
    assert client.dbsize() > 3000
    ledger.forget_job(JOB.name)
    assert client.keys("*") == []


def test_a_pending_task_costs_little_more_than_its_manifest(
    ledger: RedisLedger, client: "Redis"
) -> None:
    count = 1000
    before = client.info("memory")["used_memory"]
    ledger.plan(JOB.name, step(1, *(planned(number) for number in range(count))))
    assert (client.info("memory")["used_memory"] - before) / count < 700


def test_a_dropped_connection_is_made_anew_without_a_word(
    ledger: RedisLedger, client: "Redis"
) -> None:
    ledger.plan(JOB.name, step(1, planned(1)))
    claim = take(ledger, "T1")
    own = client.client_id()
    for other in client.client_list():
        if int(other["id"]) != own:
            client.client_kill_filter(_id=other["id"])
    ledger.record(claim, flush(1, claim.marks, [COPIED, LEFT, LEFT]))
    assert objects(ledger.snapshot(JOB.name)) == {"listed": 3, "copied": 1, "left": 2}


def test_a_call_whose_reply_was_lost_is_repeated_and_counts_once(
    ledger: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reply is thrown away when it has come, as a link does that breaks at this moment.
    ledger.plan(JOB.name, step(1, planned(1), planned(2)))
    claim = take(ledger, "T1")
    lose = [False]
    [connection_class] = {type(c) for c in ledger._client.connection_pool._available_connections}
    read = connection_class.read_response

    def read_or_lose(connection: object, *args: object, **kwargs: object) -> object:
        reply = read(connection, *args, **kwargs)
        if lose[0] and reply != b"OK":
            lose[0] = False
            connection.disconnect()  # type: ignore[attr-defined]  # a redis connection
            raise ConnectionError("the link broke")
        return reply

    monkeypatch.setattr(connection_class, "read_response", read_or_lose)
    marks = [COPIED, COPIED, COPIED]
    asks: list[Callable[[], None]] = [
        lambda: ledger.plan(JOB.name, step(2, planned(3))),
        lambda: ledger.record(claim, flush(1, claim.marks, marks, "text")),
        lambda: ledger.renew(claim, LEASE),
        lambda: ledger.finish(claim, TaskState.SUCCEED),
        lambda: ledger.acknowledge(JOB.name, ledger.outbox(JOB.name, 1)[0].id, []),
    ]
    for ask in asks:
        lose[0] = True
        ask()
        assert not lose[0]
    assert objects(ledger.snapshot(JOB.name)) == {"listed": 9, "copied": 3, "left": 6}
    assert kinds(ledger) == [("log", "T1"), ("ended", "T1")]


def test_a_killed_server_comes_back_with_everything() -> None:
    with valkey() as server:
        ledger = open_ledger(server.url)
        ledger.create_job(JOB)
        ledger.plan(JOB.name, step(1, planned(1), planned(2)))
        claim = take(ledger, "T1")
        ledger.record(claim, flush(1, claim.marks, [COPIED, LEFT, LEFT], "text"))
        pid = server.pid
        server.kill()
        with pytest.raises(LedgerUnavailable, match=f"127.0.0.1:{server.port} does not answer"):
            ledger.renew(claim, LEASE)
        server.restart()
        assert server.pid != pid
        ledger.renew(claim, LEASE)
        ledger.record(claim, flush(2, [COPIED, LEFT, LEFT], [COPIED] * 3))
        ledger.finish(claim, TaskState.SUCCEED)
        snapshot = ledger.snapshot(JOB.name)
        assert objects(snapshot) == {"listed": 6, "copied": 3, "left": 3}
        assert tasks(snapshot) == {TaskState.PENDING: 1, TaskState.SUCCEED: 1}
        ledger.close()


def test_after_a_total_loss_old_claims_are_stale_and_new_fences_are_higher(
    ledger: RedisLedger, client: "Redis"
) -> None:
    ledger.plan(JOB.name, step(1, planned(1)))
    old = take(ledger, "T1")
    client.flushall()
    with pytest.raises(JobNotFound):
        ledger.snapshot(JOB.name)
    with pytest.raises(StaleClaim):
        ledger.record(old, flush(1, old.marks, [COPIED] * 3))
    ledger.create_job(JOB)
    ledger.plan(JOB.name, step(1, planned(1)))
    time.sleep(0.002)  # no server is back within the millisecond that fences are counted in
    assert take(ledger, "T1").fence > old.fence
    with pytest.raises(StaleClaim):
        ledger.record(old, flush(1, old.marks, [COPIED] * 3))


def test_a_full_server_is_told_with_its_cure_and_can_still_be_relieved(
    ledger: RedisLedger, client: "Redis"
) -> None:
    ledger.plan(JOB.name, step(1, planned(1)))
    claim = carry_out(ledger, "T1", COPIED, COPIED, COPIED)
    client.config_set("maxmemory", 1)
    with pytest.raises(LedgerUnavailable, match="Redis is full"):
        ledger.plan(JOB.name, step(2, planned(2)))
    ledger.acknowledge(JOB.name, ledger.outbox(JOB.name, 9)[-1].id, [claim.task_id])
    assert ledger.outbox(JOB.name, 9) == []
    client.config_set("maxmemory", 0)
    assert objects(ledger.snapshot(JOB.name)) == {"listed": 3, "copied": 3}
    client.config_set("maxmemory", 1)
    ledger.forget_job(JOB.name)
    assert client.dbsize() == 0


def test_a_read_only_server_is_told_with_its_cure(ledger: RedisLedger, client: "Redis") -> None:
    client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(LedgerUnavailable, match="this is a replica"):
            ledger.set_state(JOB.name, JobState.ABORT)
    finally:
        client.replicaof("NO", "ONE")


def test_a_wrong_password_is_told_with_its_cure_and_never_shown(server: Valkey) -> None:
    for url, secret in (
        (server.url.replace(server.password, "wr0ng-secret"), "wr0ng-secret"),
        (server.url.replace(f":{server.password}@", ""), server.password),
    ):
        ledger = open_ledger(url)
        with pytest.raises(LedgerUnavailable, match="mend redisUrl") as caught:
            ledger.jobs()
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert secret not in str(caught.value)
        assert secret not in repr(ledger)
        ledger.close()


def test_a_user_without_the_right_is_told_with_its_cure(client: "Redis", server: Valkey) -> None:
    client.acl_setuser("guest", enabled=True, passwords=["+pass"], commands=["+ping"])
    ledger = open_ledger(server.url.replace(f":{server.password}@", "guest:pass@"))
    with pytest.raises(LedgerUnavailable, match="this Redis user may not"):
        ledger.jobs()
    ledger.close()
    client.acl_deluser("guest")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@127.0.0.1:1/0",
        "rediss://:s3cret@127.0.0.1:1/0",
        "unix://:s3cret@/nowhere/redis.sock?db=0",
        "sentinel://:s3cret@127.0.0.1:1;sentinel://127.0.0.1:2/0?master_name=mymaster",
    ],
)
def test_a_server_that_is_not_there_is_told_without_the_password(url: str) -> None:
    ledger = open_ledger(url)
    with pytest.raises(LedgerUnavailable, match="does not answer") as caught:
        ledger.jobs()
    assert any(where in str(caught.value) for where in ("127.0.0.1:1", "redis.sock", "mymaster"))
    assert "s3cret" not in str(caught.value)
    ledger.close()


def test_a_unix_socket_serves_as_well(server: Valkey, ledger: RedisLedger) -> None:
    local = open_ledger(f"unix://:{server.password}@{server.socket}?db=0")
    assert local.jobs() == ledger.jobs() == [JOB.name]
    local.close()


def test_sentinel_leads_to_the_primary(server: Valkey, ledger: RedisLedger) -> None:
    with valkey(watched=server) as sentinel:
        behind = open_ledger(
            f"sentinel://:{server.password}@127.0.0.1:1;sentinel://127.0.0.1:{sentinel.port}/0"
            "?master_name=mymaster"
        )
        assert behind.jobs() == ledger.jobs() == [JOB.name]
        behind.close()


@pytest.mark.parametrize(
    "url", ["", "localhost:6379", "http://:s3cret@x", "sentinel://:s3cret@h:1/0"]
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        open_ledger(url)
    assert "s3cret" not in str(caught.value)
