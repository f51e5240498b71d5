"""Which examples share a padded batch: pure functions of lengths.

Exact batching: the examples of an optimizer step are drawn at random, and only then sorted by length and
cut into micro-batches of little padding. Which examples share a step, and so the gradient, does not depend
on how the step is cut. Sorting before drawing would save slightly more padding and change the training.

This module knows only lengths; it holds no tokens and no tensors.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ramekin.errors import UsageError

__all__ = [
    "batches_by_length",
    "batches_by_lengths",
    "filled_batches",
    "micro_batches",
    "padded_tokens",
    "shares",
]

_Lengths: TypeAlias = NDArray[np.int64]

_OPENING = 16
"""A forward and backward pass takes a while before its first token, as long as for so many tokens' padding:
a sixteenth of the budget. That is what was measured on a CPU (docs/results/training-speed.md), where budgets
are small, and has the right order on a GPU, where both are some ten times larger."""


def micro_batches(
    lengths: Sequence[tuple[int, int]], *, max_tokens: int, rows: int = 1
) -> tuple[tuple[int, ...], ...]:
    """All indices in micro-batches of at most `max_tokens` padded tokens, the largest first.

    A micro-batch of n examples costs n x rows x (longest input + longest target) padded tokens, and a
    sixteenth of `max_tokens` for being one more; an example that alone exceeds the budget gets a micro-batch
    of its own. Of all ways to cut the examples in the order of their inputs the cheapest is taken, and so of
    the orders in which those with long targets stand apart.

    Args:
        lengths: (input tokens, target tokens) of each example of a step.
        max_tokens: padded tokens, both sides together, in a forward pass.
        rows: of a batch that each example takes (flipped learning: two).

    >>> micro_batches([(30, 1), (90, 1), (33, 1), (20, 1)], max_tokens=160)
    ((1,), (0, 2), (3,))
    """
    _check_positive("max_tokens", max_tokens)
    if not lengths:
        return ()
    table = np.array(lengths, dtype=np.int64)
    room = max_tokens // rows
    cuts = (_cheapest_cut(table[order], order, room) for order in _orders(table))
    _, batches = min(cuts, key=lambda cut: cut[0])
    return tuple(sorted(batches, key=lambda batch: -padded_tokens(lengths, batch)))


def _orders(lengths: _Lengths) -> Iterator[_Lengths]:
    """Orders in which neighbours are alike, for a range of bounds.

    Examples with targets above the bound go from the longest input to the shortest, the others back from the
    shortest to the longest.
    """
    inputs, targets = lengths.T
    longest = int(targets.max())
    for bound in (*(1 << power for power in range(longest.bit_length()) if 1 << power < longest), longest):
        is_long = targets > bound
        order: _Lengths = np.lexsort((targets, np.where(is_long, -inputs, inputs), ~is_long))
        yield order


def _cheapest_cut(lengths: _Lengths, indices: _Lengths, room: int) -> tuple[int, list[tuple[int, ...]]]:
    """The cheapest way to cut examples, in the order given, into batches, by dynamic programming.

    Returns what it costs, and the batches, the last first, as those of `indices` that are in each.
    """
    count, (inputs, targets) = len(lengths), lengths.T
    reach = max(1, room // int(lengths.sum(axis=1).min()))
    # The least cost of the first so many examples, and where the last batch of that cut begins.
    costs = np.zeros(count + 1, dtype=np.int64)
    costs[1:] = np.iinfo(np.int64).max
    begins = np.zeros(count + 1, dtype=np.int64)
    for begin in range(count):
        stop = min(count, begin + reach)
        widths = np.maximum.accumulate(inputs[begin:stop]) + np.maximum.accumulate(targets[begin:stop])
        tokens = widths * np.arange(1, stop - begin + 1)
        fitting = max(1, int(np.searchsorted(tokens, room, side="right")))
        here = slice(begin + 1, begin + 1 + fitting)
        offered = costs[begin] + tokens[:fitting] + room // _OPENING
        begins[here] = np.where(offered < costs[here], begin, begins[here])
        costs[here] = np.minimum(offered, costs[here])
    batches: list[tuple[int, ...]] = []
    end = count
    while end:
        begin = int(begins[end])
        batches.append(tuple(indices[begin:end].tolist()))
        end = begin
    return int(costs[count]), batches


def padded_tokens(lengths: Sequence[tuple[int, int]], batch: Sequence[int], *, rows: int = 1) -> int:
    """What a batch costs: rows x (longest input + longest target).

    >>> padded_tokens([(3, 1), (9, 2)], (0, 1))
    22
    """
    widest = max(lengths[i][0] for i in batch) + max(lengths[i][1] for i in batch)
    return len(batch) * rows * widest


def shares(
    lengths: Sequence[tuple[int, int]], *, ranks: int, max_tokens: int, rows: int = 1
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The micro-batches of each of several processes, an equal number to each.

    The examples are dealt by length in turning order, so that every process has about the same work, and each
    share is cut by itself. Whoever has fewer micro-batches halves its largest ones until all have as many; a
    process without examples enough gets empty ones.

    >>> shares([(3, 1), (9, 1), (4, 1), (2, 1)], ranks=2, max_tokens=10)
    (((1,), (3,)), ((2,), (0,)))
    """
    order = sorted(range(len(lengths)), key=lambda i: _by_length(lengths, i))
    turns = [order[start : start + ranks] for start in range(0, len(order), ranks)]
    dealt: list[list[int]] = [[] for _ in range(ranks)]
    for number, turn in enumerate(turns):
        for place, index in enumerate(turn):
            dealt[place if number % 2 == 0 else ranks - 1 - place].append(index)
    cuts = [
        [
            tuple(own[place] for place in batch)
            for batch in micro_batches([lengths[i] for i in own], max_tokens=max_tokens, rows=rows)
        ]
        for own in dealt
    ]
    longest = max(map(len, cuts))
    return tuple(_in_so_many(batches, longest) for batches in cuts)


def _in_so_many(batches: Sequence[tuple[int, ...]], count: int) -> tuple[tuple[int, ...], ...]:
    split = list(batches)
    while len(split) < count:
        if max(map(len, split), default=0) < 2:
            split.append(())
            continue
        place = max(range(len(split)), key=lambda i: (len(split[i]), -i))
        batch = split[place]
        half = (len(batch) + 1) // 2
        split[place : place + 1] = [batch[:half], batch[half:]]
    return tuple(split)


def batches_by_length(lengths: Sequence[int], *, max_tokens: int) -> tuple[tuple[int, ...], ...]:
    """All indices, longest first, in batches of at most `max_tokens` padded tokens: for inference.

    The longest come first, so that what does not fit into memory fails at once and not at the end.

    >>> batches_by_length([38, 90, 40, 20], max_tokens=90)
    ((1,), (2, 0), (3,))
    """
    _check_positive("max_tokens", max_tokens)
    return batches_by_lengths([(length, 0) for length in lengths], max_tokens=max_tokens)


def batches_by_lengths(lengths: Sequence[tuple[int, int]], *, max_tokens: int) -> tuple[tuple[int, ...], ...]:
    """As `batches_by_length` where an index has two sides, each padded to the longest of its kind.

    Of all ways to cut the indices in this order the cheapest is taken, where a batch costs its padded tokens
    and a sixteenth of `max_tokens` for being one more. Full batches would be fewer and of more padding: they
    make 144 prompts of six GLUE tasks 1.55 times as long at 8,192 tokens, those of the cheapest cut 1.18.

    >>> batches_by_lengths([(3, 5), (9, 1), (4, 6)], max_tokens=64)
    ((1,), (2, 0))
    """
    _check_positive("max_tokens", max_tokens)
    if not lengths:
        return ()
    order = sorted(range(len(lengths)), key=lambda i: _by_length(lengths, i))
    backwards = np.array(order[::-1])  # of cuts that cost the same, the one whose first batch is the fullest
    _, batches = _cheapest_cut(np.array(lengths, dtype=np.int64)[backwards], backwards, max_tokens)
    return tuple(batch[::-1] for batch in batches)


def filled_batches(lengths: Sequence[int], *, more: int, max_tokens: int) -> tuple[tuple[int, ...], ...]:
    """All indices, longest first, in batches that hold as many as fit: for what is decoded side by side.

    Every step of decoding costs as much again for each further batch, and inputs of one batch need not be
    padded to one length: they are read in batches of their own (`batches_by_length`).

    Args:
        lengths: tokens of each input.
        more: tokens that each takes beside them.
        max_tokens: of a batch; what alone exceeds it gets a batch of its own.

    >>> filled_batches([38, 90, 40, 20], more=10, max_tokens=150)
    ((1, 2), (0, 3))
    """
    _check_positive("max_tokens", max_tokens)
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        cost = lengths[index] + more
        if not batches or cost > room:
            batches.append([])
            room = max_tokens
        batches[-1].append(index)
        room -= cost
    return tuple(map(tuple, batches))


def _by_length(lengths: Sequence[tuple[int, int]], index: int) -> tuple[int, int, int]:
    """Longest first; ties keep the smaller index first."""
    return -lengths[index][0], -lengths[index][1], index


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise UsageError("a batch holds at least one", where=name, expected=">= 1", got=str(value))
