"""What files have beside bytes, name and time, which no object of OSS can have."""

import os
from collections import Counter
from contextlib import suppress

LINKS = "symbolic links"
ATTRIBUTES = "extended attributes"

_SYSTEM_S_OWN = ("security.",)  # that every file has where there is such a system


def count_beside(root: str, most: int, *, allow_symlinks: bool) -> dict[str, int]:
    """Count them among `most` entries below `root`, in no order. What cannot be seen is left out.

    Links count where nobody follows them: all of them if `allow_symlinks` is false, else those to
    directories.
    """
    found: Counter[str] = Counter()
    directories = [root]
    seen = 0
    while directories and seen < most:
        with suppress(OSError), os.scandir(directories.pop()) as entries:
            for entry in entries:
                seen += 1
                if seen > most:
                    break
                with suppress(OSError):
                    if entry.is_symlink():
                        found[LINKS] += not allow_symlinks or entry.is_dir()
                    elif entry.is_dir():
                        directories.append(entry.path)
                    else:
                        found[ATTRIBUTES] += _has_attributes(entry.path)
    return {what: number for what, number in found.items() if number}


def _has_attributes(path: str) -> bool:
    if not hasattr(os, "listxattr"):  # where there is none of Linux's
        return False
    names = os.listxattr(path, follow_symlinks=False)
    return any(not name.startswith(_SYSTEM_S_OWN) for name in names)
