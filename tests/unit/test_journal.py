"""The tree on disk: its layout, what each file says, and that saying it twice changes nothing."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossimport.auditlog import UPLOAD_ENDED, format_check_failed, format_upload
from ossimport.errors import JobExists, ServiceError
from ossimport.journal import Journal, rebuild, worker_host
from ossimport.journal.files import damaged
from ossimport.journal.replay import Replay
from ossimport.journal.texts import TaskNote, TaskText, task_text
from ossimport.ledger.base import Job, ScanState
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import Lane, Mark, ObjectInfo, Outcome, Tally, Task, TaskState, Upload
from tests.unit.journal_parts import (
    JOB,
    NAME,
    NOW,
    WORKER,
    excluded,
    log_text,
    make_step,
    make_task,
    scan_failure,
    tree,
)

COPIED, SKIPPED, FAILED, VANISHED = (
    Outcome.COPIED,
    Outcome.SKIPPED,
    Outcome.FAILED,
    Outcome.VANISHED,
)
ONE, TWO = make_task(1), make_task(2)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path, NAME)
    journal.open(JOB)
    return journal


def end(journal: Journal, task: Task, outcomes: list[Outcome]) -> None:
    text = log_text(task, outcomes)
    journal.claimed(task.task_id, WORKER)
    journal.append(task.task_id, 0, text)
    state = TaskState.FAILED if FAILED in outcomes else TaskState.SUCCEED
    journal.ended(task.task_id, WORKER, state, len(text))


def only_task(journal: Journal) -> Path:
    return next(journal.root.rglob("TASK")).parent


def test_a_task_goes_through_the_directories_of_the_original(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    places = [only_task(journal).relative_to(journal.root)]
    journal.claimed(ONE.task_id, WORKER)
    places.append(only_task(journal).relative_to(journal.root))
    journal.released(ONE.task_id)
    places.append(only_task(journal).relative_to(journal.root))
    end(journal, ONE, [COPIED, FAILED, SKIPPED])
    places.append(only_task(journal).relative_to(journal.root))
    journal.requeued(ONE.task_id)
    places.append(only_task(journal).relative_to(journal.root))
    end(journal, ONE, [COPIED, COPIED, SKIPPED])
    places.append(only_task(journal).relative_to(journal.root))
    assert [str(place) for place in places] == [
        f"pending_tasks/{ONE.task_id}",
        f"dispatched/host-1/{ONE.task_id}",
        f"pending_tasks/{ONE.task_id}",
        f"failed_tasks/{ONE.task_id}@host-1",
        f"pending_tasks/{ONE.task_id}",
        f"succeed_tasks/{ONE.task_id}@host-1",
    ]


def test_a_succeeded_task_says_completed_and_has_no_errors(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    end(journal, ONE, [COPIED, SKIPPED, COPIED])
    found = {path.name: path.read_bytes() for path in only_task(journal).iterdir()}
    assert set(found) == {"TASK", "audit.log", "error.list", "STATUS", "DONE"}
    assert found["STATUS"] == b"Completed"
    assert found["error.list"] == b""
    done = json.loads(found["DONE"])
    assert found["DONE"].count(b"\n") == 1
    assert done["outcomes"] == {"copied": [2, 40], "skipped": [1, 20]}
    assert done["proof"] == {"2": 2}


def test_a_failed_task_names_what_failed_or_vanished(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    end(journal, ONE, [FAILED, COPIED, VANISHED])
    path = only_task(journal)
    assert (path / "STATUS").read_text() == "Failed"
    assert (path / "DONE").read_bytes() == b""
    assert (path / "error.list").read_text() == (
        "dir 1/\u00fc\\x0a0\\xff.jpg\tTimeout\tno answer\t5F\n"
        "dir 1/\u00fc\\x0a2\\xff.jpg\tVanished\tno answer\t5F\n"
    )


def test_a_retried_task_keeps_its_log_and_loses_the_marks_of_its_end(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    end(journal, ONE, [FAILED, COPIED, COPIED])
    (stored,) = journal.failed_tasks()
    assert stored.retry_marks == bytes([Mark.LEFT, Mark.COPIED_CRC64, Mark.COPIED_CRC64])
    journal.requeued(ONE.task_id)
    path = only_task(journal)
    assert {each.name for each in path.iterdir()} == {"TASK", "audit.log"}
    more = log_text(ONE, [COPIED])
    journal.claimed(ONE.task_id, WORKER)
    journal.append(ONE.task_id, stored.log_size, more)
    journal.ended(ONE.task_id, WORKER, TaskState.SUCCEED, stored.log_size + len(more))
    (stored,) = journal.tasks()
    assert stored.totals.objects == {COPIED: 3}
    assert not list(journal.failed_tasks())
    assert (only_task(journal) / "error.list").read_bytes() == b""


def test_a_requeued_task_whose_retry_was_forgotten_is_found_by_the_next_one(
    journal: Journal,
) -> None:
    journal.plan(make_step(1, [ONE, TWO]), [ONE, TWO], {}, [])
    end(journal, ONE, [FAILED, COPIED, COPIED])
    end(journal, TWO, [COPIED, FAILED, COPIED])
    for task in (ONE, TWO):
        journal.requeued(task.task_id)
    journal.claimed(TWO.task_id, WORKER)
    found = [(each.task.task_id, each.retry_marks) for each in journal.failed_tasks()]
    done, left = Mark.COPIED_CRC64, Mark.LEFT
    assert found == [
        (ONE.task_id, bytes([left, done, done])),
        (TWO.task_id, bytes([done, left, done])),
    ]


def test_a_task_that_has_not_come_to_an_end_is_none_to_retry(journal: Journal) -> None:
    """Its failures are not all known yet: the ledger would be told of fewer than it counts."""
    third = make_task(3)
    journal.plan(make_step(1, [ONE, TWO, third]), [ONE, TWO, third], {}, [])
    journal.claimed(ONE.task_id, WORKER)
    journal.append(ONE.task_id, 0, log_text(ONE, [FAILED, COPIED]))
    journal.append(TWO.task_id, 0, log_text(TWO, [VANISHED, COPIED, COPIED]))
    assert list(journal.failed_tasks()) == []


def test_failed_tasks_may_be_moved_while_they_are_read(journal: Journal) -> None:
    tasks = [make_task(number) for number in range(1, 8)]
    journal.plan(make_step(1, tasks), tasks, {}, [])
    for task in tasks:
        end(journal, task, [FAILED, COPIED, COPIED])
    for task in tasks[3:]:
        journal.requeued(task.task_id)
    for task in tasks[5:]:
        journal.claimed(task.task_id, WORKER)
    found = []
    for stored in journal.failed_tasks():
        found.append(stored.task.task_id)
        journal.requeued(found[-1])
        journal.claimed(found[-1], WORKER)
        if len(found) == 4:
            journal.claimed(tasks[4].task_id, "other:1:2")
            journal.released(tasks[5].task_id)
            end(journal, tasks[6], [COPIED])
    assert found == [task.task_id for task in tasks[:4]]


def test_text_put_at_its_offset_twice_is_there_once(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    text = log_text(ONE, [COPIED, SKIPPED])
    half = text.index(b"\n") + 1
    for offset, part in ((0, text[:half]), (half, text[half:]), (0, text[:half])):
        journal.append(ONE.task_id, offset, part)
    assert (only_task(journal) / "audit.log").read_bytes() == text


def test_an_ended_log_is_cut_at_the_size_that_the_ledger_knows(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    text = log_text(ONE, [COPIED] * 3)
    journal.append(ONE.task_id, 0, text + b"of a worker that had lost its claim\n")
    journal.ended(ONE.task_id, WORKER, TaskState.SUCCEED, len(text))
    assert (only_task(journal) / "audit.log").read_bytes() == text


def test_events_of_an_ended_task_that_come_again_do_not_move_it(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    end(journal, ONE, [COPIED] * 3)
    before = tree(journal.root)
    again = Journal(journal.root.parents[1], NAME)
    again.claimed(ONE.task_id, WORKER)
    again.released(ONE.task_id)
    end(again, ONE, [COPIED] * 3)
    assert tree(journal.root) == before


def test_the_last_word_about_an_object_counts(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    text = log_text(ONE, [FAILED, COPIED, COPIED])
    text += format_check_failed(1, ONE.objects[1].key, NOW).encode()
    text += format_check_failed(2, ONE.objects[2].key, NOW).encode()
    text += log_text(ONE, [FAILED], first=2)
    text += log_text(ONE, [VANISHED])
    journal.append(ONE.task_id, 0, text)
    (stored,) = journal.tasks()
    assert stored.marks == bytes([Mark.VANISHED, Mark.LEFT, Mark.FAILED])
    assert stored.totals.objects == {VANISHED: 1, FAILED: 1}
    assert stored.totals.bytes == {VANISHED: 10, FAILED: 30}
    assert stored.totals.proof == {}
    assert stored.totals.left == 1
    assert sorted(stored.failures) == [0, 2]


@settings(deadline=None)
@given(st.data())
def test_a_log_torn_at_any_byte_says_what_its_whole_lines_say(data: st.DataObject) -> None:
    text = log_text(ONE, [COPIED, FAILED, VANISHED])
    cut = data.draw(st.integers(0, len(text)))
    rest = data.draw(st.binary(max_size=30).filter(lambda tail: b"\n" not in tail))
    whole = text[: text.rfind(b"\n", 0, cut) + 1]
    one = TaskText(Path("TASK"), task_text(ONE, TaskNote(1)))
    torn, clean = Replay(one, text[:cut] + rest), Replay(one, whole)
    if cut < len(text) and not text.startswith(text[:cut] + rest + b"\n"):
        assert torn.marks == clean.marks
    assert torn.log_size == len(whole)


def test_a_hole_in_a_log_costs_only_the_lines_that_were_in_it(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    text = log_text(ONE, [COPIED, COPIED, COPIED])
    first, second = text.index(b"\n") + 1, text.rindex(b"\n", 0, -1) + 1
    journal.append(ONE.task_id, 0, text[:first])
    journal.append(ONE.task_id, second, text[second:])
    (stored,) = journal.tasks()
    assert stored.marks == bytes([Mark.COPIED_CRC64, Mark.LEFT, Mark.COPIED_CRC64])


def test_uploads_that_began_and_did_not_end_are_known(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE, TWO]), [ONE, TWO], {}, [])
    uploads = [Upload(f"p/{i}", f"ID{i}", 100, ONE.objects[i], {}) for i in range(3)]
    text = "".join(format_upload(i, ONE.objects[i].key, uploads[i], NOW) for i in range(3))
    text += format_upload(1, ONE.objects[1].key, uploads[1], NOW, word=UPLOAD_ENDED)
    journal.append(ONE.task_id, 0, text.encode() + log_text(ONE, [COPIED, FAILED, FAILED]))
    assert list(journal.uploads()) == [uploads[0], uploads[2]]
    journal.ended(TWO.task_id, WORKER, TaskState.SUCCEED, 0)
    assert list(journal.uploads()) == [uploads[0], uploads[2]]


def test_done_remembers_an_upload_that_was_left_behind(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    lost = Upload("p/\u00fc", "LOST", 100, ONE.objects[0], {})
    used = lost._replace(upload_id="USED")
    key = ONE.objects[0].key
    lines = format_upload(0, key, lost, NOW) + format_upload(0, key, used, NOW)
    lines += format_upload(0, key, used, NOW, word=UPLOAD_ENDED)
    text = lines.encode() + log_text(ONE, [COPIED, COPIED, COPIED])
    journal.append(ONE.task_id, 0, text)
    journal.ended(ONE.task_id, WORKER, TaskState.SUCCEED, len(text))
    (only_task(journal) / "audit.log").unlink()
    assert list(journal.uploads()) == [lost]


# -- the scan --------------------------------------------------------------------------------------


def test_a_step_moves_the_checkpoint_and_the_lists(journal: Journal) -> None:
    lanes = {0: Lane("c\udc80", "u"), 7: Lane()}
    step = make_step(1, [ONE], excluded=1, excluded_bytes=5, failures=[scan_failure("locked/")])
    journal.plan(step, [ONE], lanes, [excluded("sock\n")])
    journal.plan(make_step(2, [TWO], excluded=1, excluded_bytes=6), [TWO], lanes, [excluded("b")])
    again = Journal(journal.root.parents[1], NAME)
    assert again.scan_state() == ScanState(2, lanes, False)
    assert again.excluded() == Tally(2, 11)
    assert again.scan_failures() == [(1, scan_failure("locked/"))]
    assert (again.root / "excluded.list").read_text() == (
        "sock\\x0a\tSocket\tnot an object\nb\tSocket\tnot an object\n"
    )
    assert [stored.task for stored in again.tasks()] == [ONE, TWO]
    assert [path.suffix for path in (again.root / "checkpoints" / "0").iterdir()] == [".cpt"]


def test_a_step_that_comes_again_changes_nothing_and_a_gap_is_refused(journal: Journal) -> None:
    step = make_step(1, [ONE], excluded=1, failures=[scan_failure("x")])
    journal.plan(step, [ONE], {0: Lane("a")}, [excluded("e")])
    before = tree(journal.root)
    journal.plan(step, [TWO], {0: Lane("b")}, [excluded("e")])
    assert tree(journal.root) == before
    with pytest.raises(ServiceError, match=r"step 1 of the scan, and step 3 .* Cure: "):
        journal.plan(make_step(3, [TWO]), [TWO], {}, [])


def test_a_task_that_is_planned_twice_is_there_once(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    journal.claimed(ONE.task_id, WORKER)
    Journal(journal.root.parents[1], NAME).plan(make_step(2, [ONE]), [ONE], {}, [])
    assert [stored.task for stored in journal.tasks()] == [ONE]


def test_the_jobqueue_holds_the_job_until_it_is_split(journal: Journal, tmp_path: Path) -> None:
    queued = tmp_path / "jobqueue" / NAME
    assert queued.exists()
    journal.plan(make_step(1, [], failures=[scan_failure("x")]), [], {}, [])
    journal.finish_scan()
    journal.finish_scan()
    journal.open(JOB)
    assert not queued.exists()
    assert journal.scan_state() == ScanState(1, {}, True)
    journal.rescanned(ScanState(1, {3: Lane("x")}, False))
    assert queued.exists()
    assert journal.scan_state() == ScanState(1, {3: Lane("x")}, False)
    assert journal.scan_failures() == []
    journal.plan(make_step(2, [], failures=[scan_failure("y")]), [], {}, [])
    assert journal.scan_failures() == [(2, scan_failure("y"))]


# -- the job ---------------------------------------------------------------------------------------


def test_the_job_is_read_back_with_its_sealed_settings(journal: Journal, tmp_path: Path) -> None:
    assert Journal(tmp_path, NAME).stored_job() == JOB
    assert Journal(tmp_path, "other").stored_job() is None
    assert Journal.jobs(tmp_path) == [NAME]
    assert Journal.jobs(tmp_path / "nowhere") == []


def test_a_second_job_of_the_name_is_refused(journal: Journal) -> None:
    journal.open(JOB)
    with pytest.raises(JobExists, match="please clean it first"):
        journal.open(Job(NAME, 1, "", b""))


def test_a_removed_job_leaves_nothing_but_its_name_free(journal: Journal, tmp_path: Path) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {0: Lane("a")}, [])
    end(journal, ONE, [COPIED] * 3)
    journal.remove()
    journal.remove()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    other = Job(NAME, 1, "", b"")
    journal.open(other)
    assert journal.scan_state() == ScanState(0, {}, False)
    assert list(journal.tasks()) == []
    assert journal.highlights().slowest == ()


def test_files_of_other_people_are_left_alone(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    mine = [
        journal.root / "pending_tasks" / "notes.txt",
        journal.root / "pending_tasks" / "mine" / "diary.txt",
        journal.root / "dispatched" / "notes.txt",
        journal.root / "succeed_tasks" / "no-at" / "TASK",
        journal.root / "failed_tasks" / "x@y" / "other",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    again = Journal(journal.root.parents[1], NAME)
    again.remove_strays()
    assert [stored.task for stored in again.tasks()] == [ONE]
    again.plan(make_step(2, [TWO]), [TWO], {}, [])
    assert all(path.read_text() == "mine" for path in mine)


@pytest.mark.parametrize("name", ["", "..", ".x", "a/b", "a\n", "../../etc"])
def test_a_name_that_leads_out_of_the_tree_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ServiceError, match="cannot be the name of a job"):
        Journal(tmp_path, name)


@pytest.mark.parametrize(
    ("worker", "host"),
    [
        ("host-1:12:99", "host-1"),
        ("host-1", "host-1"),
        ("../../etc:1:2", "_.._etc"),
        ("a b\u00fc@c:1:2", "a_b__c"),
        ("", "unknown"),
        ("..:1:2", "unknown"),
    ],
)
def test_a_workers_host_is_fit_for_a_path(worker: str, host: str) -> None:
    assert worker_host(worker) == host


# -- what the disk refuses -------------------------------------------------------------------------


def test_a_full_disk_is_named_with_the_file_and_the_cure(journal: Journal) -> None:
    path = journal.root / "pending_tasks" / ONE.task_id
    path.mkdir()
    (path / "TASK.new").symlink_to("/dev/full")
    journal.remove_strays = lambda: None  # type: ignore[method-assign]  # it would mend the disk
    with pytest.raises(ServiceError) as caught:
        journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    text = str(caught.value)
    assert str(path / "TASK") in text
    assert "No space left on device" in text
    assert "Cure: free space" in text


def test_a_full_disk_while_a_log_grows_is_named(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    (only_task(journal) / "audit.log").symlink_to("/dev/full")
    with pytest.raises(ServiceError, match=r"audit\.log: No space left on device\. Cure: "):
        journal.append(ONE.task_id, 0, b"text")


def test_a_file_in_the_way_of_the_tree_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("")
    with pytest.raises(ServiceError, match=r"cannot .* Cure: a file stands where"):
        Journal(tmp_path, NAME).open(JOB)


def test_a_task_that_is_not_there_is_named(journal: Journal) -> None:
    with pytest.raises(ServiceError, match=rf"holds no task {ONE.task_id}\. Cure: "):
        journal.claimed(ONE.task_id, WORKER)


@pytest.mark.parametrize("name", ["TASK", "job.json", "*.cpt"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[" * 100_000,
        "# job=x",
        "nonsense\n\n",
        "# job=x task=y seq=\u00b2 objects=0 bytes=0\n",
        f"# job=x task=y seq={'9' * 5000} objects=0 bytes=0\n",
        "# job=x task=y seq=1 objects=0 bytes=0\n",
    ],
)
def test_damage_is_named_and_never_taken_for_an_empty_file(
    journal: Journal, name: str, text: str
) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {0: Lane()}, [])
    (path,) = journal.root.rglob(name)
    path.write_text(text)
    again = Journal(journal.root.parents[1], NAME)

    def read_all() -> None:
        again.stored_job()
        again.scan_state()
        list(again.tasks())

    with pytest.raises(ServiceError) as caught:
        read_all()
    assert str(caught.value).startswith(str(damaged(path, "")).split(":")[0])
    assert "Cure: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("*.cpt", '"seq": 1', '"seq": "1"'),
        ("*.cpt", '"rescannedAfterStep": 0', '"rescannedAfterStep": null'),
        ("*.cpt", '"a"', "7"),
        ("*.cpt", '"excludedListBytes": 0', '"excludedListBytes": -1'),
        ("job.json", f'"name": "{NAME}"', '"name": "another"'),
        ("job.json", f'"name": "{NAME}"', '"name": null'),
        ("job.json", f'"createdMs": {JOB.created_ms}', '"createdMs": "yesterday"'),
        ("TASK", ONE.task_id, TWO.task_id),
    ],
)
def test_a_value_of_another_kind_is_damage(journal: Journal, name: str, old: str, new: str) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {0: Lane("a", "b")}, [])
    (path,) = journal.root.rglob(name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ServiceError) as caught:
        rebuild(Journal(journal.root.parents[1], NAME), MemoryLedger())
    assert str(path) in str(caught.value)
    assert "Cure: " in str(caught.value)


def test_a_place_that_cannot_be_looked_at_is_named(journal: Journal) -> None:
    with pytest.raises(ServiceError, match=r"cannot look at .*File name too long\. Cure: "):
        journal.claimed("9" * 300, WORKER)


def test_a_task_that_lost_its_last_lines_is_damaged(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE]), [ONE], {}, [])
    path = only_task(journal) / "TASK"
    path.write_bytes(path.read_bytes().rsplit(b"\n", 2)[0] + b"\n")
    with pytest.raises(ServiceError, match="it holds 2 objects of 30 bytes, its first line says 3"):
        list(journal.tasks())


# -- TASK and highlights ---------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(codec=None), max_size=30)
INFOS = st.builds(
    ObjectInfo,
    ANY_TEXT,
    st.integers(0, 2**60),
    st.integers(-(2**60), 2**62),
    ANY_TEXT,
    st.none() | st.integers(0, 2**64 - 1),
)


@settings(deadline=None)
@given(st.lists(INFOS, max_size=5), st.integers(1, 2**31), st.sampled_from(["", "T_1"]))
def test_any_task_is_read_back_exactly(objects: list[ObjectInfo], seq: int, cut_from: str) -> None:
    task = Task(NAME, ONE.task_id, tuple(objects))
    note = TaskNote(seq, cut_from)
    data = task_text(task, note)
    assert data.count(b"\n") == len(objects) + 1
    text = TaskText(Path("TASK"), data)
    assert (text.task(), text.note) == (task, note)
    assert text.sizes == [info.size for info in objects]
    assert [text.object(number) for number in range(len(objects))] == objects


def test_a_task_file_is_for_reading(journal: Journal) -> None:
    task = Task(NAME, ONE.task_id, (ObjectInfo("a b.jpg", 4096, 17, "E"), ObjectInfo("\u00fc", 1)))
    journal.plan(make_step(1, [task]), [task], {}, [])
    assert (only_task(journal) / "TASK").read_text() == (
        f"# job={NAME} task={task.task_id} seq=1 objects=2 bytes=4097\n"
        "4096\t17\t\tE\ta b.jpg\n"
        "1\t0\t\t\t\u00fc\n"
    )


def test_highlights_name_the_slowest_and_group_the_failed(journal: Journal) -> None:
    journal.plan(make_step(1, [ONE, TWO], failures=[scan_failure("locked/")]), [ONE, TWO], {}, [])
    end(journal, ONE, [FAILED, COPIED, COPIED])
    end(journal, TWO, [FAILED, FAILED, VANISHED])
    found = Journal(journal.root.parents[1], NAME).highlights(names=2)
    assert found.complete
    assert [(slow.seconds, slow.size, slow.key) for slow in found.slowest] == [
        (3.0, 30, ONE.objects[2].key),
        (2.0, 20, ONE.objects[1].key),
    ]
    assert {code: group.objects for code, group in found.failed_by_code.items()} == {
        "AccessDenied": 1,
        "Timeout": 3,
    }
    assert len(found.failed_by_code["Timeout"].keys) == 2
    assert found.failed_by_code["Timeout"].message == "no answer"
    assert found.failed_by_code["AccessDenied"].keys == ("locked/",)


def test_only_the_ten_slowest_of_all_tasks_are_kept(journal: Journal) -> None:
    tasks = [make_task(number, [1] * 8) for number in range(1, 4)]
    journal.plan(make_step(1, tasks), tasks, {}, [])
    for task in tasks:
        end(journal, task, [COPIED] * 8)
        end(journal, task, [COPIED] * 8)
    slowest = Journal(journal.root.parents[1], NAME).highlights().slowest
    assert [slow.seconds for slow in slowest] == [8, 8, 8, 7, 7, 7, 6, 6, 6, 5]
    assert len({slow.key for slow in slowest}) == 10
