"""The machine that the program runs on. Knows nothing of what it runs."""

import os

__all__ = ["num_cores"]


def num_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
