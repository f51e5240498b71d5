"""How much memory there is, and how long an input can be that it is read in. Knows nothing of models."""

import math
import re
from pathlib import Path
from typing import Final

__all__ = ["free_bytes", "longest_input"]

_SHARE: Final = 0.5
_LEAST: Final = 512


def free_bytes(device: str = "cpu") -> int | None:
    """The memory that can be had without swapping, where the system says it.

    Args:
        device: `cpu`, or a GPU, whose own memory is told.
    """
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    file = Path("/proc/meminfo")
    if not file.is_file():
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", file.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def longest_input(pair_bytes: int, free: int) -> int:
    """How many tokens an input may have, so that reading it takes no more than half of the free memory.

    >>> longest_input(6 * 13, 24 << 30), longest_input(12 * 13, 24 << 30)
    (12852, 9088)

    Args:
        pair_bytes: what is taken for each pair of its tokens, above 0.
        free: bytes.
    """
    return max(_LEAST, math.isqrt(int(_SHARE * free) // pair_bytes))
