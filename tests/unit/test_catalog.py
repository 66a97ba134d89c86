"""The catalog tells changed versions from unchanged ones, and forgets nothing by mistake."""

from pathlib import Path

import pytest

from ossimport.errors import ServiceError
from ossimport.filters import BEFORE_IMPORT_SINCE
from ossimport.journal.catalog import Catalog
from ossimport.model import Mark, ObjectInfo, Scanned, Verdict

A = ObjectInfo("a\udcff", 5, 1_700_000_000_000_000_001, "e1")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.db")


def verdict(catalog: Catalog, info: ObjectInfo) -> Verdict:
    (entry,) = catalog.compare([Scanned(info, "c")])
    return entry.verdict


@pytest.mark.parametrize(
    "other",
    [
        A,
        A._replace(size=6),
        A._replace(mtime_ns=A.mtime_ns - 1),  # older: mv and rsync -t do that
        A._replace(mtime_ns=A.mtime_ns + 1),
        A._replace(etag="e2"),
        A._replace(key="b"),
    ],
)
def test_only_the_very_version_is_unchanged(catalog: Catalog, other: ObjectInfo) -> None:
    catalog.ended([A], bytes([Mark.COPIED_CRC64]), 1)
    wanted = Verdict.UNCHANGED if other == A else Verdict.COPY
    assert verdict(catalog, other) is wanted


@pytest.mark.parametrize("mark", Mark)
def test_what_did_not_arrive_is_not_known(catalog: Catalog, mark: Mark) -> None:
    catalog.ended([A], bytes([mark]), 1)
    missing = mark in (Mark.LEFT, Mark.FAILED, Mark.VANISHED, Mark.GIVEN)
    assert verdict(catalog, A) is (Verdict.COPY if missing else Verdict.UNCHANGED)


def test_a_version_that_fails_leaves_the_older_one_known(catalog: Catalog) -> None:
    catalog.ended([A], bytes([Mark.COPIED_CRC64]), 1)
    newer = A._replace(mtime_ns=A.mtime_ns + 1)
    catalog.ended([newer], bytes([Mark.FAILED]), 2)
    assert verdict(catalog, newer) is Verdict.COPY


def test_an_object_without_time_and_etag_is_always_a_candidate(catalog: Catalog) -> None:
    info = ObjectInfo("u", 5)
    catalog.ended([info], bytes([Mark.COPIED_SIZE]), 1)
    assert verdict(catalog, info) is Verdict.COPY


def test_what_importsince_left_out_stays_out_until_it_changes(catalog: Catalog) -> None:
    other = Scanned(A._replace(key="socket"), "c", Verdict.EXCLUDED, "Socket")
    catalog.excluded([Scanned(A, "c", Verdict.EXCLUDED, BEFORE_IMPORT_SINCE), other], 1)
    (entry,) = catalog.compare([Scanned(A, "c")])
    assert (entry.verdict, entry.code) == (Verdict.EXCLUDED, BEFORE_IMPORT_SINCE)
    assert verdict(catalog, A._replace(size=6)) is Verdict.COPY
    assert verdict(catalog, other.info) is Verdict.COPY


def test_entries_that_are_not_to_be_copied_pass_as_they_are(catalog: Catalog) -> None:
    catalog.ended([A], bytes([Mark.COPIED_CRC64]), 1)
    entries = [
        Scanned(A, "c", Verdict.EXCLUDED, "Glob"),
        Scanned(A, "c", Verdict.FAILED, "AccessDenied"),
    ]
    assert list(catalog.compare(entries)) == entries


def test_gone_is_what_was_brought_and_is_not_listed_any_more(catalog: Catalog) -> None:
    keys = ["a", "b", "c", "d"]
    infos = [A._replace(key=key, size=at) for at, key in enumerate(keys)]
    catalog.ended(infos, bytes([Mark.COPIED_CRC64] * 4), 1)
    catalog.excluded([Scanned(A._replace(key="x"), "c", code=BEFORE_IMPORT_SINCE)], 1)
    catalog.seen([infos[1], infos[2]._replace(size=99)], 2)
    assert catalog.gone(2, 10) == [("a", 0), ("d", 3)]
    assert catalog.gone(2, 1) == [("a", 0)]
    catalog.forget(["a"])
    assert catalog.gone(2, 10) == [("d", 3)]


def test_it_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    Catalog(path).ended([A], bytes([Mark.COPIED_CRC64]), 1)
    assert verdict(Catalog(path), A) is Verdict.UNCHANGED


def test_a_damaged_file_is_told_with_a_cure(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"no database" * 500)
    with pytest.raises(ServiceError, match="Cure: .*remove it"):
        verdict(Catalog(path), A)


def test_a_closed_one_opens_again(catalog: Catalog) -> None:
    catalog.ended([A], bytes([Mark.SKIPPED]), 1)
    catalog.close()
    assert verdict(catalog, A) is Verdict.UNCHANGED
