"""Pages read by patterns say what the parser says of them; all others are the parser's."""

from collections.abc import Callable
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ossimport.listing import NotAListing, Page
from ossimport.listing_xml import by_parser, by_patterns, parse_page

S3 = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
TIME = "2023-11-14T22:13:20.000Z"


def entry(key: str = "a", more: str = "<StorageClass>Standard</StorageClass>") -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{TIME}</LastModified><ETag>&quot;E-1&quot;</ETag>"
        f"<Type>Normal</Type><Size>7</Size>{more}</Contents>"
    )


def page(*entries: str, encoding: str = "<EncodingType>url</EncodingType>") -> bytes:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<ListBucketResult{S3}><Name>bucket</Name><Prefix/>{encoding}"
        f"<IsTruncated>false</IsTruncated>{''.join(entries)}</ListBucketResult>"
    )
    return text.encode()


# As the references of the services show them, with two objects each.
OSS = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com">
  <Name>examplebucket</Name>
  <Prefix>a%2F</Prefix>
  <StartAfter></StartAfter>
  <MaxKeys>2</MaxKeys>
  <EncodingType>url</EncodingType>
  <IsTruncated>true</IsTruncated>
  <NextContinuationToken>CgJiYw--</NextContinuationToken>
  <Contents>
    <Key>a%2Fb+c%20d</Key>
    <LastModified>2020-05-18T05:45:43.000Z</LastModified>
    <ETag>"35A27C2B9EAEEB6F48FD7FB5861D0000"</ETag>
    <Type>Normal</Type>
    <Size>25</Size>
    <StorageClass>ColdArchive</StorageClass>
    <RestoreInfo>ongoing-request="false", expiry-date="Thu, 24 Sep 2020 12:40:33 GMT"</RestoreInfo>
    <Owner>
      <ID>1686240967192623</ID>
      <DisplayName>1686240967192623</DisplayName>
    </Owner>
  </Contents>
  <Contents>
    <Key>a%2F%E4%B8%AD%3C</Key>
    <LastModified>2020-05-18T05:45:44.000Z</LastModified>
    <ETag>"5B3C1A2E053D763E1B002CC607C5A0FE-2"</ETag>
    <Type>Multipart</Type>
    <Size>344606</Size>
    <StorageClass>Standard</StorageClass>
    <TransitionTime>2024-04-23T07:21:42.000Z</TransitionTime>
  </Contents>
  <KeyCount>2</KeyCount>
</ListBucketResult>
"""
AWS = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/'
    b'doc/2006-03-01/"><Name>bucket</Name><Prefix/><NextContinuationToken>1ueGcxLPRx1Tr/+XYExHnh='
    b"</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><EncodingType>url"
    b"</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>a+b</Key><LastModified>"
    b"2024-11-28T13:16:04.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;"
    b"</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT"
    b"</ChecksumType><Size>0</Size><StorageClass>GLACIER</StorageClass></Contents><Contents>"
    b"<Key>b</Key><LastModified>2024-11-28T13:16:05.000Z</LastModified><ETag>&quot;"
    b"d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>0</Size><Owner><ID>75aa</ID></Owner>"
    b"<StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"
)
MINIO = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/'
    b'doc/2006-03-01/"><Name>b</Name><Prefix></Prefix><Marker></Marker><MaxKeys>1000</MaxKeys>'
    b"<Delimiter></Delimiter><IsTruncated>false</IsTruncated><Contents><Key>a</Key><LastModified>"
    b"2024-11-28T13:16:04.123Z</LastModified><ETag>&#34;d41d8cd98f00b204e9800998ecf8427e&#34;"
    b"</ETag><Size>0</Size><Owner><ID>02d6</ID><DisplayName>minio</DisplayName></Owner>"
    b"<StorageClass>STANDARD</StorageClass></Contents><EncodingType>url</EncodingType>"
    b"</ListBucketResult>"
)
COS = """<?xml version='1.0' encoding='utf-8' ?>
<ListBucketResult>
\t<Name>examplebucket-1250000000</Name>
\t<EncodingType>url</EncodingType>
\t<Prefix/>
\t<Marker/>
\t<MaxKeys>1000</MaxKeys>
\t<IsTruncated>true</IsTruncated>
\t<NextMarker>b%2F%20</NextMarker>
\t<Contents>
\t\t<Key>a</Key>
\t\t<LastModified>2020-12-10T03:37:30.000Z</LastModified>
\t\t<ETag>&quot;f173c1199e3d3b53dd91223cae16fb42&quot;</ETag>
\t\t<Size>37</Size>
\t\t<Owner>
\t\t\t<ID>1250000000</ID>
\t\t\t<DisplayName>腾讯云</DisplayName>
\t\t</Owner>
\t\t<StorageClass>INTELLIGENT_TIERING</StorageClass>
\t\t<StorageTier>2</StorageTier>
\t</Contents>
</ListBucketResult>
""".encode()


@pytest.mark.parametrize("body", [OSS, AWS, MINIO, COS], ids=["oss", "aws", "minio", "cos"])
def test_patterns_know_what_services_write(body: bytes) -> None:
    assert by_patterns(body) == by_parser(body)
    assert by_patterns(bytearray(body)) == by_parser(body)


def test_all_that_matters_is_read() -> None:
    found = by_patterns(OSS)
    assert found is not None
    assert [info.key for info in found.objects] == ["a/b c d", "a/中<"]
    assert [info.size for info in found.objects] == [25, 344606]
    assert found.objects[1].etag == "5B3C1A2E053D763E1B002CC607C5A0FE-2"
    assert found.objects[1].mtime_ns - found.objects[0].mtime_ns == 10**9
    assert (found.truncated, found.token) == (True, "CgJiYw--")
    assert found.archived == {"a/b c d": "ColdArchive"}
    other = by_patterns(COS)
    assert other is not None
    assert (other.truncated, other.marker) == (True, "b/ ")


def read(how: Callable[[bytes], Page | None], body: bytes) -> Page | str | None:
    """The page, or what is wrong with it: no page is equal to another kind of trouble."""
    try:
        return how(body)
    except (KeyError, ValueError):
        return "no page"


def patterns_agree(body: bytes) -> bool:
    """Whether the patterns match the page. They may not, but they may not say anything else."""
    theirs, ours = read(by_parser, body), read(by_patterns, body)
    assert ours in (None, theirs)
    assert read(parse_page, body) == theirs
    return ours is not None


characters = st.characters(codec="utf-8")
texts = st.text(characters, max_size=20)
octets = st.binary(max_size=20)


@given(st.lists(octets, max_size=8), st.sampled_from(["", "/", "-_.~ /+"]), st.booleans())
def test_any_name_that_is_encoded_is_read(names: list[bytes], safe: str, is_lower: bool) -> None:
    keys = [quote(name, safe=safe).replace(" ", "+") for name in names]
    keys = [key.lower() for key in keys] if is_lower else keys
    body = page(*map(entry, keys))
    assert patterns_agree(body) == bool(names)


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)


@given(st.lists(printable | st.sampled_from(["%", "%%41", "=41", "%4", "%zz", "%3C"]), max_size=5))
@example(["%", "%3C"])
@example(["a%", "b"])
@example(["=", "%41"])
def test_what_is_said_to_be_encoded_and_is_not_is_read_alike(names: list[str]) -> None:
    patterns_agree(page(*(entry(escape(name)) for name in names)))


@given(st.lists(texts, max_size=5))
def test_names_that_are_not_encoded_are_read_alike(names: list[str]) -> None:
    patterns_agree(page(*(entry(escape(name)) for name in names), encoding=""))


def test_a_key_that_says_encoded_is_not_decoded_where_no_key_is() -> None:
    body = page(entry("a%20+b"), encoding="")
    assert patterns_agree(body)
    assert parse_page(body).objects[0].key == "a%20+b"


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
def test_owners_have_names_in_all_languages(owners: list[tuple[str, str]]) -> None:
    listed = (
        entry("a", f"<Owner><ID>{escape(one)}</ID><DisplayName>{two}</DisplayName></Owner>")
        for one, two in owners
    )
    patterns_agree(page(*listed))


ODD = [
    *("<!-- -->", "<!--<Contents></Contents>-->", "<![CDATA[x]]>", "<![CDATA[<Key>b</Key>]]>"),
    *("<?pi?>", "&amp;", "&lt;", "&#10;", "&#x41;", "&nbsp;", "&", "<", ">", "]]>", '"', "'"),
    *(" ", "\n", "\r\n", "\r", "\t", "\0", "\x01", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe"),
    *("x", "%", "%C3", "%3C", "+", "=", "-", "0", "中", "\ud800", "\udcff", "\U0001f600"),
    *("<Key>b</Key>", "<Key/>", "<Key></Key>", "<Size>8</Size>", "<Size/>", "<ETag>F</ETag>"),
    *("<StorageClass>ARCHIVE</StorageClass>", "<StorageClass/>", "<Type>x</Type>", "<Type/>"),
    *("<Owner><ID>1</ID></Owner>", "<Owner/>", "<Owner><Key>b</Key></Owner>", "<ID>1</ID>"),
    *("<IsTruncated>true</IsTruncated>", "<IsTruncated/>", "<EncodingType>url</EncodingType>"),
    *("<EncodingType/>", "<NextMarker>m%20</NextMarker>", "<NextContinuationToken>t</x>"),
    *("<Contents>", "</Contents>", "<Contents/>", "<Contents></Contents>", "</Key>", "</Type>"),
    *("<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>", "<x>", "</x>", "<x/>", "<x:y/>"),
    *(' xmlns="http://other/"', ' xmlns=""', ' xmlns:x="http://x/"', ' a="b"', "<x:Key>b</x:Key>"),
    *("<ListBucketResult>", "</ListBucketResult>", '<?xml version="1.0"?>', "<!DOCTYPE x>"),
]


@st.composite
def edited_pages(draw: st.DrawFn) -> bytes:
    """What services write, with a few pieces put in, cut out, doubled or exchanged."""
    body = draw(st.sampled_from([OSS, AWS, MINIO, COS, page(entry("a"), entry("b"))]))
    text = body.decode()
    marks = [at for at, character in enumerate(text) if character in "<>"]
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted(draw(st.lists(st.sampled_from(marks), min_size=2, max_size=2)))
        at, to = at + draw(st.integers(0, 1)), to + draw(st.integers(0, 1))
        match draw(st.integers(0, 4)):
            case 0 | 1:
                text = text[:at] + draw(st.sampled_from(ODD)) + text[at:]
            case 2:
                text = text[:at] + text[to:]
            case 3:
                text = text[:at] + text[at:to] + text[at:]
            case _:
                text = text[:to] + draw(texts) + text[to:]
    return text.encode("utf-8", "surrogatepass")


@given(edited_pages())
def test_an_odd_page_is_read_alike(body: bytes) -> None:
    patterns_agree(body)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("body", [OSS, page(entry("a"), entry("b"))], ids=["oss", "page"])
def test_an_oddity_anywhere_is_read_alike(odd: str, body: bytes) -> None:
    piece = odd.encode("utf-8", "surrogatepass")
    marks = [at for at, octet in enumerate(body) if octet in b"<>"]
    for at in marks:
        patterns_agree(body[:at] + piece + body[at:])
        patterns_agree(body[: at + 1] + piece + body[at + 1 :])


@pytest.mark.parametrize("body", [OSS, AWS, COS, page(entry("a"), entry("b"))])
def test_a_page_that_is_cut_off_anywhere_is_none(body: bytes) -> None:
    for end in range(len(body.rstrip())):
        assert by_patterns(body[:end]) is None
        with pytest.raises(NotAListing):
            parse_page(body[:end])


def test_every_octet_counts() -> None:
    """None can become one that does not belong there without the patterns letting go."""
    body = page(entry("a"), entry("b"))
    for at in range(len(body)):
        for octet in b"\0\x01<>&\xff":
            if body[at] != octet:
                patterns_agree(body[:at] + bytes([octet]) + body[at + 1 :])


@given(octets)
def test_rubbish_is_the_parsers(body: bytes) -> None:
    assert not patterns_agree(body)


def test_a_page_without_objects_is_the_parsers() -> None:
    assert not patterns_agree(page())
    assert parse_page(page()) == Page([], False)
