"""The ledger in memory and the one on a real server do the same, whatever is asked of them.

Hypothesis makes up the history: steps of the scan, claims that expire, are stolen, renewed and
stale, flushes that come twice or go missing, ends, retries. A small model of our own knows which
claim is live and which objects have an outcome; after every step both ledgers must agree with each
other and with it, and the sum must close. Any call may be made twice, as after a lost reply.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from ossimport.errors import LedgerError, StaleClaim
from ossimport.ledger.base import (
    Claim,
    Cut,
    Held,
    Ledger,
    Loan,
    PlannedTask,
    PlanStep,
    Repayment,
    ScanFailure,
)
from ossimport.ledger.memory import MemoryLedger
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.model import JobState, Lane, Mark, Outcome, Part, TaskState
from tests.contract.ledger_material import JOB, SIZE, UPLOAD, flush, less, planned
from tests.servers.valkey import Valkey, valkey

TWICE = st.booleans()
PICK = st.integers(0, 999)
WORKERS = st.sampled_from(["w1", "w2", "w3"])
OUTCOMES = [mark for mark in Mark if mark not in (Mark.LEFT, Mark.GIVEN)]
ROWS = [
    st.lists(st.sampled_from(kinds), min_size=4, max_size=4)
    for kinds in (OUTCOMES, [*OUTCOMES, Mark.LEFT])
]
MARKS = st.one_of(ROWS)
LEASES = st.sampled_from([60.0, 60.0, 0.0])  # a lease of 0 has expired at once

NUMBERS = st.lists(st.integers(1, 9), unique=True)

FEW = 6  # tasks: the fewer there are, the more happens to each

ENDED = (TaskState.SUCCEED, TaskState.FAILED)

HOUSEKEEPING: list[Callable[[Ledger], object]] = [
    lambda ledger: ledger.finish_scan(JOB.name, ledger.snapshot(JOB.name).seq),
    lambda ledger: ledger.finish_scan(JOB.name, 2),
    lambda ledger: ledger.rescan_failures(JOB.name),
    lambda ledger: ledger.request_retry(JOB.name),
    lambda ledger: ledger.set_priority(JOB.name, 7),
    lambda ledger: ledger.set_state(JOB.name, JobState.ABORT, "why"),
    lambda ledger: ledger.set_state(JOB.name, JobState.FAILED, only_if=JobState.RUNNING),
    lambda ledger: ledger.set_state(JOB.name, JobState.RUNNING),
    lambda ledger: ledger.set_state(JOB.name, JobState.RUNNING),
    lambda ledger: ledger.outage(JOB.name, "waiting") * 0,
]


class ModelTask:
    """What we know of a task without asking a ledger."""

    def __init__(self, plan: PlannedTask) -> None:
        self.plan = plan
        self.state = TaskState.PENDING
        self.marks = bytes(plan.objects)
        self.flushes = 0
        self.claims = 0
        self.log = 0
        self.live = -1  # index of its live claim


class InStep(RuleBasedStateMachine):
    def __init__(self, real: RedisLedger) -> None:
        super().__init__()
        self.ledgers: tuple[Ledger, Ledger] = (MemoryLedger(), real)
        self.seq = 0
        self.tasks: dict[str, ModelTask] = {}
        self.claims: list[tuple[Claim, Claim]] = []
        self.loans: list[tuple[Loan, Loan]] = []
        self.both(lambda ledger, _: ledger.create_job(JOB), twice=True)

    def both(self, ask: Callable[[Ledger, int], object], *, twice: bool) -> tuple[Any, Any]:
        """Ask both ledgers, perhaps twice; an error is an answer too, and must be the same."""
        answers = [self.answer(ask, side) for side in (0, 1)]
        if twice:
            for side, first in enumerate(answers):
                again = self.answer(ask, side)
                assert isinstance(again, type) == isinstance(first, type), (first, again)
        assert isinstance(answers[0], type) == isinstance(answers[1], type), answers
        return answers[0], answers[1]

    def answer(self, ask: Callable[[Ledger, int], object], side: int) -> object:
        try:
            return ask(self.ledgers[side], side)
        except (LedgerError, ValueError) as exc:
            return type(exc)

    def same(self, ask: Callable[[Ledger, int], object], *, twice: bool) -> Any:
        first, second = self.both(ask, twice=twice)
        assert first == second
        return first

    def task(self, pick: int) -> ModelTask:
        return list(self.tasks.values())[pick % len(self.tasks)]

    def claim_of(self, pick: int) -> int:
        """Any claim ever given; twice out of three times a live one, if there is any."""
        live = [task.live for task in self.tasks.values() if task.live >= 0]
        among = live if live and pick % 3 else range(len(self.claims))
        return among[pick % len(among)]

    def task_of(self, index: int) -> ModelTask:
        return self.tasks[self.claims[index][0].task_id]

    def check_stale(self, answer: object, index: int) -> bool:
        """Whether the claim is live; if not, it must have been refused."""
        live = self.task_of(index).live == index
        assert live or answer is StaleClaim
        return live

    # -- the scan --------------------------------------------------------------------------------

    @initialize()
    def plan_some(self) -> None:
        self.plan(3, 1, 1, Lane("k"), False)

    @precondition(lambda self: len(self.tasks) < FEW)
    @rule(
        count=st.integers(0, 3),
        found=st.integers(0, 2),
        gap=st.integers(0, 9),
        lane=st.sampled_from([Lane("k"), None]),
        twice=TWICE,
    )
    def plan(self, count: int, found: int, gap: int, lane: Lane | None, twice: bool) -> None:
        new = [planned(len(self.tasks) + number, 4) for number in range(count)]
        failures = [ScanFailure("d/", "Timeout", "", Lane("d/"))] * found
        step = PlanStep(
            self.seq + (2 if gap == 0 else 1), {0: lane}, new, found, found * SIZE, failures
        )
        answer = self.same(lambda ledger, _: ledger.plan(JOB.name, step), twice=twice)
        if answer is None:
            self.seq = step.seq
            self.tasks |= {task.task_id: ModelTask(task) for task in new}

    @rule(what=st.sampled_from(HOUSEKEEPING), twice=TWICE)
    def keep_house(self, what: Callable[[Ledger], object], twice: bool) -> None:
        self.same(lambda ledger, _: what(ledger), twice=twice)

    @rule(twice=TWICE, goes_on=st.booleans())
    def pause(self, twice: bool, goes_on: bool) -> None:
        if self.same(lambda ledger, _: ledger.pause(JOB.name), twice=twice):
            for task in self.tasks.values():
                if task.state is TaskState.DISPATCHED:
                    task.state = TaskState.PENDING
        if goes_on:
            self.keep_house(lambda ledger: ledger.set_state(JOB.name, JobState.RUNNING), twice)

    # -- the master ------------------------------------------------------------------------------

    @rule(limit=st.integers(0, 4))
    def dispatch(self, limit: int) -> None:
        ids = self.same(lambda ledger, _: ledger.dispatch(JOB.name, limit), twice=False)
        for task_id in ids:
            assert self.tasks[task_id].state is TaskState.PENDING
            self.tasks[task_id].state = TaskState.DISPATCHED

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, twice=TWICE)
    def take_back(self, pick: int, twice: bool) -> None:
        index = self.claim_of(pick)
        task = self.task_of(index)
        fences = [claim.fence for claim in self.claims[index]]
        taken = self.same(
            lambda ledger, side: ledger.take_back(JOB.name, task.plan.task_id, fences[side]),
            twice=twice,
        )
        assert taken == (task.live == index)
        if taken:
            task.state, task.live = TaskState.PENDING, -1

    @precondition(lambda self: self.tasks)
    @rule(pick=PICK, twice=TWICE)
    def requeue(self, pick: int, twice: bool) -> None:
        task = self.task(pick)
        left = bytes(Mark.LEFT if mark == Mark.FAILED else mark for mark in task.marks)
        failed = task.marks.count(Mark.FAILED)
        if task.state is TaskState.SUCCEED:
            return
        self.same(
            lambda ledger, _: ledger.requeue(
                JOB.name,
                task.plan,
                marks=left,
                log_size=task.log,
                objects=failed,
                bytes_=failed * SIZE,
            ),
            twice=twice,
        )
        if task.state is TaskState.FAILED:
            task.state, task.marks, task.flushes, task.claims = TaskState.PENDING, left, 0, 1

    @rule(count=st.integers(0, 9), twice=TWICE)
    def acknowledge(self, count: int, twice: bool) -> None:
        last = [""] * 2
        for side, ledger in enumerate(self.ledgers):
            events = ledger.outbox(JOB.name, count)
            last[side] = events[-1].id if events else ""
        ended = [name for name, task in self.tasks.items() if task.state in ENDED][:count]
        self.same(lambda ledger, side: ledger.acknowledge(JOB.name, last[side], ended), twice=twice)

    # -- the worker ------------------------------------------------------------------------------

    @precondition(lambda self: self.tasks)
    @rule(pick=PICK, worker=WORKERS, lease_s=LEASES, dead=st.booleans())
    def claim(self, pick: int, worker: str, lease_s: float, dead: bool) -> None:
        task = self.task(pick)
        fences = [0, 0]
        if dead and task.live >= 0:
            fences = [claim.fence for claim in self.claims[task.live]]

        def ask(ledger: Ledger, side: int) -> object:
            return ledger.claim(JOB.name, task.plan.task_id, worker, lease_s, dead=fences[side])

        one, other = self.both(ask, twice=False)
        assert type(one) is type(other)
        if isinstance(one, Held):
            assert one.worker == other.worker != worker
            held = [claim.fence for claim in self.claims[task.live]]
            assert [one.fence, other.fence] == held
        if isinstance(one, Claim):
            assert one == other._replace(fence=one.fence)
            assert (one.marks, one.flushes) == (task.marks, task.flushes)
            task.claims += 1
            assert one.claims == task.claims
            if self.claims:
                assert one.fence > self.claims[-1][0].fence
                assert other.fence > self.claims[-1][1].fence
            task.state, task.live = TaskState.RUNNING, len(self.claims)
            self.claims.append((one, other))

    @rule(pick=PICK, worker=WORKERS, marks=MARKS, twice=TWICE)
    def work(self, pick: int, worker: str, marks: list[Mark], twice: bool) -> None:
        """What a worker does when all goes well; else it would seldom come together."""
        before = len(self.claims)
        self.claim(pick, worker, 60.0, dead=True)
        if len(self.claims) > before:
            self.record_by(before, marks, 1, twice)
            self.finish_by(before, twice)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, lease_s=LEASES, twice=TWICE)
    def renew(self, pick: int, lease_s: float, twice: bool) -> None:
        index = self.claim_of(pick)
        claims = self.claims[index]
        answer = self.same(lambda ledger, side: ledger.renew(claims[side], lease_s), twice=twice)
        self.check_stale(answer, index)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def orders(self, pick: int) -> None:
        index = self.claim_of(pick)
        claims = self.claims[index]
        self.check_stale(self.same(lambda at, side: at.orders(claims[side]), twice=False), index)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, marks=MARKS, ahead=st.sampled_from([1, 1, 1, 1, 1, 0, 2]), twice=TWICE)
    def record(self, pick: int, marks: list[Mark], ahead: int, twice: bool) -> None:
        self.record_by(self.claim_of(pick), marks, ahead, twice)

    def record_by(self, index: int, marks: list[Mark], ahead: int, twice: bool) -> None:
        task, claims = self.task_of(index), self.claims[index]
        marks = [
            Mark.GIVEN if had == Mark.GIVEN else mark
            for had, mark in zip(task.marks, marks, strict=False)
        ]
        number = task.flushes + ahead
        step = flush(number, task.marks, marks, "x" * number)
        answer = self.same(lambda ledger, side: ledger.record(claims[side], step), twice=twice)
        if self.check_stale(answer, index):
            assert (answer is None) == (ahead < 2)
            if ahead == 1:
                task.marks, task.flushes = bytes(marks), number
                task.log += number

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, part=st.integers(0, 4), gap=st.integers(0, 9), twice=TWICE)
    def cut(self, pick: int, part: int, gap: int, twice: bool) -> None:
        """Give away the last of the objects that are left."""
        index = self.claim_of(pick)
        task, claims = self.task_of(index), self.claims[index]
        left = [i for i, mark in enumerate(task.marks) if mark == Mark.LEFT]
        given = left[len(left) - min(part, len(left)) :]
        marks = [Mark.GIVEN if i in given else Mark(mark) for i, mark in enumerate(task.marks)]
        number = task.flushes + (2 if gap == 0 else 1)
        name = f"{task.plan.task_id}c{number}"
        new = PlannedTask(name, b"part", len(given), len(given) * SIZE)
        step, cut = (
            flush(number, task.marks, marks, "given\n"),
            Cut(new, {given[0]: 0} if given else {}),
        )
        ask = lambda ledger, side: ledger.cut(claims[side], step, cut)  # noqa: E731
        answer = self.same(ask, twice=twice)
        if self.check_stale(answer, index):
            possible = gap > 0 and 0 < len(given) < task.plan.objects
            assert (answer is None) == possible
            if possible:
                task.marks, task.flushes, task.log = bytes(marks), number, task.log + 6
                task.plan = task.plan._replace(
                    objects=task.plan.objects - new.objects, bytes=task.plan.bytes - new.bytes
                )
                self.tasks[name] = ModelTask(new)
                self.tasks[name].claims = task.claims - 1

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, takers=st.integers(0, 3), for_s=LEASES, twice=TWICE)
    def ask_share(self, pick: int, takers: int, for_s: float, twice: bool) -> None:
        index = self.claim_of(pick)
        claims = self.claims[index]
        name = claims[0].task_id
        self.same(
            lambda at, side: at.ask_share(JOB.name, name, claims[side].fence, takers, for_s),
            twice=twice,
        )

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, twice=TWICE)
    def finish(self, pick: int, twice: bool) -> None:
        self.finish_by(self.claim_of(pick), twice)

    def finish_by(self, index: int, twice: bool) -> None:
        task, claims = self.task_of(index), self.claims[index]
        state = TaskState.FAILED if Mark.FAILED in task.marks else TaskState.SUCCEED
        answer = self.same(lambda ledger, side: ledger.finish(claims[side], state), twice=twice)
        if task.live == index:
            complete = Mark.LEFT not in task.marks
            assert (answer is None) == complete
            if complete:
                task.state, task.live = state, -1

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, twice=TWICE, stop=st.sampled_from([False, False, True]))
    def let_go(self, pick: int, twice: bool, stop: bool) -> None:
        index = self.claim_of(pick)
        task, claims = self.task_of(index), self.claims[index]

        def ask(ledger: Ledger, side: int) -> None:
            if stop:
                ledger.stop_job(claims[side], "fatal")
            else:
                ledger.release(claims[side])

        answer = self.same(ask, twice=twice)
        if task.live == index:
            assert answer is None
            task.state, task.live = TaskState.PENDING, -1

    # -- lending ---------------------------------------------------------------------------------

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, numbers=NUMBERS, nothing=st.integers(0, 3), twice=TWICE)
    def lend(self, pick: int, numbers: list[int], nothing: int, twice: bool) -> None:
        index = self.claim_of(pick)
        claims, upload = self.claims[index], UPLOAD if nothing else None

        def ask(ledger: Ledger, side: int) -> None:
            ledger.save_upload(claims[side], 0, UPLOAD)
            ledger.lend(claims[side], 0, upload, numbers)

        self.check_stale(self.same(ask, twice=twice), index)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, count=st.integers(0, 3), seen=st.integers(0, 3))
    def collect(self, pick: int, count: int, seen: int) -> None:
        index = self.claim_of(pick)
        claims = self.claims[index]
        ask = lambda ledger, side: ledger.collect(claims[side], count, seen)  # noqa: E731
        self.check_stale(self.same(ask, twice=False), index)

    @precondition(lambda self: self.tasks)
    @rule(pick=PICK, worker=WORKERS, lease_s=LEASES, count=st.integers(1, 4), twice=TWICE)
    def borrow(self, pick: int, worker: str, lease_s: float, count: int, twice: bool) -> None:
        task_id = self.task(pick).plan.task_id
        loans = self.both(
            lambda ledger, _: ledger.borrow(JOB.name, task_id, worker, lease_s, count), twice=twice
        )
        one, other = loans
        if one is None or other is None or twice:
            assert (one is None) == (other is None)
        else:
            assert one == other._replace(claim=one.claim, fence=one.fence)
            self.loans.append(loans)

    @precondition(lambda self: self.loans)
    @rule(
        pick=PICK,
        fates=st.lists(st.sampled_from(["made", "kept", "refused", "left"]), min_size=4),
        lease_s=LEASES,
        count=st.integers(0, 3),
        twice=TWICE,
    )
    def repay(self, pick: int, fates: list[str], lease_s: float, count: int, twice: bool) -> None:
        loans = self.loans[-1 - pick % min(3, len(self.loans))]
        of = {
            fate: [n for n, its in zip(loans[0].numbers, fates, strict=False) if its == fate]
            for fate in ("made", "kept", "refused")
        }
        made: dict[int, Part] = {number: (f"e{number}", number) for number in of["made"]}
        repayment = Repayment(made, of["kept"], of["refused"])
        self.same(
            lambda ledger, side: ledger.repay(loans[side], repayment, lease_s, count),
            twice=twice and bool(of["kept"]),
        )

    # -- what must hold after every step ---------------------------------------------------------

    @invariant()
    def both_tell_the_same(self) -> None:
        memory, real = self.ledgers
        one, other = memory.snapshot(JOB.name), real.snapshot(JOB.name)
        assert (one.job, one.counts, one.proof, one.unkept, one.tasks, one.seq) == (
            *(other.job, other.counts, other.proof, other.unkept, other.tasks, other.seq),
        )
        rows = [
            sorted(row._replace(fence=0) for row in snapshot.running) for snapshot in (one, other)
        ]
        assert rows[0] == rows[1]
        scan = real.scan_state(JOB.name)
        assert memory.scan_state(JOB.name) == scan
        assert scan.seq == other.seq == self.seq
        assert not (scan.finished and scan.lanes)
        events = [
            [event._replace(id="") for event in ledger.outbox(JOB.name, 10_000)]
            for ledger in self.ledgers
        ]
        assert events[0] == events[1]

    @invariant()
    def the_sum_closes(self) -> None:
        snapshot = self.ledgers[1].snapshot(JOB.name)
        counts = snapshot.counts
        assert snapshot.unkept == sum(less(task.marks) for task in self.tasks.values())
        left = sum(task.marks.count(Mark.LEFT) for task in self.tasks.values())
        assert counts.left.objects == left
        assert counts.left.bytes == left * SIZE
        for outcome in (Outcome.COPIED, Outcome.SKIPPED, Outcome.VANISHED):
            had = sum(
                Mark(mark).outcome is outcome for task in self.tasks.values() for mark in task.marks
            )
            assert getattr(counts, outcome).objects == had

    @invariant()
    def every_task_stands_where_it_should(self) -> None:
        tasks = self.ledgers[1].snapshot(JOB.name).tasks
        for state in TaskState:
            expected = sum(task.state is state for task in self.tasks.values())
            assert tasks[state] == expected, state


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.mark.timeout(600)  # passes in seconds; a failure takes its time to find a short history
def test_both_ledgers_do_the_same_whatever_happens(server: Valkey) -> None:
    real = open_ledger(server.url)
    client = Redis.from_url(server.url)

    class OnServer(InStep):
        def __init__(self) -> None:
            client.flushall()
            super().__init__(real)

    run_state_machine_as_test(
        OnServer,
        settings=settings(
            max_examples=40,
            stateful_step_count=60,
            suppress_health_check=list(HealthCheck),
        ),
    )
    client.close()
    real.close()
