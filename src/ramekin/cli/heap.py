"""Memory that was freed is kept for the next array.

glibc gives every block of 128 KiB or more back to the system when it is freed and asks for it anew, page by
page, the next time: of arithmetic on chunks of half a megabyte that is most of the time. This module knows
no arrays.
"""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_KEPT, _MOST_KEPT = 1 << 25, 1 << 28  # bytes; of a block (glibc takes no more), and of all at the end


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to 256 MB of it; for a command that walks through models.

    Of no effect on any result, and for the whole process: it is for whoever owns that.

    Returns:
        Whether the C library can be told so; only glibc can.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT) and mallopt(_TRIM_THRESHOLD, _MOST_KEPT))
