"""What every ledger must do when several workers make the parts of one large object."""

from collections.abc import Callable

import pytest

from ossimport.errors import StaleClaim
from ossimport.ledger.base import Claim, Ledger, Loan, Repayment, RunningTask
from ossimport.model import JobState, Part, TaskState, Upload
from tests.contract.ledger_material import COPIED, JOB, LEASE, UPLOAD, flush, planned, step, take

LARGE = UPLOAD._replace(parts={})
BOTH_MADE: dict[int, Part] = {1: ("etag1", 2**64 - 1), 2: ("etag2", None)}


def borrow(
    ledger: Ledger, count: int = 2, worker: str = "w2", lease_s: float = LEASE
) -> Loan | None:
    return ledger.borrow(JOB.name, "T1", worker, lease_s, count)


def borrowed(ledger: Ledger, count: int = 2, worker: str = "w2", lease_s: float = LEASE) -> Loan:
    loan = borrow(ledger, count, worker, lease_s)
    assert loan is not None
    return loan


def row(ledger: Ledger) -> RunningTask:
    (found,) = ledger.running(JOB.name)
    return found


def repay(ledger: Ledger, loan: Loan, repayment: Repayment, count: int = 0) -> list[int]:
    return ledger.repay(loan, repayment, LEASE, count)


class LendingContract:
    @pytest.fixture
    def holder(self, ledger: Ledger) -> Claim:
        """The holder of a task that offers six parts of its object 1."""
        ledger.plan(JOB.name, step(1, planned(1)))
        claim = take(ledger, "T1")
        ledger.save_upload(claim, 1, UPLOAD)
        ledger.lend(claim, 1, UPLOAD, [3, 4, 5, 6, 7, 8])
        return claim

    def test_parts_are_lent_made_and_collected(self, ledger: Ledger, holder: Claim) -> None:
        assert (row(ledger).offered, row(ledger).helpers) == (6, 0)
        loan = borrowed(ledger)
        assert (loan.numbers, loan.upload, loan.claim) == ((3, 4), LARGE, holder.fence)
        assert loan.fence > holder.fence
        assert (row(ledger).offered, row(ledger).helpers) == (4, 1)
        other = borrowed(ledger, worker="w3")
        assert other.numbers == (5, 6)
        assert repay(ledger, loan, Repayment({3: ("e3", 33)}, [4]), 1) == [7]
        assert repay(ledger, other, Repayment({5: ("e5", None), 6: ("e6", 2**64 - 1)}, [])) == []
        assert (row(ledger).offered, row(ledger).helpers) == (1, 1)
        told = ledger.collect(holder, 1, 0)
        assert told is not None
        assert (told.numbers, told.offered, told.loans, told.seen) == ([8], 0, 1, 3)
        assert told.made == {3: ("e3", 33), 5: ("e5", None), 6: ("e6", 2**64 - 1)}
        repay(ledger, loan, Repayment({4: ("e4", 44), 7: ("e7", 77)}, []))
        told = ledger.collect(holder, 9, told.seen)
        assert told is not None
        assert (told.numbers, told.offered, told.loans, told.seen) == ([], 0, 0, 5)
        assert told.made == {4: ("e4", 44), 7: ("e7", 77)}
        ledger.lend(holder, 1, None)
        assert ledger.collect(holder, 9, 0) is None
        assert (row(ledger).offered, row(ledger).helpers) == (0, 0)

    def test_lending_counts_nothing_and_tells_the_journal_nothing(
        self, ledger: Ledger, holder: Claim
    ) -> None:
        before, told = ledger.snapshot(JOB.name), ledger.outbox(JOB.name, 9)
        loan = borrowed(ledger)
        repay(ledger, loan, Repayment(BOTH_MADE, []))
        after = ledger.snapshot(JOB.name)
        assert (after.counts, after.tasks) == (before.counts, before.tasks)
        assert ledger.outbox(JOB.name, 9) == told

    def test_what_a_borrower_does_not_keep_is_on_offer_again(
        self, ledger: Ledger, holder: Claim
    ) -> None:
        loan = borrowed(ledger, 4)
        assert repay(ledger, loan, Repayment({}, [4])) == []
        assert borrowed(ledger, 9, "w3").numbers == (3, 5, 6, 7, 8)
        repay(ledger, loan, Repayment({}, []))
        with pytest.raises(StaleClaim):  # without parts the loan has ended
            repay(ledger, loan, Repayment({}, []))
        assert borrowed(ledger, 9, "w4").numbers == (4,)

    def test_what_a_borrower_cannot_make_only_the_holder_may_try(
        self, ledger: Ledger, holder: Claim
    ) -> None:
        loan = borrowed(ledger, 6)
        repay(ledger, loan, Repayment({}, [], refused=[3, 5]))
        assert borrowed(ledger, 2, "w3").numbers == (4, 6)
        told = ledger.collect(holder, 3, 0)
        assert told is not None
        assert sorted(told.numbers) == [3, 5, 7]

    def test_a_repayment_whose_answer_is_lost_is_made_again(
        self, ledger: Ledger, holder: Claim
    ) -> None:
        loan = borrowed(ledger)
        repayment = Repayment({3: ("e3", 33)}, [4])
        first = repay(ledger, loan, repayment, 2)
        assert repay(ledger, loan, repayment, 2) == first == [5, 6]
        told = ledger.collect(holder, 0, 0)
        assert told is not None
        assert told.made == {3: ("e3", 33)}
        assert (told.offered, told.loans) == (2, 1)

    def test_a_worker_has_one_loan_at_most(self, ledger: Ledger, holder: Claim) -> None:
        lost = borrowed(ledger)
        again = borrowed(ledger)
        assert again.numbers == lost.numbers
        assert row(ledger).helpers == 1
        with pytest.raises(StaleClaim):
            repay(ledger, lost, Repayment(BOTH_MADE, []))

    def test_a_loan_whose_lease_has_run_out_ends_when_somebody_else_comes(
        self, ledger: Ledger, holder: Claim
    ) -> None:
        late, lost = borrowed(ledger, lease_s=0), borrowed(ledger, 1, "w3", lease_s=0)
        told = ledger.collect(holder, 2, 0)
        assert told is not None
        assert (told.numbers, told.loans) == ([3, 4], 0)
        for loan in (late, lost):
            with pytest.raises(StaleClaim):
                repay(ledger, loan, Repayment(BOTH_MADE, []))
        late = borrowed(ledger, 9, lease_s=0)
        assert repay(ledger, late, Repayment({5: ("e5", 55)}, [6, 7, 8])) == []  # merely late

    @pytest.mark.parametrize(
        "end",
        [
            lambda ledger, claim: ledger.release(claim),
            lambda ledger, claim: ledger.take_back(JOB.name, "T1", claim.fence),
            lambda ledger, claim: ledger.stop_job(claim, "why"),
            lambda ledger, claim: take(ledger, "T1", claim.worker),
            lambda ledger, claim: ledger.lend(claim, 1, UPLOAD, [3, 4]),
            lambda ledger, claim: ledger.lend(claim, 1, None),
            lambda ledger, claim: ledger.forget_job(JOB.name),
            lambda ledger, claim: ledger.pause(JOB.name),
            lambda ledger, claim: ledger.set_state(JOB.name, JobState.ABORT),
        ],
    )
    def test_a_loan_dies_with_the_claim_and_the_offer_and_when_the_job_does_not_run(
        self, ledger: Ledger, holder: Claim, end: Callable[[Ledger, Claim], object]
    ) -> None:
        loan = borrowed(ledger)
        end(ledger, holder)
        with pytest.raises(StaleClaim):
            repay(ledger, loan, Repayment(BOTH_MADE, []))

    def test_nothing_is_lent_where_nothing_is_offered(self, ledger: Ledger, holder: Claim) -> None:
        assert ledger.borrow(JOB.name, "T9", "w2", LEASE, 1) is None
        assert ledger.borrow("nobody", "T1", "w2", LEASE, 1) is None
        ledger.pause(JOB.name)
        assert borrow(ledger) is None
        ledger.set_state(JOB.name, JobState.RUNNING)
        borrowed(ledger, 6)
        assert borrow(ledger, worker="w3") is None
        ledger.release(holder)
        assert borrow(ledger) is None
        again = take(ledger, "T1", "w4")
        assert borrow(ledger) is None
        assert ledger.collect(again, 1, 0) is None
        assert (row(ledger).offered, row(ledger).helpers) == (0, 0)
        for upload in (UPLOAD, None):
            with pytest.raises(StaleClaim):
                ledger.lend(holder, 1, upload, [3])
        with pytest.raises(StaleClaim):
            ledger.collect(holder, 1, 0)

    def test_the_next_holder_has_what_was_returned(self, ledger: Ledger, holder: Claim) -> None:
        loan = borrowed(ledger)
        repay(ledger, loan, Repayment({3: ("e3", 33)}, [4]))
        ledger.release(holder)
        again = take(ledger, "T1", "w4")
        assert again.uploads == {1: UPLOAD._replace(parts={**UPLOAD.parts, 3: ("e3", 33)})}
        with pytest.raises(StaleClaim):
            repay(ledger, loan, Repayment({4: ("e4", 44)}, []))

    def test_what_was_returned_of_another_upload_is_nobodys(
        self, ledger: Ledger, holder: Claim
    ) -> None:
        repay(ledger, borrowed(ledger), Repayment({3: ("e3", 33)}, []))
        newer = Upload("key", "U2", 5, UPLOAD.source, {})
        ledger.save_upload(holder, 1, newer)
        assert take(ledger, "T1").uploads == {1: newer}
        ledger.save_upload(take(ledger, "T1"), 1, None)
        assert take(ledger, "T1").uploads == {}

    def test_a_ledger_that_lost_what_was_seen_tells_all_it_has(
        self, ledger: Ledger, holder: Claim
    ) -> None:
        repay(ledger, borrowed(ledger), Repayment({3: ("e3", 33)}, []))
        told = ledger.collect(holder, 0, 5)
        assert told is not None
        assert (told.made, told.seen) == ({3: ("e3", 33)}, 1)

    def test_nothing_is_kept_of_a_task_that_has_ended(self, ledger: Ledger, holder: Claim) -> None:
        loan = borrowed(ledger)
        ledger.record(holder, flush(1, holder.marks, [COPIED] * 3))
        ledger.finish(holder, TaskState.SUCCEED)
        with pytest.raises(StaleClaim):
            repay(ledger, loan, Repayment(BOTH_MADE, []))
        assert borrow(ledger) is None
