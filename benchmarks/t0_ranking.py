"""T0's rank classification with transformers alone, written anew from its rules (arXiv 2110.08207).

The rules are those of `evaluation/run_eval.py`, `t0/model.py` and `t0/data_collator.py` of
bigscience-workshop/t-zero, commit 7a699e3: inputs without `</s>`, cut right at 1,024 tokens; options with
`</s>`; each input repeated for each of its options; inputs padded on the left and options on the right to the
longest of a batch of rows; the sum of the options' log-probabilities, padding left out; the highest, of
equals the first. The number of options is the first row's, so the rows of a call must have equally many.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from ramekin.text.example import Example

__all__ = ["Ranked", "rank_like_t0"]

_MAX_LENGTH = 1024


class Ranked(NamedTuple):
    """What was found for each row."""

    log_probs: list[list[float]]
    predictions: list[int]
    cut: int
    """Rows whose inputs were cut."""


@torch.no_grad()
def rank_like_t0(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    *,
    batch_rows: int = 8,
    softmax_dtype: torch.dtype | None = None,
) -> Ranked:
    """Rank each example's options.

    Args:
        model: transformers' encoder-decoder, in evaluation mode.
        tokenizer: its tokenizer.
        examples: in the order in which they are put into batches.
        batch_rows: rows of a batch, each as many times as it has options; T0's script takes 8.
        softmax_dtype: what the logits are turned to first; None, as T0 has it: nothing else.
    """
    pad = tokenizer.pad_token_id
    inputs = [tokenizer.encode(each.inputs, add_special_tokens=False) for each in examples]
    options = [[tokenizer.encode(option) for option in each.options] for each in examples]
    found = Ranked([], [], sum(len(ids) > _MAX_LENGTH for ids in inputs))
    for start in range(0, len(examples), batch_rows):
        rows = range(start, min(start + batch_rows, len(examples)))
        pairs = [(inputs[row][:_MAX_LENGTH], ids) for row in rows for ids in options[row]]
        width = max(len(ids) for ids, _ in pairs)
        ids = torch.tensor([[pad] * (width - len(left)) + left for left, _ in pairs])
        mask = torch.tensor([[0] * (width - len(left)) + [1] * len(left) for left, _ in pairs])
        width = max(len(right) for _, right in pairs)
        labels = torch.tensor([right + [pad] * (width - len(right)) for _, right in pairs])
        counted = torch.tensor([[1] * len(right) + [0] * (width - len(right)) for _, right in pairs])
        logits = model(input_ids=ids, attention_mask=mask, labels=labels).logits
        taken = logits.log_softmax(dim=-1, dtype=softmax_dtype).gather(-1, labels[..., None])[..., 0]
        scores = (taken * counted).sum(dim=-1).view(len(rows), -1)
        found.log_probs.extend(scores.tolist())
        found.predictions.extend(scores.argmax(dim=-1).tolist())
    return found
