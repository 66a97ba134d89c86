"""The hash by which Qiniu Kodo names contents: SHA-1 of 4 MiB blocks."""

import base64
import hashlib

BLOCK = 4 << 20
_ONE, _SEVERAL = b"\x16", b"\x96"  # how a hash of one block begins, and of the hashes of several


def qetag(body: bytes | bytearray | memoryview) -> str:
    """The hash of these bytes."""
    view = memoryview(body)
    if len(view) <= BLOCK:
        return _named(_ONE, _sha1(view))
    hashes = [_sha1(view[start : start + BLOCK]) for start in range(0, len(view), BLOCK)]
    return _named(_SEVERAL, _sha1(b"".join(hashes)))


def is_qetag(text: str) -> bool:
    """It is a hash of this kind; what was sent in parts of other sizes has another."""
    try:
        hashed = base64.urlsafe_b64decode(text)
    except ValueError:
        return False
    return len(hashed) == 21 and hashed[:1] in {_ONE, _SEVERAL}


def _sha1(data: bytes | memoryview) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _named(kind: bytes, digest: bytes) -> str:
    return base64.urlsafe_b64encode(kind + digest).decode()
