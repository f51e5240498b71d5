"""Which examples share a padded batch: pure functions of lengths.

Exact batching: the examples of an optimizer step are drawn at random, and only then sorted by length and
cut into micro-batches of little padding. Which examples share a step, and so the gradient, does not depend
on how the step is cut. Sorting before drawing would save slightly more padding and change the training.

This module knows only lengths; it holds no tokens and no tensors.
"""

from collections.abc import Sequence

from ramekin.errors import UsageError

__all__ = ["batches_by_length", "micro_batches", "padded_tokens", "shares"]


def micro_batches(
    lengths: Sequence[tuple[int, int]], *, max_tokens: int, rows: int = 1
) -> tuple[tuple[int, ...], ...]:
    """All indices in micro-batches of at most `max_tokens` padded tokens, longest first.

    A micro-batch of n examples costs n x rows x (longest input + longest target) padded tokens; an example
    that alone exceeds the budget gets a micro-batch of its own.

    Args:
        lengths: (input tokens, target tokens) of each example of a step.
        max_tokens: padded tokens, both sides together, in a forward pass.
        rows: of a batch that each example takes (flipped learning: two).

    >>> micro_batches([(3, 1), (9, 1), (4, 1), (2, 1)], max_tokens=10)
    ((1,), (2, 0), (3,))
    """
    _check_positive("max_tokens", max_tokens)
    return _cut(lengths, max_tokens // rows)


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

    >>> batches_by_length([3, 9, 4, 2], max_tokens=9)
    ((1,), (2, 0), (3,))
    """
    _check_positive("max_tokens", max_tokens)
    return _cut([(length, 0) for length in lengths], max_tokens)


def _cut(lengths: Sequence[tuple[int, int]], max_tokens: int) -> tuple[tuple[int, ...], ...]:
    """Sort by length, longest first, and fill batches greedily; ties keep the smaller index first."""
    batches: list[tuple[int, ...]] = []
    batch: list[int] = []
    longest_input = longest_target = 0
    for index in sorted(range(len(lengths)), key=lambda i: _by_length(lengths, i)):
        inputs, targets = lengths[index]
        width = max(longest_input, inputs) + max(longest_target, targets)
        if batch and width * (len(batch) + 1) > max_tokens:
            batches.append(tuple(batch))
            batch, longest_input, longest_target = [], 0, 0
        batch.append(index)
        longest_input, longest_target = max(longest_input, inputs), max(longest_target, targets)
    if batch:
        batches.append(tuple(batch))
    return tuple(batches)


def _by_length(lengths: Sequence[tuple[int, int]], index: int) -> tuple[int, int, int]:
    """Longest first; ties keep the smaller index first."""
    return -lengths[index][0], -lengths[index][1], index


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise UsageError("a batch holds at least one", where=name, expected=">= 1", got=str(value))
