"""The cache of cross-attention: keys, values and a mask of inputs that were encoded together.

There is one copy of an input's keys and values, however many rows of the decoder look at it: its samples, its
beams. Knows nothing of models or tokens.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from ramekin.infer.fold import fold_of

__all__ = ["CrossCache", "additive_mask", "joined_to"]


@final
class CrossCache:
    """Begins with a row of the decoder for each input.

    Args:
        states: (layers, 2, batch, heads, input_length, d_kv), keys and values.
        mask: (batch, 1, 1, input_length), added to the scores; None if all is seen.
    """

    def __init__(self, states: Tensor, mask: Tensor | None) -> None:
        self._states, self._mask = states, mask
        self._owners = list(range(states.shape[2]))
        self._fold = fold_of(self._owners, device=states.device)

    @property
    def num_rows(self) -> int:
        """Rows of the decoder that look at these inputs."""
        return len(self._owners)

    @property
    def num_bytes(self) -> int:
        """The memory that keys and values take, however many rows look at them."""
        return self._states.untyped_storage().nbytes()

    def attend(self, index: int, queries: Tensor) -> Tensor:
        """Cross-attention of a layer: queries (rows, heads, length, d_kv) -> mixed values, of that shape."""
        keys, values = self._states[index]
        folded = self._fold.fold(queries)
        mixed = scaled_dot_product_attention(folded, keys, values, attn_mask=self._mask, scale=1.0)
        return self._fold.unfold(mixed)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows, or several of one, by their present places.

        An input whose rows are all gone leaves with its keys and values; one that has more rows than before
        is stored once, as before.
        """
        owners = [self._owners[row] for row in rows]
        inputs = list(dict.fromkeys(owners))
        if inputs != list(range(self._fold.num_inputs)):
            kept = torch.tensor(inputs, device=self._states.device)
            self._states = self._states[:, :, kept]
            self._mask = None if self._mask is None else self._mask[kept]
            number = {owner: place for place, owner in enumerate(inputs)}
            owners = [number[owner] for owner in owners]
        if owners != self._owners:
            self._owners, self._fold = owners, fold_of(owners, device=self._states.device)

    @property
    def width(self) -> int:
        """Tokens of the longest input."""
        return self._states.shape[4]

    @property
    def num_inputs(self) -> int:
        """Inputs that rows look at."""
        return self._states.shape[2]

    def joined(self, other: "CrossCache") -> "CrossCache":
        """These and others, padded to the longer; the rows of the others come behind."""
        width = max(self.width, other.width)
        pairs = [each._padded(width) for each in (self, other)]
        masks = [mask for _, mask in pairs]
        found = CrossCache(
            torch.cat([states for states, _ in pairs], dim=2),
            torch.cat(masks) if any(bool(mask.any()) for mask in masks) else None,
        )
        found._owners = [*self._owners, *(self.num_inputs + owner for owner in other._owners)]
        found._fold = fold_of(found._owners, device=self._states.device)
        return found

    def _padded(self, width: int) -> tuple[Tensor, Tensor]:
        """Keys, values and mask with columns behind them that nobody sees."""
        more, states = width - self.width, self._states
        mask = states.new_zeros((self.num_inputs, 1, 1, self.width)) if self._mask is None else self._mask
        return pad(states, (0, 0, 0, more)), pad(mask, (0, more), value=torch.finfo(states.dtype).min)


def joined_to(count: int, groups: Sequence[CrossCache]) -> list[CrossCache]:
    """At most so many groups: neighbours are joined, those first that need the least padding and copying."""
    found = list(groups)
    while len(found) > count:
        costs = [
            (one.num_inputs + other.num_inputs) * max(one.width, other.width)
            for one, other in pairwise(found)
        ]
        place = costs.index(min(costs))
        found[place : place + 2] = [found[place].joined(found[place + 1])]
    return found


def additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """(batch, length) of 0 and 1 -> (batch, 1, 1, length) of the least number and 0; None if all are 1."""
    if bool(attention_mask.all()):
        return None
    hidden = attention_mask[:, None, None, :] == 0
    zeros = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    return zeros.masked_fill_(hidden, torch.finfo(dtype).min)
