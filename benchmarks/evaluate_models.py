"""Models for the comparisons of evaluation: of random weights, or taught some answers for a moment.

Both have a head of their own, as Flan-T5 has. A random model ranks as a trained one does and takes as long.
What it writes never ends, so where models write, one is taught: its layers see the answers of the very rows
that are asked, for a few steps, until it writes answers that differ and then stops. It is no good model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from ramekin.tensors.collate import collate
from ramekin.tensors.encode import Encoded, encode
from ramekin.text.example import Example
from ramekin.weights.checkpoint import Lineage, save_checkpoint
from ramekin.weights.config import t5_config
from ramekin.weights.seq2seq import build_model, load_model

__all__ = ["SHAPES", "random_model", "taught_model"]

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
    "flan-t5-small": {},
}
"""All with T5's vocabulary of 32,128."""


def random_model(folder: Path, shape: str, *, tokenizer_folder: Path, seed: int = 0) -> Path:
    """A checkpoint of random weights, kept if it is there."""
    if not folder.is_dir():
        model = build_model(t5_config(**SHAPES[shape]), seed=seed, tied=False)
        _save(model, folder, tokenizer_folder, "random")
    return folder


def taught_model(
    folder: Path,
    shape: str,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    *,
    tokenizer_folder: Path,
    steps: int,
    rows: int = 16,
) -> Path:
    """A checkpoint that was taught the answers to some examples, kept if it is there.

    Only what decodes is taught, by AdamW at 3e-3: the encoder of a random model tells inputs apart as it is.

    Args:
        folder: the checkpoint.
        shape: its key in `SHAPES`.
        examples: what is taught, `rows` a step, drawn again and again in a fixed random order.
        tokenizer: theirs.
        tokenizer_folder: where it is from.
        steps: of teaching.
        rows: in a step.
    """
    if folder.is_dir():
        return folder
    model = build_model(t5_config(**SHAPES[shape], dropout_rate=0.0), seed=0, tied=False)
    taught = [each for name, each in model.named_parameters() if name.startswith(("decoder.", "lm_head."))]
    optimizer = torch.optim.AdamW(taught, lr=3e-3)
    items = encode(examples, tokenizer).items
    order = torch.randint(len(items), (steps, rows), generator=torch.Generator().manual_seed(0))
    for step in order.tolist():
        loss = _loss(model, [items[place] for place in step])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(taught, 1.0)
        optimizer.step()
    _save(model, folder, tokenizer_folder, "taught")
    return folder


def _loss(model: Any, items: Sequence[Encoded]) -> torch.Tensor:
    batch = collate(items)
    with torch.no_grad():
        states = model.encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    loss: torch.Tensor = model(
        encoder_outputs=states,
        attention_mask=batch.attention_mask,
        decoder_input_ids=batch.decoder_input_ids,
        labels=batch.labels,
    ).loss
    return loss


def _save(model: Any, folder: Path, tokenizer_folder: Path, operation: str) -> None:
    lineage = Lineage(kind="dense", operation=operation)
    save_checkpoint(model, folder, tokenizer_folder=tokenizer_folder, lineage=lineage)
    load_model(folder)  # it can be read, and its head is its own
