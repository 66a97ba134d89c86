"""What of an object's headers arrives at OSS; whatever does not is named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.config.meta_map import ROOM
from ossimport.fidelity.arriving import Arriving, Keep, arriving

META = "x-amz-meta-"


def carried(prefix: str, headers: dict[str, str]) -> Arriving:
    """What arrives in a job that says nothing of it."""
    return arriving(Keep(), prefix, headers)


def test_the_headers_of_http_and_user_metadata_go_along() -> None:
    headers = {
        "content-type": "text/plain",
        "cache-control": "no-cache",
        "content-disposition": "inline",
        "content-encoding": "gzip",
        "content-language": "de",
        "expires": "never",
        "x-amz-meta-a-1": "bl\u00e5",
        "x-amz-meta-mtime": "1700000000.5",
    }
    kept, unkept = carried(META, headers)
    assert kept == {
        "Content-Type": "text/plain",
        "Cache-Control": "no-cache",
        "Content-Disposition": "inline",
        "Content-Encoding": "gzip",
        "Content-Language": "de",
        "Expires": "never",
        "x-oss-meta-a-1": "bl\u00e5",
        "x-oss-meta-mtime": "1700000000.5",
    }
    assert unkept == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-tagging-count", "2"),
        ("x-oss-tagging-count", "1"),
        ("x-cos-tagging-count", "1"),
        ("x-ms-tag-count", "10"),
        ("x-amz-website-redirect-location", "/other"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-ms-immutability-policy-until-date", "Fri, 01 Jan 2030 00:00:00 GMT"),
        ("x-ms-immutability-policy-mode", "unlocked"),
        ("x-ms-legal-hold", "true"),
        ("x-ms-expiry-time", "Fri, 01 Jan 2030 00:00:00 GMT"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-storage-class", "OF_THE_FUTURE"),
        ("x-ms-access-tier", "Cool"),
        ("x-amz-missing-meta", "1"),
        ("x-goog-meta-of-another-store", "x"),
        ("x-amz-meta-a.b", "a point"),
        ("x-amz-meta-a~", "a tilde"),
        ("x-amz-meta-", "no name"),
    ],
)
def test_what_oss_does_not_get_is_named(name: str, value: str) -> None:
    assert carried(META, {"content-type": "a/b", name: value}) == (
        {"Content-Type": "a/b"},
        (name,),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-tagging-count", "0"),
        ("x-amz-object-lock-legal-hold", "OFF"),
        ("x-ms-legal-hold", "false"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-version-id", "V"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-oss-hash-crc64ecma", "1"),
        ("x-amz-metadata", "x"),
        ("etag", '"E"'),
    ],
)
def test_what_says_nothing_or_is_the_stores_own_business_is_passed_over(
    name: str, value: str
) -> None:
    assert carried(META, {name: value}) == ({}, ())


def test_an_underscore_becomes_a_hyphen_unless_the_name_is_taken() -> None:
    headers = {
        "x-amz-meta-customer_id": "1",
        "x-amz-meta-a_b_c": "both",
        "x-amz-meta-a_b-c": "one",
        "x-amz-meta-a-b-c": "exact",
        "x-amz-meta-d_e-f": "later in the alphabet",
        "x-amz-meta-d-e_f": "first",
    }
    kept, unkept = carried(META, headers)
    assert kept == {
        "x-oss-meta-customer-id": "1",
        "x-oss-meta-a-b-c": "exact",
        "x-oss-meta-d-e-f": "first",
    }
    assert sorted(unkept) == ["x-amz-meta-a_b-c", "x-amz-meta-a_b_c", "x-amz-meta-d_e-f"]
    assert carried(META, dict(reversed(headers.items()))).headers == kept


def test_metadata_is_kept_as_long_as_there_is_room_for_it() -> None:
    whole = ROOM - len("x-oss-meta-a")
    assert carried(META, {"x-amz-meta-a": "v" * whole}).unkept == ()
    assert carried(META, {"x-amz-meta-a": "v" * (whole + 1)}) == ({}, ("x-amz-meta-a",))
    large = {"x-amz-meta-c": "3", "x-amz-meta-b": "v" * whole, "x-amz-meta-a": "1"}
    assert carried(META, large) == (
        {"x-oss-meta-a": "1", "x-oss-meta-c": "3"},
        ("x-amz-meta-b",),
    )


NAMES = st.from_regex(r"x-amz-meta-[a-z0-9!#$%&'*+.^_`|~-]{0,9}", fullmatch=True)


@given(st.dictionaries(NAMES, st.text("v", max_size=3000), max_size=12))
def test_every_name_is_either_kept_or_named_and_oss_takes_what_is_kept(
    headers: dict[str, str],
) -> None:
    kept, unkept = carried(META, headers)
    assert len(kept) + len(unkept) == len(headers)
    assert set(unkept) <= headers.keys()
    assert all(re.fullmatch(r"x-oss-meta-[a-z0-9-]+", name) for name in kept)
    assert sum(len(name) + len(value) for name, value in kept.items()) <= ROOM
    assert sorted([*kept.values(), *(headers[n] for n in unkept)]) == sorted(headers.values())


def test_what_a_rule_names_comes_before_what_merely_has_that_name() -> None:
    headers = {"x-amz-meta-z": "by rule", "x-amz-meta-a": "by name", "cache-control": "own"}
    keep = Keep(meta_map="z -> a")
    assert arriving(keep, META, headers) == (
        {"Cache-Control": "own", "x-oss-meta-a": "by rule"},
        ("x-amz-meta-a",),
    )
    keep = Keep(headers=False, user=False, meta_map="z -> Cache-Control")
    assert arriving(keep, META, headers) == ({"Cache-Control": "by rule"}, ())
    assert arriving(keep._replace(headers=True), META, headers).unkept == ("cache-control",)


def test_of_two_classes_that_of_the_store_itself_decides() -> None:
    headers = {"x-oss-storage-class": "IA", "x-amz-storage-class": "GLACIER"}
    keep = Keep(storage_class="source")
    wanted = ({"x-oss-storage-class": "Archive"}, ("x-oss-storage-class",))
    assert arriving(keep, META, headers) == wanted
    del headers["x-amz-storage-class"]  # S3 says nothing of its standard class
    wanted = ({"x-oss-storage-class": "Standard"}, ("x-oss-storage-class",))
    assert arriving(keep, META, headers) == wanted
