"""PCB-merging: weigh each value by its size in its own model and its agreement with the others.

Paper: Du et al., *Parameter competition balancing for model merging*, https://arxiv.org/abs/2410.02396; the
authors' code is github.com/duguodong7/pcb-merging, whose form this is (the paper writes softmax for the first
factor).

    a_i     = abs(delta_i), clamped at the smallest and largest 0.01 % of model i
    intra_i = exp(N * ((a_i - min a_i) / (max a_i - min a_i))^2)            how large it is in its own model
    inter_i = tanh(delta_i * sum_j(delta_j))                                how far it agrees with the sum
    beta_i  = intra_i * inter_i
    s_i     = (max(beta_i, low_i) - low_i) / (max beta_i - low_i)           low_i cuts all but the top density
    m       = sum_i(s_i * sign(delta_i) * a_i) / sum_i(s_i)
    theta   = theta_0 + scaling_factor * m                        default: density 0.1, scaling_factor 1

density is the authors' pcb_ratio (0.1; 0.05 with their search of the coefficients, which runs on the test
split and is not repeated here). min, max and low are those of the whole model, each tensor counted once. A
value that works against the sum never has a weight here; in the authors' code it can where fewer than
`density` of a model's values work with it. FusionBench 0.2.33 and mergekit 0.1.5 do not have it.

This module knows nothing of files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import summed
from ramekin.merge.cuts import cut_rank, model_cuts
from ramekin.merge.method import Method, Prepared
from ramekin.merge.parameters import Parameter
from ramekin.merge.settings import number, parameter, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "PcbSettings", "pcb_merging"]

_TAIL = 1e-4  # the share of a model's magnitudes that is clamped at either end


@final
@dataclass(frozen=True, kw_only=True)
class PcbSettings:
    """What `pcb_merging` can be told."""

    scaling_factor: Parameter = Parameter.of(1.0)
    """How far to go along the merged deltas."""
    density: float = 0.1
    """The share of each model's values that have a weight."""

    def __post_init__(self) -> None:
        settle(self, scaling_factor=parameter(), density=number(low=0, high=1))


def pcb_merging(deltas: Sequence[Array], *, density: float = 0.1) -> Array:
    """Merge the deltas of a model of one tensor.

    Args:
        deltas: tuned minus base of each model, of one shape.
        density: the share of each model's values that have a weight.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    >>> pcb_merging([np.asarray([1.0, -0.1, 0.5]), np.asarray([0.8, 0.2, -0.5])], density=0.5).round(3)
    array([0.5, 0. , 0. ])
    """
    total = int(np.prod(deltas[0].shape))
    tails: list[tuple[float, ...]] = []
    for delta in deltas:
        xp = namespace(delta)
        ordered = xp.sort(xp.abs(xp.reshape(delta, (-1,))))
        tails.append(tuple(float(ordered[rank - 1]) for rank in _tail_ranks(total)))
    rank = cut_rank(total, _num_weighted(total, density))
    bounds = []
    for row in _balanced(deltas, tails):
        ordered = namespace(row).sort(namespace(row).reshape(row, (-1,)))
        low = float("inf") if rank > total else float(ordered[max(rank, 1) - 1])
        bounds.append((low, float(ordered[total - 1])))
    return _merged(deltas, tails, bounds)


def _balanced(deltas: Sequence[Array], tails: Sequence[Sequence[float]]) -> list[Array]:
    """Beta of each model where it works with the sum, and 0 where it does not."""
    agreed = summed(deltas)
    rows = []
    for delta, (low, high) in zip(deltas, tails, strict=True):
        xp = namespace(delta)
        share = (xp.clip(xp.abs(delta), low, high) - low) / ((high - low) or 1.0)
        beta = xp.exp(len(deltas) * share * share) * xp.tanh(delta * agreed)
        # Ranks are those of the bits, to which minus zero is larger than any number.
        rows.append(xp.abs(xp.clip(beta, 0.0, None)))
    return rows


def _merged(
    deltas: Sequence[Array], tails: Sequence[Sequence[float]], bounds: Sequence[Sequence[float]]
) -> Array:
    xp = namespace(deltas[0])
    total, weight = xp.zeros_like(deltas[0]), xp.zeros_like(deltas[0])
    rows = zip(deltas, _balanced(deltas, tails), tails, bounds, strict=True)
    for delta, beta, (smallest, largest), (low, high) in rows:
        if not low < high:
            continue  # nothing stands out in this model
        scale = (xp.clip(beta, low, None) - low) / (high - low)
        total += scale * xp.sign(delta) * xp.clip(xp.abs(delta), smallest, largest)
        weight += scale
    merged: Array = total / xp.clip(weight, 1e-12, None)
    return merged


def _tail_ranks(total: int) -> tuple[int, int]:
    """The ranks of the smallest and of the largest magnitude that are not clamped."""
    low = min(total, int(total * _TAIL) + 1)
    return low, max(low, min(total, int(total * (1 - _TAIL) - 1) + 1))


def _num_weighted(total: int, density: float) -> int:
    """How many values of a model have a weight, rounded as the authors' code rounds."""
    return total - int(total * (1 - density))


def _prepare(stream: ModelStream, settings: PcbSettings) -> Prepared:
    total = sum(stream.numel(name) for name in stream.names)
    found = model_cuts(stream, [_tail_ranks(total)] * stream.num_tuned)
    tails = [(low.value, high.value) for low, high in found]
    rank = max(1, cut_rank(total, _num_weighted(total, settings.density)))
    tops = model_cuts(
        stream, [(rank, total)] * stream.num_tuned, of=lambda chunk: _balanced(chunk.deltas, tails)
    )
    bounds = [(low.value, high.value) for low, high in tops]

    def combine(chunk: Chunk) -> Array:
        return _merged(list(chunk.deltas), tails, bounds)

    figures = {
        "clamped_at": dict(zip(stream.labels, tails, strict=True)),
        "weighted_above": {label: low for label, (low, _) in zip(stream.labels, bounds, strict=True)},
    }
    return Prepared(combine, lambda: figures)


METHOD = Method(
    name="pcb_merging",
    summary="values weighed by their size in their model and their agreement with the others",
    paper="https://arxiv.org/abs/2410.02396",
    function=pcb_merging,
    settings=PcbSettings,
    prepare=_prepare,
    num_measure_passes=lambda settings: 4,
)
