"""Greedy decoding of many inputs: each distinct input once, in length-sorted batches with true masks.

The tokens are those of transformers' `generate(do_sample=False, num_beams=1, max_new_tokens=N)`. Which
inputs share a batch does not change them (near-ties of two logits aside, where rounding decides). Knows
nothing of texts, tasks or answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

import torch
from torch import Tensor

from ramekin.errors import UsageError
from ramekin.infer.decoder import Decoder
from ramekin.infer.ready import check_inputs, in_evaluation_mode, refuse_fp16, require_finite, start_token
from ramekin.tensors.collate import collate_inputs
from ramekin.tensors.plan import batches_by_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Finished", "OnBatch", "generate", "ignored_settings"]

_SHRINK_BELOW = 0.75


@final
@dataclass(frozen=True, slots=True)
class Finished:
    """One batch that has been answered."""

    indices: tuple[int, ...]
    """Positions in `inputs` that the batch answers, repeats of an input included."""
    outputs: tuple[tuple[int, ...], ...]
    """The new tokens of each."""


OnBatch: TypeAlias = Callable[[Finished], None]
"""Told of every batch as it is finished."""


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
    """Decode greedily.

    The model is put into evaluation mode and back. Batches depend on `inputs` and `batch_tokens` alone, so
    a run that continues from `known` answers computes the missing ones in the very batches, and thus with
    the very rounding, of a run without interruption.

    Args:
        model: an encoder-decoder in fp32 or bf16.
        inputs: token ids of each input, with its `</s>` where the model expects one; any length.
        max_new_tokens: at most so many tokens are written, `</s>` among them.
        batch_tokens: padded tokens in a batch, inputs and `max_new_tokens` together; an input that alone
            exceeds it gets a batch of its own. It bounds memory: the cross-attention cache holds
            `2 * layers * heads * d_kv` numbers an input token.
        pad_id: of the padding.
        eos_id: the token that ends a row.
        known: answers that are there already, by position in `inputs`; a batch whose every answer is known
            is not computed.
        on_batch: called after each batch that was computed.

    Returns:
        The new tokens of each input, in the order of `inputs`: without the start token, up to and with
        `eos_id` if it was written.

    Raises:
        DataError: an input is empty.
        UsageError: `max_new_tokens` or `batch_tokens` is below 1.
        WeightsError: the logits are not finite, the weights are fp16, or there is no start token.
    """
    _check_request(inputs, max_new_tokens)
    start_id = start_token(model)
    refuse_fp16(model)
    distinct = _positions_by_input(inputs)
    rows = list(distinct)
    plan = batches_by_length([len(row) + max_new_tokens for row in rows], max_tokens=batch_tokens)
    answers: dict[int, list[int]] = {index: list(ids) for index, ids in (known or {}).items()}
    with in_evaluation_mode(model):
        for batch in plan:
            batch_rows = [rows[position] for position in batch]
            if all(index in answers for row in batch_rows for index in distinct[row]):
                continue
            outputs = _decode_batch(
                model, batch_rows, max_new_tokens, start_id=start_id, pad_id=pad_id, eos_id=eos_id
            )
            finished = _spread(batch_rows, outputs, distinct)
            for index, output in zip(finished.indices, finished.outputs, strict=True):
                answers.setdefault(index, list(output))
            if on_batch is not None:
                on_batch(finished)
    return [answers[index] for index in range(len(inputs))]


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


@torch.inference_mode()
def _decode_batch(
    model: "PreTrainedModel",
    rows: Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    start_id: int,
    pad_id: int,
    eos_id: int,
) -> list[list[int]]:
    """Decode one batch; finished rows leave it as soon as a quarter of it is finished."""
    input_ids, mask = collate_inputs(rows, pad_id=pad_id)
    device = model.device
    decoder = Decoder(model, input_ids.to(device), mask.to(device), max_new_tokens=max_new_tokens)
    outputs: list[list[int]] = [[] for _ in rows]
    slots = list(range(len(rows)))
    tokens = torch.full((len(rows),), start_id, device=device)
    for _ in range(max_new_tokens):
        tokens = _best(decoder.step(tokens))
        for slot, token in zip(slots, tokens.tolist(), strict=True):
            if not _is_finished(outputs[slot], eos_id):
                outputs[slot].append(token)
        going = [place for place, slot in enumerate(slots) if not _is_finished(outputs[slot], eos_id)]
        if not going:
            break
        if len(going) <= _SHRINK_BELOW * len(slots):
            places = torch.tensor(going, device=device)
            decoder.keep(places)
            tokens, slots = tokens[places], [slots[place] for place in going]
    return outputs


def _is_finished(output: Sequence[int], eos_id: int) -> bool:
    return bool(output) and output[-1] == eos_id


def _best(logits: Tensor) -> Tensor:
    """The most probable token of each row, the smallest id among equals: (rows, vocab) -> (rows,)."""
    highest, tokens = logits.max(dim=-1)
    require_finite(highest)
    return tokens


def _spread(
    batch_rows: Sequence[tuple[int, ...]],
    outputs: Sequence[Sequence[int]],
    distinct: Mapping[tuple[int, ...], Sequence[int]],
) -> Finished:
    """Give each answer to every position that asked the same."""
    pairs = [
        (index, tuple(output))
        for row, output in zip(batch_rows, outputs, strict=True)
        for index in distinct[row]
    ]
    return Finished(tuple(index for index, _ in pairs), tuple(output for _, output in pairs))


def _positions_by_input(inputs: Sequence[Sequence[int]]) -> dict[tuple[int, ...], list[int]]:
    positions: dict[tuple[int, ...], list[int]] = {}
    for index, ids in enumerate(inputs):
        positions.setdefault(tuple(ids), []).append(index)
    return positions


def _check_request(inputs: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    if max_new_tokens < 1:
        raise UsageError(
            "nothing can be written", where="max_new_tokens", expected=">= 1", got=str(max_new_tokens)
        )
    check_inputs(inputs)
