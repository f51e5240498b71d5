"""The decoder one step at a time, over inputs that may come and go: feed a token a row, get the next logits.

The layers are `layers`'s, the inputs' keys and values `inputs`'s; this module holds what the rows have seen
so far, in preallocated caches. Rows of different ages stand with their last tokens in one column, so that a
bias depends on the column alone; what stands before a row's first token is hidden from it. It does not choose
tokens.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from ramekin.infer.cross_cache import CrossCache, joined_to
from ramekin.infer.layers import Layers

__all__ = ["Decoder"]

_MAX_GROUPS = 8
"""Inputs that were read apart stay apart up to so many groups: one pads no other, and each costs a call."""


@final
class Decoder:
    """The rows that are being decoded, those of inputs that were encoded together side by side.

    Args:
        layers: of a model.
    """

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._groups: list[CrossCache] = []
        self._past = self._empty(0, 0)
        self._biases: list[Tensor] = []
        self._first = 0  # the first column that a row sees
        self._end = 0
        self._begins: list[int] = []  # the column of each row's first token
        self._limits: list[int] = []  # the column that each row's last token cannot reach
        self._hidden: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """Rows that there are."""
        return len(self._begins)

    @property
    def cross_bytes(self) -> int:
        """The memory of cross-attention's keys and values: one copy an input."""
        return sum(group.num_bytes for group in self._groups)

    @property
    def cache_bytes(self) -> int:
        """The memory of self-attention's caches: one a row."""
        return self._past.untyped_storage().nbytes()

    def admit(self, inputs: Sequence[CrossCache], *, max_new_tokens: int) -> None:
        """Take inputs in, behind those that there are; their rows are fed a first token next.

        Args:
            inputs: with a row an input.
            max_new_tokens: how many steps their rows can take.
        """
        first, new = self._first if self._begins else self._end, sum(each.num_rows for each in inputs)
        width = self._end - first
        self._groups = joined_to(_MAX_GROUPS, [*self._groups, *inputs])
        self._begins = [begin - first for begin in self._begins] + [width] * new
        self._limits = [limit - first for limit in self._limits] + [width + max_new_tokens] * new
        past = self._empty(len(self._begins), max(self._limits))
        past[:, :, :-new, :, :width] = self._past[..., first : self._end, :]
        past[:, :, -new:, :, :width] = 0.0  # hidden, but what is not a number would show
        self._past, self._end = past, width
        if not self._biases or self._biases[0].shape[1] < max(self._limits):
            self._biases = self._layers.distance_biases(max(self._limits))
        self._hide()

    def step(self, tokens: Tensor) -> Tensor:
        """Feed the last token of each row: tokens (rows,) -> logits (rows, vocab) of the next."""
        return self.logits(self.advance(tokens))

    def advance(self, tokens: Tensor) -> Tensor:
        """As `step`, up to the head: tokens (rows,) -> what it reads (rows, d_model)."""
        hidden = self._layers.decode(tokens[:, None], self._attend, self._cross_attend)
        self._end += 1
        if self._hidden is not None:
            self._hidden = pad(self._hidden, (0, 1), value=0.0)
        return hidden[:, 0]

    def logits(self, hidden: Tensor) -> Tensor:
        """The head, on all or some rows: (rows, d_model) -> (rows, vocab)."""
        return self._layers.logits(hidden)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows, or several of one, by their present places, groups side by side."""
        if list(rows) == list(range(self.num_rows)):
            return
        place, start = 0, 0
        groups = []
        for group in self._groups:
            end = start + group.num_rows
            own = []
            while place < len(rows) and rows[place] < end:
                own.append(rows[place] - start)
                place += 1
            if own:
                group.keep(own)
                groups.append(group)
            start = end
        self._groups = groups
        self._begins = [self._begins[row] for row in rows]
        self._limits = [self._limits[row] for row in rows]
        self._hide()
        self._move(rows)

    def _move(self, rows: Sequence[int]) -> None:
        """The caches of the kept rows; only what has been written is copied."""
        past, device = self._past, self._past.device
        first, end = self._first, self._end
        if len(rows) == past.shape[2]:
            changed = [place for place, row in enumerate(rows) if place != row]
            to, source = (torch.tensor(each, device=device) for each in (changed, [rows[i] for i in changed]))
            past[:, :, to, :, first:end] = past[:, :, source, :, first:end]
            return
        moved = self._empty(len(rows), past.shape[4])
        moved[..., first:end, :] = past[
            :, :, torch.tensor(rows, device=device, dtype=torch.long), :, first:end
        ]
        self._past = moved

    def _empty(self, rows: int, columns: int) -> Tensor:
        """Room for keys and values: (layers, 2, rows, heads, columns, d_kv)."""
        layers = self._layers
        shape = (layers.num_layers, 2, rows, layers.heads, columns, layers.width)
        return torch.empty(shape, dtype=layers.dtype, device=layers.device)

    def _hide(self) -> None:
        """What is added to the scores of the columns before each row's first token; None if ages are equal.

        It is of (rows, 1, 1, columns from the first that somebody sees, up to and with the next).
        """
        first = self._first = min(self._begins, default=0)
        if all(begin == first for begin in self._begins):
            self._hidden = None
            return
        columns = torch.arange(first, self._end + 1)
        before = columns[None] < torch.tensor(self._begins)[:, None]
        least = torch.finfo(self._layers.dtype).min
        hidden = torch.zeros(before.shape, dtype=self._layers.dtype).masked_fill_(before, least)
        self._hidden = hidden[:, None, None].to(self._layers.device)

    def _attend(self, index: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Put the token's key and value into the cache, and look at all that are there."""
        past, end, first = self._past[index], self._end, self._first
        past[0, :, :, end] = keys[:, :, 0]
        past[1, :, :, end] = values[:, :, 0]
        bias = self._biases[index][None, :, None, first - end - 1 :]
        return scaled_dot_product_attention(
            queries,
            past[0, :, :, first : end + 1],
            past[1, :, :, first : end + 1],
            attn_mask=bias if self._hidden is None else bias + self._hidden,
            scale=1.0,
        )

    def _cross_attend(self, index: int, queries: Tensor) -> Tensor:
        if len(self._groups) == 1:
            return self._groups[0].attend(index, queries)
        parts = torch.split(queries, [group.num_rows for group in self._groups])
        mixed = [group.attend(index, part) for group, part in zip(self._groups, parts, strict=True)]
        return torch.cat(mixed)
