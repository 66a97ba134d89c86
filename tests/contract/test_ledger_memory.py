"""The ledger in memory keeps the contract."""

import pytest

from ossimport.ledger.memory import MemoryLedger
from tests.contract.ledger_contract import LedgerContract


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def empty(self) -> MemoryLedger:
        return MemoryLedger()
