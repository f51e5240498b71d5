"""What is scored together: examples of one task under one template, and the same as tokens.

An encoded set serves every model that shares the tokenizer. Knows nothing of models or scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from ramekin.errors import DataError, UsageError
from ramekin.evaluate.choices import ChoiceSet, check_rankable, encode_channel, encode_choices, encode_flipped
from ramekin.evaluate.mode import MODES, Mode
from ramekin.tensors.encode import EncodedSet, encode
from ramekin.tensors.tokenizer import decode, token_ids
from ramekin.text.example import Example
from ramekin.text.flip import Flipped
from ramekin.text.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["EncodedEvalSet", "EvalSet", "encode_sets", "rules_of"]


@final
@dataclass(frozen=True)
class EvalSet:
    """Examples of one task under one template that are scored together."""

    task: Task
    template: str
    split: str
    examples: tuple[Example, ...]
    origin: str
    """Where the records came from."""
    skipped: int = 0
    """Records that could not be read and were left out."""
    flipped: tuple[Flipped, ...] = ()
    """The same examples in flipped form, which a flipped mode ranks; empty where none does."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Options and the words that stand for them instead, for the report."""
    mode: Mode | None = None
    """Its own rules; None: those of the evaluation."""
    metric: str = ""
    """Its headline; empty: by the rules and the task."""
    shots: int = 0
    """Exemplars before each question, for the report."""
    pruned_exemplars: int = 0
    """Exemplars that did not fit, or were not there, of all examples together."""
    max_input_tokens: int | None = None
    """What its prompts are cut to; None: as the evaluation says."""
    label: str = ""
    """What tells it from a set of the same task, template and split."""

    @property
    def name(self) -> str:
        """`glue/rte#fusionbench/validation`."""
        return f"{self.task.name}#{self.template}/{self.split}" + (f" ({self.label})" if self.label else "")


@final
@dataclass(frozen=True)
class EncodedEvalSet:
    """An `EvalSet` as tokens; it serves every model that shares the tokenizer."""

    source: EvalSet
    mode: Mode
    """The rules that it was encoded for."""
    encoded: EncodedSet | ChoiceSet
    """What is asked: prompts, or, where options are ranked, choices."""
    golds: tuple[str, ...]
    """What answers are compared with, by the mode's rule."""
    changed_targets: int
    """Targets that do not survive encoding and decoding; see `TaskEvaluation`."""
    references: tuple[tuple[str, ...], ...]
    """For each example, what counts as right beside its gold, by the mode's rule."""

    @property
    def input_lengths(self) -> tuple[int, ...]:
        """The tokens of every input."""
        if isinstance(self.encoded, ChoiceSet):
            return tuple(len(q.input_ids) for choice in self.encoded.items for q in choice.questions)
        return tuple(len(item.input_ids) for item in self.encoded.items)


def encode_sets(
    sets: Sequence[EvalSet],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    mode: Mode | str = "fusionbench",
    max_input_tokens: int = 512,
) -> tuple[EncodedEvalSet, ...]:
    """Tokenise the sets and find what answers are compared with; see `evaluate`."""
    _check_sets(sets)
    rules = MODES[mode] if isinstance(mode, str) else mode
    return tuple(
        _encode_set(
            each,
            tokenizer,
            rules_of(each.examples, each.mode or rules),
            each.max_input_tokens or max_input_tokens,
        )
        for each in sets
    )


def rules_of(examples: Sequence[Example], mode: Mode) -> Mode:
    """The rules by which examples are scored: where some cannot be ranked and the mode allows it, they are
    written.
    """
    if not mode.ranks or mode.otherwise == "refuse":
        return mode
    rankable = (e.options and {e.targets, *e.references}.intersection(e.options) for e in examples)
    return mode if all(rankable) else mode.written()


def _check_sets(sets: Sequence[EvalSet]) -> None:
    seen: set[str] = set()
    for each in sets:
        if each.name in seen:
            raise UsageError(
                "the same examples are to be scored twice", where=each.name, fix="name them once"
            )
        seen.add(each.name)
        if not each.examples:
            raise DataError("there is nothing to score", where=each.name, expected="at least one example")


def _encode_set(
    each: EvalSet, tokenizer: "PreTrainedTokenizerFast", mode: Mode, max_input_tokens: int
) -> EncodedEvalSet:
    if mode.ranks:
        return _encode_ranked_set(each, tokenizer, mode, max_input_tokens)
    encoded = encode(
        each.examples,
        tokenizer,
        max_input_tokens=max_input_tokens,
        max_target_tokens=mode.max_target_tokens,
        input_eos=mode.input_eos,
    )
    decoded = {ids: decode(tokenizer, ids) for ids in {item.target_ids for item in encoded.items}}
    tripped = tuple(decoded[item.target_ids] for item in encoded.items)
    targets = tuple(example.targets for example in each.examples)
    changed = sum(map(str.__ne__, tripped, targets))
    if mode.gold == "round_trip":
        references = _round_trip(each.examples, tokenizer, mode.max_target_tokens)
        return EncodedEvalSet(each, mode, encoded, tripped, changed, references)
    references = tuple(example.references for example in each.examples)
    return EncodedEvalSet(each, mode, encoded, targets, changed, references)


def _encode_ranked_set(
    each: EvalSet, tokenizer: "PreTrainedTokenizerFast", mode: Mode, max_input_tokens: int
) -> EncodedEvalSet:
    if mode.direction == "flipped":
        check_rankable(each.examples, mode)
        if len(each.flipped) != len(each.examples):
            raise UsageError(
                f"mode '{mode.name}' ranks the flipped form of examples, which these do not have",
                where=each.name,
                expected=f"{len(each.examples)} flipped examples",
                got=str(len(each.flipped)),
                fix="give EvalSet.flipped: text.flip.flipped(*render_spans(…)) of each",
            )
        choices = encode_flipped(each.flipped, tokenizer, mode=mode, max_input_tokens=max_input_tokens)
    elif mode.direction == "channel":
        choices = encode_channel(each.examples, tokenizer, mode=mode, max_input_tokens=max_input_tokens)
    else:
        choices = encode_choices(each.examples, tokenizer, mode=mode, max_input_tokens=max_input_tokens)
    return EncodedEvalSet(
        each,
        mode,
        choices,
        golds=tuple(example.targets for example in each.examples),
        changed_targets=choices.unknown_targets,
        references=tuple(example.references for example in each.examples),
    )


def _round_trip(
    examples: Sequence[Example], tokenizer: "PreTrainedTokenizerFast", max_target_tokens: int
) -> tuple[tuple[str, ...], ...]:
    """The references encoded as targets are and decoded again; those that leave nothing are dropped."""
    texts = sorted({text for example in examples for text in example.references})
    ids = token_ids(tokenizer, texts)
    tripped = {
        text: decode(tokenizer, each[: max_target_tokens - 1]) for text, each in zip(texts, ids, strict=True)
    }
    return tuple(tuple(filter(None, map(tripped.__getitem__, e.references))) for e in examples)
