"""Decoding of many inputs: each distinct input is encoded once, in length-sorted batches with true masks.

Greedy tokens are those of transformers' `generate(do_sample=False, num_beams=1, max_new_tokens=N)`, those of
beam search of `num_beams=k, early_stopping=False`; samples have the distribution of `do_sample=True` with no
filter that was not asked for. Which inputs share a batch does not change an output (near-ties of two logits,
and draws within rounding of the border between two tokens, aside). Knows nothing of texts, tasks or answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

from ramekin.errors import DataError, UsageError
from ramekin.infer.continuous_batch import ContinuousBatch
from ramekin.infer.decoding import GREEDY, Decoding
from ramekin.infer.layers import Layers
from ramekin.infer.linear import Packed
from ramekin.infer.ready import check_beams, check_inputs, in_evaluation_mode, refuse_fp16, start_token
from ramekin.infer.request import Request
from ramekin.infer.writing import begin
from ramekin.tensors.plan import filled_batches

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "Decoded",
    "Finished",
    "OnBatch",
    "OnDecoded",
    "Outputs",
    "decode",
    "generate",
    "ignored_settings",
]

_MANY_STEPS = 24
"""For fewer steps of the decoder it is not worth it to lay out its weights anew."""

Outputs: TypeAlias = tuple[tuple[int, ...], ...]
"""The new tokens of each output of an input."""


@final
@dataclass(frozen=True, slots=True)
class Finished:
    """One batch that has been answered."""

    indices: tuple[int, ...]
    """Positions in `inputs` that the batch answers, repeats of an input included."""
    outputs: tuple[tuple[int, ...], ...]
    """The new tokens of each."""


@final
@dataclass(frozen=True, slots=True)
class Decoded:
    """As `Finished`, with all outputs of each input."""

    indices: tuple[int, ...]
    """Positions in `inputs` that the batch answers, repeats of an input included."""
    outputs: tuple[Outputs, ...]
    """Those of each."""


OnBatch: TypeAlias = Callable[[Finished], None]
"""Told of every batch as it is finished."""

OnDecoded: TypeAlias = Callable[[Decoded], None]
"""Told of every batch of `decode` as it is finished."""


def decode(
    model: "PreTrainedModel",
    inputs: Sequence[Sequence[int]],
    *,
    decoding: Decoding = GREEDY,
    max_new_tokens: int,
    batch_tokens: int,
    pad_id: int = 0,
    eos_id: int = 1,
    known: Mapping[int, Sequence[Sequence[int]]] | None = None,
    on_batch: OnDecoded | None = None,
) -> list[Outputs]:
    """Decode greedily, by sampling or by beam search.

    The model is put into evaluation mode and back. Batches depend on `inputs`, `batch_tokens` and how many
    rows an input takes, so a run that continues from `known` answers computes the missing ones in the very
    batches, and thus with the very rounding, of a run without interruption. Equal inputs are one: they get
    the same samples.

    Args:
        model: an encoder-decoder in fp32 or bf16.
        inputs: token ids of each input, with its `</s>` where the model expects one; any length.
        decoding: how tokens are chosen. The checkpoint's own generation settings are not read, but for its
            start token.
        max_new_tokens: at most so many tokens are written, `</s>` among them.
        batch_tokens: tokens in a batch. An input costs its own tokens, once, and `max_new_tokens` for each
            of its samples or beams; one that alone exceeds it gets a batch of its own. It bounds memory: a
            token of either kind takes `2 * layers * heads * d_kv` numbers of the caches; inputs are read in
            parts of little padding, a sixteenth or so on top. Beside them, at most 256 rows have logits at
            one time, four times over while they are sampled.
        pad_id: of the padding.
        eos_id: the token that ends an output.
        known: answers that are there already, by position in `inputs`; a batch whose every answer is known
            is not computed.
        on_batch: called after each batch that was computed.

    Returns:
        For each input, in the order of `inputs`, its outputs: `num_samples` of them, else one. An output is
        the new tokens without the start token, up to and with `eos_id` if it was written.

    Raises:
        DataError: an input is empty, or a known answer has another number of outputs.
        UsageError: `max_new_tokens` or `batch_tokens` is below 1, or beams are too many for the vocabulary.
        WeightsError: the logits are not finite, the weights are fp16, or there is no start token.
    """
    _check_request(inputs, max_new_tokens, known or {}, decoding)
    start_id = start_token(model)
    refuse_fp16(model)
    check_beams(decoding.num_beams, vocab_size=model.config.vocab_size)
    distinct = _positions_by_input(inputs)
    rows = list(distinct)
    answers: dict[int, Outputs] = {i: tuple(map(tuple, own)) for i, own in (known or {}).items()}
    with in_evaluation_mode(model):
        more = decoding.num_rows * max_new_tokens
        batches = filled_batches(list(map(len, rows)), more=more, max_tokens=batch_tokens)
        many = len(batches) * max_new_tokens >= _MANY_STEPS
        layers = Layers(model, packed=Packed() if many else None)
        for batch in batches:
            batch_rows = [rows[position] for position in batch]
            if all(index in answers for row in batch_rows for index in distinct[row]):
                continue
            running = ContinuousBatch(layers, start_id=start_id, pad_id=pad_id)
            requests = [Request(row, max_new_tokens, decoding) for row in batch_rows]
            writings = [begin(each, eos_id=eos_id, stops=None, form=None) for each in requests]
            running.admit(batch_rows, writings, max_new_tokens=max_new_tokens, batch_tokens=batch_tokens)
            while running.num_rows:
                running.step()
            outputs = [tuple(tuple(line.tokens) for line in each.lines) for each in writings]
            decoded = _spread(batch_rows, outputs, distinct)
            for index, own in zip(decoded.indices, decoded.outputs, strict=True):
                answers.setdefault(index, own)
            if on_batch is not None:
                on_batch(decoded)
    return [answers[index] for index in range(len(inputs))]


def generate(
    model: "PreTrainedModel",
    inputs: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    pad_id: int = 0,
    eos_id: int = 1,
    known: Mapping[int, Sequence[int]] | None = None,
    on_batch: OnBatch | None = None,
) -> list[list[int]]:
    """Decode greedily: `decode` with one output an input.

    Args:
        model: as in `decode`, and so are all others.
        inputs: token ids of each input.
        max_new_tokens: at most so many tokens are written.
        batch_tokens: padded tokens in a batch, inputs and `max_new_tokens` together.
        pad_id: of the padding.
        eos_id: the token that ends a row.
        known: answers that are there already, by position in `inputs`.
        on_batch: called after each batch that was computed.

    Returns:
        The new tokens of each input, in the order of `inputs`: without the start token, up to and with
        `eos_id` if it was written.

    Raises:
        DataError: an input is empty.
        UsageError: `max_new_tokens` or `batch_tokens` is below 1.
        WeightsError: the logits are not finite, the weights are fp16, or there is no start token.
    """

    def tell(decoded: Decoded) -> None:
        if on_batch is not None:
            on_batch(Finished(decoded.indices, tuple(own[0] for own in decoded.outputs)))

    decoded = decode(
        model,
        inputs,
        max_new_tokens=max_new_tokens,
        batch_tokens=batch_tokens,
        pad_id=pad_id,
        eos_id=eos_id,
        known={index: (ids,) for index, ids in (known or {}).items()},
        on_batch=tell,
    )
    return [list(own[0]) for own in decoded]


def ignored_settings(model: "PreTrainedModel") -> dict[str, object]:
    """Settings of the checkpoint's generation configuration that would change greedy decoding elsewhere.

    Decoding here is plain greedy; transformers' `generate` would honour these. Empty for Flan-T5.
    """
    settings = model.generation_config.to_diff_dict()
    return {name: settings[name] for name in sorted(_CHANGES_GREEDY & settings.keys())}


_CHANGES_GREEDY = {
    "bad_words_ids",
    "begin_suppress_tokens",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "guidance_scale",
    "min_length",
    "min_new_tokens",
    "no_repeat_ngram_size",
    "num_beams",
    "repetition_penalty",
    "sequence_bias",
    "suppress_tokens",
}


def _spread(
    batch_rows: Sequence[tuple[int, ...]],
    outputs: Sequence[Outputs],
    distinct: Mapping[tuple[int, ...], Sequence[int]],
) -> Decoded:
    """Give each answer to every position that asked the same."""
    pairs = [(index, own) for row, own in zip(batch_rows, outputs, strict=True) for index in distinct[row]]
    return Decoded(tuple(index for index, _ in pairs), tuple(own for _, own in pairs))


def _positions_by_input(inputs: Sequence[Sequence[int]]) -> dict[tuple[int, ...], list[int]]:
    positions: dict[tuple[int, ...], list[int]] = {}
    for index, ids in enumerate(inputs):
        positions.setdefault(tuple(ids), []).append(index)
    return positions


def _check_request(
    inputs: Sequence[Sequence[int]],
    max_new_tokens: int,
    known: Mapping[int, Sequence[Sequence[int]]],
    decoding: Decoding,
) -> None:
    if max_new_tokens < 1:
        raise UsageError(
            "nothing can be written", where="max_new_tokens", expected=">= 1", got=str(max_new_tokens)
        )
    check_inputs(inputs)
    for index, own in known.items():
        if len(own) != decoding.num_samples:
            raise DataError(
                "a known answer has another number of outputs than is asked for",
                where=f"input {index}",
                expected=str(decoding.num_samples),
                got=str(len(own)),
                fix="pass the answers of the same settings, or none",
            )
