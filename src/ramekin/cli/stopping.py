"""SIGTERM and Ctrl-C while a command runs: one line, and the exit code of a stop.

While training takes its steps `train.interrupt` is asked instead, which lets the step end. Knows nothing of
what is stopped: files are renamed into their place when they are whole, so that it may be anywhere.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, final

from typer.core import TyperGroup

from ramekin.errors import StoppedError
from ramekin.train.launched import launched_size

__all__ = ["StoppableVerbs", "stopped_by_signals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While open, the first SIGTERM or SIGINT ends the block; a second kills the process.

    Of several launched processes each ends at once, as the system has it, and the others miss it. Outside the
    main thread signals cannot be caught, and one that was ignored before stays so.

    Raises:
        StoppedError: a signal has come.
    """
    if launched_size() > 1 or threading.current_thread() is not threading.main_thread():
        yield
        return
    came = [signal.SIGINT]  # KeyboardInterrupt may be somebody else's

    def stop(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        came[0] = signal.Signals(number)
        raise KeyboardInterrupt  # no Exception: nothing on the way takes it for a failure to be passed over

    found = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: old for number, old in found.items() if old not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped by {came[0].name}", fix="run the same command again: what was finished is kept"
        ) from None
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@final
class StoppableVerbs(TyperGroup):
    """Verbs that signals stop; within typer, which makes an exit code of its own of Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """The verb that was named."""
        with stopped_by_signals():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that the first word names, or the first two: `merge inspect` is beside `merge`."""
        both = " ".join(args[:2])
        return super().resolve_command(ctx, [both, *args[2:]] if both in self.commands else args)
