"""placeholder"""

from pathlib import Path

MINI_BASE = "mini/base"


def ensure_mini_base(seed, progress) -> Path: ...
