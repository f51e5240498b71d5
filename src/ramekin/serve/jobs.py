"""What a request has asked of an engine's thread, seen from the event loop.

A job is made by a `worker.Worker`, which feeds it; it is used in the event loop alone. Knows nothing of
threads, engines or HTTP.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar, final

from ramekin.infer.request import Answered, Output, Request, Wrote

__all__ = ["CancelledJobError", "Job", "Rank", "Scored", "Told", "Write", "log_probs_of", "outputs_of"]

W = TypeVar("W")
T = TypeVar("T")


@final
class CancelledJobError(Exception):
    """The job was given up, so that there is nothing to wait for."""


@final
class Write(NamedTuple):
    """Requests to write outputs for."""

    requests: tuple[Request, ...]
    streams: bool = False
    """Whether pieces are told as they come."""


@final
class Told(NamedTuple):
    """Something of one of the requests."""

    place: int
    """Which of them, from 0."""
    event: Wrote | Answered


@final
class Rank(NamedTuple):
    """Inputs whose options are scored."""

    inputs: tuple[Sequence[int], ...]
    options: tuple[Sequence[Sequence[int]], ...]


@final
class Scored(NamedTuple):
    """The log-probabilities of an input's options."""

    place: int
    """Which of the inputs, from 0."""
    log_probs: Sequence[float]


@final
class Job(Generic[W, T]):
    """Work under way, in parts.

    Args:
        work: what is asked.
        size: how many parts it has: places that it takes in a queue.
        on_cancel: told when nobody waits for it any more.
    """

    def __init__(self, work: W, size: int, on_cancel: "Callable[[Job[W, T]], None]") -> None:
        self.work: Final = work
        self.left = size
        """Parts that are not done yet."""
        self._on_cancel = on_cancel
        self._told: deque[T] = deque()
        self._woken = asyncio.Event()
        self._error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.left == 0 or self._error is not None

    async def news(self) -> list[T]:
        """All that was told since the last time, at least one; none when all parts are done.

        Raises:
            Exception: a part has failed, and with it the job, or it was cancelled.
        """
        if not self._told and not self.is_over:
            await self._woken.wait()
        self._woken.clear()
        found = list(self._told)
        self._told.clear()
        if not found and self._error is not None:
            raise self._error
        return found

    def cancel(self) -> None:
        """Give it up: its room is given to others. When it is over already, nothing."""
        if not self.is_over:
            self.fail(CancelledJobError())
            self._on_cancel(self)

    def tell(self, told: Sequence[T], *, done: int) -> None:
        """Something came of it.

        Args:
            told: what.
            done: how many parts are done with it.
        """
        if not self.is_over:
            self._told.extend(told)
            self.left -= done
            self._woken.set()

    def fail(self, error: Exception) -> None:
        """It came to nothing."""
        if not self.is_over:
            self._told.clear()
            self._error = error
            self._woken.set()


async def outputs_of(job: Job[Write, Told]) -> list[tuple[Output, ...]]:
    """The outputs of each request, when all are there.

    Raises:
        Exception: a request has failed.
    """
    found: dict[int, tuple[Output, ...]] = {}
    while told := await job.news():
        found |= {each.place: each.event.outputs for each in told if isinstance(each.event, Answered)}
    return [found[place] for place in range(len(job.work.requests))]


async def log_probs_of(job: Job[Rank, Scored]) -> list[Sequence[float]]:
    """The log-probabilities of the options of each input, when all are there.

    Raises:
        Exception: an input could not be scored.
    """
    found: dict[int, Sequence[float]] = {}
    while told := await job.news():
        found |= dict(told)
    return [found[place] for place in range(len(job.work.inputs))]
