"""Self-attention of an encoder with a bias by distance, as T5 has it, for inputs of any length.

The bias of all pairs of tokens grows with the square of the length: 16,000 tokens and twelve heads would take
13 GB. It is laid out from a table of the distances, for so many queries at a time as there is room for. Knows
nothing of models.
"""

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["RelativeAttention"]

_NUMBERS = 1 << 25
"""Of a bias that is laid out at one time: in fp32 134 MB."""


@final
class RelativeAttention:
    """Attention over one batch, in every layer that shares a bias.

    Args:
        table: (heads, 2 * length - 1), the bias by distance, from the farthest before to the farthest behind.
        mask: (batch, 1, 1, length), added to the scores; None if all is seen.
    """

    def __init__(self, table: Tensor, mask: Tensor | None) -> None:
        self._table, self._mask = table, mask
        self._length = (table.shape[1] + 1) // 2
        numbers = len(table) * self._length * (1 if mask is None else len(mask))
        self._queries = max(1, min(self._length, _NUMBERS // numbers))
        self._whole = self._bias(0, self._length) if self._queries == self._length else None

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Mix values: each (batch, heads, length, d_kv)."""
        if self._whole is not None:
            return scaled_dot_product_attention(queries, keys, values, attn_mask=self._whole, scale=1.0)
        mixed = torch.empty_like(queries)
        for start in range(0, self._length, self._queries):
            part = slice(start, min(self._length, start + self._queries))
            mixed[:, :, part] = scaled_dot_product_attention(
                queries[:, :, part], keys, values, attn_mask=self._bias(part.start, part.stop), scale=1.0
            )
        return mixed

    def _bias(self, start: int, stop: int) -> Tensor:
        """Of the queries from `start` to `stop`: (1 or batch, heads, queries, length)."""
        # Row r of the unfolded table is the bias of the query that has r tokens behind it.
        rows = self._table.unfold(1, self._length, 1)[:, self._length - stop : self._length - start]
        bias = rows.flip(1)[None]
        return bias if self._mask is None else bias + self._mask
