"""What a worker notes of its objects adds up, whatever is taken back or given away."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from ossimport import manifest
from ossimport.ledger.base import Claim, Flush
from ossimport.model import CopyResult, Mark, ObjectInfo, Outcome, Proof, mark_of
from workers.notes import Notes

SIZES = (1, 20, 300, 4000, 50000)
LISTED = [ObjectInfo(f"k{index}", size, 1) for index, size in enumerate(SIZES)]


@st.composite
def results(draw: st.DrawFn) -> CopyResult:
    return CopyResult(
        draw(st.sampled_from([each for each in Outcome if each is not Outcome.EXCLUDED])),
        draw(st.sampled_from([0, *SIZES])),
        draw(st.sampled_from(Proof)),
        unkept=draw(st.sampled_from([(), ("x-amz-meta-a",)])),
        etag=draw(st.sampled_from(["", "E"])),
    )


indexes = st.integers(0, len(SIZES) - 1)


T = TypeVar("T")


def total(counters: Iterable[Mapping[T, int]]) -> Counter[T]:
    """Their sum, without what adds up to none."""
    summed: Counter[T] = Counter()
    for each in counters:
        summed.update(each)
    return Counter({key: count for key, count in summed.items() if count})


def claim(marks: bytes = b"") -> Claim:
    return Claim("job", "task", 1, "worker", manifest.pack(LISTED), marks, {}, 0, 1)


def bytes_but(omitted: set[Mark], marks: bytes | bytearray) -> int:
    """Of the objects that are marked in other ways."""
    return sum(size for size, mark in zip(SIZES, marks, strict=True) if mark not in omitted)


@given(st.lists(st.sampled_from(Mark), min_size=len(SIZES), max_size=len(SIZES)))
def test_a_claim_goes_on_where_the_last_one_was(marks: list[Mark]) -> None:
    notes = Notes(claim(bytes(marks)))
    assert notes.objects == LISTED
    assert notes.bytes_done == bytes_but({Mark.LEFT, Mark.GIVEN}, notes.marks)
    assert notes.bytes_total == bytes_but({Mark.GIVEN}, notes.marks)


@given(st.lists(st.tuples(indexes, results() | st.none()), max_size=30), st.integers(1, 5))
def test_flushes_add_up_to_what_became_of_the_objects(
    steps: list[tuple[int, CopyResult | None]], every: int
) -> None:
    """A result notes how an object ended, None takes that back."""
    notes, flushes = Notes(claim()), list[Flush]()
    for number, (index, result) in enumerate(steps):
        if result is None and notes.marks[index]:
            notes.take_back(index)
        elif result is not None and not notes.marks[index]:
            notes.note(index, result)
            assert notes.size(index) == result.size
            assert notes.marks[index] == mark_of(
                result.outcome, result.proof, is_less=bool(result.unkept)
            )
            assert (index in notes.written) == bool(result.etag)
        if number % every == 0:
            flushes.append(notes.take(len(flushes) + 1, 0))
    flushes.append(notes.take(len(flushes) + 1, 0))
    assert notes.bytes_done == bytes_but({Mark.LEFT, Mark.GIVEN}, notes.marks)
    assert flushes[-1].marks == notes.marks
    objects: Counter[Outcome] = Counter()
    sizes: Counter[Outcome] = Counter()
    proofs: Counter[Proof] = Counter()
    ended = [(Mark(mark), size) for mark, size in zip(notes.marks, SIZES, strict=True) if mark]
    for mark, size in ended:
        assert mark.outcome is not None
        objects[mark.outcome] += 1
        sizes[mark.outcome] += size
        proofs.update([mark.proof] if mark.proof is not None else [])
    assert total(flush.objects for flush in flushes) == objects
    assert total(flush.bytes_ for flush in flushes) == sizes
    assert total(flush.proof for flush in flushes) == proofs
    assert sum(flush.unkept for flush in flushes) == sum(mark.is_less for mark, _ in ended)


def test_objects_given_away_are_nobodys_bytes_here() -> None:
    notes = Notes(claim())
    notes.note(0, CopyResult(Outcome.COPIED, 1, Proof.CRC64))
    notes.give([1, 3], "other")
    assert notes.bytes_done == 1
    assert notes.bytes_total == sum(SIZES) - SIZES[1] - SIZES[3]
    assert Notes(claim(bytes(notes.marks))).bytes_done == 1
