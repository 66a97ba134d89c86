"""A task's object list as bytes: one msgpack array per field of ObjectInfo, compressed with zstd.

Columns compress better than rows. Differences between times or shared beginnings of keys gain
nothing that zstd does not find by itself. Keys may hold lone surrogates (file names that are not
UTF-8); `surrogatepass` keeps them, and unlike `surrogateescape` gives every string its own bytes.
"""

from collections.abc import Sequence

import msgpack
import zstandard

from ossimport.errors import LedgerError
from ossimport.model import ObjectInfo

FORMAT = 1
MAX_UNPACKED = 256 << 20  # bytes; 50,000 objects with keys of 5,000 bytes fit

_LEVEL = 3


def pack(objects: Sequence[ObjectInfo]) -> bytes:
    """Equal lists give equal bytes, so that a task's id can derive from them."""
    columns = (FORMAT, *zip(*objects, strict=True))
    plain: bytes = msgpack.packb(columns, unicode_errors="surrogatepass")
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(plain)


def unpack(data: bytes) -> list[ObjectInfo]:
    """Return the list that was packed. Raises LedgerError for bytes that `pack` did not make.

    `data` comes over the network: a list that claims more than MAX_UNPACKED bytes is refused
    before memory is taken for it.
    """
    try:
        size = zstandard.frame_content_size(data)
        if not 0 < size <= MAX_UNPACKED:
            raise ValueError(f"it claims {size} bytes, at most {MAX_UNPACKED} are allowed")
        plain = zstandard.ZstdDecompressor().decompress(data)
        version, *columns = msgpack.unpackb(plain, unicode_errors="surrogatepass", use_list=False)
        if version != FORMAT:
            raise ValueError(f"it has format {version}, this version of ossimport reads {FORMAT}")
        return list(map(ObjectInfo._make, zip(*columns, strict=True)))
    except (zstandard.ZstdError, msgpack.UnpackException, ValueError, TypeError) as exc:
        raise LedgerError(
            f"the object list of a task cannot be read: {exc}. Cure: run every process with the "
            "same version of ossimport; if they do, clean the job and submit it again."
        ) from exc
