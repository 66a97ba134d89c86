"""Lending on the Redis ledger. `lending.LendingLedger` says what each method promises."""

from collections.abc import Sequence

from ossimport.ledger import packing
from ossimport.ledger.arithmetic import milliseconds
from ossimport.ledger.keys import JobKeys
from ossimport.ledger.scripted import Argument, Scripted
from ossimport.ledger.values import Claim, Collected, Loan, Repayment
from ossimport.model import Upload


class LendingPart(Scripted):
    def lend(
        self, claim: Claim, index: int, upload: Upload | None, numbers: Sequence[int] = ()
    ) -> None:
        at, bare = JobKeys(claim.job), upload and upload._replace(parts={})
        keys = [at.running, at.task(claim.task_id), *at.lending(claim.task_id)]
        args: list[Argument] = [claim.task_id, claim.fence, index, packing.pack_upload(bare)]
        self._run("lend", _about(claim), keys, [*args, *numbers])

    def collect(self, claim: Claim, count: int, seen: int) -> Collected | None:
        at = JobKeys(claim.job)
        keys = [at.running, at.task(claim.task_id), *at.lending(claim.task_id)]
        args: list[Argument] = [claim.task_id, claim.fence, count, seen]
        reply = self._run("collect", _about(claim), keys, args)
        if reply is None:
            return None
        numbers, made, seen, offered, loans = reply
        return Collected(
            [int(number) for number in numbers],
            packing.unpack_parts(made),
            seen=seen,
            offered=offered,
            loans=loans,
        )

    def borrow(
        self, name: str, task_id: str, worker: str, lease_s: float, count: int
    ) -> Loan | None:
        at = JobKeys(name)
        lent, offer, _ = at.lending(task_id)
        keys = [at.job, at.running, at.task(task_id), lent, offer]
        args: list[Argument] = [task_id, worker, milliseconds(lease_s), count]
        reply = self._run("borrow", f"task {task_id} of job {name}", keys, args)
        if reply is None:
            return None
        claim, fence, upload, numbers = reply
        return Loan(
            name,
            task_id,
            claim=int(claim),
            fence=int(fence),
            upload=packing.unpack_upload(upload),
            numbers=tuple(int(number) for number in numbers),
        )

    def repay(self, loan: Loan, repayment: Repayment, lease_s: float, count: int) -> list[int]:
        at = JobKeys(loan.job)
        keys = [at.job, at.running, at.task(loan.task_id), *at.lending(loan.task_id)]
        made: list[Argument] = [
            item
            for number, part in repayment.made.items()
            for item in (number, packing.pack_part(number, part))
        ]
        args: list[Argument] = [
            *(loan.task_id, loan.claim, loan.fence, milliseconds(lease_s), count),
            *(len(repayment.made), *made),
            *(len(repayment.refused), *repayment.refused),
            *repayment.kept,
        ]
        return [int(number) for number in self._run("repay", _about(loan), keys, args)]


def _about(of: Claim | Loan) -> str:
    return f"task {of.task_id} of job {of.job}"
