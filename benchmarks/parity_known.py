"""Why merges of the peers differ from ramekin's where they do, and how each reason is held against them.

A reason that the numbers do not bear out is none, and `merge_parity.py` then ends with an error.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from parity_models import Tensors, own_name

from ramekin.merge.matrices import is_matrix
from ramekin.weights.layout import EMBEDDING_ALIASES, HEAD, SHARED

ROUNDING = 1e-6
"""What counts as rounding: a difference of up to this share of the largest value of the same tensor."""

_DEVIATIONS = 4.5


@dataclass(frozen=True)
class Merged:
    """What went into a merge and what came out of it on both sides."""

    base: Tensors
    tuned: Sequence[Tensors]
    ours: Tensors
    theirs: Tensors
    """Under the names of ours."""
    exact: Tensors | None
    """The peer's in float64."""
    settings: Mapping[str, Any]
    """ramekin's."""
    statistics: Sequence[Tensors] = ()

    def deltas(self, name: str) -> list[torch.Tensor]:
        """Tuned minus base of a tensor, of each model."""
        return [each[name] - self.base[name] for each in self.tuned]


@dataclass(frozen=True)
class Known:
    """A reason."""

    because: str
    proof: Callable[[Merged], str | None]
    """What the numbers say for it; None where they do not bear it out."""


def relative(ours: Tensors, theirs: Tensors, names: Sequence[str] | None = None) -> float:
    """The largest difference of a tensor as a share of the largest value in it, over all tensors.

    >>> one, two = {"w": torch.tensor([2.0, 4.0])}, {"w": torch.tensor([2.0, 5.0])}
    >>> relative(one, two)
    0.2
    """
    worst = 0.0
    for name in theirs if names is None else names:
        exact = theirs[name].double()
        largest = float(exact.abs().max())
        worst = max(worst, float((ours[name].double() - exact).abs().max()) / (largest or 1.0))
    return worst


def _differing(merged: Merged) -> dict[str, torch.Tensor]:
    found = {name: merged.ours[name] != theirs for name, theirs in merged.theirs.items()}
    return {name: mask for name, mask in found.items() if mask.any()}


def _mask(merged: Merged) -> str | None:
    """Every element that differs lies at the threshold, but for rounding."""
    worst = 0.0
    factor = merged.settings["tall_lambda"]
    for name, mask in _differing(merged).items():
        deltas = [delta.double() for delta in merged.deltas(name)]
        total = sum(deltas, start=torch.zeros_like(deltas[0]))
        margins = torch.stack([(d.abs() - factor * (total - d).abs()).abs() for d in deltas])
        worst = max(worst, float((margins.amin(dim=0) / merged.base[name].abs().clamp(min=1e-3))[mask].max()))
    return f"all that differ are within {worst:.0e} of the threshold" if worst <= 1e-6 else None


def _drawn(
    merged: Merged, chances: Callable[[torch.Tensor, float], torch.Tensor], *, scaled: bool
) -> str | None:
    """As many are kept as the law says, of the likely and of the unlikely, with the values that it says."""
    density = merged.settings["density"]
    told = []
    for side in (merged.ours, merged.theirs):
        kept, expected, variance = np.zeros(2), np.zeros(2), np.zeros(2)
        for name in side:
            (delta,) = merged.deltas(name)
            there = side[name] != merged.base[name]
            left = delta[there].abs().double().sum()
            factor = float(delta.abs().double().sum() / left) if scaled and left else 1 / density
            mask = there & (delta.abs() > 1e-4)
            wrong = (side[name] - (merged.base[name] + delta * factor)).abs()[mask]
            if len(wrong) and float(wrong.max()) > ROUNDING * max(1.0, float(side[name].abs().max())):
                return None
            chance = chances(delta, density)[delta.abs() > 1e-4].double()
            own = mask[delta.abs() > 1e-4].double()
            for half, group in enumerate((chance < density, chance >= density)):
                kept[half] += float(own[group].sum())
                expected[half] += float(chance[group].sum())
                variance[half] += float((chance * (1 - chance))[group].sum())
        if (np.abs(kept - expected) > _DEVIATIONS * np.sqrt(variance)).any():
            return None
        told.append(f"{kept.sum():.0f}")
    return f"kept {told[0]} and {told[1]}, expected {expected.sum():.0f}, with the values of the law"


def _alike(delta: torch.Tensor, density: float) -> torch.Tensor:
    """DARE's probabilities."""
    return torch.full_like(delta, density)


def _by_rank(delta: torch.Tensor, density: float, epsilon: float = 0.15) -> torch.Tensor:
    """DELLA's probabilities: by the rank of the magnitude in its row."""
    order = delta.abs().argsort(dim=-1, stable=True).argsort(dim=-1)
    return density - epsilon + 2 * epsilon * order / (delta.shape[-1] - 1)


def _stock(merged: Merged, cosine: Callable[[float, float], float], *, angles: bool) -> str | None:
    """The formula with the peer's cosine gives the peer's.

    Args:
        merged: the merge.
        cosine: from the inner product of two deltas and the product of their lengths.
        angles: whether the angles are averaged, or the cosines.
    """
    expected = {}
    for name, start in merged.base.items():
        deltas = [delta.double() for delta in merged.deltas(name)]
        pairs = itertools.combinations(deltas, 2)
        cosines = [cosine(float((a * b).sum()), float(a.norm() * b.norm())) for a, b in pairs]
        mean = statistics.fmean(cosines)
        if angles:
            mean = math.cos(statistics.fmean(math.acos(each) for each in cosines))
        ratio = len(deltas) * mean / (1 + (len(deltas) - 1) * mean)
        average = torch.stack([each[name].double() for each in merged.tuned]).mean(0)
        expected[name] = ratio * average + (1 - ratio) * start.double()
    found, ours = relative(merged.theirs, expected), relative(merged.ours, expected)
    told = f"with that it is the formula to {found:.1e}, ours {ours:.1e}"
    return told if found <= ROUNDING else None


def _arbitrary(merged: Merged) -> str | None:
    """The peer's own two results, in float32 and in float64, differ as much from each other."""
    if merged.exact is None:
        return None
    own = relative(merged.theirs, merged.exact)
    other = relative(merged.ours, merged.theirs)
    rest = [n for n, each in merged.theirs.items() if each.ndim != 2]
    same = relative(merged.ours, merged.theirs, rest) <= ROUNDING
    return f"its float64 differs from its float32 by {own:.2f}" if same and own > 0.2 * other else None


def _steps(merged: Merged) -> str | None:
    """The minimiser has the lower loss in every matrix."""
    losses = np.zeros(2)
    rest = []
    for name, theirs in merged.theirs.items():
        if not is_matrix(name, tuple(theirs.shape)):
            rest.append(name)
            continue
        deltas = [delta.double() for delta in merged.deltas(name)]
        found = []
        for side in (merged.ours, merged.theirs):
            tau = side[name].double() - merged.base[name].double()
            found.append(sum(float((((tau - d) @ d.T) ** 2).sum() / (d**2).sum()) for d in deltas))
        if found[0] > found[1]:
            return None
        losses += found
    if relative(merged.ours, merged.theirs, rest) > ROUNDING:
        return None
    return f"the loss over all matrices: ours {losses[0]:.4g}, its {losses[1]:.4g}"


def _lengths(merged: Merged) -> str | None:
    """With lengths that count the embedding once for each of its names, the formula gives the peer's."""
    times = 3 if HEAD in merged.base else 4
    lengths = [
        math.sqrt(
            sum(float((f.double() ** 2).sum()) * (times if n == SHARED else 1) for n, f in model.items())
        )
        for model in merged.statistics
    ]
    expected = {}
    for name in merged.base:
        parts = [
            (model[name].double() + 1e-6) / (length + 1e-6)
            for model, length in zip(merged.statistics, lengths, strict=True)
        ]
        sums = [part * own[name].double() for part, own in zip(parts, merged.tuned, strict=True)]
        expected[name] = torch.stack(sums).sum(0) / torch.stack(parts).sum(0)
    found = relative(merged.theirs, expected)
    return f"counted {times} times it is the formula to {found:.1e}" if found <= ROUNDING else None


def _negative(merged: Merged) -> str | None:
    """Divided by the sum of the agreeing weights, not of their sizes, the formula gives the peer's."""
    weights = merged.settings["weights"]
    expected = {}
    for name, start in merged.base.items():
        parts = torch.stack([w * d.double() for w, d in zip(weights, merged.deltas(name), strict=True)])
        elected = torch.where(parts.sum(0) >= 0, 1.0, -1.0)
        agreeing = parts.sign() == elected
        counts = torch.stack([w * own.double() for w, own in zip(weights, agreeing, strict=True)]).sum(0)
        total = (parts * agreeing).sum(0)
        expected[name] = start.double() + total / torch.where(counts == 0, 1.0, counts)
    # The sign of a sum that is 0 but for rounding may be either, and elements of it are few.
    wrong = sum(
        int(((merged.theirs[name] - each).abs() > 1e-5 * each.abs().max()).sum())
        for name, each in expected.items()
    )
    elements = sum(each.numel() for each in expected.values())
    return f"with that it is the formula, in all but {wrong} elements" if wrong < 1e-4 * elements else None


def _ties(merged: Merged) -> str | None:
    """Every element that differs has a magnitude that another element of its tensor and model has."""
    count = 0
    for name, mask in _differing(merged).items():
        if float((merged.ours[name] - merged.theirs[name]).abs().max()) <= ROUNDING:
            continue
        shared = torch.zeros_like(mask)
        for delta in merged.deltas(name):
            values, place, counts = torch.unique(delta.abs(), return_inverse=True, return_counts=True)
            shared |= (counts[place] > 1) & (values[place] > 0)
        large = (merged.ours[name] - merged.theirs[name]).abs() > ROUNDING
        if (large & ~shared).any():
            return None
        count += int(large.sum())
    return f"{count} elements, each of a magnitude that its tensor has several times"


def _fewer(merged: Merged) -> str | None:
    """Only tensors differ of which the density is less than one value, and there the peer has the base's."""
    names = _differing(merged)
    for name in names:
        if int(merged.settings["density"] * merged.base[name].numel()) >= 1:
            return None
        if not torch.equal(merged.theirs[name], merged.base[name]):
            return None
    return f"{len(names)} tensors, which are the base's in its merge"


KNOWN: Mapping[str, Known] = {
    "mask": Known("at the threshold it keeps no element, as the authors' code; here as in the paper", _mask),
    "drawn": Known("other random numbers, the same law", partial(_drawn, chances=_alike, scaled=False)),
    "dare": Known("other random numbers, the same law", partial(_drawn, chances=_alike, scaled=True)),
    "della": Known("other random numbers, the same law", partial(_drawn, chances=_by_rank, scaled=True)),
    "added length": Known(
        "it adds 1e-8 to the product of two lengths",
        partial(_stock, cosine=lambda inner, lengths: inner / (lengths + 1e-8), angles=True),
    ),
    "least length": Known(
        "it takes the product of two lengths for at least 1e-6",
        partial(_stock, cosine=lambda inner, lengths: inner / max(lengths, 1e-6), angles=False),
    ),
    "rank": Known("its result has directions of singular values that are rounding", _arbitrary),
    "level": Known("all singular values are equal, so that rounding chooses the directions", _arbitrary),
    "steps": Known("another algorithm for the same loss", _steps),
    "lengths": Known("its class counts a tied embedding several times in the lengths", _lengths),
    "fewer than one": Known("of a tensor of which it is to keep less than one value it keeps none", _fewer),
    "negative weight": Known(
        "it divides by the sum of the agreeing weights, here by the sum of their sizes", _negative
    ),
    "equal values": Known("of values equal to the cut it keeps an exact number", _ties),
}


def named_as_ours(ours: Tensors, theirs: Tensors) -> dict[str, torch.Tensor]:
    """The peer's tensors under ramekin's names, each once.

    Raises:
        SystemExit: it has none under a name, or two that differ under one.
    """
    found: dict[str, torch.Tensor] = {}
    for name, tensor in sorted(theirs.items(), key=lambda pair: pair[0] in EMBEDDING_ALIASES):
        own = own_name(name, ours)
        if own not in ours:
            raise SystemExit(f"the peer has a tensor that ramekin has not: {name}")
        if own in found and not torch.equal(found[own], tensor):
            raise SystemExit(f"the peer has {name} otherwise than under its other name")
        found[own] = tensor
    return found
