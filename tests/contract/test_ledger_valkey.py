"""The ledger on Redis keeps the contract on a real server."""

from collections.abc import Iterator

import pytest
from redis import Redis

from ossimport.ledger.redis import RedisLedger, open_ledger
from tests.contract.ledger_contract import LedgerContract
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
