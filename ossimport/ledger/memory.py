"""The ledger in memory: the reference that the Redis ledger is held to, and enough for one process.

`base.py` says what each method promises. One lock makes every method one step. Rules that the Lua
scripts explain (why a claim outlives its lease, why a gap is refused) are not explained again here.
"""

from ossimport.ledger.base import Ledger
from ossimport.ledger.memory_console import MemoryConsolePart
from ossimport.ledger.memory_lending import MemoryLendingPart
from ossimport.ledger.memory_limits import MemoryLimitsPart
from ossimport.ledger.memory_master import MemoryMasterPart
from ossimport.ledger.memory_worker import MemoryWorkerPart


class MemoryLedger(
    MemoryConsolePart, MemoryMasterPart, MemoryWorkerPart, MemoryLendingPart, MemoryLimitsPart
):
    """The ledger of one process; its threads may share it. `clock` gives seconds since 1970."""


_check: type[Ledger] = MemoryLedger
