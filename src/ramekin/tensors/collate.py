"""Token ids to padded tensors.

Padding is on the right; labels are -100 where there is no target, and the decoder reads the targets
shifted right behind the start token. Several examples may share a row, each a segment of it; it is for the
model's masks to keep them apart. The module knows nothing of models or devices beyond moving to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import final

import torch
from torch import Tensor

from ramekin.errors import DataError
from ramekin.tensors.encode import Encoded
from ramekin.tensors.tokenizer import PAD_ID

__all__ = ["IGNORED_LABEL", "NO_SEGMENT", "Batch", "collate", "collate_inputs", "collate_rows"]

IGNORED_LABEL = -100
NO_SEGMENT = -1
"""What padding belongs to."""


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
    input_segments: Tensor | None = None
    """(batch, input_length): which of its row's examples a position belongs to, `NO_SEGMENT` at padding; None
    where every row is one example."""
    target_segments: Tensor | None = None
    """(batch, target_length): the same of the targets; an example has the same number on both sides."""

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
    _refuse_mixed(items)
    pairs = [item for item in items if item.wrong_input_ids]
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


def collate_rows(
    rows: Sequence[Sequence[Encoded]], *, pad_id: int = PAD_ID, decoder_start_id: int = 0
) -> Batch:
    """As `collate`, with the examples of a row end to end in it, each behind a start token of its own.

    Inputs under wrong labels stand in rows of their own in the same way. Examples are counted through the
    rows: `example_of_target` are places in the rows laid end to end.

    Raises:
        DataError: as `collate`.
    """
    items = list(chain.from_iterable(rows))
    if len(items) == len(rows):
        return collate(items, pad_id=pad_id, decoder_start_id=decoder_start_id)
    _refuse_mixed(items)
    batch = collate([_joined(row) for row in rows], pad_id=pad_id, decoder_start_id=decoder_start_id)
    inputs = [[len(item.input_ids) for item in row] for row in rows]
    targets = [[len(item.target_ids) for item in row] for row in rows]
    owners = torch.repeat_interleave(torch.tensor(list(chain.from_iterable(targets))))
    if batch.under_wrong_label is not None:
        inputs += [[len(item.wrong_input_ids) for item in row] for row in rows]
        targets += targets
        owners = owners.repeat(2)
    target_segments = _segments(targets)
    begins = target_segments[:, 1:] > target_segments[:, :-1].clamp(min=0)
    batch.decoder_input_ids[:, 1:][begins] = decoder_start_id
    return replace(
        batch,
        example_of_target=owners,
        input_segments=_segments(inputs),
        target_segments=target_segments,
    )


def _joined(row: Sequence[Encoded]) -> Encoded:
    """The examples of a row as if they were one."""
    return Encoded(
        tuple(chain.from_iterable(item.input_ids for item in row)),
        tuple(chain.from_iterable(item.target_ids for item in row)),
        row[0].provenance,
        tuple(chain.from_iterable(item.wrong_input_ids for item in row)),
    )


def _segments(lengths: Sequence[Sequence[int]]) -> Tensor:
    """The lengths of each row's segments -> (rows, longest row)."""
    numbers = [[place for place, length in enumerate(row) for _ in range(length)] for row in lengths]
    return _padded(numbers, max(map(len, numbers)), NO_SEGMENT)


def _refuse_mixed(items: Sequence[Encoded]) -> None:
    lacking = [item for item in items if not item.wrong_input_ids]
    if lacking and len(lacking) < len(items):
        raise DataError(
            "some examples have inputs under a wrong label and this one has none",
            where=lacking[0].provenance.id,
            expected="wrong_inputs in all examples or in none",
            fix="make all of them by one objective",
        )


def collate_inputs(ids: Sequence[Sequence[int]], *, pad_id: int = PAD_ID) -> tuple[Tensor, Tensor]:
    """Pad inputs alone: (input_ids, attention_mask), both (batch, input_length)."""
    width = max(map(len, ids))
    mask = _padded([(1,) * len(row) for row in ids], width, 0)
    return _padded(ids, width, pad_id), mask


def _padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> Tensor:
    return torch.tensor([(*row, *(fill,) * (width - len(row))) for row in rows])
