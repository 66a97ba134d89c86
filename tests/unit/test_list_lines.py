"""Lines of a list of URLs, in all their forms."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.sources.http_url import BadUrl, Place, encode_name, parse_url
from ossimport.sources.list_file import BadLine
from ossimport.sources.list_lines import Columns, Form, Row, find_form, server_of

BLANKS, TABS, COMMAS = b" ", b"\t", b","


def read(text: str, columns: Columns = Columns()) -> Row:  # noqa: B008 -- a value
    """A line in the form that it shows by itself."""
    lines = [line.encode() for line in text.split("\n")]
    return find_form(lines, columns).row(lines[0])


def url(row: Row) -> str:
    found = row.place.url(row.key)
    return f"{found.endpoint}{found.target}"


@pytest.mark.parametrize(
    ("line", "key", "target"),
    [
        ("http://h/aa/ bb.jpg", "bb.jpg", "/aa/bb.jpg"),
        ("http://h/ aa/bb.jpg", "aa/bb.jpg", "/aa/bb.jpg"),
        ("  http://h/   aa/bb.jpg  ", "aa/bb.jpg", "/aa/bb.jpg"),
        ("http://h/\t\taa/bb.jpg", "aa/bb.jpg", "/aa/bb.jpg"),
        ("h/aa/ bb.jpg", "bb.jpg", "/aa/bb.jpg"),
        ("http://h bb.jpg", "bb.jpg", "/bb.jpg"),
        ("http://h /aa/bb.jpg", "aa/bb.jpg", "/aa/bb.jpg"),
        ("http://h/ a,b.jpg", "a,b.jpg", "/a,b.jpg"),
        ("http://h/\ta b.jpg", "a b.jpg", "/a%20b.jpg"),
        ("http://h/\t a b.jpg \tmore", "a b.jpg", "/a%20b.jpg"),
        ('http://h/\t" a b.jpg "', " a b.jpg ", "/%20a%20b.jpg%20"),
        ("http://h/,a b.jpg", "a b.jpg", "/a%20b.jpg"),
        ("http://h/, a b.jpg ,x", "a b.jpg", "/a%20b.jpg"),
        ('http://h/,"a,b ""c"".jpg"', 'a,b "c".jpg', "/a,b%20%22c%22.jpg"),
        ('"http://h/my dir/","a.jpg"', "a.jpg", "/my%20dir/a.jpg"),
        ('"http://h/" "a b.jpg"', "a b.jpg", "/a%20b.jpg"),
        ('http://h/ "a b.jpg" ', "a b.jpg", "/a%20b.jpg"),
        ("http://h/ a%20b.jpg", "a b.jpg", "/a%20b.jpg"),
        ("http://h/ a%2520b.jpg", "a%20b.jpg", "/a%2520b.jpg"),
        ("http://h/ 100%.jpg", "100%.jpg", "/100%25.jpg"),
        ("http://h/ 50%of+1.jpg", "50%of+1.jpg", "/50%25of+1.jpg"),
        ("http://h/ 中/文.jpg", "中/文.jpg", "/%E4%B8%AD/%E6%96%87.jpg"),
        ("http://h/ %e4%b8%ad.jpg", "中.jpg", "/%e4%b8%ad.jpg"),
        ("http://h/ a%2Fb.jpg", "a/b.jpg", "/a%2Fb.jpg"),
        ("http://h/ a#b.jpg", "a#b.jpg", "/a%23b.jpg"),
        ("http://h/ a%23b%3Fc.jpg", "a#b?c.jpg", "/a%23b%3Fc.jpg"),
        ("http://h/ a.php?id=3&x=%20", "a.php?id=3&x= ", "/a.php?id=3&x=%20"),
        ("http://h/get?file= a/b.jpg", "a/b.jpg", "/get?file=a/b.jpg"),
        ("http://h// /b.jpg", "/b.jpg", "///b.jpg"),
        ("http://h/ a//b/", "a//b/", "/a//b/"),
        ("http://h/ ../a", "../a", "/../a"),
        ("http://h/ %FF", "\udcff", "/%FF"),
    ],
)
def test_a_line_names_an_object_and_its_url(line: str, key: str, target: str) -> None:
    row = read(line)
    assert (row.key, url(row), row.size) == (key, f"http://h:80{target}", 0)
    assert Place.unpack(row.place.pack()) == row.place


@pytest.mark.parametrize(
    ("prefix", "endpoint"),
    [
        ("https://h/", "https://h:443"),
        ("HTTP://H:8080/", "http://h:8080"),
        ("http://[::1]:81/", "http://[::1]:81"),
        ("127.0.0.1:81/", "http://127.0.0.1:81"),
        ("http://bücher.example/", "http://xn--bcher-kva.example:80"),
    ],
)
def test_servers_have_names_addresses_and_ports(prefix: str, endpoint: str) -> None:
    assert url(read(f"{prefix} a")) == f"{endpoint}/a"
    assert server_of(prefix.encode()) == endpoint


def test_columns_are_where_the_settings_say() -> None:
    columns = Columns(prefix=1, path=4)
    assert url(read("http://h/aa/  bb/cc  dd/ee  ff.jpg", columns)) == "http://h:80/aa/ff.jpg"
    columns = Columns(prefix=2, path=1, size=4, md5=3)
    row = read(f"a b.jpg,http://h/,{'AB' * 16},77", columns)
    assert (row.key, row.size, row.place.md5, row.place.known) == ("a b.jpg", 77, "ab" * 16, "l")
    row = read("a.jpg\thttp://h/\tq83vq83vq83vq83vq83vqw==\t-", columns)
    assert (row.size, row.place.md5, row.place.known) == (
        0,
        "abcdefabcdefabcdefabcdefabcdefab",
        "?",
    )
    row = read("a.jpg,http://h/,,0", columns)
    assert (row.size, row.place.md5, row.place.known) == (0, "", "l")
    assert read("a.jpg,http://h/", columns).place.known == "?"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (b"http://h/", "ListColumns", "1 columns, 2 are needed"),
        (b"http://h/\t", "ListColumns", "1 columns, 2 are needed"),
        (b'http://h/ ""', "ListColumns", "column 2, the object name, is empty"),
        (b"http://h/ my file.jpg", "ListColumns", "double quotes"),
        (b'http://h/ "a b.jpg', "ListQuotes", "each double quote in it twice"),
        (b'http://h/ "a"b.jpg', "ListQuotes", "each double quote in it twice"),
        (b"http://h/ \xd6\xd0.jpg", "ListEncoding", "iconv"),
        (b"ftp://h/ a.jpg", "ListUrl", "http://"),
        (b"http:///a/ a.jpg", "ListUrl", "no host"),
        (b"http://h:99999/ a.jpg", "ListUrl", "port"),
        (b"http://h^/ a.jpg", "ListUrl", "host"),
        (b"http://h /", "ListUrl", "name"),
        (b"http://user:hunter2@h/ a.jpg", "ListPassword", "signed for a time"),
        (b"http://h/ " + b"a" * (64 << 10), "ListLineTooLong", "more than 65536 bytes"),
    ],
)
def test_a_bad_line_has_a_code_and_a_cure(line: bytes, code: str, words: str) -> None:
    with pytest.raises(BadLine, match=words) as caught:
        Form(Columns(), BLANKS, widest=2).row(line)
    assert caught.value.code == code
    assert "Cure: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("separator", [TABS, COMMAS])
def test_a_bad_quote_is_seen_between_blanks_too(separator: bytes) -> None:
    with pytest.raises(BadLine, match="double quote"):
        Form(Columns(), separator).row(b"http://h/" + separator + b' "a"b.jpg')


@pytest.mark.parametrize(
    ("cell", "code"),
    [("1x", "ListSize"), ("-5", "ListSize"), ("٣", "ListSize"), ("9" * 30, "ListSize")],
)
def test_a_size_is_a_number(cell: str, code: str) -> None:
    with pytest.raises(BadLine) as caught:
        Form(Columns(size=3), COMMAS).row(f"http://h/,a,{cell}".encode())
    assert caught.value.code == code


@pytest.mark.parametrize("cell", ["abc", "z" * 32, "YWJj", "é" * 16])
def test_an_md5_is_one(cell: str) -> None:
    with pytest.raises(BadLine, match="32 hex digits"):
        Form(Columns(md5=3), COMMAS).row(f"http://h/,a,{cell}".encode())


names = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1).filter(
    lambda name: not name.startswith("/")
)


@given(st.lists(names, min_size=1, max_size=5), st.sampled_from([TABS, COMMAS, BLANKS]))
def test_every_name_can_be_written_in_quotes(keys: list[str], separator: bytes) -> None:
    paths = [encode_name(key).replace("%20", " ") for key in keys]
    lines = [b'"http://h/"' + separator + f'"{p}"'.encode() for p in paths]
    form = find_form(lines, Columns())
    assert [form.row(line).key for line in lines] == keys


@given(st.lists(names.map(lambda n: n.replace("%", "")).filter(bool), min_size=1, max_size=5))
def test_what_csv_writes_is_read(keys: list[str]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(["http://h/x/", f"d/{key}", len(key)] for key in keys)
    lines = file.getvalue().encode().split(b"\n")[:-1]
    form = find_form(lines, Columns(size=3))
    assert [form.row(line).key for line in lines] == [f"d/{key}" for key in keys]
    assert [form.row(line).size for line in lines] == [len(key) for key in keys]


@given(names, st.sampled_from(["http://h/", "https://h:1/a%20b/", "http://h/?f="]))
def test_a_worker_asks_for_what_the_line_says(path: str, prefix: str) -> None:
    lines = [f'{prefix}\t"{path.replace(chr(34), chr(34) * 2)}"'.encode()]
    row = Form(Columns(), TABS).row(lines[0])
    found = Place.unpack(row.place.pack()).url(row.key)
    assert found.target.isascii()
    assert " " not in found.target
    assert found.target.startswith(parse_url(prefix).target)


def test_the_form_is_that_of_most_lines() -> None:
    blanks = [b"http://h/ a,b.jpg", b"http://h/ c.jpg", b"http://h/ d,e f.jpg"]
    assert find_form(blanks, Columns()) == Form(Columns(), BLANKS, 2)
    assert find_form([b"http://h/,a b", b"http://h/,c"], Columns()).separator == COMMAS
    assert find_form([b"prefix\tname", b"http://h/\ta b,c"], Columns()).separator == TABS
    assert find_form([b"http://h/a,b/ c.jpg"] * 3, Columns()).separator == BLANKS
    assert find_form([], Columns()).separator in (BLANKS, TABS, COMMAS)
    assert find_form([b"http://h/ a 1", b"http://h/ b"], Columns(size=3)).widest == 3


def test_a_heading_is_no_url() -> None:
    form = Form(Columns(), COMMAS)
    assert form.is_heading(b"prefix,name")
    assert not form.is_heading(b"http://h/,name")
    assert not form.is_heading(b"localhost,name")
    assert not form.is_heading(b"h.example,name")
    assert not form.is_heading(b"")


def test_the_origin_of_an_object_is_not_taken_from_another_source() -> None:
    for text in ("", "d41d8cd98f00b204e9800998ecf8427e", "a\tb"):
        with pytest.raises(BadUrl):
            Place.unpack(text)
