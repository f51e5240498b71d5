"""Examples to token ids, with everything that did not fit or was not known counted.

It knows nothing of tensors or batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ramekin.errors import DataError, UsageError
from ramekin.tensors.shorten import shortened, token_fields
from ramekin.tensors.tokenizer import EOS_ID, distinct_ids, has_unknown, token_ids, token_offsets
from ramekin.text.example import Example, Provenance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Encoded", "EncodedSet", "cut", "encode"]


@final
@dataclass(frozen=True, slots=True)
class Encoded:
    """An example as ids; both sides end with `</s>` (the inputs only if asked)."""

    input_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    provenance: Provenance
    wrong_input_ids: tuple[int, ...] = ()
    """In flipped learning, the inputs under a wrong label; they ride in the same batch."""

    @property
    def lengths(self) -> tuple[int, int]:
        """(input tokens, target tokens); of the longer inputs, where there are two."""
        return max(len(self.input_ids), len(self.wrong_input_ids)), len(self.target_ids)

    @property
    def tokens(self) -> int:
        """Tokens that are computed: of both inputs, where there are two, and of the targets of each."""
        return len(self.input_ids) + len(self.wrong_input_ids) + self.rows * len(self.target_ids)

    @property
    def rows(self) -> int:
        """How many rows of a batch it takes."""
        return 2 if self.wrong_input_ids else 1


@final
@dataclass(frozen=True, slots=True)
class EncodedSet:
    """Encoded examples, in order, and how many of them lost something on the way."""

    items: tuple[Encoded, ...]
    truncated_inputs: int
    """Examples whose inputs were cut."""
    truncated_targets: int
    """Examples whose targets were cut at the right end."""
    unknown_inputs: int
    """Examples with an `<unk>` in their inputs."""
    unknown_targets: int
    """Examples with an `<unk>` in their targets: a model cannot write those, nor be scored on them."""
    indistinct_labels: int = 0
    """Flipped examples that were left out: their inputs are the same to the model under either label."""
    input_tokens: int = 0
    """Tokens of all inputs before any were cut, `</s>` not counted."""
    lost_tokens: int = 0
    """How many of them were cut."""
    lost_from_fields: int = 0
    """How many of those were the record's own words; the others were lost at the right end."""


def encode(
    examples: Sequence[Example],
    tokenizer: "PreTrainedTokenizerFast",
    *,
    max_input_tokens: int = 512,
    max_target_tokens: int = 128,
    input_eos: bool = True,
) -> EncodedSet:
    """Tokenise examples.

    Args:
        examples: in the order wanted.
        tokenizer: from `load_tokenizer` or `train_tokenizer`.
        max_input_tokens: inputs longer than this, `</s>` included, are cut and counted. An example that
            says which words are the record's own (`fields`) loses the ends of those, the longest field first,
            and keeps its instruction. Where it says nothing, or that is not enough, what is left is cut at
            the right end, before the example's `ending`.
        max_target_tokens: the same for targets.
        input_eos: whether inputs end with `</s>` (T5 and Flan-T5 do, T0 does not).

    Raises:
        DataError: an example has no target tokens, or no input tokens at all; it is named.
        UsageError: a limit has no room for a token and `</s>`.
    """
    _check_limit("max_input_tokens", max_input_tokens)
    _check_limit("max_target_tokens", max_target_tokens)
    inputs = token_ids(tokenizer, [example.inputs for example in examples])
    targets = token_ids(tokenizer, [example.targets for example in examples])
    wrong = distinct_ids(tokenizer, (example.wrong_inputs for example in examples))
    ends = distinct_ids(tokenizer, (text for each in examples for text in (each.ending, each.wrong_ending)))
    for example, input_ids, target_ids in zip(examples, inputs, targets, strict=True):
        _check_example(example, input_ids, target_ids, input_eos=input_eos)
    input_room = max_input_tokens - int(input_eos)
    target_room = max_target_tokens - 1
    input_end = (EOS_ID,) if input_eos else ()
    items = []
    from_fields = lost = 0
    for example, i, t in zip(examples, inputs, targets, strict=True):
        shorter = _with_shorter_fields(example, i, tokenizer, input_room)
        right = (*cut(shorter, len(ends[example.ending]), input_room), *input_end)
        from_fields += len(i) - len(shorter)
        lost += len(i) - len(right) + len(input_end)
        other: tuple[int, ...] = ()
        if example.wrong_inputs:
            w = wrong[example.wrong_inputs]
            other = (*cut(w, len(ends[example.wrong_ending]), input_room), *input_end)
            lost += len(w) - len(other) + len(input_end)
        items.append(Encoded(right, (*t[:target_room], EOS_ID), example.provenance, other))
    # What follows from the right label must not be denied under the same words.
    told = tuple(item for item in items if item.wrong_input_ids != item.input_ids)
    return EncodedSet(
        items=told,
        truncated_inputs=sum(
            max(len(i), len(wrong[example.wrong_inputs])) > input_room
            for example, i in zip(examples, inputs, strict=True)
        ),
        truncated_targets=sum(len(ids) > target_room for ids in targets),
        unknown_inputs=sum(map(has_unknown, inputs)),
        unknown_targets=sum(map(has_unknown, targets)),
        indistinct_labels=len(items) - len(told),
        input_tokens=sum(
            len(i) + len(wrong[example.wrong_inputs]) for example, i in zip(examples, inputs, strict=True)
        ),
        lost_tokens=lost,
        lost_from_fields=from_fields,
    )


def _with_shorter_fields(
    example: Example, ids: Sequence[int], tokenizer: "PreTrainedTokenizerFast", room: int
) -> Sequence[int]:
    """The ids, without the ends of the record's own words where there are too many and it is known which."""
    if len(ids) <= room or not example.fields:
        return ids
    offsets = token_offsets(tokenizer, example.inputs)
    return shortened(ids, token_fields(example.inputs, offsets, example.fields), room)


def cut(ids: Sequence[int], kept: int, room: int) -> Sequence[int]:
    """At most `room` of the ids, the last `kept` among them.

    >>> cut([1, 2, 3, 4, 5], 2, 3)
    [1, 4, 5]
    """
    if len(ids) <= room:
        return ids
    kept = min(kept, room)
    return [*ids[: room - kept], *ids[len(ids) - kept :]]


def _check_limit(name: str, limit: int) -> None:
    if limit < 2:
        raise UsageError(
            "the limit has no room for a token and </s>", where=name, expected=">= 2", got=str(limit)
        )


def _check_example(
    example: Example, input_ids: Sequence[int], target_ids: Sequence[int], *, input_eos: bool
) -> None:
    if not target_ids:
        raise DataError(
            "the target is empty after tokenising",
            where=example.provenance.id,
            expected="at least one token",
            got=repr(example.targets),
            fix="correct the row or its template, or skip rows without an answer",
        )
    if not input_ids and not input_eos:
        raise DataError(
            "the input is empty after tokenising",
            where=example.provenance.id,
            expected="at least one token",
            got=repr(example.inputs),
            fix="correct the row or its template, or encode with input_eos=true",
        )
