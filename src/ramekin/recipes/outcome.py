"""What a verb hands back: a JSON form for machines and a text for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

__all__ = ["Outcome"]


@final
@dataclass(frozen=True)
class Outcome:
    """The result of a verb, or the plan of a dry run."""

    values: Mapping[str, Any]
    """JSON values."""
    lines: str
    """What a person reads in the terminal."""

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return dict(self.values)

    def text(self) -> str:
        """The form for people."""
        return self.lines
