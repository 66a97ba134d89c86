"""Names that a proxy, a gateway or the store itself takes for paths, and tidies up.

Then the signature is of another path, so that no wrong object comes. But it looks as if the keys
were wrong, or the bucket, although no other object is refused.
"""

import re

from ossimport.errors import Permanent, StorageError

_TIDIED = re.compile(r"//|(?:^|/)\.\.?(?:/|$)|^/")
_MISREAD = frozenset({"SignatureDoesNotMatch", "NoSuchBucket", "InvalidBucketName"})


def blame_name(error: StorageError, status: int, key: str) -> StorageError:
    """`error`, or where it may come from the whole name `key`, one for that object alone."""
    if not _TIDIED.search(key) or not (error.code in _MISREAD or status // 100 == 3):
        return error
    message = f"{error}; or what is on the way, or the store itself, takes the name for a path and "
    message += "tidies it up: then rename the object at the source"
    return Permanent(message, code=error.code, request_id=error.request_id)
