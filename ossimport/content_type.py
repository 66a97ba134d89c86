"""The Content-Type of a key by its suffix, the same on every machine."""

import mimetypes

DEFAULT = "application/octet-stream"

# Python's own table. `mimetypes.init` would add the files of the machine, and two workers would
# then store the same object with two types.
_TYPES = mimetypes.MimeTypes(filenames=()).types_map[True]


def content_type(key: str) -> str:
    """The type that the key's suffix stands for; `application/octet-stream` if it has none."""
    _, dot, suffix = key.rpartition(".")
    if not dot or "/" in suffix:
        return DEFAULT
    return _TYPES.get("." + suffix.lower(), DEFAULT)
