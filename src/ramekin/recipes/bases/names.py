"""The names of the bases that are made on the spot; what they are is for the modules that make them."""

from typing import Final

__all__ = ["MADE_HERE", "TINY_BASE", "WORLD_BASES"]

WORLD_BASES: Final[tuple[str, ...]] = (
    "mini/base",
    "mini/text",
    "mini/paper_text",
    "mini/study_small",
    "mini/study_base",
    "mini/study_large",
)
"""Those of the built-in world."""
TINY_BASE: Final = "tiny/base"
"""The one that has learned nothing."""
MADE_HERE: Final[tuple[str, ...]] = (*WORLD_BASES, TINY_BASE)
"""All."""
