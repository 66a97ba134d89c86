"""metaMap: what its rules mean, and what is said of those that mean nothing."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.config.keys import PRESERVED
from ossimport.config.kinds import Mistake, Mistakes, some_of
from ossimport.config.meta_map import ROOM, meta_map, read_meta_map

RULES = "Owner -> author; x-amz-meta-a.b -> a-b; !secret ;team = a->b ; cc->cache-control;"


def test_rules_rename_drop_and_set() -> None:
    assert meta_map(RULES) == RULES
    renamed, fixed = read_meta_map(RULES)
    assert renamed == {
        "x-oss-meta-owner": "x-oss-meta-author",
        "x-oss-meta-a.b": "x-oss-meta-a-b",
        "x-oss-meta-secret": "",
        "x-oss-meta-cc": "Cache-Control",
    }
    assert fixed == {"x-oss-meta-team": "a->b"}


def test_a_header_s_name_means_the_header_unless_it_is_written_as_metadata() -> None:
    text = "expires -> x-oss-meta-expires; x-oss-meta-content-type -> EXPIRES; Content-type=a/b"
    assert read_meta_map(text) == (
        {"Expires": "x-oss-meta-expires", "x-oss-meta-content-type": "Expires"},
        {"Content-Type": "a/b"},
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("foo", "foo: this is no rule"),
        ("foo ->", "no user metadata of the name (nothing)"),
        ("-> foo", "the name is missing"),
        ("!", "the name is missing"),
        ("foo -> b.c", "no user metadata of the name b.c"),
        ("foo_bar=1", "no user metadata of the name foo_bar"),
        ("a -> b = c", "no user metadata of the name b = c"),
        ("foo=", "the value is empty"),
        ("a -> c; b -> c", "another rule gives that name"),
        ("a -> c; A -> d", "there are two rules for x-oss-meta-a"),
        ("a -> c; !x-kss-meta-a", "there are two rules for x-oss-meta-a"),
        ("a=1; a=2", "there are two rules for x-oss-meta-a"),
        ("Cache-Control=\u4e2d", "the header Cache-Control holds ASCII only"),
        (f"a={'v' * ROOM}", "more user metadata than an object"),
        (f"a={chr(0x4E2D) * 1000}", "more user metadata than an object"),  # nine bytes for each
    ],
)
def test_what_is_no_rule_is_said_with_a_cure(text: str, words: str) -> None:
    with pytest.raises(Mistakes) as caught:
        meta_map(text)
    (mistake,) = caught.value.each
    assert words in mistake.message
    assert mistake.cure


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(Mistakes) as caught:
        meta_map("foo; !; a=1")
    assert len(caught.value.each) == 2


@given(st.text(st.sampled_from("ab->!=;_. \u4e2d\n"), max_size=20))
def test_a_text_is_read_or_refused_in_words(text: str) -> None:
    with contextlib.suppress(Mistake, Mistakes):
        meta_map(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tags, headers", "headers,tags"),
        ("User,,MTIME", "user,mtime"),
        ("none", ""),
        ("none,user", "none is a word of its own, and some word must be there"),
        ("user,owner,acl", "there is no acl, owner"),
        (",", "none is a word of its own, and some word must be there"),
    ],
)
def test_what_is_preserved_is_a_list_of_words(text: str, value: str) -> None:
    kind = some_of(*PRESERVED)
    if " " not in value:
        assert kind(text) == value
        return
    with pytest.raises(Mistake) as caught:
        kind(text)
    assert caught.value.message == value
    assert "headers, user, mtime, tags" in caught.value.cure
