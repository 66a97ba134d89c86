"""The ledger on Redis keeps the contract on a real server."""

from collections.abc import Iterator

import pytest
from redis import Redis

from ossimport.ledger.base import Claim, Repayment
from ossimport.ledger.keys import JobKeys
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.model import TaskState
from tests.contract.ledger_contract import LedgerContract
from tests.contract.ledger_material import COPIED, JOB, LEASE, UPLOAD, flush
from tests.servers.valkey import Valkey, valkey


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


class TestRedisLedgerOnValkey(LedgerContract):
    @pytest.fixture
    def empty(self, server: Valkey) -> Iterator[RedisLedger]:
        with Redis.from_url(server.url) as client:
            client.flushall()
        ledger = open_ledger(server.url)
        yield ledger
        ledger.close()

    def test_nothing_of_what_was_lent_stays_when_the_task_has_ended(
        self, ledger: RedisLedger, server: Valkey, holder: Claim
    ) -> None:
        def lend() -> None:
            ledger.lend(holder, 1, UPLOAD, [3, 4, 5])
            loan = ledger.borrow(JOB.name, "T1", "w2", LEASE, 2)
            assert loan is not None
            ledger.repay(loan, Repayment({3: ("e3", 33)}, [4]), LEASE, 0)
            assert client.exists(*lent) == 3

        lent = JobKeys(JOB.name).lending("T1")
        with Redis.from_url(server.url) as client:
            lend()
            ledger.lend(holder, 1, None)
            assert client.exists(*lent) == 0
            lend()
            ledger.record(holder, flush(1, holder.marks, [COPIED] * 3))
            ledger.finish(holder, TaskState.SUCCEED)
            assert client.exists(*lent) == 0

    def test_nothing_of_what_was_lent_stays_when_the_job_is_forgotten(
        self, ledger: RedisLedger, server: Valkey, holder: Claim
    ) -> None:
        with Redis.from_url(server.url) as client:
            assert list(client.scan_iter("oi:{photos}:offer:*"))
            ledger.forget_job(JOB.name)
            assert list(client.scan_iter("oi:{photos}*")) == []
