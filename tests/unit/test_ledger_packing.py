"""Ledger values survive the way to Redis fields and back."""

from hypothesis import given
from hypothesis import strategies as st

from ossimport.ledger import packing
from ossimport.ledger.arithmetic import count_marked, milliseconds
from ossimport.ledger.base import Job
from ossimport.model import JobState, Lane, Mark, ObjectInfo, Outcome, Proof, Upload

# Any text at all, lone surrogates too: names that are not UTF-8 travel so.
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
NUMBER = st.integers(0, 2**63 - 1)
INFOS = st.builds(
    ObjectInfo, key=TEXT, size=NUMBER, mtime_ns=NUMBER, etag=TEXT, crc64=st.none() | NUMBER
)
PARTS = st.dictionaries(st.integers(1, 10_000), st.tuples(TEXT, st.integers(0, 2**64 - 1)))


@given(lane=st.builds(Lane, TEXT, TEXT))
def test_a_lane_survives(lane: Lane) -> None:
    packed = packing.pack_lane(lane)
    assert packed
    assert packing.unpack_lane(packed) == lane


@given(upload=st.builds(Upload, TEXT, TEXT, NUMBER, INFOS, PARTS))
def test_an_upload_survives(upload: Upload) -> None:
    packed = packing.pack_upload(upload)
    assert packed
    assert packing.unpack_upload(packed) == upload


def test_nothing_is_packed_as_nothing() -> None:
    assert packing.pack_lane(None) == packing.pack_upload(None) == b""


@given(text=TEXT)
def test_text_survives(text: str) -> None:
    assert packing.to_text(packing.to_bytes(text)) == text


@given(
    job=st.builds(
        Job,
        name=TEXT,
        created_ms=NUMBER,
        fingerprint=TEXT,
        settings=st.binary(),
        state=st.sampled_from(JobState),
        reason=TEXT,
        scan_finished=st.booleans(),
        retries=NUMBER,
        retries_done=NUMBER,
    )
)
def test_a_job_survives(job: Job) -> None:
    flat = [packing.to_bytes(field) for field in packing.job_fields(job)]
    fields = packing.to_fields([b"created", packing.to_bytes(job.created_ms), *flat])
    assert packing.job_from(job.name, fields) == job


def test_counters_that_do_not_change_are_not_sent() -> None:
    flat = packing.tally_fields(
        {Outcome.COPIED: 2, Outcome.FAILED: 0}, {Outcome.COPIED: -5}, {Proof.SOURCE: 1}, 0
    )
    assert flat == ["copied", 2, "copied_bytes", -5, "proof3", 1]
    assert packing.tally_fields({}, {}, {}, -1) == ["unkept", -1]


@given(marks=st.lists(st.sampled_from(Mark)))
def test_every_mark_but_left_is_counted(marks: list[Mark]) -> None:
    assert count_marked(bytes(marks)) == sum(mark.outcome is not None for mark in marks)


def test_milliseconds_are_whole_and_rounded_down() -> None:
    assert milliseconds(0.0129) == 12
