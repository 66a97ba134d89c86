r"""Which name an object gets in OSS, and how an odd name is shown to a person.

    name at the destination            in OSS
    ---------------------------------  -------------------------------------------------------------
    empty                              InvalidKey
    begins with `/` or `\`             InvalidKey
    more than 1,023 bytes of UTF-8     InvalidKey
    LF, CR, or not in XML 1.0          InvalidKey: control characters but TAB, U+FFFE, U+FFFF
    bytes that are not UTF-8           InvalidKey (they arrive as lone surrogates, see `model`)
    `.` or `..` as the whole name      InvalidKey: HTTP takes such a path apart, and the request
                                       would reach the bucket instead of an object
    everything else, also `a/../b`,    kept as it is: OSS names are opaque, and clients send `/`
    `a//b`, `./a`, blanks, emoji       inside of a name as %2F

Nothing is renamed, so two objects never meet under one name.
"""

import re

from ossimport.errors import Permanent

MAX_KEY_BYTES = 1023

_NOT_XML = re.compile("[\x00-\x08\x0a-\x1f\ufffe\uffff]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# What could break a line, steer a terminal, or hide in print.
_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff"
)
_IN_TEXT = re.compile(f"[{_UNSEEN}]")
_IN_KEY = re.compile(rf"[{_UNSEEN}\\]")  # and what would be taken for an escape
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4})|)")


def dest_key(prefix: str, key: str) -> str:
    """Name of the object in OSS: `destPrefix` and the key relative to `srcPrefix`.

    Raises Permanent(code="InvalidKey") for a name that OSS cannot hold.
    """
    name = prefix + key
    if (
        name.isascii()
        and name.isprintable()
        and 0 < len(name) <= MAX_KEY_BYTES
        and name[0] not in "/\\."
    ):
        return name
    if trouble := _trouble(name):
        raise Permanent(
            f"OSS cannot hold an object named {display(name)}: the name {trouble}. Cure: rename "
            "the object at the source, then clean the job and submit it again.",
            code="InvalidKey",
            op="name",
            key=key,
        )
    return name


def _trouble(name: str) -> str:
    trouble = ""
    if not name:
        trouble = "is empty"
    elif name[0] in "/\\":
        trouble = f"begins with {name[0]}"
    elif name in {".", ".."}:
        trouble = "would be taken for a directory on the way"
    elif _LONE_SURROGATE.search(name):
        trouble = "is not UTF-8 (convmv converts file names)"
    elif odd := _NOT_XML.search(name):
        trouble = f"holds the character U+{ord(odd[0]):04X}"
    elif (size := len(name.encode())) > MAX_KEY_BYTES:
        trouble = f"has {size} bytes of UTF-8, at most {MAX_KEY_BYTES} are allowed"
    return trouble


def display(key: str) -> str:
    r"""Show a key on one line; `parse_display` reads it back.

    Ordinary names appear unchanged. A backslash becomes `\\`, a control character or a byte that is
    not UTF-8 `\xHH`, and other characters that do not show (C1 controls, line separators, marks of
    writing direction) `\uHHHH`.
    """
    if key.isprintable() and "\\" not in key:  # nor is anything else that is unsafe printable
        return key
    return _IN_KEY.sub(_escape, key)


def one_line(message: str) -> str:
    """Show a message on one line. Keys in it are shown by `display` already: what that has escaped
    stays as it is.
    """
    return message if message.isprintable() else _IN_TEXT.sub(_escape, message)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if char == "\\":
        return "\\\\"
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode's form of the byte 0x80-0xFF
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}"


def parse_display(text: str) -> str:
    """The key that `display` showed. Raises ValueError for a stray backslash."""
    return _ESCAPED.sub(_unescape, text)


def _unescape(match: re.Match[str]) -> str:
    byte, char = match.groups()
    if char:
        return chr(int(char, 16))
    if byte:
        code = int(byte, 16)
        return chr(code if code < 0x80 else 0xDC00 + code)
    if match[0] == "\\":
        raise ValueError(f"a backslash that begins no escape, at position {match.start()}")
    return "\\"
