"""What the three parts of the Redis ledger stand on: running a script by its name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

Argument = str | int | float | bytes


class Scripted(ABC):
    """A part of the ledger whose every method is one script of `lua/`."""

    @abstractmethod
    def _run(
        self, script: str, about: str, keys: Sequence[str], args: Sequence[Argument] = ()
    ) -> Any:
        """Run a script; return its reply. `about` names the job or task for error messages.

        Raises what `base.py` promises: LedgerUnavailable, JobNotFound, StaleClaim and so on.
        """
