"""Rounds: each brings what is new or changed, and nothing else, whatever happens in between."""

import asyncio
import copy
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ossimport.config import FilterConfig
from ossimport.console.actions import resume_job
from ossimport.dest.base import Body, Stored
from ossimport.dest.memory import MemoryDestination
from ossimport.errors import Fatal, Permanent, StorageError, Transient, Waiting
from ossimport.filters import Filters
from ossimport.journal import Journal
from ossimport.ledger.base import Snapshot
from ossimport.ledger.memory import MemoryLedger
from ossimport.model import JobState, ObjectInfo, Scanned, Upload, Verdict
from ossimport.pruning import Fate, Gone, abort, prune
from ossimport.report import stat_text
from ossimport.scanning import take_all
from ossimport.service.processes import wait_until
from tests.unit.cluster import JOB, Cluster

INTERVAL_S = 1000
OLD = 1_600_000_000_000_000_000


class Rounds(Cluster):
    """A cluster with an incremental job."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._plan = self._plan._replace(interval_s=INTERVAL_S)
        self.now = JOB.created_ms / 1000
        self.ledger.create_job(replace(JOB, incremental=True))

    def work(self, times: int = 1) -> Snapshot:
        """Until the round is over: what it deletes, it deletes in a thread of its own."""
        for _ in range(100):
            snapshot = super().work(times)
            if snapshot.job.next_round_ms or snapshot.job.state is not JobState.RUNNING:
                break
        return snapshot

    def next_round(self) -> Snapshot:
        """Wait until the next one is due and let it come to its end."""
        self.now = max(self.now, self.ledger.job(JOB.name).next_round_ms / 1000)
        return self.work()

    @property
    def journal(self) -> Journal:
        return Journal(self.directory, JOB.name)


@pytest.fixture
def rounds(tmp_path: Path) -> Rounds:
    return Rounds(tmp_path)


def test_a_round_takes_what_is_new_or_changed_and_skips_the_rest(rounds: Rounds) -> None:
    for key in ("same", "longer", "newer", "older", "other"):
        rounds.source.put(key, b"1")
    first = rounds.work()
    assert (first.job.round, first.counts.copied.objects) == (1, 5)
    rounds.source.put("longer", b"22")
    rounds.source.put("newer", b"2", mtime_ns=1_800_000_000_000_000_000)
    rounds.source.put("older", b"2", mtime_ns=OLD)  # mv keeps the time of another file
    rounds.source.put("other", b"2")  # same size, same time: the etag tells
    rounds.source.put("fresh", b"3", mtime_ns=OLD)
    second = rounds.next_round()
    assert second.job.round == 2
    assert second.job.state is JobState.RUNNING
    assert second.counts.copied.objects == 5
    assert second.counts.skipped.objects == second.unchanged.objects == 1
    assert second.counts.listed.objects == 6
    assert rounds.stored() == {
        "same": b"1",
        "longer": b"22",
        "newer": b"2",
        "older": b"2",
        "other": b"2",
        "fresh": b"3",
    }


def test_what_failed_is_copied_in_the_next_round(rounds: Rounds) -> None:
    rounds.source.put("good", b"1")
    rounds.source.put("bad", b"1")

    def refuse(info: ObjectInfo) -> None:
        if info.key == "bad":
            raise Permanent("no", code="AccessDenied")

    rounds.source.on_read = refuse
    first = rounds.work()
    assert first.counts.failed.objects == 1
    assert first.job.next_round_ms
    rounds.source.on_read = None
    second = rounds.next_round()
    assert (second.counts.copied.objects, second.counts.failed.objects) == (1, 0)
    assert rounds.stored() == {"good": b"1", "bad": b"1"}


def test_rounds_begin_an_interval_apart_and_a_missed_one_at_once(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    begun = rounds.work().job.created_ms
    due = rounds.ledger.job(JOB.name).next_round_ms
    assert due == begun + INTERVAL_S * 1000
    rounds.now = due / 1000 - 60
    assert not rounds.master.step()
    assert rounds.ledger.job(JOB.name).round == 1
    second = rounds.next_round()
    assert (second.job.round, second.job.created_ms // 1000) == (2, due // 1000)
    rounds.now += 10 * INTERVAL_S  # the service was stopped
    third = rounds.work()
    assert third.job.round == 3
    assert third.job.next_round_ms == third.job.created_ms + INTERVAL_S * 1000


def test_a_round_that_takes_longer_is_followed_at_once(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")

    def take_long(info: ObjectInfo) -> None:
        rounds.now += 2 * INTERVAL_S

    rounds.source.on_read = take_long
    rounds.work()
    # `work` went on for as long as anything happened: the second round is over already.
    assert rounds.ledger.job(JOB.name).round == 2


def test_importsince_counts_in_the_first_round_only(rounds: Rounds) -> None:
    first_only = Filters(FilterConfig(), import_since=1_650_000_000).select
    rounds._plan = rounds._plan._replace(select=first_only)
    rounds.source.put("old", b"1", mtime_ns=OLD)
    rounds.source.put("new", b"1")
    first = rounds.work()
    assert (first.counts.copied.objects, first.counts.excluded.objects) == (1, 1)
    rounds._plan = rounds._plan._replace(select=take_all)
    rounds.source.put("moved here", b"2", mtime_ns=OLD)
    second = rounds.next_round()
    assert (second.counts.copied.objects, second.counts.excluded.objects) == (1, 1)
    rounds.source.put("old", b"33", mtime_ns=OLD)
    assert rounds.next_round().counts.copied.objects == 1
    assert rounds.stored() == {"new": b"1", "moved here": b"2", "old": b"33"}


def test_a_round_that_finds_nothing_says_so_and_the_job_goes_on(rounds: Rounds) -> None:
    first = rounds.work()
    assert first.job.state is JobState.RUNNING
    assert "round 1: no object was found" in first.job.reason
    rounds.source.put("a", b"1")
    second = rounds.next_round()
    assert (second.job.reason, second.counts.copied.objects) == ("", 1)


def test_a_pause_between_two_rounds_hides_nothing_of_the_last_one(rounds: Rounds) -> None:
    over = rounds.work()
    assert rounds.ledger.pause(JOB.name)
    held = rounds.work()
    assert "round 1: no object was found" in over.job.reason
    assert held.job.reason == over.job.reason
    rounds.now += 60
    assert resume_job(rounds.ledger, JOB.name)
    assert not resume_job(rounds.ledger, JOB.name)
    after = rounds.snapshot()
    assert (after.job, after.elapsed) == (over.job, over.elapsed)
    assert f"reason: {over.job.reason}" in stat_text([after])


def test_the_records_and_the_report_of_a_round_are_kept(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    rounds.work()
    rounds.next_round()  # in which nothing happens
    rounds.source.put("b", b"1")
    rounds.next_round()
    kept = rounds.journal.root / "rounds"
    reports = [json.loads((kept / n / "report.json").read_text()) for n in ("1", "2", "3")]
    assert [report["objects"]["copied"] for report in reports] == [1, 0, 1]
    assert [report["round"]["number"] for report in reports] == [1, 2, 3]
    assert [path.name for path in (kept / "1" / "succeed_tasks").iterdir()]
    assert [path.name for path in (kept / "2").iterdir()] == ["report.json"]


def test_a_ledger_that_forgot_everything_is_rebuilt_in_its_round(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    rounds.work()
    rounds.source.put("b", b"1")
    before = rounds.next_round()
    rounds.ledger = MemoryLedger(clock=lambda: rounds.now)
    rounds.master = rounds.new_master()
    after = rounds.work()
    assert after.job == before.job
    assert (after.counts, after.unchanged) == (before.counts, before.unchanged)
    rounds.source.put("c", b"1")
    assert rounds.next_round().counts.copied.objects == 1


def test_a_ledger_that_forgot_the_last_round_begins_it_again(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    rounds.work()
    earlier = copy.deepcopy(rounds.ledger._records)
    rounds.source.put("b", b"1")
    rounds.next_round()
    rounds.ledger._records = earlier
    rounds.master = rounds.new_master()
    after = rounds.work()
    assert after.job.round == 2
    assert after.counts.listed.objects == 2
    assert rounds.stored() == {"a": b"1", "b": b"1"}


def test_a_crash_while_a_round_is_put_away_loses_nothing(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    over = rounds.work().job
    journal = rounds.journal
    root, before = journal.root, journal.root / "rounds" / "1"
    for name in ("succeed_tasks", "checkpoints"):
        (root / name).rename(before / name)
    kept = sorted(path.name for path in (before / "succeed_tasks").iterdir())
    rounds.master = rounds.new_master()
    rounds.source.put("b", b"1")
    second = rounds.next_round()
    assert second.job.round == over.round + 1
    assert second.counts.copied.objects == 1
    assert sorted(path.name for path in (before / "succeed_tasks").iterdir()) == kept


def test_a_cleaned_job_leaves_an_archive_without_its_catalog(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    rounds.work()
    journal = rounds.journal
    assert (journal.root / "catalog.db").exists()
    target = journal.archive()
    assert target is not None
    assert not journal.root.exists()
    assert Journal.jobs(rounds.directory) == []
    assert sorted(path.name for path in target.iterdir() if path.name.startswith("cat")) == []
    assert list((target / "succeed_tasks").iterdir())
    assert journal.archive() is None


def test_the_uploads_of_earlier_rounds_are_known_without_the_ledger(rounds: Rounds) -> None:
    """So that `clean` can abort them."""
    rounds.source.put("large", b"x" * (3 << 20))

    def break_off(info: ObjectInfo) -> None:
        if len(rounds.source.reads) > 1:
            raise Transient("no", code="Timeout")

    rounds.source.on_read = break_off
    assert rounds.work().counts.failed.objects == 1
    begun = {upload.upload_id for upload in rounds.ledger.uploads(JOB.name)}
    rounds.source.remove("large")
    rounds.next_round()
    assert begun
    assert {upload.upload_id for upload in rounds.journal.uploads()} == begun


def test_a_round_aborts_the_uploads_that_its_failed_objects_leave(rounds: Rounds) -> None:
    rounds.source.put("large", b"x" * (3 << 20))
    rounds.source.put("small", b"1")

    def break_off(info: ObjectInfo) -> None:
        if info.key == "large" and rounds.dest._uploads:
            raise Transient("no", code="Timeout")

    rounds.source.on_read = break_off
    refused = True

    def carry_out(uploads: Sequence[Upload]) -> list[Upload]:
        if refused:
            raise Transient("no", code="Timeout")
        assert asyncio.run(abort(rounds.dest, uploads)) == []
        return list(uploads)

    rounds._plan = rounds._plan._replace(abort=carry_out)
    assert rounds.work().counts.failed.objects == 1
    assert len(rounds.dest._uploads) == len(rounds.ledger.uploads(JOB.name)) == 1
    refused = False
    for _ in range(2):  # with the one that was refused then
        assert rounds.next_round().counts.failed.objects == 1
        assert rounds.dest._uploads == {}
        assert rounds.ledger.uploads(JOB.name) == []
    rounds.source.on_read = None
    assert rounds.next_round().counts.failed.objects == 0
    assert set(rounds.stored()) == {"large", "small"}


class Refusing(MemoryDestination):
    """Refuses to abort as it is told to."""

    def __init__(self, *refusals: StorageError | None, probed: StorageError | None = None) -> None:
        super().__init__()
        self.refusals = iter(refusals)
        self.probed = probed
        self.asked: list[str] = []

    async def abort_upload(self, key: str, upload_id: str) -> None:
        self.asked.append(key)
        if refusal := next(self.refusals, None):
            raise refusal

    async def list(self, prefix: str, after: str, limit: int = 1000) -> list[ObjectInfo]:
        if self.probed:
            raise self.probed
        return await super().list(prefix, after, limit)


SLOW = Transient("slow down", code="Throttled")
UPLOADS = [Upload(f"k{n}", f"u{n}", 1, ObjectInfo(f"k{n}", 1), {}) for n in range(40)]


def test_an_upload_is_aborted_with_patience() -> None:
    dest = Refusing(SLOW, Permanent("no", code="AccessDenied"), SLOW)
    ((upload, why),) = asyncio.run(abort(dest, UPLOADS))
    assert upload == UPLOADS[1]
    assert why.code == "AccessDenied"
    assert len(dest.asked) == 42
    assert asyncio.run(abort(dest, [])) == []


@pytest.mark.parametrize("refusal", [SLOW, Fatal("no such bucket", code="NoSuchBucket")])
def test_who_refuses_to_abort_anything_is_not_asked_for_each(refusal: StorageError) -> None:
    dest = Refusing(*[refusal] * 1000, probed=SLOW)
    left = asyncio.run(abort(dest, UPLOADS))
    assert [upload for upload, _ in left] == UPLOADS
    assert set(dest.asked) <= {upload.key for upload in UPLOADS[:16]}


def deleting(rounds: Rounds, most: int) -> None:
    """Let the job's rounds delete so many objects."""

    def carry_out(gone: Sequence[Gone], begin: Callable[[Sequence[str]], None]) -> list[Fate]:
        return asyncio.run(prune(rounds.source, rounds.dest, "to/", gone, begin))

    rounds._plan = rounds._plan._replace(max_delete=most, prune=carry_out)


def deleted(rounds: Rounds, number: int) -> dict[str, str]:
    """What deleted.list says, without the messages."""
    path = rounds.journal.root / "rounds" / str(number) / "deleted.list"
    lines = path.read_text().splitlines() if path.exists() else []
    return {key: fate for key, fate, _ in (line.split("\t") for line in lines)}


def test_nothing_is_deleted_unless_it_is_asked_for(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    rounds.work()
    rounds.source.remove("a")
    rounds.next_round()
    assert rounds.stored() == {"a": b"1"}


def test_what_is_gone_is_deleted_once_it_is_asked_for(rounds: Rounds) -> None:
    for key in ("stays", "changes", "goes", "replaced", "absent"):
        rounds.source.put(key, b"1")
    rounds.work()
    deleting(rounds, 3)
    for key in ("goes", "replaced", "absent"):
        rounds.source.remove(key)
    rounds.source.put("changes", b"22")
    asyncio.run(rounds.dest.put("to/replaced", b"theirs", {}))
    del rounds.dest.objects["to/absent"]
    second = rounds.next_round()
    assert rounds.stored() == {"stays": b"1", "changes": b"22", "replaced": b"theirs"}
    wanted = {"goes": "Deleted", "replaced": "NotOurs", "absent": "Absent"}
    assert deleted(rounds, 2) == wanted
    assert second.job.reason == ""
    rounds.next_round()
    assert deleted(rounds, 3) == {}


def test_a_master_that_dies_while_it_deletes_has_the_next_one_say_what_was_deleted(
    rounds: Rounds,
) -> None:
    for key in ("stays", "cut off", "refused \\", "absent", "back again"):
        rounds.source.put(key, b"1")
    rounds.work()
    deleting(rounds, 9)
    for key in ("cut off", "refused \\", "absent", "back again"):
        rounds.source.remove(key)
    del rounds.dest.objects["to/absent"]
    delete = rounds.dest.delete
    is_over = threading.Event()

    async def die(key: str) -> None:
        """Nothing is heard of the master any more, whether OSS has got the request or not."""
        if key == "to/cut off":
            await delete(key)
        while not is_over.is_set():
            await asyncio.sleep(0.001)
        raise Permanent("no", code="AccessDenied")

    rounds.dest.delete = die  # type: ignore[method-assign]
    rounds.now = rounds.ledger.job(JOB.name).next_round_ms / 1000
    assert not Cluster.work(rounds).job.next_round_ms
    assert wait_until(lambda: "to/cut off" not in rounds.dest.objects, 60)
    rounds.dest.delete = delete  # type: ignore[method-assign]
    rounds.master = rounds.new_master()
    rounds.source.put("back again", b"1")
    assert rounds.work().job.next_round_ms
    is_over.set()
    assert deleted(rounds, 2) == {
        "absent": "Absent",
        "back again": "StillThere",
        "cut off": "Deleted",
        r"refused \\": "Deleted",
    }
    assert set(rounds.stored()) == {"stays", "back again"}
    assert sorted(path.name for path in (rounds.journal.root / "rounds" / "2").iterdir()) == [
        "deleted.list",
        "report.json",
    ]


def test_what_was_deleted_before_an_outage_is_said_in_the_next_round(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossimport.rounds.STRETCH", 2)
    for key in "abcd":
        rounds.source.put(key, b"1")
    rounds.source.put("stays", b"1")
    rounds.work()
    deleting(rounds, 9)
    carry_out, outages = rounds._plan.prune, ["c"]

    def until_an_outage(gone: Sequence[Gone], begin: Callable[[Sequence[str]], None]) -> list[Fate]:
        fates = carry_out(gone, begin)
        if gone[0].key in outages:
            raise Waiting("the destination refuses every request", code="Outage")
        return fates

    rounds._plan = rounds._plan._replace(prune=until_an_outage)
    for key in "abcd":
        rounds.source.remove(key)
    assert "refuses every request" in rounds.next_round().job.reason
    assert deleted(rounds, 2) == {"a": "Deleted", "b": "Deleted"}
    outages.clear()
    rounds.next_round()
    assert deleted(rounds, 3) == {"c": "Deleted", "d": "Deleted"}


def test_more_than_the_limit_is_not_deleted_at_all(rounds: Rounds) -> None:
    for number in range(4):
        rounds.source.put(f"k{number}", b"1")
    rounds.work()
    deleting(rounds, 2)
    for number in range(3):
        rounds.source.remove(f"k{number}")
    second = rounds.next_round()
    assert len(rounds.stored()) == 4
    assert "more objects are gone from the source than incrementalMaxDelete=2" in second.job.reason
    deleting(rounds, 3)
    third = rounds.next_round()
    assert (rounds.stored(), third.job.reason) == ({"k3": b"1"}, "")


def test_nothing_is_deleted_after_an_empty_listing(rounds: Rounds) -> None:
    """As of a source that is not mounted: it has none of its objects by name either."""
    rounds.source.put("a", b"1")
    rounds.work()
    deleting(rounds, 9)
    rounds.source.remove("a")
    second = rounds.next_round()
    assert "nothing was deleted, because the listing is empty" in second.job.reason
    assert rounds.stored() == {"a": b"1"}


def test_a_job_that_is_paused_deletes_no_more(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossimport.rounds.STRETCH", 2)
    for number in range(6):
        rounds.source.put(f"k{number}", b"1")
    rounds.work()
    deleting(rounds, 9)
    carry_out = rounds._plan.prune

    def pause_first(gone: Sequence[Gone], begin: Callable[[Sequence[str]], None]) -> list[Fate]:
        rounds.ledger.pause(JOB.name)
        seen = rounds.now + 3  # seconds, of which a step of the master takes more than one
        while rounds.now < seen:
            time.sleep(0.001)
        return carry_out(gone, begin)

    rounds._plan = rounds._plan._replace(prune=pause_first)
    for number in range(5):
        rounds.source.remove(f"k{number}")
    assert rounds.next_round().job.state is JobState.PAUSED
    deleting(rounds, 9)
    rounds.ledger.set_state(JOB.name, JobState.RUNNING)
    second = rounds.work()
    assert "the job was stopped while objects were deleted" in second.job.reason
    assert deleted(rounds, 2) == {"k0": "Deleted", "k1": "Deleted"}
    assert rounds.next_round().job.reason == ""
    assert set(rounds.stored()) == {"k5"}


def test_what_a_failed_copy_has_stored_is_not_taken_for_what_was_there(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    rounds.work()
    put = rounds.dest.put

    async def store_and_fail(key: str, body: Body, headers: Mapping[str, str]) -> Stored:
        await put(key, body, headers)
        raise Permanent("no", code="AccessDenied")

    rounds.dest.put = store_and_fail  # type: ignore[method-assign]
    rounds.source.put("a", b"2", mtime_ns=OLD)
    assert rounds.next_round().counts.failed.objects == 1
    rounds.dest.put = put  # type: ignore[method-assign]
    rounds.source.put("a", b"1")  # the version that the first round brought
    assert rounds.next_round().counts.copied.objects == 1
    assert rounds.stored() == {"a": b"1"}


def test_nothing_is_deleted_after_a_listing_with_holes(rounds: Rounds) -> None:
    rounds.source.put("a", b"1")
    rounds.source.put("dir/b", b"1")
    rounds.work()
    deleting(rounds, 9)
    rounds.source.remove("a")
    rounds.source.fail("dir/", "AccessDenied")
    second = rounds.next_round()
    assert "listing is not complete" in second.job.reason
    assert set(rounds.stored()) == {"a", "dir/b"}


def test_what_fails_or_is_left_out_is_not_taken_for_gone(rounds: Rounds) -> None:
    for key in ("bad", "out"):
        rounds.source.put(key, b"1")
    rounds.work()
    deleting(rounds, 9)

    def refuse(info: ObjectInfo) -> None:
        raise Permanent("no", code="AccessDenied")

    def leave_out(entries: Iterable[Scanned]) -> Iterable[Scanned]:
        for entry in entries:
            out = entry.info.key == "out"
            yield entry._replace(verdict=Verdict.EXCLUDED, code="ExcludedByName") if out else entry

    rounds.source.on_read = refuse
    rounds._plan = rounds._plan._replace(select=leave_out)
    rounds.source.put("bad", b"22")
    rounds.next_round()
    assert rounds.stored() == {"bad": b"1", "out": b"1"}
    assert deleted(rounds, 2) == {}


def test_what_the_source_still_has_by_name_is_left_alone(rounds: Rounds) -> None:
    for key in ("a", "b"):
        rounds.source.put(key, b"1")
    rounds.work()
    deleting(rounds, 9)
    rounds._plan = rounds._plan._replace(  # a listing that lies
        select=lambda entries: [entry for entry in entries if entry.info.key == "b"]
    )
    rounds.next_round()
    assert rounds.stored() == {"a": b"1", "b": b"1"}
    assert deleted(rounds, 2) == {"a": "StillThere"}


KEYS = st.sampled_from([f"k{n}" for n in range(6)])
BODIES = st.binary(max_size=3)
TIMES = st.sampled_from([OLD, OLD + 1, OLD + 10**12])


class ChangingTree(RuleBasedStateMachine):
    """A source that changes between rounds, in which some objects cannot be read for a while."""

    @initialize()
    def begin(self) -> None:
        self.directory = TemporaryDirectory()
        self.rounds = Rounds(Path(self.directory.name))
        self.rounds.source.on_read = self._refuse
        self.there: dict[str, tuple[bytes, int]] = {}
        self.arrived: dict[str, tuple[bytes, int]] = {}
        self.unreadable: set[str] = set()
        self.doubted: set[str] = set()  # failed last, so OSS may hold either version

    def _refuse(self, info: ObjectInfo) -> None:
        if info.key in self.unreadable:
            raise Permanent("no", code="AccessDenied")

    @rule(key=KEYS, body=BODIES, mtime=TIMES)
    def put(self, key: str, body: bytes, mtime: int) -> None:
        self.there[key] = (body, mtime)
        self.rounds.source.put(key, body, mtime_ns=mtime)

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        self.there.pop(key, None)
        self.rounds.source.remove(key)

    @rule(old=KEYS, new=KEYS)
    def move(self, old: str, new: str) -> None:
        if old in self.there and old != new:
            self.put(new, *self.there[old])
            self.remove(old)

    @rule(key=KEYS)
    def spoil_or_mend(self, key: str) -> None:
        self.unreadable ^= {key}

    @rule(forget=st.booleans())
    def another_master(self, forget: bool) -> None:
        if forget and self.arrived:
            self.rounds.ledger = MemoryLedger(clock=lambda: self.rounds.now)
        self.rounds.master = self.rounds.new_master()
        if forget and self.arrived:
            self.rounds.work()

    @rule()
    def next_round(self) -> None:
        snapshot = self.rounds.next_round()
        doubted = self.doubted
        changed = {k: v for k, v in self.there.items() if self.arrived.get(k) != v or k in doubted}
        copied = {key: version for key, version in changed.items() if key not in self.unreadable}
        assert snapshot.counts.copied.objects == len(copied)
        assert snapshot.counts.failed.objects == len(changed) - len(copied)
        assert snapshot.unchanged.objects == len(self.there) - len(changed)
        self.arrived |= copied
        self.doubted |= changed.keys()
        self.doubted -= copied.keys()
        assert snapshot.job.next_round_ms > self.rounds.now * 1000 - INTERVAL_S * 1000

    @invariant()
    def the_destination_holds_what_arrived(self) -> None:
        if hasattr(self, "rounds"):
            assert self.rounds.stored() == {key: body for key, (body, _) in self.arrived.items()}

    def teardown(self) -> None:
        if hasattr(self, "rounds"):
            self.rounds.master.close()
            self.directory.cleanup()


def test_rounds_over_a_changing_tree_follow_the_model() -> None:
    run_state_machine_as_test(
        ChangingTree,
        settings=settings(
            max_examples=15,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
