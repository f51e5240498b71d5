"""What an engine wrote, as OpenAI's completion objects: whole, or piece by piece. Knows nothing of HTTP."""

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, final

from ramekin.infer.request import Alternatives, Answered, Ending, Output, Wrote
from ramekin.serve.completions import Asked
from ramekin.serve.jobs import Told
from ramekin.serve.vocabulary import Placed, Vocabulary

__all__ = ["Chunks", "completion", "envelope", "finite"]

_LEAST: Final = -9999.0
"""What stands for the logarithm of 0, which JSON cannot hold."""
_REASONS: Final[dict[Ending, str]] = {"end": "stop", "stop": "stop", "length": "length"}


def envelope(kind: str, prefix: str, model: str) -> dict[str, Any]:
    """What all objects of one answer begin with.

    Args:
        kind: of object.
        prefix: of its id.
        model: that answers.
    """
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def completion(
    asked: Asked, outputs: Sequence[Sequence[Output]], *, model: str, vocabulary: Vocabulary
) -> dict[str, Any]:
    """The whole answer.

    Args:
        asked: what was asked.
        outputs: those of each prompt.
        model: its name.
        vocabulary: of the model.
    """
    choices = [
        {
            "index": place * asked.num_outputs + number,
            "text": output.text,
            "logprobs": _log_probs(Placed(vocabulary), output.tokens, output.log_probs, output.alternatives)
            if asked.log_probs
            else None,
            "finish_reason": _REASONS[output.ending],
        }
        for place, own in enumerate(outputs)
        for number, output in enumerate(own)
    ]
    written = sum(len(output.tokens) for own in outputs for output in own)
    return {
        **envelope("text_completion", "cmpl", model),
        **_notes(asked),
        "choices": choices,
        "usage": _usage(asked, written),
    }


@final
class Chunks:
    """The answer piece by piece.

    Args:
        asked: what was asked.
        model: its name.
        vocabulary: of the model.
        with_usage: whether a last chunk has the counts of tokens.
    """

    def __init__(self, asked: Asked, *, model: str, vocabulary: Vocabulary, with_usage: bool) -> None:
        self._asked, self._vocabulary, self._with_usage = asked, vocabulary, with_usage
        self._envelope = {**envelope("text_completion", "cmpl", model), **_notes(asked)}
        self._outputs: dict[tuple[int, int], _Sent] = {}
        self.written = 0
        """Tokens that came so far."""

    def of(self, told: Sequence[Told]) -> Iterator[dict[str, Any]]:
        """The chunks that tell what came."""
        for place, event in told:
            if isinstance(event, Wrote):
                yield from self._piece(place, event)
                continue
            yield from self._rest(place, event)

    def last(self) -> Iterator[dict[str, Any]]:
        """The chunk behind all others, if one was asked for."""
        if self._with_usage:
            yield {**self._envelope, "choices": [], "usage": _usage(self._asked, self.written)}

    def _sent(self, place: int, number: int) -> "_Sent":
        return self._outputs.setdefault((place, number), _Sent(self._vocabulary))

    def _piece(self, place: int, event: Wrote) -> Iterator[dict[str, Any]]:
        sent = self._sent(place, event.number)
        sent.characters += len(event.text)
        sent.tokens += len(event.tokens)
        self.written += len(event.tokens)
        sent.is_over = event.ending is not None
        shown = None
        if self._asked.log_probs:
            shown = _log_probs(sent.placed, event.tokens, event.log_probs, event.alternatives)
        if event.text or event.ending is not None or (shown and event.tokens):
            yield self._chunk(place, event.number, event.text, shown, event.ending)

    def _rest(self, place: int, event: Answered) -> Iterator[dict[str, Any]]:
        """What was not told before: all of it, where beams are searched."""
        for number, output in enumerate(event.outputs):
            sent = self._sent(place, number)
            if sent.is_over:
                continue
            piece = Wrote(
                event.ticket,
                number,
                output.text[sent.characters :],
                output.tokens[sent.tokens :],
                output.log_probs[sent.tokens :],
                output.alternatives[sent.tokens :],
                output.ending,
            )
            yield from self._piece(place, piece)

    def _chunk(
        self, place: int, number: int, text: str, shown: dict[str, Any] | None, ending: Ending | None
    ) -> dict[str, Any]:
        choice = {
            "index": place * self._asked.num_outputs + number,
            "text": text,
            "logprobs": shown,
            "finish_reason": None if ending is None else _REASONS[ending],
        }
        return {**self._envelope, "choices": [choice], **({"usage": None} if self._with_usage else {})}


@final
class _Sent:
    """How much of an output was sent."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.placed = Placed(vocabulary)
        self.characters = self.tokens = 0
        self.is_over = False


def finite(value: float) -> float:
    """A log-probability as JSON can hold it."""
    return max(value, _LEAST)


def _log_probs(
    placed: Placed,
    tokens: Sequence[int],
    log_probs: Sequence[float],
    alternatives: Sequence[Alternatives],
) -> dict[str, Any]:
    """OpenAI's legacy object: the token itself is among the likeliest, whether it is one of them or not."""
    found = [*alternatives, *[()] * (len(tokens) - len(alternatives))]
    likeliest = []
    places = []
    for token, value, others in zip(tokens, log_probs, found, strict=True):
        top = {placed.shown(token): finite(value)}
        for other, its_value in others:
            top.setdefault(placed.shown(other), finite(its_value))
        likeliest.append(top)
        places.append(placed.place(token))
    return {
        "tokens": [piece for piece, _ in places],
        "token_logprobs": list(map(finite, log_probs)),
        "top_logprobs": likeliest,
        "text_offset": [start for _, start in places],
    }


def _usage(asked: Asked, written: int) -> dict[str, int]:
    return {
        "prompt_tokens": asked.prompt_tokens,
        "completion_tokens": written,
        "total_tokens": asked.prompt_tokens + written,
    }


def _notes(asked: Asked) -> dict[str, Any]:
    """What is beside OpenAI's fields, where there is something to say."""
    found: dict[str, Any] = {} if asked.seed is None else {"seed": asked.seed}
    return {**found, "warnings": list(asked.warnings)} if asked.warnings else found
