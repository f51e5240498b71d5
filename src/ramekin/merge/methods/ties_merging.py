"""TIES-merging: trim each model's delta, elect a sign for each element, merge the values that have it.

Paper: Yadav et al., *TIES-Merging: resolving interference when merging models*,
https://arxiv.org/abs/2306.01708; the authors' code is github.com/prateeky2806/ties-merging.

    trim     t_i   = delta_i where abs(delta_i) is among the largest `density`, else 0
    elect    sign  = sign(sum_i w_i t_i); where that is 0, the sign of the sum of all elements' signs
    merge    m     = sum (or mean, or max by magnitude) of the w_i t_i that have that sign
    theta          = theta_0 + scaling_factor * m        default: sum, density 0.2, scaling_factor 0.3, w_i 1

"The largest" are those of the whole model (scope=model) or of each tensor (scope=tensor). density 1 trims
nothing and density 0 gives the base. Without trimming and with one model it is task arithmetic; DARE and
DELLA trim at random and Breadcrumbs at both ends, and elect signs in the same way where they are told to.

Three definitions are in use, and a preset reproduces each:

| preset | scope | kept | tied embedding counted | merge | sign of 0 | density | scaling_factor |
|---|---|---|---|---|---|---|---|
| none | model | round(density n) | once | sum | majority | 0.2 | 0.3 |
| fusionbench | model | floor(density n) + 1 | 3 times, 4 with a tied head | sum | majority | 0.2 | 0.3 |
| paper | model | floor(density n) + 1 | once | mean | majority | 0.2 | 1.0 |
| mergekit | tensor | floor(density n) | no matter | mean | plus | 1.0 | 1.0 |

FusionBench is version 0.2.33, mergekit 0.1.5. The paper tunes the scaling factor (0.8 to 2.5) on a validation
set. FusionBench counts the embedding several times because it flattens a state_dict, in which a tied tensor
stands under each of its names, so the embedding draws its cut; its density is a percent, `threshold`. Values
equal to the cut are all kept here, whereas mergekit keeps an exact number of them.

This module knows nothing of files.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from ramekin.errors import UsageError
from ramekin.merge.array import Array, namespace
from ramekin.merge.combine import MergeFunc, elected
from ramekin.merge.cuts import (
    Cuts,
    Keep,
    KeptCounts,
    cut_rank,
    model_cuts,
    summed_trimmed,
    trimmed,
    wanted_count,
)
from ramekin.merge.inputs import embedding_counts
from ramekin.merge.method import Method, Prepared, check_weights, weights_at
from ramekin.merge.parameters import Parameter, PerModel, check_number, for_models
from ramekin.merge.selection import KthMagnitude
from ramekin.merge.settings import choice, parameter, per_model, settle
from ramekin.merge.stream import Chunk, ModelStream

__all__ = ["METHOD", "Scope", "TiesSettings", "majority_sign", "ties_merging"]

Scope = Literal["model", "tensor"]
ZeroSign = Literal["majority", "positive"]
Counting = Literal["unique", "fusionbench"]


@final
@dataclass(frozen=True, kw_only=True)
class TiesSettings:
    """What `ties_merging` can be told."""

    scaling_factor: Parameter = Parameter.of(0.3)
    """How far to go along the merged delta."""
    density: PerModel = (Parameter.of(0.2),)
    """The fraction of each model's delta that is kept, from 0 (the base) to 1 (no trimming)."""
    weights: PerModel | None = None
    """How much each model's trimmed delta counts; None counts each once."""
    scope: Scope = "model"
    """Whether the largest of the whole model are kept, or of each tensor."""
    merge_func: MergeFunc = "sum"
    """What becomes of the values that have the elected sign."""
    keep: Keep = "round"
    """How many of n values a density keeps: `round` the nearest whole number, `floor` the one below
    (mergekit), `official` one more than that (the paper's code, FusionBench). Values equal to the smallest
    kept one are kept in each."""
    zero_sign: ZeroSign = "majority"
    """The sign elected where the deltas cancel: that of most other elements, or plus."""
    counting: Counting = "unique"
    """How often a tied embedding counts in the model-wide cut: once, or as often as FusionBench counts it."""
    preset: str = "none"
    """The preset these values came from; of no effect here."""

    def __post_init__(self) -> None:
        settle(
            self,
            scaling_factor=parameter(),
            density=per_model(shares=True),
            weights=per_model(optional=True),
            scope=choice("model", "tensor"),
            merge_func=choice("sum", "mean", "max"),
            keep=choice("round", "floor", "official"),
            zero_sign=choice("majority", "positive"),
            counting=choice("unique", "fusionbench"),
        )
        if self.scope == "model" and any(each.constant is None for each in self.density):
            raise UsageError(
                "density: one cut over the whole model cannot differ from tensor to tensor",
                fix="give one number a model, or say scope=tensor",
            )
        if self.scope == "tensor" and self.counting != "unique":
            raise UsageError(
                f"counting={self.counting} says how often a tensor counts in a cut over the whole model, and "
                "scope=tensor cuts each by itself",
                fix="say counting=unique, or scope=model",
            )


def ties_merging(
    deltas: Sequence[Array],
    *,
    density: float = 0.2,
    merge_func: MergeFunc = "sum",
    weights: Sequence[float] | None = None,
) -> Array:
    """Trim, elect and merge the deltas of one tensor by itself.

    Args:
        deltas: tuned minus base of each model, of one shape.
        density: the fraction of each that is kept.
        merge_func: `sum`, `mean` or `max` of the values that have the elected sign.
        weights: how much each delta counts; None counts each once.

    Returns:
        The direction, in their shape, to be scaled and added to the base.

    Raises:
        UsageError: no deltas.

    >>> import numpy as np
    >>> ties_merging([np.asarray([4.0, 0.1, -2.0, 0.0]), np.asarray([2.0, -5.0, 0.2, 0.0])], density=0.5)
    array([ 6., -5., -2.,  0.])
    """
    trimmed = []
    for delta in deltas:
        xp = namespace(delta)
        flat = xp.sort(xp.abs(xp.reshape(delta, (-1,))))
        rank = cut_rank(flat.shape[0], wanted_count(flat.shape[0], density, "round"))
        trimmed.append(delta * (xp.abs(delta) >= flat[rank - 1]) if rank <= flat.shape[0] else delta * 0)
    return elected(trimmed, weights=weights, merge_func=merge_func)


def majority_sign(
    stream: ModelStream, merged: Callable[[Chunk], Array], *, times: Mapping[str, int] | None = None
) -> int:
    """The sign of the sum of all elements' signs: -1, 0 or 1.

    Args:
        stream: the models.
        merged: the sum of a chunk's trimmed deltas.
        times: how often a tensor counts; 1 unless named.
    """

    def signs(chunk: Chunk) -> int:
        total = merged(chunk)
        count = namespace(total).count_nonzero
        return (times or {}).get(chunk.name, 1) * (int(count(total > 0)) - int(count(total < 0)))

    balance = sum(stream.walk(signs))
    return (balance > 0) - (balance < 0)


def _prepare(stream: ModelStream, settings: TiesSettings) -> Prepared:
    times: Mapping[str, int] = {}
    if settings.counting == "fusionbench":
        times = embedding_counts(stream.names, head_is_embedding=stream.head_is_embedding)
    cuts = _find_cuts(stream, settings, times)
    kept = KeptCounts(stream.names, stream.num_tuned)

    def total(chunk: Chunk) -> Array:
        return summed_trimmed(stream, chunk, cuts.found[chunk.name], weights_at(settings.weights, chunk))

    def sign_of(part: ModelStream) -> int:
        if settings.zero_sign == "positive" or _keeps_nothing(settings):
            return 1
        return majority_sign(part, total, times=cuts.times)

    if settings.scope == "model":
        zero_signs = dict.fromkeys(stream.names, sign_of(stream))
    else:
        zero_signs = {name: sign_of(stream.only([name])) for name in stream.names}

    def combine(chunk: Chunk) -> Array:
        rows = trimmed(stream, chunk, cuts.found[chunk.name])
        for model, (_, count) in enumerate(rows):
            kept.add(chunk, model, count)
        return elected(
            [delta for delta, _ in rows],
            weights=weights_at(settings.weights, chunk),
            merge_func=settings.merge_func,
            zero_sign=zero_signs[chunk.name],
            loops=stream.loops,
        )

    def figures() -> dict[str, object]:
        return {
            **kept.figures(stream),
            "cuts_by_tensor": {
                name: [kth.value if math.isfinite(kth.value) else None for kth in found]
                for name, found in cuts.found.items()
            },
            "zero_sign_by_tensor": zero_signs,
            "counted_more_than_once": {name: count for name, count in times.items() if count > 1},
            "imprecise": cuts.imprecise(stream),
        }

    return Prepared(combine, figures, cuts.warnings(stream))


def _find_cuts(stream: ModelStream, settings: TiesSettings, times: Mapping[str, int]) -> Cuts:
    per_model = for_models(settings.density, stream.num_tuned, key="density")
    if settings.scope == "model":
        total = sum(stream.numel(name) * times.get(name, 1) for name in stream.names)
        wanted = [wanted_count(total, each.at(""), settings.keep) for each in per_model]
        found = _one_each(model_cuts(stream, [[cut_rank(total, count)] for count in wanted], times=times))
        return Cuts(dict.fromkeys(stream.names, found), {stream.names: tuple(wanted)}, times)
    by_name: dict[str, tuple[KthMagnitude, ...]] = {}
    wanted_by_name: dict[tuple[str, ...], tuple[int, ...]] = {}
    for name in stream.names:
        total = stream.numel(name)
        wanted = [wanted_count(total, each.at(name, stream.depth(name)), settings.keep) for each in per_model]
        by_name[name] = _one_each(
            model_cuts(stream.only([name]), [[cut_rank(total, count)] for count in wanted])
        )
        wanted_by_name[(name,)] = tuple(wanted)
    return Cuts(by_name, wanted_by_name, {})


def _one_each(kths: Sequence[Sequence[KthMagnitude]]) -> tuple[KthMagnitude, ...]:
    return tuple(only for (only,) in kths)


def _check(settings: TiesSettings, num_models: int) -> None:
    for_models(settings.density, num_models, key="density")
    check_weights(settings.weights, num_models)


def _check_names(settings: TiesSettings, names: Sequence[str]) -> None:
    if settings.counting == "fusionbench":
        embedding_counts(names, head_is_embedding=False)  # which it is makes no difference to the refusal


def _num_measure_passes(settings: TiesSettings) -> float:
    """One for the cuts, one for the majority sign; a rank at either end needs no look at the numbers."""
    trims = any(each.constant not in (0, 1) for each in settings.density)
    return trims + (settings.zero_sign == "majority" and not _keeps_nothing(settings))


def _keeps_nothing(settings: TiesSettings) -> bool:
    return all(each.constant == 0 for each in settings.density)


def _foreign_words(given: Mapping[str, object], preset: str) -> Mapping[str, object]:
    """FusionBench's `threshold` (a percent above 1, else a fraction) and `remove_keys` in our words."""
    values = dict(given)
    if "threshold" not in values and "remove_keys" not in values:
        return values
    if preset != "fusionbench":
        raise UsageError(
            "threshold and remove_keys are FusionBench's words",
            where="ties_merging",
            fix="say density=0.2 for the top 20 %, or add preset=fusionbench",
        )
    if values.pop("remove_keys", None):
        raise UsageError(
            "remove_keys is not supported: with tied embeddings it fails in FusionBench too",
            where="ties_merging",
            fix="leave it out; counting=unique counts each tied tensor once",
        )
    if "threshold" in values:
        threshold = values.pop("threshold")
        if "density" in values:
            raise UsageError("density and threshold say the same thing", fix="leave one out")
        problems = check_number("threshold", threshold)
        if problems:
            raise UsageError.of_problems(problems)
        assert isinstance(threshold, int | float)
        values["density"] = threshold / 100 if threshold > 1 else threshold
    return values


METHOD = Method(
    name="ties_merging",
    summary="deltas trimmed, signs elected, agreeing values merged",
    paper="https://arxiv.org/abs/2306.01708",
    function=ties_merging,
    settings=TiesSettings,
    prepare=_prepare,
    presets={
        "fusionbench": {"keep": "official", "counting": "fusionbench"},
        "paper": {"keep": "official", "merge_func": "mean", "scaling_factor": 1.0},
        "mergekit": {
            "scope": "tensor",
            "keep": "floor",
            "merge_func": "mean",
            "zero_sign": "positive",
            "density": 1.0,
            "scaling_factor": 1.0,
        },
    },
    num_measure_passes=_num_measure_passes,
    check=_check,
    check_names=_check_names,
    foreign=_foreign_words,
)
