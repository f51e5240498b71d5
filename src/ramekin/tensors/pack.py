"""Which examples share a row of a batch: packing, a pure function of lengths.

Several short examples stand end to end in one row, on both sides, and masks keep them apart
(`train.objectives.packed`). This module knows only lengths; it holds no tokens and no tensors.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["packed_rows"]


def packed_rows(lengths: Sequence[tuple[int, int]], *, max_tokens: int) -> tuple[tuple[int, ...], ...]:
    """All indices in rows, by first-fit decreasing: each goes to the first row with room on both sides.

    A row is as long as the longest example, and its room is divided between the sides as all tokens are; the
    longest input and the longest target have room at least. Longer rows would save little more padding, while
    attention costs the square of their length. A row of several examples never exceeds the budget of a
    forward pass; an example that is alone may.

    Args:
        lengths: (input tokens, target tokens) of each example.
        max_tokens: in a row, both sides together.

    >>> packed_rows([(3, 1), (9, 2), (5, 2), (4, 1)], max_tokens=100)
    ((1,), (2, 3), (0,))
    """
    if not lengths:
        return ()
    table = np.array(lengths, dtype=np.int64)
    needs = np.column_stack((table, table.sum(axis=1)))
    sums, longest = needs.sum(axis=0), needs.max(axis=0)
    capacity = np.maximum(longest, -(-sums * longest[2] // sums[2]))
    capacity[2] = max_tokens
    room = np.empty_like(needs)
    rows: list[list[int]] = []
    for index in np.lexsort((-needs[:, 0], -needs[:, 2])).tolist():
        fits = (room[: len(rows)] >= needs[index]).all(axis=1)
        place = int(fits.argmax()) if fits.any() else len(rows)
        if place == len(rows):
            rows.append([])
            room[place] = capacity
        rows[place].append(index)
        room[place] -= needs[index]
    return tuple(map(tuple, rows))
