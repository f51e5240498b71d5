"""Token ids to padded tensors.

Padding is on the right; labels are -100 where there is no target, and the decoder reads the targets
shifted right behind the start token. It knows nothing of models or devices beyond moving to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import final

import torch
from torch import Tensor

from ramekin.errors import DataError
from ramekin.tensors.encode import Encoded
from ramekin.tensors.tokenizer import PAD_ID

__all__ = ["IGNORED_LABEL", "Batch", "collate", "collate_inputs"]

IGNORED_LABEL = -100


@final
@dataclass(frozen=True, slots=True)
class Batch:
    """The tensors of one forward pass, all int64."""

    input_ids: Tensor
    """(batch, input_length)"""
    attention_mask: Tensor
    """(batch, input_length), 1 where there is a token."""
    decoder_input_ids: Tensor
    """(batch, target_length)"""
    labels: Tensor
    """(batch, target_length), -100 at padding."""
    target_positions: Tensor
    """(targets,): where labels are real, in the flattened (batch x target_length); row by row."""
    example_of_target: Tensor
    """(targets,): which of the collated examples each real target token is of."""
    under_wrong_label: Tensor | None = None
    """(targets,), true where the inputs hold a wrong label; None where none do."""

    @property
    def num_target_tokens(self) -> int:
        """How many labels are real."""
        return int(self.target_positions.shape[0])

    def to(self, device: "torch.device | str") -> "Batch":
        """The same batch on a device."""
        present = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {n: t.to(device, non_blocking=True) for n, t in present.items() if t is not None}
        return Batch(**moved)


def collate(items: Sequence[Encoded], *, pad_id: int = PAD_ID, decoder_start_id: int = 0) -> Batch:
    """Pad encoded examples to the longest of them; inputs under a wrong label follow as rows of their own.

    Raises:
        DataError: some examples have inputs under a wrong label and others have none.
    """
    pairs = [item for item in items if item.wrong_input_ids]
    if pairs and len(pairs) < len(items):
        lacking = next(item for item in items if not item.wrong_input_ids)
        raise DataError(
            "some examples have inputs under a wrong label and this one has none",
            where=lacking.provenance.id,
            expected="wrong_inputs in all examples or in none",
            fix="make all of them by one objective",
        )
    inputs = [*(item.input_ids for item in items), *(item.wrong_input_ids for item in pairs)]
    input_ids, attention_mask = collate_inputs(inputs, pad_id=pad_id)
    targets = [item.target_ids for item in (*items, *pairs)]
    width = max(map(len, targets))
    shifted = [(decoder_start_id, *ids[:-1]) for ids in targets]
    positions = [row * width + column for row, ids in enumerate(targets) for column in range(len(ids))]
    examples = [*range(len(items)), *range(len(pairs))]
    owners = [example for example, ids in zip(examples, targets, strict=True) for _ in ids]
    num_right = sum(len(item.target_ids) for item in items)
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        decoder_input_ids=_padded(shifted, width, pad_id),
        labels=_padded(targets, width, IGNORED_LABEL),
        target_positions=torch.tensor(positions),
        example_of_target=torch.tensor(owners),
        under_wrong_label=torch.arange(len(owners)) >= num_right if pairs else None,
    )


def collate_inputs(ids: Sequence[Sequence[int]], *, pad_id: int = PAD_ID) -> tuple[Tensor, Tensor]:
    """Pad inputs alone: (input_ids, attention_mask), both (batch, input_length)."""
    width = max(map(len, ids))
    mask = _padded([(1,) * len(row) for row in ids], width, 0)
    return _padded(ids, width, pad_id), mask


def _padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> Tensor:
    return torch.tensor([(*row, *(fill,) * (width - len(row))) for row in rows])
