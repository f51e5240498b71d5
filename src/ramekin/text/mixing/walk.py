"""From a leaf's draws to its rows: the leaf is walked in a fresh order every epoch.

Knows nothing of what the rows hold nor of which draws of the mixture are the leaf's.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

from ramekin.errors import UsageError
from ramekin.text.draw import permuted

__all__ = ["Visit", "epoch_and_position", "walked"]


@final
class Visit(NamedTuple):
    """A leaf's row, met for the how-manieth time."""

    epoch: int
    """From 0; with it the row's template and all that is drawn for it change."""
    place: int
    """Which of the rows that the epoch has."""


def epoch_and_position(index: int, sizes_by_epoch: Sequence[int]) -> tuple[int, int]:
    """In which epoch a leaf's draw is, and which draw of that epoch it is.

    Args:
        index: of the draw among the leaf's, from 0.
        sizes_by_epoch: how many rows each epoch has. Templates take turns and may leave rows out, so that
            epochs differ; as many as there are templates are given, and they recur.

    Raises:
        UsageError: the index is negative, or there are no rows.

    >>> [epoch_and_position(index, (2, 1)) for index in range(5)]
    [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]
    """
    total = sum(sizes_by_epoch)
    if index < 0 or total < 1 or min(sizes_by_epoch) < 0:
        raise UsageError(
            "a leaf's draw has no row",
            expected="an index from 0 on, and at least one row",
            got=f"index {index}, epochs of {', '.join(map(str, sizes_by_epoch)) or 'nothing'} rows",
        )
    rounds, position = divmod(index, total)
    epoch = rounds * len(sizes_by_epoch)
    for size in sizes_by_epoch:
        if position < size:
            break
        position -= size
        epoch += 1
    return epoch, position


def walked(index: int, sizes_by_epoch: Sequence[int], *key: object) -> Visit:
    """The row of a leaf's draw: every epoch has each of its rows once, in an order of its own.

    Args:
        index: of the draw among the leaf's, from 0.
        sizes_by_epoch: as in `epoch_and_position`.
        key: of the order, such as (seed, the leaf's name).

    Raises:
        UsageError: the index is negative, or there are no rows.
    """
    epoch, position = epoch_and_position(index, sizes_by_epoch)
    size = sizes_by_epoch[epoch % len(sizes_by_epoch)]
    return Visit(epoch, permuted(position, size, *key, "epoch", epoch))
