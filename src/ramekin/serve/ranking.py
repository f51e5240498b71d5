"""From the body of a ranking to questions, and from log-probabilities to which option wins.

The rules are those of evaluations (`evaluate.mode`, `evaluate.choices`), so that a number here is the number
there. Modes that let the model write have nothing to rank; `flipped` needs to know which words of a prompt
are its instruction, which a text does not tell. Knows nothing of HTTP.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from ramekin.errors import DataError
from ramekin.evaluate.choices import ChoiceSet, choose, encode_channel, encode_choices
from ramekin.evaluate.mode import MODES, Mode
from ramekin.registry import unknown_name
from ramekin.serve.answers import envelope, finite
from ramekin.serve.asked import RankBody
from ramekin.serve.completions import check_lengths
from ramekin.serve.limits import Limits
from ramekin.serve.refusals import RefusalError, refuse
from ramekin.serve.service import Served
from ramekin.tensors.tokenizer import token_ids
from ramekin.text.example import Example, Provenance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["RANK_MODES", "Questions", "ranking", "read_ranking"]

RANK_MODES: Final = ("rank", "t0", "lm_eval", "flan", "channel")
"""The modes that a text and its options are enough for."""


@final
@dataclass(frozen=True, slots=True)
class Questions:
    """What a ranking asks of an engine: inputs, and what is scored given each."""

    mode: Mode
    choices: ChoiceSet

    @property
    def inputs(self) -> list[Sequence[int]]:
        """The token ids of each input."""
        return [each.input_ids for choice in self.choices.items for each in choice.questions]

    @property
    def options(self) -> list[Sequence[Sequence[int]]]:
        """The token ids of all that is scored given it."""
        return [each.scored for choice in self.choices.items for each in choice.questions]

    @property
    def input_tokens(self) -> int:
        """Of all inputs."""
        return sum(map(len, self.inputs))

    @property
    def scored_tokens(self) -> int:
        """Of all that is scored."""
        return sum(len(ids) for options in self.options for ids in options)


async def read_ranking(body: RankBody, served: Served, limits: Limits) -> Questions:
    """What a body asks.

    Raises:
        RefusalError: a field is out of its bounds, or says nothing that could be ranked.
    """
    mode = _mode(body.mode, input_eos=served.model.input_eos)
    inputs = [body.inputs] if isinstance(body.inputs, str) else list(body.inputs)
    if not 1 <= len(inputs) <= limits.prompts:
        raise refuse(400, "the number of inputs is out of its bounds", param="inputs", got=str(len(inputs)),
                     expected=f"1 to {limits.prompts}")  # fmt: skip
    options = _options(body.options, len(inputs), limits)
    found = await served.vocabulary.with_tokenizer(
        lambda tokenizer: _questions(inputs, options, mode, tokenizer, limits)
    )
    if found.scored_tokens > limits.scored_tokens:
        raise refuse(
            400,
            "the options have too many tokens together",
            param="options",
            expected=f"at most {limits.scored_tokens}",
            got=str(found.scored_tokens),
            fix="send several requests",
        )
    return found


def ranking(
    body: RankBody, questions: Questions, log_probs: Sequence[Sequence[float]], *, model: str
) -> dict[str, Any]:
    """The whole answer.

    Args:
        body: what was asked.
        questions: as the engine got them.
        log_probs: what it found for each.
        model: its name.
    """
    left = iter(log_probs)
    results = []
    for place, choice in enumerate(questions.choices.items):
        values = [value for _ in choice.questions for value in next(left)]
        answer = choose(choice, values)
        scores = [finite(answer.scores[option]) for option in choice.options]
        results.append(
            {
                "index": place,
                "winner": answer.text,
                "winner_index": choice.options.index(answer.text),
                "is_tied": answer.is_tied,
                "options": [
                    {"text": text, "log_prob": finite(value), "score": score, "probability": probability}
                    for text, value, score, probability in zip(
                        choice.options, values, scores, _softmax(scores), strict=False
                    )
                ],
                "other_winners": dict(answer.others),
            }
        )
    answer_of_all = {
        **envelope("rank", "rank", model),
        "mode": questions.mode.name,
        "results": results,
        "usage": {
            "prompt_tokens": questions.input_tokens,
            "scored_tokens": questions.scored_tokens,
            "total_tokens": questions.input_tokens + questions.scored_tokens,
        },
    }
    unknown = questions.choices.unknown_inputs + questions.choices.unknown_targets
    if unknown:
        answer_of_all["warnings"] = [
            f"{questions.choices.unknown_inputs} inputs, and the options of "
            f"{questions.choices.unknown_targets}, have tokens for what the vocabulary does not know"
        ]
    return answer_of_all


def _mode(name: str | None, *, input_eos: bool) -> Mode:
    if name is None:
        return MODES["rank" if input_eos else "t0"]
    if name in RANK_MODES:
        return MODES[name]
    if name in MODES:
        raise refuse(
            400,
            f"mode {name} cannot be asked of a text and its options",
            param="mode",
            expected=f"one of {', '.join(RANK_MODES)}",
            fix="ramekin evaluate has it, for tasks",
        )
    raise RefusalError(400, unknown_name("mode", name[:40], RANK_MODES), param="mode")


def _options(options: Any, count: int, limits: Limits) -> list[tuple[str, ...]]:
    """Those of each input."""
    own = not options or isinstance(options[0], str)
    lists = [tuple(options)] * count if own else [tuple(each) for each in options]
    if len(lists) != count:
        raise refuse(400, "inputs and lists of options differ in number", param="options",
                     expected=f"{count} lists, or one of texts", got=str(len(lists)))  # fmt: skip
    for place, each in enumerate(lists[:1] if own else lists):
        where = "options" if own else f"options[{place}]"
        if not 1 <= len(each) <= limits.options:
            raise refuse(400, "the number of options is out of its bounds", param=where, got=str(len(each)),
                         expected=f"1 to {limits.options}")  # fmt: skip
        if len(set(each)) < len(each):
            raise refuse(400, "an option is given twice", param=where)
    return lists


def _questions(
    inputs: Sequence[str],
    options: Sequence[tuple[str, ...]],
    mode: Mode,
    tokenizer: "PreTrainedTokenizerFast",
    limits: Limits,
) -> Questions:
    end = int(mode.input_eos)
    # In a channel the inputs are what is scored, and are bounded as such.
    check_lengths(
        "inputs", [[*ids, *[1] * end] if ids else [] for ids in token_ids(tokenizer, inputs)], limits
    )
    examples = [
        Example(text, own[0], own, Provenance("request", "rank", "inputs", row))
        for row, (text, own) in enumerate(zip(inputs, options, strict=True))
    ]
    encode = encode_channel if mode.direction == "channel" else encode_choices
    try:
        found = encode(examples, tokenizer, mode=mode, max_input_tokens=limits.prompt_tokens)
    except DataError as error:
        raise _about_input(error) from error
    if found.truncated_inputs or found.truncated_targets:
        turned = mode.direction == "channel"
        raise refuse(
            400,
            "what is scored is too long, and is not cut",
            param="inputs" if turned else "options",
            expected=f"at most {mode.max_target_tokens} tokens",
        )
    return Questions(mode, found)


def _about_input(error: DataError) -> RefusalError:
    """The same, with the place in the body in place of the example's name."""
    row = re.search(r"/(\d+)$", error.where or "")
    where = f"options of inputs[{row[1]}]" if row else "options"
    return refuse(400, error.what, param=where, expected=error.expected, got=error.got)


def _softmax(scores: Sequence[float]) -> list[float]:
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]
