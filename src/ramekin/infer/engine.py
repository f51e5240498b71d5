"""An engine takes requests at any time and answers them step by step, many at once.

One interface for two backends: `torch_engine` and `ctranslate_engine`. An engine is used from one thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from ramekin.errors import UsageError
from ramekin.infer.request import Event, Failed, Output, Request, Wrote

__all__ = ["AbstractEngine", "Load"]


@final
@dataclass(frozen=True, slots=True)
class Load:
    """What an engine has to do at the moment."""

    running: int
    """Requests that are being answered."""
    waiting: int
    """Requests that wait for room."""
    tokens: int
    """Tokens that the running ones may take: of inputs, and of all outputs at their longest."""


class AbstractEngine(ABC):
    """A loaded model that writes and ranks.

    What a request is answered does not depend on what else is under way (rounding aside).
    """

    @abstractmethod
    def add(self, request: Request, *, streams: bool = False) -> int:
        """Take a request, which waits until there is room for it; returns its ticket.

        Args:
            request: what is asked.
            streams: whether `Wrote` is told as outputs get longer, and not only `Answered` at the end.

        Raises:
            UsageError: the request asks for what this backend or model cannot do.
            DataError: its input is empty or has tokens that the model does not know.
        """

    @abstractmethod
    def cancel(self, ticket: int) -> None:
        """Forget a request: its room is free at once, nothing more is told of it. Unknown: ignored."""

    @abstractmethod
    def step(self) -> list[Event]:
        """Work on for a moment, a token of all running requests for example, and tell what came of it.

        With nothing to do it returns at once.
        """

    def answer(self, requests: Sequence[Request]) -> list[tuple[Output, ...]]:
        """Answer some requests and wait for them: the outputs of each, in their order.

        Raises:
            UsageError: others are under way, or a request asks for what this backend or model cannot do.
            RamekinError: one could not be answered; the others are forgotten.
        """
        if self.load.running or self.load.waiting:
            raise UsageError("the engine has other requests under way", fix="add and step, or another engine")
        places: dict[int, int] = {}
        answers: dict[int, tuple[Output, ...]] = {}
        try:
            for place, request in enumerate(requests):
                places[self.add(request)] = place
            while len(answers) < len(requests):
                for event in self.step():
                    if isinstance(event, Failed):
                        raise event.error
                    assert not isinstance(event, Wrote), "told of requests that stream alone"
                    answers[places.pop(event.ticket)] = event.outputs
        finally:
            for ticket in places:
                self.cancel(ticket)
        return [answers[place] for place in range(len(requests))]

    @abstractmethod
    def rank(
        self, inputs: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """The log-probability of each option given its input, as `infer.rank.rank` has it."""

    @property
    @abstractmethod
    def load(self) -> Load:
        """What there is to do."""

    @property
    @abstractmethod
    def pair_bytes(self) -> int:
        """Bytes that reading an input takes for each pair of its tokens; 0: memory grows with its length."""

    @abstractmethod
    def close(self) -> None:
        """Forget all requests and let go of the model."""
