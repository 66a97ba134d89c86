"""What every ledger must do. A test file subclasses LedgerContract and gives an `empty` fixture."""

import pytest

from ossimport.ledger.base import Ledger
from tests.contract.ledger_console_contract import ConsoleContract
from tests.contract.ledger_cut_contract import CutContract
from tests.contract.ledger_lending_contract import LendingContract
from tests.contract.ledger_limits_contract import LimitsContract
from tests.contract.ledger_master_contract import MasterContract
from tests.contract.ledger_material import JOB
from tests.contract.ledger_steering_contract import SteeringContract
from tests.contract.ledger_worker_contract import WorkerContract


class LedgerContract(
    ConsoleContract,
    CutContract,
    LendingContract,
    LimitsContract,
    MasterContract,
    SteeringContract,
    WorkerContract,
):
    """The whole contract. `empty` has no job, `ledger` has JOB."""

    @pytest.fixture
    def ledger(self, empty: Ledger) -> Ledger:
        empty.create_job(JOB)
        return empty
