"""How a worker's process uses memory: it makes and drops objects by the million, and buffers of
megabytes by the thousand."""

import ctypes
import gc

# glibc's names for what can be set, from its malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_MOST = 2**31 - 1


def settle() -> None:
    """To be called once, when all is imported and made that stays."""
    gc.freeze()  # what is there now stays, so the collector need not look at it again
    gc.set_threshold(20_000, 20, 100)  # what a copy leaves behind is mostly free of cycles
    _keep_freed()


def _keep_freed() -> None:
    """Have the C library keep freed buffers for the next ones; `Budget` bounds what they take.

    By itself it gives them back to the kernel, which then has to clear and map every page of the
    next: half of what it costs to copy a large file. Other libraries than glibc have no such call.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)  # no buffer is too large to be kept
    mallopt(_M_TRIM_THRESHOLD, _MOST)
    mallopt(_M_ARENA_MAX, 1)  # else each thread that reads keeps its own
