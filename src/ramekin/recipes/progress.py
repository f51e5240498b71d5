"""How a recipe says what it is doing, without knowing who listens."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import final

__all__ = ["AbstractProgress", "AbstractStage", "SilentProgress"]


class AbstractStage(ABC):
    """One stage under way."""

    @abstractmethod
    def advance(self, count: float = 1, note: str = "") -> None:
        """So much more is done; `note` is a short word on the present state."""


class AbstractProgress(ABC):
    """Stages and sentences for whoever watches a run."""

    @abstractmethod
    def stage(self, title: str, total: int = 1) -> AbstractContextManager[AbstractStage]:
        """A stage of `total` steps, which ends with the block."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Something a person should read, such as a warning."""


@final
class SilentProgress(AbstractProgress):
    """Says nothing."""

    @contextmanager
    def stage(self, title: str, total: int = 1) -> Iterator[AbstractStage]:
        """A stage that nobody sees."""
        yield _SilentStage()

    def say(self, text: str) -> None:
        """Nothing."""


@final
class _SilentStage(AbstractStage):
    def advance(self, count: float = 1, note: str = "") -> None:
        """Nothing."""
