"""What every ledger must do when the holder of a task gives a part of it away."""

import pytest

from ossimport.errors import StaleClaim
from ossimport.ledger.base import Claim, Cut, EventKind, Flush, Ledger, Orders, PlannedTask
from ossimport.model import JobState, Mark, TaskState
from tests.contract.ledger_material import (
    COPIED,
    JOB,
    LEASE,
    SIZE,
    UPLOAD,
    carry_out,
    flush,
    objects,
    planned,
    step,
    take,
    tasks,
)

PART = PlannedTask("P1", b"part", 2, 2 * SIZE)
GIVEN = Mark.GIVEN


def cut_flush(number: int = 1) -> Flush:
    return flush(number, (0, 0, 0, 0), (COPIED, 0, GIVEN, GIVEN), "Given P1\n")


class CutContract:
    @pytest.fixture
    def claim(self, ledger: Ledger) -> Claim:
        """A task of four objects, with another one behind it."""
        ledger.plan(JOB.name, step(1, planned(1, objects=4), planned(2)))
        return take(ledger, "T1")

    def test_a_part_of_a_task_becomes_a_task(self, ledger: Ledger, claim: Claim) -> None:
        ledger.cut(claim, cut_flush(), Cut(PART, {}))
        snapshot = ledger.snapshot(JOB.name)
        assert objects(snapshot) == {"listed": 7, "copied": 1, "left": 6}
        assert tasks(snapshot) == {TaskState.PENDING: 2, TaskState.RUNNING: 1}
        (row,) = snapshot.running
        assert (row.objects_done, row.objects_total) == (1, 2)
        assert (row.bytes_done, row.bytes_total) == (SIZE, 2 * SIZE)
        assert ledger.dispatch(JOB.name, 1) == ["P1"]
        part = take(ledger, "P1", "w2")
        assert (part.manifest, part.marks, part.claims) == (b"part", bytes(2), 1)
        ledger.record(part, flush(1, (0, 0), (COPIED, COPIED)))
        ledger.finish(part, TaskState.SUCCEED)
        with pytest.raises(StaleClaim):
            ledger.finish(claim, TaskState.SUCCEED)
        ledger.record(claim, flush(2, (COPIED, 0, GIVEN, GIVEN), (COPIED, COPIED, GIVEN, GIVEN)))
        ledger.finish(claim, TaskState.SUCCEED)
        carry_out(ledger, "T2", COPIED, COPIED, COPIED)
        assert objects(ledger.snapshot(JOB.name)) == {"listed": 7, "copied": 7}
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.SUCCEED: 3}

    def test_the_outbox_tells_of_the_part_before_the_log_does(
        self, ledger: Ledger, claim: Claim
    ) -> None:
        ledger.cut(claim, cut_flush(), Cut(PART, {}))
        _, told, log = ledger.outbox(JOB.name, 9)
        assert (told.kind, told.task_id) == (EventKind.CUT, "T1")
        assert (told.part, told.manifest) == ("P1", b"part")
        assert (log.kind, log.offset, log.log) == (EventKind.LOG, 0, b"Given P1\n")

    def test_cutting_again_changes_nothing_and_a_gap_is_refused(
        self, ledger: Ledger, claim: Claim
    ) -> None:
        with pytest.raises(StaleClaim):
            ledger.cut(claim, cut_flush(2), Cut(PART, {}))
        ledger.cut(claim, cut_flush(), Cut(PART, {}))
        before = ledger.snapshot(JOB.name), ledger.outbox(JOB.name, 9)
        ledger.cut(claim, cut_flush(), Cut(PART, {}))
        after = ledger.snapshot(JOB.name), ledger.outbox(JOB.name, 9)
        assert objects(before[0]) == objects(after[0])
        assert before[1] == after[1]
        assert tasks(before[0]) == tasks(after[0])

    @pytest.mark.parametrize("number", [0, 4])
    def test_nothing_and_everything_cannot_be_given(
        self, ledger: Ledger, claim: Claim, number: int
    ) -> None:
        part = PART._replace(objects=number, bytes=number * SIZE)
        with pytest.raises(ValueError, match="contradict"):
            ledger.cut(claim, cut_flush(), Cut(part, {}))
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 1, TaskState.RUNNING: 1}

    def test_only_the_holder_gives(self, ledger: Ledger, claim: Claim) -> None:
        ledger.release(claim)
        with pytest.raises(StaleClaim):
            ledger.cut(claim, cut_flush(), Cut(PART, {}))
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 2}

    def test_what_was_given_stays_given_to_the_next_holder(
        self, ledger: Ledger, claim: Claim
    ) -> None:
        ledger.cut(claim, cut_flush(), Cut(PART, {}))
        ledger.release(claim)
        again = take(ledger, "T1", "w2")
        assert again.marks == bytes((COPIED, 0, GIVEN, GIVEN))
        ledger.cut(
            again,
            flush(2, again.marks, (COPIED, GIVEN, GIVEN, GIVEN)),
            Cut(PlannedTask("P2", b"more", 1, SIZE), {}),
        )
        ledger.finish(again, TaskState.SUCCEED)
        assert take(ledger, "P1").claims == 1
        assert take(ledger, "P2").claims == 2  # its holder before may have begun its objects

    def test_uploads_go_with_their_objects(self, ledger: Ledger, claim: Claim) -> None:
        other = UPLOAD._replace(upload_id="U2")
        ledger.save_upload(claim, 1, other)
        ledger.save_upload(claim, 3, UPLOAD)
        ledger.cut(claim, cut_flush(), Cut(PART, {2: 0, 3: 1}))
        assert take(ledger, "P1", "w2").uploads == {1: UPLOAD}
        assert take(ledger, "T1").uploads == {1: other}
        assert {each.upload_id for each in ledger.uploads(JOB.name)} == {"U1", "U2"}
        ledger.forget_job(JOB.name)
        ledger.create_job(JOB)
        assert ledger.uploads(JOB.name) == []

    def test_the_last_upload_to_go_leaves_nothing_behind(
        self, ledger: Ledger, claim: Claim
    ) -> None:
        ledger.save_upload(claim, 3, UPLOAD)
        ledger.cut(claim, cut_flush(), Cut(PART, {3: 1}))
        assert take(ledger, "T1").uploads == {}
        assert ledger.uploads(JOB.name) == [UPLOAD]

    def test_a_holder_is_asked_for_a_share_until_it_gives_one(
        self, ledger: Ledger, claim: Claim
    ) -> None:
        assert ledger.orders(claim) == Orders(JobState.RUNNING, 0)
        ledger.ask_share(JOB.name, "T1", claim.fence, 3, LEASE)
        assert ledger.orders(claim) == Orders(JobState.RUNNING, 3)
        ledger.cut(claim, cut_flush(), Cut(PART, {}))
        assert ledger.orders(claim) == Orders(JobState.RUNNING, 0)
        ledger.ask_share(JOB.name, "T1", claim.fence, 3, 0)
        assert ledger.orders(claim) == Orders(JobState.RUNNING, 0)

    def test_nobody_is_asked_who_holds_nothing(self, ledger: Ledger, claim: Claim) -> None:
        ledger.ask_share(JOB.name, "T1", claim.fence - 1, 3, LEASE)
        ledger.ask_share(JOB.name, "T2", 0, 3, LEASE)
        ledger.ask_share(JOB.name, "nothing", 0, 3, LEASE)
        assert ledger.orders(claim).share == 0
        assert tasks(ledger.snapshot(JOB.name)) == {TaskState.PENDING: 1, TaskState.RUNNING: 1}
