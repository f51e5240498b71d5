"""Progress on the terminal: stages with a bar, their rate and the time left, on stderr.

Where stderr is no terminal, one line a stage is printed instead of a moving bar.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from ramekin.recipes.progress import AbstractProgress, AbstractStage, SilentProgress
from ramekin.train.launched import launched_rank

__all__ = ["terminal_progress"]


@contextmanager
def terminal_progress() -> Iterator[AbstractProgress]:
    """Progress for the block: bars on a terminal, lines elsewhere; of several processes only the first's."""
    if launched_rank() > 0:
        yield SilentProgress()
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    bars = Progress(
        TextColumn("{task.description:<34.34}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:>6.0f}/{task.total:<6.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=Console(stderr=True),
    )
    with bars:
        yield _Bars(bars)


@final
class _Bars(AbstractProgress):
    """Rich's progress bars, one a stage."""

    shows_several = True

    def __init__(self, bars: "object") -> None:
        self._bars = bars

    @contextmanager
    def stage(self, title: str, total: int = 1) -> Iterator[AbstractStage]:
        task = self._bars.add_task(title, total=max(total, 1), note="")  # type: ignore[attr-defined]
        yield _BarStage(self._bars, task)
        done = max(total, 1)
        self._bars.update(task, completed=done, total=done, note="")  # type: ignore[attr-defined]

    def say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False)  # type: ignore[attr-defined]


@final
class _BarStage(AbstractStage):
    def __init__(self, bars: "object", task: "object") -> None:
        self._bars, self._task = bars, task

    def advance(self, count: float = 1, note: str = "") -> None:
        self._bars.update(self._task, advance=count, note=note)  # type: ignore[attr-defined]


@final
class _Lines(AbstractProgress):
    """A line when a stage ends, for logs."""

    @contextmanager
    def stage(self, title: str, total: int = 1) -> Iterator[AbstractStage]:
        start = time.perf_counter()
        stage = _LineStage(title, total)
        yield stage
        self.say(f"{title}: {time.perf_counter() - start:.1f} s")

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@final
class _LineStage(AbstractStage):
    """Says how far a long stage is, every ten seconds."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done, self._said = title, total, 0.0, time.perf_counter()

    def advance(self, count: float = 1, note: str = "") -> None:
        self._done += count
        if time.perf_counter() - self._said > 10:
            self._said = time.perf_counter()
            sys.stderr.write(f"{self._title}: {self._done:.0f}/{self._total} {note}\n")
            sys.stderr.flush()
