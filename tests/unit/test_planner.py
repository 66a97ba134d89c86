"""The plan is an ordered partition of the scan, within limits, that goes on from any cursor."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport import planner
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict
from ossimport.planner import Batch, TaskLimits, limits_for, plan, task_id

VERDICTS = [Verdict.COPY] * 6 + [Verdict.EXCLUDED, Verdict.FAILED]


def entries_of(shapes: list[tuple[int, Verdict]]) -> list[Scanned]:
    return [
        Scanned(ObjectInfo(f"key{i:04}", size, i), f"cursor{i:04}", verdict)
        for i, (size, verdict) in enumerate(shapes)
    ]


scans = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(VERDICTS)), max_size=60).map(
    entries_of
)
some_limits = st.builds(TaskLimits, st.integers(1, 10), st.integers(1, 50))


def planned(entries: list[Scanned], limits: TaskLimits) -> list[Batch]:
    return list(plan(entries, limits=lambda: limits, clock=lambda: 0.0))


def of(entries: list[Scanned], verdict: Verdict) -> list[Scanned]:
    return [entry for entry in entries if entry.verdict is verdict]


@given(scans, some_limits)
def test_the_plan_is_an_ordered_partition_of_the_scan(
    entries: list[Scanned], limits: TaskLimits
) -> None:
    left = entries
    for batch in planned(entries, limits):
        count = len(batch.objects) + len(batch.excluded) + len(batch.failed)
        assert count > 0
        stretch, left = left[:count], left[count:]
        assert list(batch.objects) == [entry.info for entry in of(stretch, Verdict.COPY)]
        assert list(batch.excluded) == of(stretch, Verdict.EXCLUDED)
        assert list(batch.failed) == of(stretch, Verdict.FAILED)
        assert batch.cursor == stretch[-1].cursor
    assert left == []


@given(scans, some_limits)
def test_tasks_keep_within_both_limits_and_a_larger_object_is_alone(
    entries: list[Scanned], limits: TaskLimits
) -> None:
    for batch in planned(entries, limits):
        assert batch.size == sum(info.size for info in batch.objects)
        assert len(batch.objects) <= limits.objects
        if batch.size > limits.bytes:
            assert len(batch.objects) == 1


@given(scans, some_limits)
def test_no_task_could_have_held_the_next_object_as_well(
    entries: list[Scanned], limits: TaskLimits
) -> None:
    tasks = [batch for batch in planned(entries, limits) if batch.objects]
    for batch, following in zip(tasks, tasks[1:], strict=False):
        assert (
            len(batch.objects) == limits.objects
            or batch.size + following.objects[0].size > limits.bytes
            or batch.size == limits.bytes
        )


@given(scans, some_limits)
def test_planning_again_from_any_cursor_plans_exactly_the_rest(
    entries: list[Scanned], limits: TaskLimits
) -> None:
    batches = planned(entries, limits)
    cursors = [entry.cursor for entry in entries]
    for index, batch in enumerate(batches):
        rest = entries[cursors.index(batch.cursor) + 1 :]
        assert planned(rest, limits) == batches[index + 1 :]


def test_the_size_of_what_is_not_copied_does_not_count() -> None:
    entries = entries_of([(5, Verdict.COPY), (90, Verdict.EXCLUDED), (5, Verdict.COPY)])
    (batch,) = planned(entries, TaskLimits(10, 11))
    assert batch.size == 10


@pytest.mark.parametrize("size", [1, 10, 99])
def test_a_full_task_does_not_wait_for_the_next_entry(size: int) -> None:
    entries = iter(entries_of([(size, Verdict.COPY)] * 20))
    batches = plan(entries, limits=lambda: TaskLimits(10, 10), clock=lambda: 0.0)
    taken = len(next(batches).objects)
    assert len(list(entries)) == 20 - taken


def test_limits_are_asked_for_every_batch() -> None:
    growing = iter([TaskLimits(1, 100), TaskLimits(2, 100), TaskLimits(3, 100)])
    entries = entries_of([(1, Verdict.COPY)] * 6)
    batches = list(plan(entries, limits=lambda: next(growing), clock=lambda: 0.0))
    assert [len(batch.objects) for batch in batches] == [1, 2, 3]


def test_entries_that_are_no_objects_make_batches_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "MAX_ODD", 3)
    entries = entries_of([(0, Verdict.EXCLUDED), (0, Verdict.FAILED)] * 4)
    batches = planned(entries, TaskLimits(100, 100))
    assert [len(batch.excluded) + len(batch.failed) for batch in batches] == [3, 3, 2]
    assert all(batch.objects == () and batch.size == 0 for batch in batches)


def test_a_slow_scan_does_not_hold_back_what_it_found() -> None:
    now = 0.0

    def trickle() -> Iterator[Scanned]:
        nonlocal now
        for entry in entries_of([(1, Verdict.COPY)] * 9):
            now += 0.6
            yield entry

    limits = TaskLimits(1000, 1000)
    batches = list(plan(trickle(), limits=lambda: limits, clock=lambda: now, max_wait_s=2.0))
    assert [len(batch.objects) for batch in batches] == [5, 4]


def test_a_batch_waits_from_its_own_first_entry_on() -> None:
    times = iter([0.0, 0.0, 100.0, 100.0, 100.0, 100.5, 101.0])
    entries = entries_of([(1, Verdict.COPY)] * 4)
    limits = TaskLimits(2, 1000)
    batches = list(plan(entries, limits=lambda: limits, clock=lambda: next(times), max_wait_s=2.0))
    assert [len(batch.objects) for batch in batches] == [2, 2]


def ramp(total: int, slots: int, size: int = 1000) -> list[int]:
    """How many objects each task of a job gets, one after another."""
    tasks: list[int] = []
    done = 0
    while done < total:
        limits = limits_for(done, done * size, slots, 10_000, 10**9)
        tasks.append(min(limits.objects, limits.bytes // size, total - done))
        done += tasks[-1]
    return tasks


def test_a_job_begins_with_small_tasks_and_grows_to_its_limits() -> None:
    tasks = ramp(1_000_000, slots=4)
    assert tasks[0] == planner.FIRST_OBJECTS
    assert max(tasks) == 10_000
    assert tasks[:-1] == sorted(tasks[:-1])
    assert len(tasks) < 140


@pytest.mark.parametrize("slots", [1, 2, 8, 60])
def test_no_task_is_more_than_a_slot_was_given_before(slots: int) -> None:
    done = 0
    for task in ramp(200_000, slots):
        assert task <= max(planner.FIRST_OBJECTS, done / slots)
        done += task


def test_a_small_job_uses_every_slot() -> None:
    assert len(ramp(1000, slots=8)) >= 8 * 2


@given(st.integers(0, 10**12), st.integers(0, 10**18), st.integers(1, 1000), some_limits)
def test_the_jobs_own_limits_are_never_exceeded_and_never_zero(
    objects: int, size: int, slots: int, job: TaskLimits
) -> None:
    limits = limits_for(objects, size, slots, job.objects, job.bytes)
    assert 1 <= limits.objects <= job.objects
    assert 1 <= limits.bytes <= job.bytes


def test_a_task_id_derives_from_job_and_content() -> None:
    same = task_id("my_job", 1469084481000, b"objects")
    assert re.fullmatch(r"[0-9A-F]{32}_1469084481000", same)
    assert task_id("my_job", 1469084481000, b"objects") == same
    assert task_id("my_job", 1469084481000, b"others") != same
    assert task_id("your_job", 1469084481000, b"objects") != same
    assert task_id("my_jobo", 1469084481000, b"bjects") != same
    assert task_id("my_job", 7, b"objects") == same[:32] + "_0000000000007"


def test_lanes_of_failed_entries_travel_with_the_batch() -> None:
    failed = Scanned(ObjectInfo("d/", 0), "d//", Verdict.FAILED, "EIO", "bad", Lane("d/", "d//"))
    (batch,) = planned([failed], TaskLimits(1, 1))
    assert (batch.failed, batch.cursor) == ((failed,), "d//")
