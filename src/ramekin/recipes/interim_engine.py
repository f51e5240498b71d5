"""An engine that answers a batch at a time by `infer.generate`, until the torch engine takes its place.

It streams nothing before the end, and refuses what `decode` cannot do. Knows nothing of HTTP.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from ramekin.errors import DataError, UsageError
from ramekin.infer.engine import AbstractEngine, Load
from ramekin.infer.generate import decode
from ramekin.infer.rank import rank
from ramekin.infer.request import Answered, Ending, Event, Output, Request, Wrote
from ramekin.tensors.tokenizer import EOS_ID
from ramekin.tensors.tokenizer import decode as text_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["InterimEngine"]


@final
class InterimEngine(AbstractEngine):
    """A model that answers all requests of like settings in one go.

    Args:
        model: an encoder-decoder.
        tokenizer: its own, nobody else's.
        batch_tokens: padded tokens in a batch.
    """

    def __init__(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", *, batch_tokens: int
    ) -> None:
        self._model, self._tokenizer, self._batch_tokens = model, tokenizer, batch_tokens
        self._waiting: dict[int, tuple[Request, bool]] = {}
        self._next = 0

    def add(self, request: Request, *, streams: bool = False) -> int:
        """Take a request."""
        if not request.input_ids:
            raise DataError("an input is empty", expected="at least one token")
        for name, asked in (
            ("form", request.form is not None),
            ("prefix", bool(request.prefix_ids)),
            ("logprobs", request.log_probs or request.num_alternatives > 0),
        ):
            if asked:
                raise UsageError("this engine cannot do it", where=name)
        self._next += 1
        self._waiting[self._next] = (request, streams)
        return self._next

    def cancel(self, ticket: int) -> None:
        """Forget a request."""
        self._waiting.pop(ticket, None)

    def step(self) -> list[Event]:
        """Answer the first request that waits, and all that are asked for like it."""
        if not self._waiting:
            return []
        first = next(iter(self._waiting.values()))[0]
        alike = {
            ticket: (request, streams)
            for ticket, (request, streams) in self._waiting.items()
            if (request.decoding, request.max_new_tokens) == (first.decoding, first.max_new_tokens)
        }
        for ticket in alike:
            del self._waiting[ticket]
        found = decode(
            self._model,
            [request.input_ids for request, _ in alike.values()],
            decoding=first.decoding,
            max_new_tokens=first.max_new_tokens,
            batch_tokens=self._batch_tokens,
        )
        events: list[Event] = []
        for (ticket, (request, streams)), own in zip(alike.items(), found, strict=True):
            outputs = tuple(self._output(tokens, request) for tokens in own)
            if streams:
                events += [
                    Wrote(ticket, number, each.text, each.tokens, ending=each.ending)
                    for number, each in enumerate(outputs)
                ]
            events.append(Answered(ticket, outputs))
        return events

    def rank(
        self, inputs: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[float]]:
        """The log-probability of each option given its input."""
        return rank(self._model, inputs, options, batch_tokens=self._batch_tokens)

    @property
    def load(self) -> Load:
        """What there is to do: between two steps nothing runs."""
        return Load(0, len(self._waiting), 0)

    def close(self) -> None:
        """Forget all requests."""
        self._waiting.clear()

    def _output(self, tokens: tuple[int, ...], request: Request) -> Output:
        text = text_of(self._tokenizer, tokens)
        ending: Ending = "end" if tokens and tokens[-1] == EOS_ID else "length"
        places = [text.find(stop) for stop in request.stop if stop in text]
        return Output(text[: min(places)], tokens, "stop") if places else Output(text, tokens, ending)
