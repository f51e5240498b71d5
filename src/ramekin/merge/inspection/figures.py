"""The figures of a tensor, a layer, a kind of tensor or the whole model, made of what was added up.

Shares are of elements, from 0 to 1. What cannot be said, such as the angle to a delta of zero, is None.
This module reads nothing.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from ramekin.merge.inspection.spectra import Ranks, Spectra
from ramekin.merge.inspection.sums import DeltaSums

__all__ = ["Figures", "LargestElement", "ModelFigures", "PairFigures", "TotalFigures", "figures", "pairs_of"]


@final
@dataclass(frozen=True, slots=True)
class LargestElement:
    """The element of the largest magnitude of a delta; the first of equals."""

    value: float
    tensor: str
    place: int
    """In the flattened tensor."""


@final
@dataclass(frozen=True, slots=True)
class ModelFigures:
    """Of one model's delta."""

    length: float
    relative: float | None
    """The length divided by that of the base."""
    energy: float | None
    """The share of the squared length of the model's whole delta."""
    changed: float
    """The share of elements that are not the base's."""
    magnitude: float
    """The mean of the magnitudes of the delta."""
    largest: LargestElement | None
    kept: float
    """The share of elements that trimming would keep."""
    stable_rank: float | None
    """The mean over the matrices whose delta is not zero."""
    entropy_rank: float | None
    compared: float | None
    """How many leading singular vectors are compared, the mean."""


@final
@dataclass(frozen=True, slots=True)
class PairFigures:
    """Of the deltas of two models."""

    cosine: float | None
    both_changed: float
    """The share of elements that both change."""
    conflict: float
    """The share of elements that the two change to opposite sides."""
    conflict_by_magnitude: float | None
    """The same, each element counting as much as the two magnitudes together."""
    conflict_after_trimming: float
    overlap: float | None
    """Of the dominant subspaces, left and right, the mean over the matrices where neither delta is zero."""
    overlap_left: float | None
    overlap_right: float | None
    overlap_by_chance: float | None
    """What random subspaces of those dimensions have on average."""


@final
@dataclass(frozen=True, slots=True)
class TotalFigures:
    """Of the sum of the deltas, and of conflicts between any two."""

    length: float
    relative: float | None
    conflict: float
    """The share of elements at which any two deltas have opposite signs."""
    conflict_by_magnitude: float | None
    """The same, each element counting as much as all magnitudes together."""
    conflict_after_trimming: float
    stable_rank: float | None
    entropy_rank: float | None


@final
@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of some tensors."""

    tensors: int
    elements: int
    base_length: float
    matrices: int
    """How many of the tensors have singular values."""
    full_rank: float | None
    """The rank a matrix can have, the mean over them."""
    models: tuple[ModelFigures, ...]
    pairs: tuple[PairFigures, ...]
    """In the order of `pairs_of`."""
    total: TotalFigures


def pairs_of(count: int) -> tuple[tuple[int, int], ...]:
    """The pairs of so many models.

    >>> pairs_of(3)
    ((0, 1), (0, 2), (1, 2))
    """
    return tuple(itertools.combinations(range(count), 2))


def figures(
    sums: DeltaSums,
    spectra: Sequence[Spectra] = (),
    *,
    tensors: int = 1,
    whole: DeltaSums | None = None,
) -> Figures:
    """The figures of some tensors.

    Args:
        sums: what was added up over them.
        spectra: of the matrices among them.
        tensors: how many there are.
        whole: the sums of the whole model, for shares of it; None where these are.
    """
    count = len(sums.largest)
    everything = sums if whole is None else whole
    return Figures(
        tensors=tensors,
        elements=sums.elements,
        base_length=_root(sums.weights.products[0, 0]),
        matrices=len(spectra),
        full_rank=_mean(float(min(each.shape)) for each in spectra),
        models=tuple(_of_model(place, sums, spectra, everything) for place in range(count)),
        pairs=tuple(_of_pair(one, other, sums, spectra) for one, other in pairs_of(count)),
        total=_of_total(sums, spectra),
    )


def _of_model(place: int, sums: DeltaSums, spectra: Sequence[Spectra], whole: DeltaSums) -> ModelFigures:
    counts, weights = sums.counts, sums.weights
    square = float(weights.products[place + 1, place + 1])
    largest = sums.largest[place]
    ranks = [each.models[place] for each in spectra]
    return ModelFigures(
        length=_root(square),
        relative=_ratio(_root(square), _root(weights.products[0, 0])),
        energy=_ratio(square, whole.weights.products[place + 1, place + 1]),
        changed=_share(counts.changed[place, place], sums),
        magnitude=_share(weights.magnitudes[place], sums),
        largest=LargestElement(*largest) if largest.value else None,
        kept=_share(counts.kept[place], sums),
        stable_rank=_mean(rank.stable for rank in ranks),
        entropy_rank=_mean(rank.entropy for rank in ranks),
        compared=_mean(float(each.counts[place]) if each.counts[place] else None for each in spectra),
    )


def _of_pair(one: int, other: int, sums: DeltaSums, spectra: Sequence[Spectra]) -> PairFigures:
    counts, weights = sums.counts, sums.weights
    overlaps = [found for each in spectra if (found := each.overlap(one, other)) is not None]
    chances = [found for each in spectra if (found := each.chance(one, other)) is not None]
    opposed = weights.opposed[one, other] + weights.opposed[other, one]
    return PairFigures(
        cosine=_cosine(sums, one, other),
        both_changed=_share(counts.changed[one, other], sums),
        conflict=_share(counts.opposed[one, other], sums),
        conflict_by_magnitude=_ratio(opposed, weights.magnitudes[one] + weights.magnitudes[other]),
        conflict_after_trimming=_share(counts.kept_opposed[one, other], sums),
        overlap=_mean((left + right) / 2 for left, right in overlaps),
        overlap_left=_mean(left for left, _ in overlaps),
        overlap_right=_mean(right for _, right in overlaps),
        overlap_by_chance=_mean((left + right) / 2 for left, right in chances),
    )


def _of_total(sums: DeltaSums, spectra: Sequence[Spectra]) -> TotalFigures:
    counts, weights = sums.counts, sums.weights
    length = _root(weights.products[1:, 1:].sum())
    ranks: list[Ranks] = [each.total for each in spectra]
    return TotalFigures(
        length=length,
        relative=_ratio(length, _root(weights.products[0, 0])),
        conflict=_share(float(counts.in_conflict), sums),
        conflict_by_magnitude=_ratio(float(weights.in_conflict), weights.magnitudes.sum()),
        conflict_after_trimming=_share(float(counts.kept_in_conflict), sums),
        stable_rank=_mean(rank.stable for rank in ranks),
        entropy_rank=_mean(rank.entropy for rank in ranks),
    )


def _cosine(sums: DeltaSums, one: int, other: int) -> float | None:
    products = sums.weights.products
    # Root by root, as the product of two small squares may be too small for a float.
    lengths = _root(products[one + 1, one + 1]) * _root(products[other + 1, other + 1])
    found = _ratio(products[one + 1, other + 1], lengths)
    return None if found is None else max(-1.0, min(1.0, found))


def _share(count: float, sums: DeltaSums) -> float:
    return float(count) / sums.elements if sums.elements else 0.0


def _ratio(value: float, whole: float) -> float | None:
    return float(value) / float(whole) if whole else None


def _root(square: float) -> float:
    return math.sqrt(max(0.0, float(square)))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
