"""Which objects the filters of a job leave out, and what they say of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport import globs
from ossimport.config import FilterConfig
from ossimport.filters import Filters
from ossimport.model import Lane, ObjectInfo, Scanned, Verdict

SECOND = 1_000_000_000


def entry(key: str = "key", size: int = 7, mtime_ns: int = 5 * SECOND) -> Scanned:
    return Scanned(ObjectInfo(key, size, mtime_ns, "etag"), "cursor")


def code(config: FilterConfig, one: Scanned, since: int = 0) -> str:
    """Why an object is left out; nothing if it is taken."""
    (selected,) = Filters(config, import_since=since).select([one])
    assert selected == one or selected == one._replace(verdict=Verdict.EXCLUDED, code=selected.code)
    return selected.code


def test_without_a_filter_everything_is_taken() -> None:
    old = [entry(mtime_ns=-5), entry(mtime_ns=0), entry(size=0)]
    assert list(Filters(FilterConfig()).select(old)) == old


@pytest.mark.parametrize(
    ("mtime_ns", "expected"),
    [
        (99 * SECOND, "BeforeImportSince"),
        (100 * SECOND - 1, "BeforeImportSince"),
        (100 * SECOND, ""),
        (101 * SECOND, ""),
        (0, ""),  # the store states no time
    ],
)
def test_import_since_takes_its_very_second(mtime_ns: int, expected: str) -> None:
    assert code(FilterConfig(), entry(mtime_ns=mtime_ns), since=100) == expected


@pytest.mark.parametrize(
    ("changes", "one", "expected"),
    [
        ({"include": "*.jpg"}, entry("a/b.jpg"), ""),
        ({"include": "*.jpg"}, entry("a/b.png"), "NotIncluded"),
        ({"include": "/*.jpg"}, entry("a/b.jpg"), "NotIncluded"),
        ({"include": "*.jpg; *.png"}, entry("a/b.png"), ""),
        ({"include": "*.jpg", "include_regex": "^a/"}, entry("a/b.png"), ""),
        ({"include_regex": "^a/"}, entry("b/a/c"), "NotIncluded"),
        ({"exclude": "tmp/"}, entry("a/tmp/c/d"), "ExcludedByName"),
        ({"exclude": "tmp/"}, entry("tmp"), ""),
        ({"exclude_regex": r"\.bak$"}, entry("a.bak"), "ExcludedByName"),
        ({"exclude_regex": r"\.bak$"}, entry("a.bak.gz"), ""),
        ({"include": "*.jpg", "exclude": "/a/"}, entry("a/b.jpg"), "ExcludedByName"),
        ({"include": "*.jpg", "exclude": "/a/"}, entry("a/b.png"), "NotIncluded"),
        ({"min_size": 7}, entry(size=7), ""),
        ({"min_size": 8}, entry(size=7), "TooSmall"),
        ({"max_size": 7}, entry(size=7), ""),
        ({"max_size": 6}, entry(size=7), "TooLarge"),
        ({"modified_after": 5}, entry(mtime_ns=5 * SECOND), ""),
        ({"modified_after": 5}, entry(mtime_ns=5 * SECOND - 1), "TooOld"),
        ({"modified_before": 5}, entry(mtime_ns=5 * SECOND - 1), ""),
        ({"modified_before": 5}, entry(mtime_ns=5 * SECOND), "TooNew"),
        ({"modified_after": 9, "modified_before": 10}, entry(mtime_ns=0), ""),
        ({"include": "*\udcff*"}, entry("a\udcffb"), ""),  # a name that is not UTF-8
        ({"include": "a*"}, entry("a\nb"), ""),
    ],
)
def test_each_condition(changes: dict[str, object], one: Scanned, expected: str) -> None:
    assert code(FilterConfig(**changes), one) == expected  # type: ignore[arg-type]


def test_what_the_scan_excluded_or_failed_keeps_its_reason() -> None:
    odd = [
        Scanned(ObjectInfo("a", 0, 1), "a", Verdict.EXCLUDED, "Socket", "a socket"),
        Scanned(ObjectInfo("b/", 0, 1), "b//", Verdict.FAILED, "EIO", "broken", Lane("b/", "b//")),
    ]
    assert list(Filters(FilterConfig(exclude="*"), import_since=100).select(odd)) == odd


NAMES = st.text("ab.", min_size=1, max_size=3)
CONFIGS = st.builds(
    FilterConfig,
    include=st.sampled_from(["", "*a", "b*;?"]),
    exclude=st.sampled_from(["", "*.", "a"]),
    min_size=st.integers(0, 3),
    max_size=st.integers(0, 5),
    modified_after=st.integers(0, 3),
    modified_before=st.integers(0, 5),
)


@given(st.lists(st.builds(entry, NAMES, st.integers(0, 6), st.integers(0, 6 * SECOND))), CONFIGS)
def test_no_entry_is_lost_and_two_halves_of_time_make_the_whole(
    entries: list[Scanned], config: FilterConfig
) -> None:
    selected = list(Filters(config).select(entries))
    assert [each.info for each in selected] == [each.info for each in entries]
    for one in entries:
        if one.info.mtime_ns:
            older = code(FilterConfig(modified_before=3), one)
            newer = code(FilterConfig(modified_after=3), one)
            assert bool(older) != bool(newer)


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("a;;b", "no pattern before or behind a ;"),
        ("***", "more than two"),
        ("[a", "not closed"),
        ("[]", "nothing in"),
        ("[!a]", "another thing"),
        ("[[:alpha:]]", r"\[ inside"),
        ("[b-a]", "no range"),
        ("{a,{b}}", "inside of { }"),
        ("{{a.*}}", "not known here"),
        ("{a", "not closed"),
        ("a}", "closes nothing"),
        ("a]", "closes nothing"),
        ("a\\b", "needs none"),
        ("a\\", "needs none"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused_with_a_cure(glob: str, message: str) -> None:
    with pytest.raises(globs.BadGlob, match=message) as caught:
        [globs.expression(each) for each in globs.split(glob)]
    assert caught.value.cure


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("a", ["a"]),
        (" a b ; c ", ["a b", "c"]),
        (r"a\;b;c", [r"a\;b", "c"]),
        (r"a\\;b", [r"a\\", "b"]),
    ],
)
def test_patterns_stand_apart_by_semicolons(text: str, patterns: list[str]) -> None:
    assert globs.split(text) == patterns


@given(st.text(max_size=20))
def test_any_name_can_be_written_as_a_pattern_of_itself(name: str) -> None:
    written = re.sub(r"([*?\[\]{},;\\])", r"\\\1", name)
    if written.strip() and written == written.strip() and not name.endswith("/"):
        (pattern,) = globs.split("/" + written)
        assert re.fullmatch(globs.expression(pattern), name)
        assert not re.fullmatch(globs.expression(pattern), name + "x")


@given(st.text("a*?[]{},;\\/^-!.", max_size=12))
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    try:
        for each in globs.split(text):
            re.compile(globs.expression(each))
    except globs.BadGlob:
        return
