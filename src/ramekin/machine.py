"""The machine that the program runs on: its cores, and processes apart that may take only so much of it.

Knows nothing of what runs.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, final

__all__ = ["Launch", "launch_of", "limit_resources", "num_cores"]


@final
class Launch(NamedTuple):
    """How a process is started."""

    command: list[str]
    environment: Mapping[str, str]


def num_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launch_of(script: Path, *arguments: object) -> Launch:
    """How a script of Python is started in a process apart, with the modules that this one finds."""
    command = [sys.executable, "-P", "-W", "ignore", str(script), *map(str, arguments)]
    return Launch(command, {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)})


def limit_resources(*, memory: int, seconds: int) -> None:
    """Bound what this process may still take, for good.

    Args:
        memory: bytes of address space; where the system has no such limit, it is without.
        seconds: of a core; then the system ends the process.
    """
    import resource

    for what, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        try:
            _, most = resource.getrlimit(what)
            allowed = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(what, (allowed, allowed))
        except (ValueError, OSError):  # macOS has no limit on address space
            pass
