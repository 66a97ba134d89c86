"""How several workers make the parts of one large object: what the ledger promises for it.

The holder of the task offers parts, others borrow some at a time, make them and say so. An offer is
no record of the job: nothing is counted by it, no journal knows of it, and whatever of it is lost,
the holder makes those parts itself. It dies with the holder's claim; parts that were made do not.
"""

from collections.abc import Sequence
from typing import Protocol

from ossimport.ledger.values import Claim, Collected, Loan, Repayment
from ossimport.model import Upload


class LendingLedger(Protocol):
    """The holder's calls, then the borrowers'. What `base.py` says of all calls holds here too."""

    def lend(
        self, claim: Claim, index: int, upload: Upload | None, numbers: Sequence[int] = ()
    ) -> None:
        """Offer these parts of the upload of object `index`; None: offer nothing any more.

        What was offered or returned before is forgotten, and loans of it are stale: nothing may be
        in the ledger alone.
        """

    def collect(self, claim: Claim, count: int, seen: int) -> Collected | None:
        """See what others have made, and take up to `count` parts back to make them oneself.

        None if the ledger knows of no offer of this claim. `seen` is that of the call before, at
        first 0. Loans whose lease has expired end. If the reply is lost, so are the parts that were
        taken back: the holder misses them when nothing is lent any more.
        """

    def borrow(
        self, name: str, task_id: str, worker: str, lease_s: float, count: int
    ) -> Loan | None:
        """Borrow up to `count` parts that the holder of a task offers; None if there are none.

        Another loan of this `worker` ends, so that a lost reply costs nothing.
        """

    def repay(self, loan: Loan, repayment: Repayment, lease_s: float, count: int) -> list[int]:
        """Say what was made; get up to `count` more parts, and the lease anew.

        With no part kept and none got the loan ends. StaleClaim if it has ended, if the holder's
        claim has, or if the job is not Running. A loan whose lease has run out is as good as a
        claim.
        """
