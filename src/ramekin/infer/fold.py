"""Several rows of the decoder over one copy of their input's keys and values.

n rows of an input are folded into n queries on that copy: (rows, heads, length, d_kv) becomes (inputs,
heads, most rows of an input * length, d_kv), so that neither memory nor the projections grow with n. Inputs
may have different numbers of rows, in any order. Knows nothing of layers or tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

__all__ = ["Fold", "fold_of"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Which rows are of which input."""

    num_inputs: int
    width: int
    """The most rows that an input has."""
    rows: Tensor | None
    """(num_inputs * width,): the row at each place, any where there is none; None if all are in order."""
    places: Tensor | None
    """(rows,): the place of each row; None if all are in order."""

    def fold(self, x: Tensor) -> Tensor:
        """(rows, heads, length, d_kv) -> (inputs, heads, width * length, d_kv)."""
        if self.width == 1 and self.rows is None:
            return x
        x = x if self.rows is None else x[self.rows]
        return x.reshape(self.num_inputs, self.width, *x.shape[1:]).transpose(1, 2).flatten(2, 3)

    def unfold(self, x: Tensor) -> Tensor:
        """(inputs, heads, width * length, d_kv) -> (rows, heads, length, d_kv)."""
        if self.width == 1 and self.places is None:
            return x
        x = x.reshape(*x.shape[:2], self.width, -1, x.shape[-1]).transpose(1, 2).flatten(0, 1)
        return x if self.places is None else x[self.places]


def fold_of(owners: Sequence[int], *, device: torch.device | str) -> Fold:
    """The fold of rows whose inputs are `owners`, numbers from 0 on, each with a row at least.

    >>> fold = fold_of([0, 1, 0], device="cpu")
    >>> fold.width, fold.rows.tolist(), fold.places.tolist()
    (2, [0, 2, 1, 0], [0, 2, 1])
    """
    rows_of: list[list[int]] = [[] for _ in range(max(owners) + 1)]
    for row, owner in enumerate(owners):
        rows_of[owner].append(row)
    width = max(map(len, rows_of))
    rows = [row for own in rows_of for row in (*own, *(0,) * (width - len(own)))]
    if rows == list(range(len(owners))):
        return Fold(len(rows_of), width, None, None)
    places = [0] * len(owners)
    for owner, own in enumerate(rows_of):
        for number, row in enumerate(own):
            places[row] = owner * width + number
    return Fold(len(rows_of), width, torch.tensor(rows, device=device), torch.tensor(places, device=device))
