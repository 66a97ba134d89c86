"""Pages of a bucket's listing in XML: `ListBucketResult`, of OSS and of services that are like S3.

Both versions of the request answer with it. Every object that a job copies comes through here
twice, once from the source and once from the destination when the copies are verified. So pages are
read by patterns, for a quarter of what a parser takes. They know how services write and no more:
whatever they do not match from its first byte to its last is read by the parser.
"""

import re
from binascii import a2b_qp
from collections.abc import Mapping, Sequence
from itertools import repeat
from xml.etree import ElementTree

from ossimport.listing import ARCHIVED, NotAListing, Page, decoded, read_time, time_ns
from ossimport.model import ObjectInfo

# What XML takes as it is, in all languages, but for tabs and line ends. No lone surrogates: that is
# what `surrogateescape` makes of bytes that are not UTF-8.
PLAIN_TEXT = r"[^\x00-\x1f<>&\ud800-\udfff\ufffe\uffff]*+"

_ROOT = "ListBucketResult"


def parse_page(body: bytes | bytearray) -> Page:
    """Read a page; keys of an `encoding-type=url` listing are decoded. Raises NotAListing.

    Times are cut to whole seconds, since that is what the same services say of a single object.
    """
    try:
        return by_patterns(body) or by_parser(body)
    except KeyError as exc:
        raise NotAListing(f"it lacks {exc.args[0]}") from exc
    except ValueError as exc:
        raise NotAListing(str(exc)) from exc


def _page(about: Mapping[str, str], objects: list[ObjectInfo], archived: Mapping[str, str]) -> Page:
    """`about` is the text of what stands beside the objects. Raises KeyError or ValueError."""
    truncated = about["IsTruncated"]
    if truncated not in {"true", "false"}:
        raise NotAListing(f"IsTruncated is {truncated[:20]!r}")
    marker, token = about.get("NextMarker", ""), about.get("NextContinuationToken", "")
    if _is_encoded(about):
        marker = decoded(marker)
    return Page(objects, truncated == "true", marker, token, archived)


def _is_encoded(about: Mapping[str, str]) -> bool:
    return about.get("EncodingType") == "url"


# -- patterns ------------------------------------------------------------------------------------

_SPACE = r"[ \t\r\n]*+"
_TEXT = r"[ -%'-;=?-~]*+"  # of that, the printable ASCII


def _element(name: str, text: str = _TEXT) -> str:
    return f"<{name}>{text}</{name}>{_SPACE}"


def _any_of(*elements: str) -> str:
    return f"(?:{'|'.join(elements)})*+"


_QUOTE = r'(?:"|&(?:quot|\#34);)?+'
_IN_OWNER = _any_of(_element("ID", PLAIN_TEXT), _element("DisplayName", PLAIN_TEXT))
_BEFORE_SIZE = _any_of(*map(_element, ("Type", "ChecksumAlgorithm", "ChecksumType")))
_BEHIND_SIZE = _any_of(
    *map(_element, ("StorageClass", "Type", "StorageTier", "TransitionTime", "RestoreInfo")),
    f"<Owner>{_SPACE}{_IN_OWNER}</Owner>{_SPACE}",
)
_CONTENTS = re.compile(
    f"<Contents>{_SPACE}"
    + _element("Key", f"({_TEXT})")
    + _element("LastModified", f"({_TEXT})")
    + _element("ETag", f"{_QUOTE}([0-9A-Za-z-]*+){_QUOTE}")
    + _BEFORE_SIZE
    + _element("Size", "([0-9]{1,18})")
    + f"({_BEHIND_SIZE})</Contents>{_SPACE}"
)
_STORAGE_CLASS = re.compile(r".*<StorageClass>([^<]*)", re.DOTALL)  # the last, if there are more

_FIELD = re.compile(rf"<(?!Contents)([A-Za-z]+)(?:/>|>({_TEXT})</\1>){_SPACE}")
_FIELDS = f"(?:{_FIELD.pattern})*+"
_DECLARATION = "|".join(
    rf"version={quote}1\.0{quote} encoding={quote}(?:UTF|utf)-8{quote}" for quote in "\"'"
)
_HEAD = re.compile(
    rf"(?:<\?xml (?:{_DECLARATION}) ?\?>{_SPACE})?"
    rf'<{_ROOT}(?: xmlns="http://[a-z0-9.-]+(?:/doc/[0-9-]+/?)?")?>{_SPACE}{_FIELDS}'
)
_TAIL = re.compile(f"{_FIELDS}</{_ROOT}>{_SPACE}")


def by_patterns(body: bytes | bytearray) -> Page | None:
    """What `by_parser` makes of it, or raises of it; None if it is not written as usual."""
    pieces = _CONTENTS.split(body.decode(errors="surrogateescape"))
    head, tail, between = pieces[0], pieces[-1], pieces[6:-1:6]
    if any(between) or not _HEAD.fullmatch(head) or not _TAIL.fullmatch(tail):
        return None
    keys, times, etags, sizes, behind = (pieces[column::6] for column in range(1, 6))
    about = dict(_FIELD.findall(head + tail))
    if _is_encoded(about):
        keys = _decoded_all(keys)
    stamps = {text: read_time(text) for text in set(times)}
    infos = zip(keys, map(int, sizes), map(stamps.get, times), etags, repeat(None))
    return _page(about, list(map(ObjectInfo._make, infos)), _archived(keys, behind))


def _decoded_all(names: list[str]) -> list[str]:
    """What `decoded` makes of each. They are of ASCII, and have no `<` or line ends."""
    text = "<".join(names).replace("%2F", "/").replace("+", " ")
    if escapes := text.count("%"):
        # The same as quoted-printable but for the sign, whose decoder is in C: ten times as fast.
        octets = a2b_qp(text.replace("%", "="))
        if "=" in text or len(octets) != len(text) - 2 * escapes:  # there are others than escapes
            return list(map(decoded, names))
        text = octets.decode(errors="surrogateescape")
    keys = text.split("<")
    return keys if len(keys) == len(names) else list(map(decoded, names))


def _archived(keys: Sequence[str], behind: Sequence[str]) -> dict[str, str]:
    """`Page.archived`, by what stands behind the sizes: of most objects the same."""
    found = {rest: _STORAGE_CLASS.match(rest) for rest in set(behind)}
    classes = {rest: match[1] for rest, match in found.items() if match}
    archived = {rest: name for rest, name in classes.items() if name.upper() in ARCHIVED}
    if not archived:
        return {}
    return {key: archived[rest] for key, rest in zip(keys, behind, strict=True) if rest in archived}


# -- the parser ----------------------------------------------------------------------------------


def by_parser(body: bytes | bytearray) -> Page:
    """Read a page. Raises KeyError or ValueError if it is none."""
    # No service needs one; entities that grow without bound, or read files, begin with one. In an
    # encoding in which this would not be found, every other byte of it is zero.
    if b"<!DOCTYPE" in body or b"\0" in body:
        raise NotAListing("it declares a document type, or is not UTF-8")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 -- see above
    except ElementTree.ParseError as exc:
        raise NotAListing(str(exc)) from exc
    space = root.tag[: root.tag.rfind("}") + 1]
    if root.tag != space + _ROOT:
        raise NotAListing(f"it is a document of <{root.tag[len(space) :][:40]}>")
    about = _fields(root, space)
    decode = decoded if _is_encoded(about) else str
    objects, archived = [], {}
    for fields in (_fields(each, space) for each in root.iterfind(space + "Contents")):
        name = decode(fields["Key"])
        stamp, version = time_ns(fields["LastModified"]), fields.get("ETag", "").strip('"')
        objects.append(ObjectInfo(name, _size(fields["Size"]), stamp, version))
        if (found := fields.get("StorageClass", "")).upper() in ARCHIVED:
            archived[name] = found
    return _page(about, objects, archived)


def _fields(element: ElementTree.Element, space: str) -> dict[str, str]:
    """The texts of its children, by their names without the namespace `space`."""
    return {
        child.tag[len(space) :]: child.text or ""
        for child in element
        if child.tag.startswith(space)
    }


def _size(text: str) -> int:
    if text.isdecimal() and len(text) < 19:
        return int(text)
    raise NotAListing(f"Size is {text[:20]!r}")
