"""How a recipe says what it is doing, without knowing who listens."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, ClassVar, Final, final

if TYPE_CHECKING:
    from ramekin.evaluate.answering import Progress

__all__ = ["AbstractProgress", "AbstractStage", "SilentProgress", "answering", "reading"]

_SECONDS_BETWEEN = 0.1
_MAX_PARTS: Final = 16
"""More bars than these would push the first ones off a screen."""


class AbstractStage(ABC):
    """One stage under way."""

    @abstractmethod
    def advance(self, count: float = 1, note: str = "") -> None:
        """So much more is done; `note` is a short word on the present state."""


class AbstractProgress(ABC):
    """Stages and sentences for whoever watches a run."""

    shows_several: ClassVar[bool] = False
    """Whether stages that are under way together stand one below the other."""

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


@contextmanager
def reading(progress: AbstractProgress, title: str) -> Iterator[Callable[[int, int], None]]:
    """A stage that reads: what it gives is told the bytes read so far and in all, and shows the time left."""
    started = time.perf_counter()
    with progress.stage(title, total=100) as stage:
        shown, said = 0.0, started

        def on_read(done: int, total: int) -> None:
            nonlocal shown, said
            now = time.perf_counter()
            if now - said < _SECONDS_BETWEEN and done < total:
                return  # told ten thousand times a second, a bar takes longer than what it shows
            said = now
            percent = 100 * done / max(1, total)
            rate = done / max(1e-9, now - started)
            left = f", {(total - done) / rate:.0f} s left" if 0 < done < total else ""
            stage.advance(
                percent - shown, f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB, {rate / 1e6:,.0f} MB/s{left}"
            )
            shown = percent

        yield on_read


@contextmanager
def answering(
    progress: AbstractProgress, title: str, parts: Sequence[tuple[str, int]] = ()
) -> Iterator[Callable[["Progress"], None]]:
    """A stage that puts examples to a model: what it gives is told how far it is, and shows the time left.

    The bar is of the work, in tokens, since the longest examples come first.

    Args:
        progress: where it is told.
        title: of the stage.
        parts: the sets by name with their rows: each has a bar of its own with the time left, where several
            can be shown, or else a sentence when it is done. None: the stage alone.
    """
    started = time.perf_counter()
    with progress.stage(title, total=100) as stage, ExitStack() as stack:
        has_bars = progress.shows_several and len(parts) <= _MAX_PARTS
        bars = [stack.enter_context(progress.stage(f"  {name}", rows)) for name, rows in parts if has_bars]
        shown, before = 0.0, [0] * len(parts)

        def on_progress(now: "Progress") -> None:
            nonlocal shown
            elapsed = time.perf_counter() - started
            left = f", {elapsed / now.share - elapsed:.0f} s left" if 0 < now.share < 1 else ""
            done = sum(answered == total for answered, total in now.sets)
            note = f"{now.answered:,} of {now.total:,} rows, {done} of {len(now.sets)} sets{left}"
            stage.advance(100 * now.share - shown, note)
            shown = 100 * now.share
            for place, (name, rows) in enumerate(parts):
                answered = now.sets[place][0]
                if has_bars:
                    bars[place].advance(answered - before[place])
                elif before[place] < answered == rows:
                    progress.say(f"{name}: {rows:,} rows answered")
                before[place] = answered

        yield on_progress
