"""What the operating system's errors mean for a copy, and how to mend them."""

import errno

from ossimport.errors import Permanent, StorageError, Transient
from ossimport.naming import display

GONE = frozenset({errno.ENOENT, errno.ENOTDIR})

# The path leads to something that is no regular file: a symbolic link, pipe, socket or directory.
_REPLACED = frozenset({errno.ELOOP, errno.ESPIPE, errno.ENXIO, errno.EISDIR})

_CODES = {
    errno.EACCES: "AccessDenied",
    errno.EPERM: "AccessDenied",
    errno.ENAMETOOLONG: "NameTooLong",
    errno.ENOSPC: "DiskFull",
    errno.EDQUOT: "DiskFull",
}
_CURES = {
    "AccessDenied": "let the user that runs ossimport read it (chmod, chown, setfacl), then retry",
    "NameTooLong": "move it to a shorter path, then clean the job and submit it again",
    "EMFILE": "allow more open files (ulimit -n 65536), start the service again, then retry",
    "ENFILE": "allow the system more open files (sysctl fs.file-max), then retry",
    "ELOOP": "mend the symbolic links on its path, then retry",
}
_CURE = "look at the disk or the mount (dmesg, the storage system's log), then retry"


def code_of(exc: OSError) -> str:
    """AccessDenied, NameTooLong or DiskFull, else the name of the errno."""
    number = exc.errno or 0
    return _CODES.get(number) or errno.errorcode.get(number, "ServerError")


def explain(exc: OSError, what: str) -> str:
    """One sentence on what failed and why, one on the cure."""
    return f"{what}: {exc.strerror}. Cure: {_CURES.get(code_of(exc), _CURE)}."


def translate(exc: OSError, op: str, key: str, path: str) -> StorageError:
    """Turn the error of an operation on one object into ours."""
    shown = display(path)
    if exc.errno in GONE:
        return Permanent(f"{shown} is gone", code="NotFound", op=op, key=key)
    if exc.errno in _REPLACED:
        message = f"{shown} is no regular file any more"
        return Permanent(message, code="SourceChanged", op=op, key=key)
    code = code_of(exc)
    message = explain(exc, f"cannot {op} {shown}")
    if code in {"AccessDenied", "NameTooLong"}:
        return Permanent(message, code=code, op=op, key=key)
    return Transient(message, code=code, op=op, key=key)
