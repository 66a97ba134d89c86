"""Checksums of whole objects in the headers of answers; anything else there is none."""

import base64
import re

from ossimport.sources.base import Checksum

_CRC64 = re.compile(r"[0-9]{1,20}")
_HEX_MD5 = re.compile(r"[0-9a-f]{32}")


def stated_crc64(text: str) -> Checksum | None:
    """A CRC64 (ECMA-182) in decimal."""
    return Checksum("crc64", text) if _CRC64.fullmatch(text) else None


def stated_md5(text: str) -> Checksum | None:
    """A Content-MD5."""
    try:
        md5 = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return Checksum("md5", md5.hex()) if len(md5) == 16 else None


def md5_of_etag(text: str) -> Checksum | None:
    """The MD5 that an ETag is, at most stores and of what was uploaded whole."""
    md5 = text.strip('"').lower()
    return Checksum("md5", md5) if _HEX_MD5.fullmatch(md5) else None
