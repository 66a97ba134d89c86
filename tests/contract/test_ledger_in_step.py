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
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from ossimport.errors import LedgerError
from ossimport.ledger.base import Claim, Held, Ledger, PlannedTask, PlanStep, ScanFailure
from ossimport.ledger.memory import MemoryLedger
from ossimport.ledger.redis import RedisLedger, open_ledger
from ossimport.model import JobState, Lane, Mark, Outcome, TaskState
from tests.contract.ledger_contract import JOB, SIZE, flush, planned
from tests.servers.valkey import Valkey, valkey

TWICE = st.booleans()
PICK = st.integers(0, 999)
WORKERS = st.sampled_from(["w1", "w2", "w3"])
MARKS = st.lists(st.sampled_from(list(Mark)), min_size=4, max_size=4)
LEASES = st.sampled_from([60.0, 60.0, 0.0])  # a lease of 0 has expired at once

ENDED = (TaskState.SUCCEED, TaskState.FAILED)


class ModelTask:
    """What we know of a task without asking a ledger."""

    def __init__(self, plan: PlannedTask) -> None:
        self.plan = plan
        self.state = TaskState.PENDING
        self.marks = bytes(plan.objects)
        self.flushes = 0
        self.log = 0
        self.live = -1  # index of its live claim


class InStep(RuleBasedStateMachine):
    def __init__(self, real: RedisLedger) -> None:
        super().__init__()
        self.ledgers: tuple[Ledger, Ledger] = (MemoryLedger(), real)
        self.seq = 0
        self.tasks: dict[str, ModelTask] = {}
        self.claims: list[tuple[Claim, Claim]] = []
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

    def claim_of(self, pick: int) -> tuple[int, ModelTask]:
        """Any claim ever given; more often one of the last."""
        index = max(0, len(self.claims) - 1 - pick % (2 + pick % len(self.claims)))
        return index, self.tasks[self.claims[index][0].task_id]

    def check_stale(self, answer: object, index: int, task: ModelTask) -> bool:
        """A claim that is not live must be refused."""
        if task.live != index:
            assert getattr(answer, "__name__", "") == "StaleClaim", answer
        return task.live == index

    # -- the scan --------------------------------------------------------------------------------

    @rule(count=st.integers(0, 3), found=st.integers(0, 2), gap=st.integers(0, 9), twice=TWICE)
    def plan(self, count: int, found: int, gap: int, twice: bool) -> None:
        new = [planned(len(self.tasks) + number, 4) for number in range(count)]
        failures = [ScanFailure("d/", "Timeout", "", Lane("d/"))] * found
        step = PlanStep(
            self.seq + (2 if gap == 0 else 1), {0: Lane("k")}, new, found, found * SIZE, failures
        )
        answer = self.same(lambda ledger, _: ledger.plan(JOB.name, step), twice=twice)
        if answer is None:
            self.seq = step.seq
            self.tasks |= {task.task_id: ModelTask(task) for task in new}

    @rule(twice=TWICE)
    def finish_scan(self, twice: bool) -> None:
        self.same(lambda ledger, _: ledger.finish_scan(JOB.name), twice=twice)

    @rule(twice=TWICE)
    def rescan(self, twice: bool) -> None:
        self.same(lambda ledger, _: ledger.rescan_failures(JOB.name), twice=twice)

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
        index, task = self.claim_of(pick)
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
            task.state, task.marks, task.flushes = TaskState.PENDING, left, 0

    @rule(count=st.integers(0, 9), twice=TWICE)
    def acknowledge(self, count: int, twice: bool) -> None:
        last = [""] * 2
        for side, ledger in enumerate(self.ledgers):
            events = ledger.outbox(JOB.name, count)
            last[side] = events[-1].id if events else ""
        ended = [name for name, task in self.tasks.items() if task.state in ENDED][:count]
        self.same(lambda ledger, side: ledger.acknowledge(JOB.name, last[side], ended), twice=twice)

    @rule(twice=TWICE)
    def retry(self, twice: bool) -> None:
        self.same(lambda ledger, _: ledger.request_retry(JOB.name), twice=twice)

    @rule(twice=TWICE, state=st.sampled_from([JobState.RUNNING] * 3 + [JobState.ABORT]))
    def set_state(self, twice: bool, state: JobState) -> None:
        self.same(lambda ledger, _: ledger.set_state(JOB.name, state, "why"), twice=twice)

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
            if self.claims:
                assert one.fence > self.claims[-1][0].fence
                assert other.fence > self.claims[-1][1].fence
            task.state, task.live = TaskState.RUNNING, len(self.claims)
            self.claims.append((one, other))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, lease_s=LEASES, twice=TWICE)
    def renew(self, pick: int, lease_s: float, twice: bool) -> None:
        index, task = self.claim_of(pick)
        claims = self.claims[index]
        answer = self.same(lambda ledger, side: ledger.renew(claims[side], lease_s), twice=twice)
        self.check_stale(answer, index, task)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, marks=MARKS, ahead=st.sampled_from([1, 1, 1, 1, 1, 0, 2]), twice=TWICE)
    def record(self, pick: int, marks: list[Mark], ahead: int, twice: bool) -> None:
        index, task = self.claim_of(pick)
        claims = self.claims[index]
        number = task.flushes + ahead
        step = flush(number, task.marks, marks, "x" * number)
        answer = self.same(lambda ledger, side: ledger.record(claims[side], step), twice=twice)
        if self.check_stale(answer, index, task):
            assert (answer is None) == (ahead < 2)
            if ahead == 1:
                task.marks, task.flushes = bytes(marks), number
                task.log += number

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, twice=TWICE)
    def finish(self, pick: int, twice: bool) -> None:
        index, task = self.claim_of(pick)
        claims = self.claims[index]
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
        index, task = self.claim_of(pick)
        claims = self.claims[index]

        def ask(ledger: Ledger, side: int) -> None:
            if stop:
                ledger.stop_job(claims[side], "fatal")
            else:
                ledger.release(claims[side])

        answer = self.same(ask, twice=twice)
        if task.live == index:
            assert answer is None
            task.state, task.live = TaskState.PENDING, -1

    # -- what must hold after every step ---------------------------------------------------------

    @invariant()
    def both_tell_the_same(self) -> None:
        memory, real = self.ledgers
        one, other = memory.snapshot(JOB.name), real.snapshot(JOB.name)
        assert (one.job, one.counts, one.proof, one.tasks) == (
            *(other.job, other.counts, other.proof, other.tasks),
        )
        rows = [
            sorted(row._replace(fence=0) for row in snapshot.running) for snapshot in (one, other)
        ]
        assert rows[0] == rows[1]
        assert memory.scan_state(JOB.name) == real.scan_state(JOB.name)
        events = [
            [event._replace(id="") for event in ledger.outbox(JOB.name, 10_000)]
            for ledger in self.ledgers
        ]
        assert events[0] == events[1]

    @invariant()
    def the_sum_closes(self) -> None:
        counts = self.ledgers[1].snapshot(JOB.name).counts
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
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    client.close()
    real.close()
