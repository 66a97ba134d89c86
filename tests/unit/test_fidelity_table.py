"""The table of what is kept, mapped and lost: docs and deeds are held against it."""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.config.meta_map import HEADERS, META, ROOM, meta_size, read_meta_map
from ossimport.fidelity import classes, table
from ossimport.fidelity.arriving import STORAGE_CLASS, Arriving, Keep, arriving, has_tags
from ossimport.fidelity.table import SOURCES, TABLE, TELLS_TAGS, Aspect, Fate
from ossimport.sources import _MODULES
from ossimport.sources.base import Tagged, Untold

DOCS = (Path(__file__).parents[2] / "docs" / "fidelity.md").read_text()

# What the headers of a store begin with.
STORE = {
    "oss": "x-oss-",
    "s3": "x-amz-",
    "cos": "x-cos-",
    "bos": "x-bce-",
    "ks3": "x-kss-",
    "azure": "x-ms-",
    "qiniu": "x-qn-",
    "youpai": "x-upyun-",
    "http": "x-oss-",
}
ASPECT_OF_HEADER = {
    Aspect.CONTENT_TYPE: "content-type",
    Aspect.CACHE_CONTROL: "cache-control",
    Aspect.DISPOSITION: "content-disposition",
    Aspect.ENCODING: "content-encoding",
    Aspect.LANGUAGE: "content-language",
    Aspect.EXPIRES: "expires",
}
# What a store's answer has of an aspect, if it tells of it.
TOLD = {
    Aspect.TAGS: ("tagging-count", "2"),
    Aspect.REDIRECT: ("website-redirect-location", "/other"),
    Aspect.LOCKS: ("object-lock-mode", "GOVERNANCE"),
    Aspect.EXPIRY: ("expiry-time", "Fri, 01 Jan 2030 00:00:00 GMT"),
}
TOLD_OTHERWISE = {
    ("azure", Aspect.TAGS): ("tag-count", "2"),
    ("azure", Aspect.LOCKS): ("legal-hold", "true"),
    ("youpai", Aspect.EXPIRY): ("meta-ttl", "30"),
}


def classes_of(module: str) -> list[type]:
    """The classes that a module defines."""
    values = vars(import_module(module)).values()
    return [each for each in values if isinstance(each, type) and each.__module__ == module]


def source_classes() -> Mapping[str, type]:
    """srcType -> the class of its source."""
    found = {}
    for name, module in _MODULES.items():
        kinds = {each for each in classes_of(module) if hasattr(each, "check")}
        (found[name],) = kinds
    return found


def test_the_table_has_every_source_and_every_aspect() -> None:
    assert set(SOURCES) == set(_MODULES)
    assert set(TABLE) == set(Aspect)
    assert all(set(row) == set(SOURCES) for row in TABLE.values())


def test_the_docs_show_the_tables_of_the_code() -> None:
    assert table.markdown() in DOCS, "put what table.markdown() returns into docs/fidelity.md"
    assert classes.markdown() in DOCS, "put what classes.markdown() returns into docs/fidelity.md"
    for fate in filter(None, Fate):
        assert f"*{fate}*:" in DOCS


def test_the_sources_can_do_what_the_table_says() -> None:
    kinds = source_classes()
    assert {name for name, kind in kinds.items() if issubclass(kind, Tagged)} == TELLS_TAGS
    seen = {source for row in TABLE.values() for source, fate in row.items() if fate is Fate.SEEN}
    assert {name for name, kind in kinds.items() if issubclass(kind, Untold)} == seen


@pytest.mark.parametrize("source", sorted(STORE))
def test_the_names_of_user_metadata_are_those_of_the_source(source: str) -> None:
    kinds = classes_of(_MODULES[source])
    prefixes = {kind.meta_prefix for kind in kinds if hasattr(kind, "meta_prefix")}
    assert prefixes == {f"{STORE[source]}meta-"}


def fate_of(source: str, name: str, value: str, keep: Keep) -> Fate:
    """What becomes of one header that comes alone."""
    headers, unkept = arriving(keep, f"{STORE[source]}meta-", {name: value})
    headers.pop(STORAGE_CLASS, "") if "class" not in name and "tier" not in name else None
    if unkept:
        assert (headers, unkept) == ({}, (name,))
        return Fate.NAMED
    if not headers:
        return Fate.BY_KEY if keep.tags and has_tags({name: value}) else Fate.NONE
    ((at_oss, kept),) = headers.items()
    return Fate.KEPT if (at_oss.lower(), kept) == (name, value) else Fate.MAPPED


@pytest.mark.parametrize("source", sorted(STORE))
@pytest.mark.parametrize("aspect", [*ASPECT_OF_HEADER, *TOLD, Aspect.CLASS, Aspect.USER])
def test_what_is_done_is_what_the_table_says(source: str, aspect: Aspect) -> None:
    stated = TABLE[aspect][source]
    if stated in (Fate.NONE, Fate.UNTOLD):
        return  # no answer of this store has it
    asked = Keep(tags=source in TELLS_TAGS, storage_class="source")
    if aspect in ASPECT_OF_HEADER:
        assert fate_of(source, ASPECT_OF_HEADER[aspect], "x/y", Keep()) is Fate.KEPT is stated
    elif aspect is Aspect.USER:
        assert stated is Fate.MAPPED
        done = fate_of(source, f"{STORE[source]}meta-a_b", "c", Keep())
        assert done is Fate.MAPPED
    elif aspect is Aspect.CLASS:
        assert stated is Fate.BY_KEY
        name = "x-ms-access-tier" if source == "azure" else f"{STORE[source]}storage-class"
        for value, at_oss in classes.CLASSES[name].items():
            wanted = Fate.NONE if at_oss == "Standard" else Fate.NAMED
            assert fate_of(source, name, value, Keep()) is wanted
            said = arriving(asked, f"{STORE[source]}meta-", {name: value}).headers
            assert said == {STORAGE_CLASS: at_oss}
    else:
        name, value = TOLD_OTHERWISE.get((source, aspect), TOLD[aspect])
        name = f"{STORE[source]}{name}"
        unasked = Fate.NAMED if stated is Fate.BY_KEY else stated
        assert fate_of(source, name, value, Keep()) is unasked
        assert fate_of(source, name, value, asked) is stated


# -- any metadata ----------------------------------------------------------------------------------

TOKEN = r"[a-z0-9!#$%&'*+.^_`|~-]{0,8}"
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
) | st.sampled_from(["", "0", "2", "off", "v" * 5000, "STANDARD", "GLACIER", "Cool"])
RULES = st.sampled_from(
    ["", "a -> b; b -> a", "!a; b=set", "Expires -> gone; a -> Cache-Control", "a_b -> c; c=1"]
)
KEEPS = st.builds(
    Keep,
    headers=st.booleans(),
    user=st.booleans(),
    tags=st.booleans(),
    meta_map=RULES,
    storage_class=st.sampled_from(["", "source", "IA"]),
    acl=st.sampled_from(["", "private"]),
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A source that tells in headers, and an answer of it."""
    source = draw(st.sampled_from(sorted(STORE)))
    store = STORE[source]
    names = st.one_of(
        st.sampled_from(sorted(HEADERS)),
        st.from_regex(rf"{store}meta-{TOKEN}", fullmatch=True),
        st.sampled_from(["a", "b", "c", "a_b", "a-b"]).map(lambda name: f"{store}meta-{name}"),
        st.sampled_from([f"{store}{name}" for name, _ in TOLD.values()]),
        st.sampled_from([*classes.CLASSES, "x-ms-legal-hold", "x-goog-meta-other"]),
    )
    said = draw(st.dictionaries(names, VALUES, max_size=12))
    for number, name in enumerate(said):  # so that each can be told from the others
        if name in HEADERS or name.startswith(f"{store}meta-"):
            said[name] += f" {number}"
    return source, said


def left_out(keep: Keep, source: str, name: str, value: str) -> bool:
    """The job says that it does not want this, or it says nothing that could be lost."""
    prefix = f"{STORE[source]}meta-"
    own = META + name[len(prefix) :] if name.startswith(prefix) else HEADERS.get(name, "")
    if own:
        rules = read_meta_map(keep.meta_map)
        if own in rules.renamed:
            return not rules.renamed[own] or rules.renamed[own] in rules.fixed
        wanted = keep.user if own.startswith(META) else keep.headers
        return not wanted or own in rules.fixed or own.replace("_", "-") in rules.fixed
    return value.lower() in {"0", "off", "false"} or (keep.tags and has_tags({name: value}))


@given(answers(), KEEPS)
def test_everything_is_kept_mapped_left_out_or_named_and_oss_takes_what_is_kept(
    answer: tuple[str, dict[str, str]], keep: Keep
) -> None:
    source, said = answer
    kept, unkept = found = arriving(keep, f"{STORE[source]}meta-", said)

    assert len(set(unkept)) == len(unkept)
    assert set(unkept) <= {*said, *classes.SILENT_OF_STANDARD.values()}
    for name, value in said.items():
        ends = (value in kept.values(), left_out(keep, source, name, value), name in unkept)
        if name in classes.CLASSES:  # its value is mapped
            at_oss = classes.CLASSES[name].get(value)
            assert (
                ends[2]
                or at_oss == kept.get(STORAGE_CLASS, "Standard")
                or keep.storage_class == "IA"
            )
        else:
            assert sum(ends) == 1, (name, ends, found)
    _expect_legal(found)


def _expect_legal(found: Arriving) -> None:
    for name in found.headers:
        assert name in {*HEADERS.values(), STORAGE_CLASS, "x-oss-object-acl"} or re.fullmatch(
            r"x-oss-meta-[a-z0-9-]+", name
        )
    user = {name: value for name, value in found.headers.items() if name.startswith(META)}
    assert sum(len(name) + meta_size(value) for name, value in user.items()) <= ROOM
    assert found.headers.get(STORAGE_CLASS, "IA") in classes.OSS_CLASSES


@given(answers(), KEEPS)
def test_the_order_of_headers_says_nothing(answer: tuple[str, dict[str, str]], keep: Keep) -> None:
    source, said = answer
    prefix = f"{STORE[source]}meta-"
    there, back = (arriving(keep, prefix, dict(each)) for each in (said, reversed(said.items())))
    assert there.headers == back.headers
    assert sorted(there.unkept) == sorted(back.unkept)
