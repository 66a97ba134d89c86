"""Who gets the next free place, and how many there are."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ossimport.dispatch import (
    MOST_SPARE,
    SPARE_MESSAGES,
    Asked,
    Demand,
    Dispatch,
    Queue,
    Window,
    deal,
    whom_to_ask,
)
from ossimport.ledger.base import Claim, Job, PlannedTask, PlanStep, RunningTask
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import JobState, Lane, ObjectInfo, Upload


def job(name: str, priority: int = 5, pending: int = 99, in_flight: int = 0) -> Demand:
    return Demand(name, priority, pending, in_flight, ended=0)


def test_jobs_of_one_priority_come_to_have_as_many_tasks_in_flight() -> None:
    assert deal(6, [job("huge", in_flight=4), job("small")]) == {"huge": 1, "small": 5}


def test_the_higher_priority_goes_first_and_leaves_what_it_does_not_need() -> None:
    jobs = [job("low", 1), job("high", 9, pending=2, in_flight=50), job("usual", pending=1)]
    assert deal(4, jobs) == {"high": 2, "usual": 1, "low": 1}


def test_no_room_is_given_to_nobody() -> None:
    assert deal(0, [job("a")]) == deal(-3, [job("a")]) == Counter()


DEMANDS = st.lists(
    st.builds(
        Demand,
        st.uuids().map(str),
        st.integers(0, 9),
        st.integers(0, 20),
        st.integers(0, 20),
        st.just(0),
    ),
    max_size=6,
)


@given(room=st.integers(-5, 60), demands=DEMANDS)
def test_no_room_is_left_while_something_is_pending(room: int, demands: list[Demand]) -> None:
    given_ = deal(room, demands)
    assert given_.total() == max(0, min(room, sum(each.pending for each in demands)))
    for one in demands:
        assert given_[one.job] <= one.pending
        for other in demands:
            waits = given_[other.job] < other.pending
            if waits and other.priority > one.priority:
                assert not given_[one.job]
            if waits and other.priority == one.priority and given_[one.job]:
                had = one.in_flight + given_[one.job]
                assert had <= other.in_flight + given_[other.job] + 1


class Scene:
    def __init__(self) -> None:
        self.now = 100.0
        self.ledger = MemoryLedger(clock=lambda: self.now)
        self.window = Window(self.ledger, lambda: self.now)

    def room(self, in_flight: int, ended: int = 0) -> int:
        return self.window.room([Demand("j", 5, 99, in_flight, ended)])


def test_the_window_grows_with_the_workers_and_shrinks_with_them() -> None:
    scene = Scene()
    assert scene.room(0) == SPARE_MESSAGES
    scene.ledger.enlist("w1", 4, 60)
    scene.now += 0.5
    assert scene.room(0) == 4 + SPARE_MESSAGES
    scene.ledger.enlist("w2", 8, 10)
    scene.now += 0.5
    assert scene.room(5) == 12 + SPARE_MESSAGES - 5
    scene.now += 10
    assert scene.room(0) == 4 + SPARE_MESSAGES


def test_short_tasks_are_sent_ahead_of_their_need_and_long_ones_are_not() -> None:
    scene = Scene()
    scene.room(0, ended=1000)  # those of earlier do not count
    assert scene.room(0, ended=1040) == 40
    scene.now += 0.9
    assert scene.room(0, ended=1050) == 50
    scene.now += 0.9
    assert scene.room(0, ended=1050) == 10
    scene.now += 0.9
    assert scene.room(0, ended=1050) == SPARE_MESSAGES
    assert scene.room(0, ended=10**6) == MOST_SPARE


def test_a_job_that_waits_takes_no_place_from_others() -> None:
    """Its messages are dropped as soon as they arrive, maybe for hours."""
    ledger = MemoryLedger()
    ledger.create_job(Job("waits", 1, "fingerprint", b"sealed"))
    tasks = [PlannedTask(f"t{number}", b"", 1, 1) for number in range(9)]
    ledger.plan("waits", PlanStep(1, {0: Lane()}, tasks))
    dispatch = Dispatch("waits", ledger, Queue(lambda job, task, message: None, set), host="here")
    assert dispatch.demand(ledger.snapshot("waits")).pending == 9
    dispatch.send(4)
    before = dispatch.demand(ledger.snapshot("waits"))
    assert (before.pending, before.in_flight) == (5, 4)
    ledger.set_state("waits", JobState.RUNNING, "waiting: for credentials")
    waiting = dispatch.demand(ledger.snapshot("waits"))
    assert (waiting.pending, waiting.in_flight) == (0, 0)
    ledger.set_state("waits", JobState.RUNNING)
    assert dispatch.demand(ledger.snapshot("waits")) == before


def test_a_job_that_waits_is_tried_again_with_one_message_at_a_time() -> None:
    now = 100.0
    ledger = MemoryLedger(clock=lambda: now)
    ledger.create_job(Job("waits", 1, "fingerprint", b"sealed"))
    tasks = [PlannedTask(f"t{number}", b"", 1, 1) for number in range(9)]
    ledger.plan("waits", PlanStep(1, {0: Lane()}, tasks))
    ledger.set_state("waits", JobState.RUNNING, "waiting: for credentials")
    sent: list[str] = []
    waiting: set[str] = set()
    queue = Queue(lambda job, task, message: sent.append(task), lambda: set(waiting))
    dispatch = Dispatch("waits", ledger, queue, host="here")
    assert dispatch.demand(ledger.snapshot("waits")).pending == 1

    dispatch.send(3)  # before it had to wait, say; all of them were dropped
    assert dispatch.demand(ledger.snapshot("waits")).pending == 0
    del sent[:]
    for _ in range(35):
        now += 1.0
        dispatch.send_lost(ledger.snapshot("waits"))
    assert len(sent) == 3
    waiting.add(sent[-1])  # behind the tasks of others
    for _ in range(35):
        now += 1.0
        dispatch.send_lost(ledger.snapshot("waits"))
    assert len(sent) == 3
    ledger.set_state("waits", JobState.RUNNING)  # it goes on
    for _ in range(2):
        dispatch.send_lost(ledger.snapshot("waits"))
    assert len(sent) == 5


def holds(task_id: str, left: int, objects: int = 5, **lends: int) -> tuple[str, RunningTask]:
    return "j", RunningTask(task_id, "w", 7, False, 0, objects, 0, left, **lends)


def test_idle_workers_go_where_their_share_is_largest() -> None:
    asked = whom_to_ask(3, [holds("huge", 1000), holds("large", 600), holds("small", 100)])
    assert asked == {Asked("j", "huge", 7): 2, Asked("j", "large", 7): 1}


def test_who_has_helpers_already_is_helped_by_fewer_more() -> None:
    asked = whom_to_ask(1, [holds("helped", 1000, 1, offered=9, helpers=4), holds("alone", 600)])
    assert asked == {Asked("j", "alone", 7): 1}


def test_no_more_workers_are_sent_for_parts_than_there_are_parts() -> None:
    asked = whom_to_ask(5, [holds("lends", 10**6, 1, offered=2)])
    assert asked == {Asked("j", "lends", 7, offered=2): 2}


def test_who_is_called_and_does_not_come_is_not_called_again() -> None:
    sent: list[tuple[str, str]] = []
    waiting = {"t+1"}
    queue = Queue(lambda job, task, message: sent.append((task, message)), lambda: waiting)
    Dispatch("j", MemoryLedger(), queue, host="here").call_helpers("t", 3)
    assert sorted(sent) == [("t", "t+2"), ("t", "t+3")]


def test_helpers_take_places_too() -> None:
    ledger = MemoryLedger()
    ledger.create_job(Job("j", 1, "fingerprint", b"sealed"))
    ledger.plan("j", PlanStep(1, {0: Lane()}, [PlannedTask("t", b"", 1, 1)]))
    claim = ledger.claim("j", "t", "w1", 60)
    assert isinstance(claim, Claim)
    ledger.lend(claim, 0, Upload("k", "U", 1, ObjectInfo("k", 9), {}), range(1, 10))
    assert ledger.borrow("j", "t", "w2", 60, 3) is not None
    dispatch = Dispatch("j", ledger, Queue(lambda job, task, message: None, set), host="here")
    assert dispatch.demand(ledger.snapshot("j")).in_flight == 2
