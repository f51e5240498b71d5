"""A paper as a model is shown it, and how much of a file is looked at for it.

Knows no file format.
"""

from dataclasses import dataclass
from typing import final

__all__ = ["Limits", "Paper"]


@final
@dataclass(frozen=True, slots=True)
class Paper:
    """What is read of a paper: running text, without line breaks of the page."""

    title: str
    """Empty where none was found."""
    abstract: str
    introduction: str
    where: str
    """The file."""
    remarks: tuple[str, ...] = ()
    """What was guessed, left out or cut, a sentence each; empty where the file said everything itself."""

    @property
    def text(self) -> str:
        """Abstract and introduction, in which the answers to its questions should stand."""
        return f"{self.abstract}\n\n{self.introduction}"


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is read before it is refused or cut."""

    max_file_bytes: int = 64 << 20
    """A larger file is refused before it is opened."""
    max_pages: int = 400
    """Of a PDF; later pages are not looked at."""
    max_text_chars: int = 2_000_000
    """Of a PDF or a text file; what follows is not looked at."""
    timeout_seconds: float = 60.0
    """For a PDF as a whole."""
    max_memory_bytes: int = 1 << 30
    """Address space of the process that reads a PDF; no effect where the system does not limit it."""
