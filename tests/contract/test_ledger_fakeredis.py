"""The ledger on Redis keeps the contract on fakeredis: its scripts need nothing of one server."""

from collections.abc import Iterator

import fakeredis
import pytest

from ossimport.config.redis_url import RedisPlace
from ossimport.ledger.redis import RedisLedger
from tests.contract.ledger_contract import LedgerContract


class TestRedisLedgerOnFakeredis(LedgerContract):
    @pytest.fixture
    def empty(self) -> Iterator[RedisLedger]:
        ledger = RedisLedger(
            fakeredis.FakeRedis(server=fakeredis.FakeServer()), RedisPlace("redis", (("here", 1),))
        )
        yield ledger
        ledger.close()
