"""Lending in the ledger in memory."""

from collections.abc import Sequence

from ossimport.errors import StaleClaim
from ossimport.ledger.arithmetic import milliseconds
from ossimport.ledger.memory_shelf import Shelf
from ossimport.ledger.records import Lent, LoanRecord, stale
from ossimport.ledger.values import Claim, Collected, Loan, Repayment
from ossimport.model import JobState, Upload


class MemoryLendingPart(Shelf):
    def lend(
        self, claim: Claim, index: int, upload: Upload | None, numbers: Sequence[int] = ()
    ) -> None:
        with self._claimed(claim) as (_, task):
            if task is None:
                raise stale(claim)
            task.lent = None
            if upload is not None:
                bare = upload._replace(parts={})
                task.lent = Lent(claim.fence, index, bare, {number: number for number in numbers})

    def collect(self, claim: Claim, count: int, seen: int) -> Collected | None:
        with self._claimed(claim) as (_, task):
            if task is None:
                raise stale(claim)
            lent = task.live_lent
            if lent is None:
                return None
            lent.end_loans(self._now_ms())
            numbers = lent.take(count)
            news = lent.returned[seen if seen <= len(lent.returned) else 0 :]
            return Collected(
                numbers,
                dict(news),
                seen=len(lent.returned),
                offered=len(lent.offer),
                loans=len(lent.loans),
            )

    def borrow(
        self, name: str, task_id: str, worker: str, lease_s: float, count: int
    ) -> Loan | None:
        with self._lock:
            record = self._records.get(name)
            task = None if record is None else record.tasks.get(task_id)
            if record is None or record.job.state is not JobState.RUNNING:
                return None
            lent = None if task is None else task.live_lent
            if lent is None:
                return None
            lent.end_loans(self._now_ms(), worker)
            numbers = lent.take(count, lowest=1)
            if not numbers:
                return None
            record.fence = max(record.fence + 1, self._now_ms())
            deadline_ms = self._now_ms() + milliseconds(lease_s)
            lent.loans[record.fence] = LoanRecord(worker, deadline_ms, numbers)
            return Loan(name, task_id, lent.claim, record.fence, lent.upload, tuple(numbers))

    def repay(self, loan: Loan, repayment: Repayment, lease_s: float, count: int) -> list[int]:
        with self._lock:
            record = self._records.get(loan.job)
            task = None if record is None else record.tasks.get(loan.task_id)
            lent = None if task is None else task.live_lent
            if (
                record is None
                or lent is None
                or lent.claim != loan.claim
                or loan.fence not in lent.loans
                or record.job.state is not JobState.RUNNING
            ):
                raise StaleClaim(f"The loan of parts of task {loan.task_id} has ended.")
            had = lent.loans.pop(loan.fence)
            lent.offer |= {number: number for number in had.numbers}
            for number, part in repayment.made.items():
                lent.offer.pop(number, None)
                lent.returned.append((number, part))
            lent.offer |= {number: -number for number in repayment.refused}
            for number in repayment.kept:
                lent.offer.pop(number, None)
            more = lent.take(count, lowest=1)
            lent.end_loans(self._now_ms())
            if kept := [*repayment.kept, *more]:
                deadline_ms = self._now_ms() + milliseconds(lease_s)
                lent.loans[loan.fence] = LoanRecord(had.worker, deadline_ms, kept)
            return more
