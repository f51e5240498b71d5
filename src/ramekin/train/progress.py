"""A progress bar on stderr: step, loss, rate and time left.

It listens to the loop's events; the loop knows nothing of it.
"""

import time
from types import TracebackType
from typing import TYPE_CHECKING, final

from ramekin.train.events import EvalDone, Notice, StepDone, TrainEvent

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["BarReporter", "duration_text"]

_INTERVAL_SECONDS = 0.1
"""A step of a small model takes milliseconds; drawing each would slow it down."""


@final
class BarReporter:
    """A `Progress` that draws a bar; use it as a context.

    Args:
        title: shown before the bar.
        console: a rich console; stderr by default.
    """

    def __init__(self, title: str = "train", *, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
        )
        self._bar = Progress(*columns, console=console or Console(stderr=True))
        self._task = self._bar.add_task(title, total=None, numbers="")
        self._drawn = -_INTERVAL_SECONDS

    def __enter__(self) -> "BarReporter":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: TrainEvent) -> None:
        """Draw an event."""
        match event:
            case StepDone():
                self._step(event)
            case EvalDone():
                shown = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
                self._bar.console.print(f"step {event.step}: {shown}", markup=False, highlight=False)
            case Notice():
                self._bar.console.print(f"step {event.step}: {event.message}", markup=False, highlight=False)

    def _step(self, event: StepDone) -> None:
        now = time.monotonic()
        if now - self._drawn < _INTERVAL_SECONDS and event.step != event.total_steps:
            return
        self._drawn = now
        numbers = (
            f"loss {event.loss:.4f}  {event.examples_per_second:.0f} examples/s  "
            f"{duration_text(event.eta_seconds)} left"
        )
        self._bar.update(self._task, total=event.total_steps, completed=event.step, numbers=numbers)


def duration_text(seconds: float) -> str:
    """Seconds as a person writes them.

    >>> duration_text(7.4), duration_text(75), duration_text(7500)
    ('7 s', '1 min 15 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
