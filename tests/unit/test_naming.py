"""Which names OSS can hold, and that a shown name can be read back."""

import xml.parsers.expat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ossimport.errors import Permanent
from ossimport.naming import MAX_KEY_BYTES, dest_key, display, one_line, parse_display

# Every string, lone surrogates and all.
anything = st.text(st.characters(exclude_categories=()), max_size=40)
prefixes = st.sampled_from(["", "docs/", "a/b/", "\u4e2d/", "p"])


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("", "a", "a"),
        ("docs/", "a/b c.txt", "docs/a/b c.txt"),
        ("", "a/../b", "a/../b"),
        ("", "./a", "./a"),
        ("", "..a", "..a"),
        ("", "a//b", "a//b"),
        ("", "a\\b", "a\\b"),
        ("", "tab\there", "tab\there"),
        ("", "\u4e2d\u6587 \U0001f600", "\u4e2d\u6587 \U0001f600"),
        ("", "next\u0085line", "next\u0085line"),
        ("docs/", ".", "docs/."),
        ("docs/", "..", "docs/.."),
        ("docs/", "/a", "docs//a"),
        ("docs/", "", "docs/"),
        ("", "x" * 1023, "x" * 1023),
        ("", "\u4e2d" * 341, "\u4e2d" * 341),
    ],
)
def test_a_name_that_oss_can_hold_is_kept_as_it_is(prefix: str, key: str, name: str) -> None:
    assert dest_key(prefix, key) == name


@pytest.mark.parametrize(
    ("prefix", "key", "reason"),
    [
        ("", "", "is empty"),
        ("", "/a", "begins with /"),
        ("", "\\a", "begins with \\"),
        ("/docs/", "a", "begins with /"),
        ("", ".", "would be taken for a directory"),
        ("", "..", "would be taken for a directory"),
        ("", "x" * 1024, "has 1024 bytes"),
        ("docs/", "x" * 1019, "has 1024 bytes"),
        ("", "\u4e2d" * 342, "has 1026 bytes"),
        ("", "a\nb", "U+000A"),
        ("", "a\rb", "U+000D"),
        ("", "a\0b", "U+0000"),
        ("", "a\x1bb", "U+001B"),
        ("", "a\ufffeb", "U+FFFE"),
        ("", "a\uffffb", "U+FFFF"),
        ("", "caf\udce9", "is not UTF-8"),
        ("", "\ud83d", "is not UTF-8"),
    ],
)
def test_a_name_that_oss_cannot_hold_is_refused_with_a_cure(
    prefix: str, key: str, reason: str
) -> None:
    with pytest.raises(Permanent) as caught:
        dest_key(prefix, key)
    message = str(caught.value)
    assert (caught.value.code, caught.value.key) == ("InvalidKey", key)
    assert reason in message
    assert "Cure: " in message
    message.encode()
    assert message.isprintable()


@given(prefixes, anything, anything)
def test_two_objects_never_meet_under_one_name(prefix: str, one: str, other: str) -> None:
    try:
        names = {dest_key(prefix, one), dest_key(prefix, other)}
    except Permanent:
        return
    assert len(names) == len({one, other})


@given(prefixes, anything)
@example("", "\x7f")
@example("", "\u4e2d" * 341)
def test_a_name_that_passes_is_legal_in_oss_and_a_refused_one_is_not(prefix: str, key: str) -> None:
    try:
        name = dest_key(prefix, key)
    except Permanent:
        assert not is_legal(prefix + key)
    else:
        assert name == prefix + key
        assert is_legal(name)


def is_legal(name: str) -> bool:
    """OSS's rules, with expat as the judge of XML."""
    try:
        size = len(name.encode())
        escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        xml.parsers.expat.ParserCreate("utf-8").Parse(f"<Key>{escaped}</Key>".encode(), True)
    except (UnicodeEncodeError, xml.parsers.expat.ExpatError):
        return False
    noncharacters = {"\n", "\r", "\ufffe", "\uffff"}  # expat lets the last two pass
    return (
        0 < size <= MAX_KEY_BYTES
        and not noncharacters & set(name)
        and name[0] not in "/\\"
        and name not in {".", ".."}
    )


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("plain/name-1.txt", "plain/name-1.txt"),
        ("\u4e2d\u6587 \U0001f600", "\u4e2d\u6587 \U0001f600"),
        ("two\nlines", "two\\x0alines"),
        ("tab\t", "tab\\x09"),
        ("bell\x07\x7f", "bell\\x07\\x7f"),
        ("back\\slash", "back\\\\slash"),
        ("caf\udce9", "caf\\xe9"),
        ("c1\u0085", "c1\\u0085"),
        ("line\u2028", "line\\u2028"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("half\ud83d", "half\\ud83d"),
    ],
)
def test_a_key_is_shown_on_one_line(key: str, shown: str) -> None:
    assert display(key) == shown
    assert parse_display(shown) == key


@given(anything)
@example("\\x0a")
@example("\\")
def test_every_shown_key_can_be_read_back(key: str) -> None:
    shown = display(key)
    assert parse_display(shown) == key
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(anything)
@example("a\tb\n")
def test_a_message_is_shown_on_one_line_and_the_keys_in_it_as_they_are(key: str) -> None:
    assert len(one_line(f"{key} is gone\n").splitlines()) == 1
    assert one_line(display(key)) == display(key)
    one_line(key).encode()


@pytest.mark.parametrize("text", ["a\\", "a\\n", "\\x1", "\\u12"])
def test_text_that_was_never_shown_is_not_read_back(text: str) -> None:
    with pytest.raises(ValueError, match="backslash"):
        parse_display(text)
