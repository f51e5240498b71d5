"""What stands out among the figures of an inspection, in plain sentences, each by a threshold given here.

A sentence is said where its figure passes the threshold, and none where nothing does. They say what was
measured and which method is made for it, not that it will score better. This module reads nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, final

from ramekin.merge.inspection.figures import Figures, pairs_of
from ramekin.merge.inspection.inspect import Inspection

__all__ = [
    "ALIKE",
    "CONCENTRATED",
    "COUNTS",
    "MORE_THAN_ITS_SIZE",
    "OPPOSED",
    "OPPOSITE",
    "SHARED",
    "SIZE",
    "STARVED",
    "UNEQUAL",
    "readings",
]

OPPOSITE = -0.5
"""The cosine below which two deltas point opposite ways in a layer."""
ALIKE = 0.9
"""The cosine above which two whole deltas are nearly one."""
COUNTS = 0.01
"""The share of a model's squared length that a layer must have for its angles to be spoken of."""
CONCENTRATED = 0.5
"""The share of a model's squared length that is much for one layer."""
MORE_THAN_ITS_SIZE = 2.0
"""How many times the layer's share of the elements that share must be."""
UNEQUAL = 3.0
"""How many times as long the longest delta is as the shortest."""
SIZE = 0.01
"""The share of the elements that a layer must have for its trimming to be spoken of."""
STARVED = 0.1
"""The share of what trimming could keep below which it leaves hardly anything of a layer."""
OPPOSED = 0.6
"""The share of elements changed by both models that have opposite signs; half of them by chance."""
SHARED = 0.25
"""How far an overlap of subspaces is from chance (0) to equality (1)."""
_NAMED = 3  # layers or pairs that a sentence names, and sentences of one kind


@final
class _Found(NamedTuple):
    where: str
    value: float


def readings(found: Inspection) -> tuple[str, ...]:
    """The sentences, the most far-reaching first; none where nothing stands out."""
    rules: Sequence[Callable[[Inspection], Iterator[str]]] = (
        _without_delta,
        _unequal,
        _alike,
        _opposite,
        _opposed,
        _concentrated,
        _untrimmed,
        _starved,
        _shared_by_pairs,
        _shared,
    )
    return tuple(sentence for rule in rules for sentence in rule(found))


def _without_delta(found: Inspection) -> Iterator[str]:
    same = [label for label, model in zip(found.labels, found.whole.models, strict=True) if not model.length]
    if same:
        equals = "equals" if len(same) == 1 else "equal"
        yield f"{_and(same)} {equals} the base in every element: there is nothing to merge."


def _unequal(found: Inspection) -> Iterator[str]:
    lengths = [
        (model.length, label)
        for label, model in zip(found.labels, found.whole.models, strict=True)
        if model.length
    ]
    if not lengths:
        return
    (longest, most), (shortest, least) = max(lengths), min(lengths)
    if longest >= UNEQUAL * shortest:
        yield (
            f"The lengths of the deltas differ {longest / shortest:.3g} times, from {least} to {most}, which "
            "will dominate a plain sum: weights, or metagpt."
        )


def _alike(found: Inspection) -> Iterator[str]:
    yield from _strongest(
        (
            -pair.cosine,
            f"{found.labels[one]} and {found.labels[other]} have nearly the same delta "
            f"(cosine {_decimal(pair.cosine)}): merging both counts it twice.",
        )
        for (one, other), pair in zip(pairs_of(len(found.labels)), found.whole.pairs, strict=True)
        if pair.cosine is not None and pair.cosine >= ALIKE
    )


def _opposite(found: Inspection) -> Iterator[str]:
    said = []
    for place, (one, other) in enumerate(pairs_of(len(found.labels))):
        layers = [
            _Found(layer, cosine)
            for layer, each in found.layers.items()
            if (cosine := each.pairs[place].cosine) is not None
            and cosine <= OPPOSITE
            and all((each.models[model].energy or 0.0) >= COUNTS for model in (one, other))
        ]
        if layers:
            names = f"{found.labels[one]} and {found.labels[other]}"
            least = min(layer.value for layer in layers)
            said.append((least, f"{names} point opposite ways in {_listed(layers, 'cosine')}."))
    yield from _strongest(said)


def _opposed(found: Inspection) -> Iterator[str]:
    shares = [pair.conflict / pair.both_changed if pair.both_changed else 0.0 for pair in found.whole.pairs]
    yield from _strongest(
        (
            -share,
            f"{found.labels[one]} and {found.labels[other]} change {_percent(share)} of the elements "
            "that both change to opposite sides (50 % by chance): ties_merging, which elects a sign.",
        )
        for (one, other), share in zip(pairs_of(len(found.labels)), shares, strict=True)
        if share >= OPPOSED
    )


def _concentrated(found: Inspection) -> Iterator[str]:
    said = []
    for place, label in enumerate(found.labels):
        for layer, each in found.layers.items():
            energy, size = each.models[place].energy or 0.0, each.elements / max(1, found.whole.elements)
            if energy >= CONCENTRATED and energy >= MORE_THAN_ITS_SIZE * size:
                sentence = (
                    f"{_percent(energy)} of the squared length of {label}'s delta is in {layer}, which has "
                    f"{_percent(size)} of the elements."
                )
                said.append((-energy, sentence))
    yield from _strongest(said)


def _untrimmed(found: Inspection) -> Iterator[str]:
    for label, cut, model in zip(found.labels, found.cuts, found.whole.models, strict=True):
        if found.density < 1 and cut.value == 0 and model.length:
            yield (
                f"ties_merging with density {found.density:g} would trim nothing of {label}: only "
                f"{_percent(model.changed)} of its elements are not the base's; a smaller density trims."
            )


def _starved(found: Inspection) -> Iterator[str]:
    """One sentence for all models, the layers and kinds of which the most models lose nearly all first."""
    hit: dict[str, list[str]] = {}
    groups = {
        **found.layers,
        **{kind: each for kind, each in found.kinds.items() if kind not in found.layers},
    }
    for place, (label, cut) in enumerate(zip(found.labels, found.cuts, strict=True)):
        for layer, each in groups.items():
            model = each.models[place]
            is_large = each.elements >= SIZE * found.whole.elements
            could = min(found.density, model.changed)
            if cut.value and is_large and model.length and model.kept < STARVED * could:
                hit.setdefault(layer, []).append(label)
    if hit:
        layers = sorted(hit, key=lambda layer: -len(hit[layer]))
        everyone = [
            label for label, model in zip(found.labels, found.whole.models, strict=True) if model.length
        ]
        named = [
            f"{layer} ({'all' if hit[layer] == everyone and len(everyone) > 1 else _and(hit[layer])})"
            for layer in layers[:_NAMED]
        ]
        yield (
            f"ties_merging with density {found.density:g} would keep less than "
            f"{_percent(STARVED * found.density)} of {_and(named + _more(len(layers)))}: "
            "scope=tensor keeps the same share everywhere."
        )


def _shared_by_pairs(found: Inspection) -> Iterator[str]:
    pairs = []
    for (one, other), pair in zip(pairs_of(len(found.labels)), found.whole.pairs, strict=True):
        if pair.overlap is None or pair.overlap_by_chance is None:
            continue
        excess = _excess(pair.overlap, pair.overlap_by_chance)
        if excess >= SHARED:
            against = f"{_decimal(pair.overlap)} against {_decimal(pair.overlap_by_chance)} by chance"
            pairs.append((-excess, f"{found.labels[one]} and {found.labels[other]} ({against})"))
    if pairs:
        named = [text for _, text in sorted(pairs)[:_NAMED]]
        yield (
            f"The dominant subspaces of {_and(named + _more(len(pairs)))} overlap far above chance: "
            "tsv_merge or iso_c."
        )


def _shared(found: Inspection) -> Iterator[str]:
    layers = [
        (layer, *averages)
        for layer, each in found.layers.items()
        if (averages := _overlap(each)) is not None and _excess(*averages) >= SHARED
    ]
    if not layers:
        return
    layers.sort(key=lambda each: -_excess(each[1], each[2]))
    named = _and([layer for layer, _, _ in layers[:_NAMED]] + _more(len(layers)))
    first, overlap, chance = layers[0]
    where = f" in {first}" if len(layers) > 1 else ""
    yield (
        f"The deltas share subspaces far above chance in {named} (overlap {_decimal(overlap)} against "
        f"{_decimal(chance)} by chance{where}): tsv_merge or iso_c."
    )


def _strongest(said: Iterable[tuple[float, str]]) -> Iterator[str]:
    """The sentences with the smallest numbers, and how many more there are."""
    ordered = [sentence for _, sentence in sorted(said)]
    yield from ordered[:_NAMED]
    if len(ordered) > _NAMED:
        yield f"The like holds {len(ordered) - _NAMED} more times; the tables tell."


def _overlap(each: Figures) -> tuple[float, float] | None:
    """The mean over the pairs of overlap and chance; None where there is none to speak of."""
    known = [
        (pair.overlap, pair.overlap_by_chance)
        for pair in each.pairs
        if pair.overlap is not None and pair.overlap_by_chance is not None
    ]
    if not known:
        return None
    return sum(overlap for overlap, _ in known) / len(known), sum(chance for _, chance in known) / len(known)


def _excess(overlap: float, chance: float) -> float:
    """From 0 at chance to 1 for equal subspaces."""
    return (overlap - chance) / (1 - chance) if chance < 1 else 0.0


def _listed(layers: Sequence[_Found], what: str) -> str:
    """The layers with the smallest values, and how many more."""
    first = sorted(layers, key=lambda each: each.value)[:_NAMED]
    return _and([f"{each.where} ({what} {_decimal(each.value)})" for each in first] + _more(len(layers)))


def _more(count: int) -> list[str]:
    left = count - _NAMED
    return [f"{left} more"] if left > 0 else []


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
