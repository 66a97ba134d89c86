"""Which objects `importSince` leaves out."""

from hypothesis import given
from hypothesis import strategies as st

from ossimport.filters import select
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict

SECOND = 1_000_000_000


def entry(mtime_ns: int) -> Scanned:
    return Scanned(ObjectInfo("key", 7, mtime_ns, "etag"), "cursor")


def verdicts(*mtimes_ns: int, since: int) -> list[Verdict]:
    entries = [entry(mtime_ns) for mtime_ns in mtimes_ns]
    return [selected.verdict for selected in select(entries, import_since=since)]


def test_zero_takes_everything() -> None:
    old = [entry(-5), entry(0), entry(1)]
    assert list(select(old, import_since=0)) == old


def test_older_objects_are_excluded_and_the_very_second_is_taken() -> None:
    assert verdicts(99 * SECOND, 100 * SECOND - 1, 100 * SECOND, 101 * SECOND, since=100) == [
        Verdict.EXCLUDED,
        Verdict.EXCLUDED,
        Verdict.COPY,
        Verdict.COPY,
    ]


def test_an_object_whose_store_states_no_time_is_taken() -> None:
    assert verdicts(0, since=100) == [Verdict.COPY]


def test_an_excluded_object_keeps_its_size_and_cursor_and_says_why() -> None:
    (left_out,) = select([entry(1)], import_since=100)
    assert left_out == entry(1)._replace(verdict=Verdict.EXCLUDED, code="BeforeImportSince")


def test_what_the_scan_excluded_or_failed_keeps_its_reason() -> None:
    odd = [
        Scanned(ObjectInfo("a", 0, 1), "a", Verdict.EXCLUDED, "Socket", "a socket"),
        Scanned(ObjectInfo("b/", 0, 1), "b//", Verdict.FAILED, "EIO", "broken", Lane("b/", "b//")),
    ]
    assert list(select(odd, import_since=100)) == odd


@given(st.lists(st.integers(-(10**12), 10**12)), st.integers(0, 1000))
def test_no_entry_is_lost(mtimes_ns: list[int], since: int) -> None:
    entries = [entry(mtime_ns) for mtime_ns in mtimes_ns]
    assert [e.info for e in select(entries, import_since=since)] == [e.info for e in entries]
