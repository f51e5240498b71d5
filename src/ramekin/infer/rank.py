"""The log-probability of every option of many inputs: each distinct input is encoded once for all of them.

Which inputs share a batch, and in which order they come, does not change a log-probability (rounding aside,
1e-5). Knows nothing of texts, tasks or of how a winner is chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, final

import torch

from ramekin.errors import DataError
from ramekin.infer.layers import Layers
from ramekin.infer.option_tree import OptionTree, Tokens, option_trees
from ramekin.infer.ready import check_inputs, in_evaluation_mode, refuse_fp16, start_token
from ramekin.infer.score_trees import tree_log_probs
from ramekin.tensors.collate import collate_inputs
from ramekin.tensors.plan import batches_by_lengths

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["OnRanked", "Ranked", "rank"]

_MAX_NODES = 256
"""Nodes of one pass; an input whose options have more is decoded in several over the same encoder states.

Positions that ask one input for texts of their own (the prompts of a channel, under one label) share it up to
so many tokens of these, so that answers come, and are kept, batch by batch."""


@final
@dataclass(frozen=True, slots=True)
class Ranked:
    """One batch that has been scored."""

    indices: tuple[int, ...]
    """Positions in `inputs` that the batch answers, repeats of an input included."""
    log_probs: tuple[tuple[float, ...], ...]
    """Those of the options of each, in the order of its options."""


OnRanked: TypeAlias = Callable[[Ranked], None]
"""Told of every batch as it is finished."""


def rank(
    model: "PreTrainedModel",
    inputs: Sequence[Sequence[int]],
    options: Sequence[Sequence[Sequence[int]]],
    *,
    batch_tokens: int,
    pad_id: int = 0,
    known: Mapping[int, Sequence[float]] | None = None,
    on_batch: OnRanked | None = None,
) -> list[list[float]]:
    """Score the options of every input: log p(option | input), the sum over the option's tokens.

    The model is put into evaluation mode and back. Batches depend on `inputs`, `options` and `batch_tokens`
    alone, so a run that continues from `known` answers computes the missing ones in the very batches, and
    thus with the very rounding, of a run without interruption. Equal options of an input are scored once,
    and what options begin with in common is decoded once.

    Args:
        model: an encoder-decoder in fp32 or bf16.
        inputs: token ids of each input, with its `</s>` where the model expects one; any length.
        options: for each input, the token ids of its options, with their `</s>` where it is to count; any
            number of options, and different numbers for different inputs.
        batch_tokens: padded tokens in a batch, inputs and options together; an input that alone exceeds it
            gets a batch of its own.
        pad_id: of the padding.
        known: answers that are there already, by position in `inputs`; a batch whose every answer is known
            is not computed.
        on_batch: called after each batch that was computed.

    Returns:
        For each input the log-probabilities of its options, natural logarithms, summed over fp32 values;
        none for an input without options.

    Raises:
        DataError: an input or an option is empty, or there are not as many lists of options as inputs.
        UsageError: `batch_tokens` is below 1.
        WeightsError: the logits are not finite, the weights are fp16, or there is no start token.
    """
    _check_request(inputs, options)
    start_id = start_token(model)
    refuse_fp16(model)
    questions = _questions(inputs, options, start_id)
    plan = batches_by_lengths([each.lengths for each in questions], max_tokens=batch_tokens)
    answers: dict[int, list[float]] = {index: list(values) for index, values in (known or {}).items()}
    with in_evaluation_mode(model):
        layers = Layers(model)
        for batch in plan:
            asked = [questions[place] for place in batch]
            if all(index in answers for each in asked for index in each.places):
                continue
            ranked = _spread(asked, _rank_batch(layers, asked, pad_id))
            for index, values in zip(ranked.indices, ranked.log_probs, strict=True):
                answers.setdefault(index, list(values))
            if on_batch is not None:
                on_batch(ranked)
    return [answers.get(index, []) for index in range(len(inputs))]


@final
@dataclass(frozen=True, slots=True)
class _Question:
    """A distinct input with everything that is asked of it."""

    input_ids: Tokens
    trees: tuple[OptionTree, ...]
    places: Mapping[int, Sequence[Tokens]]
    """The positions that ask, and the options of each."""

    @property
    def lengths(self) -> tuple[int, int]:
        """(input tokens, nodes of the largest tree)."""
        return len(self.input_ids), len(self.trees[0].tokens)


@final
@dataclass(slots=True)
class _Asking:
    """The positions of one input, and their options as they are collected."""

    options: dict[Tokens, None] = field(default_factory=dict)
    places: dict[int, list[Tokens]] = field(default_factory=dict)

    def has_room(self, wanted: Sequence[Tokens]) -> bool:
        """Whether a position that asks for these options may share the input."""
        new = set(wanted) - self.options.keys()
        return not (new and self.options) or sum(map(len, {*self.options, *new})) <= _MAX_NODES


def _questions(
    inputs: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]], start_id: int
) -> list[_Question]:
    """The inputs that have options, each once while it has room; those with the same options share trees."""
    askings: list[tuple[Tokens, _Asking]] = []
    latest: dict[Tokens, _Asking] = {}
    for index, (ids, choices) in enumerate(zip(inputs, options, strict=True)):
        if choices:
            wanted, key = [tuple(choice) for choice in choices], tuple(ids)
            if key not in latest or not latest[key].has_room(wanted):
                latest[key] = _Asking()
                askings.append((key, latest[key]))
            latest[key].places[index] = wanted
            latest[key].options.update(dict.fromkeys(wanted))
    made: dict[tuple[Tokens, ...], tuple[OptionTree, ...]] = {}
    questions = []
    for key, asking in askings:
        distinct = tuple(asking.options)
        if distinct not in made:
            made[distinct] = option_trees(distinct, start_id=start_id, max_nodes=_MAX_NODES)
        questions.append(_Question(key, made[distinct], asking.places))
    return questions


@torch.inference_mode()
def _rank_batch(layers: Layers, asked: Sequence[_Question], pad_id: int) -> list[dict[Tokens, float]]:
    """The log-probability of every option of every question; the encoder runs once."""
    device = layers.device
    input_ids, mask = collate_inputs([each.input_ids for each in asked], pad_id=pad_id)
    read = layers.read(input_ids.to(device), mask.to(device))
    found: list[dict[Tokens, float]] = [{} for _ in asked]
    slots, part = list(range(len(asked))), 0
    while slots:
        trees = [asked[slot].trees[part] for slot in slots]
        scored = tree_log_probs(layers, read, trees, pad_id=pad_id)
        for slot, tree, values in zip(slots, trees, scored, strict=True):
            found[slot].update(zip(tree.options, values, strict=True))
        part += 1
        going = [place for place, slot in enumerate(slots) if part < len(asked[slot].trees)]
        if 0 < len(going) < len(slots):
            read.keep(going)
        slots = [slots[place] for place in going]
    return found


def _spread(asked: Sequence[_Question], found: Sequence[Mapping[Tokens, float]]) -> Ranked:
    """Give its options' log-probabilities to every position that asked."""
    pairs = [
        (index, tuple(values[option] for option in options))
        for each, values in zip(asked, found, strict=True)
        for index, options in each.places.items()
    ]
    return Ranked(tuple(index for index, _ in pairs), tuple(values for _, values in pairs))


def _check_request(inputs: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]) -> None:
    check_inputs(inputs)
    if len(options) != len(inputs):
        raise DataError(
            "inputs and options differ in number",
            expected=f"{len(inputs)} lists of options",
            got=str(len(options)),
        )
    for index, choices in enumerate(options):
        for number, option in enumerate(choices):
            if not len(option):
                raise DataError(
                    "an option has no tokens",
                    where=f"input {index}, option {number}",
                    expected="at least one",
                )
