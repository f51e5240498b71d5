"""An inspection of models as a report: what stands out, tables, heat maps; and as rows of tensors."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ramekin.report.values import HeatMap, Report, RunFacts, TextTable, Timing

if TYPE_CHECKING:
    from ramekin.merge.inspection.figures import Figures, PairFigures
    from ramekin.merge.inspection.inspect import Inspection

__all__ = ["cosines", "inspection_report", "tensor_rows"]

_CONFLICTS = ("Opposite signs %", "by magnitude %", "trimmed %")


def inspection_report(found: "Inspection", base: str, facts: RunFacts) -> Report:
    """The report: the readings first, then tables of models, pairs, layers and kinds, and pictures.

    Args:
        found: what was measured.
        base: what the base is called.
        facts: of the run.
    """
    from ramekin.merge.inspection.readings import readings

    count = len(found.labels)
    return Report(
        title=f"{count} model{'s' * (count > 1)} tuned from {base}",
        summary=(_lead(found), *readings(found)),
        text_tables=tuple(_tables(found)),
        heat_maps=tuple(_heat_maps(found)),
        timings=(Timing("inspect", found.seconds),),
        facts=facts,
        notes=_notes(found),
    )


def tensor_rows(found: "Inspection") -> list[dict[str, Any]]:
    """A row a tensor, for a CSV file; what cannot be said is empty."""
    rows = []
    pairs = _pair_labels(found)
    for name, tensor in found.tensors.items():
        each = tensor.figures
        row: dict[str, Any] = {
            "tensor": name,
            "layer": tensor.layer,
            "kind": tensor.kind,
            "shape": "x".join(map(str, tensor.shape)),
            "elements": each.elements,
            "base_length": each.base_length,
            "conflict": each.total.conflict,
            "conflict_by_magnitude": each.total.conflict_by_magnitude,
            "conflict_after_trimming": each.total.conflict_after_trimming,
            "sum_stable_rank": each.total.stable_rank,
            "sum_entropy_rank": each.total.entropy_rank,
        }
        for label, model in zip(found.labels, each.models, strict=True):
            row |= {
                f"{key}: {label}": getattr(model, key)
                for key in ("length", "relative", "changed", "kept", "stable_rank", "entropy_rank")
            }
        for label, pair in zip(pairs, each.pairs, strict=True):
            row |= {
                f"{key}: {label}": getattr(pair, key)
                for key in (
                    "cosine",
                    "conflict",
                    "conflict_by_magnitude",
                    "conflict_after_trimming",
                    "overlap",
                    "overlap_by_chance",
                )
            }
        rows.append({key: "" if value is None else value for key, value in row.items()})
    return rows


def _lead(found: "Inspection") -> str:
    relative = [model.relative for model in found.whole.models if model.relative]
    span = ""
    if relative:
        low, high = _percent(min(relative)), _percent(max(relative))
        span = f"; the deltas are {low if low == high else f'{low} to {high}'} % as long as the base"
    return f"{found.whole.tensors} tensors, {found.whole.elements:,} parameters{span}."


def _notes(found: "Inspection") -> tuple[str, ...]:
    notes = [
        "A delta is a model minus the base, in fp32; every tensor counts once. Opposite signs: two deltas "
        "that are not zero and differ in sign, as a share of all elements; by magnitude, each element counts "
        "as much as the magnitudes there. Trimming keeps the largest "
        f"{100 * found.density:g} % of each whole model, by an exact cut, as ties_merging does."
    ]
    if found.has_spectra:
        notes.append(
            "Stable rank: squared Frobenius norm by squared spectral norm. Entropy rank: exp of the entropy "
            "of the singular values' shares. Overlap: mean squared cosine of the principal angles between "
            "the leading left (and right) singular vectors, as many as hold 90 % of the squared singular "
            f"values, at most {found.rank}; chance is its mean for random subspaces. Ranks and overlaps of "
            "several matrices are plain means; singular values are exact to the rounding of fp32 input, by "
            "eigenvalues in float64."
        )
    return tuple(notes)


def _tables(found: "Inspection") -> list[TextTable]:
    tables = [_models_table(found), _largest_table(found)]
    if found.whole.pairs:
        tables.append(_pairs_table(found))
    tables += [_groups_table("Layer", found.layers, found), _groups_table("Kind", found.kinds, found)]
    tables.append(_kept_table(found))
    if found.has_spectra:
        tables.append(_ranks_table(found))
    return tables


def _models_table(found: "Inspection") -> TextTable:
    rows = [
        (
            label,
            f"{model.length:.4g}",
            _percent(model.relative),
            _percent(model.changed),
            _short(model.stable_rank),
            _short(model.entropy_rank),
            "" if cut.value is None else f"{cut.value:.3g}",
        )
        for label, model, cut in zip(found.labels, found.whole.models, found.cuts, strict=True)
    ]
    total = found.whole.total
    ranks = (_short(total.stable_rank), _short(total.entropy_rank))
    full = f" A matrix can have rank {_short(found.whole.full_rank)} on average." if found.has_spectra else ""
    return TextTable(
        "Models",
        ("Model", "Length", "% of base", "Changed %", "Stable rank", "Entropy rank", "TIES cut"),
        (*rows, ("sum", f"{total.length:.4g}", _percent(total.relative), "", *ranks, "")),
        caption=f"The delta of each model, and the sum of them.{full}",
    )


def _largest_table(found: "Inspection") -> TextTable:
    rows = []
    for label, model in zip(found.labels, found.whole.models, strict=True):
        if (largest := model.largest) is not None:
            place = _index(largest.place, found.tensors[largest.tensor].shape)
            value = f"{largest.value:.3g}".replace("-", "−")
            rows.append((label, value, f"{largest.tensor}{place}"))
    return TextTable("Largest elements", ("Model", "Delta", "Element"), tuple(rows))


def _pairs_table(found: "Inspection") -> TextTable:
    return TextTable(
        "Pairs",
        ("Pair", "Cosine", "Both changed %", *_CONFLICTS, "Overlap (chance)"),
        tuple(
            (
                label,
                _decimal(pair.cosine),
                _percent(pair.both_changed),
                _percent(pair.conflict),
                _percent(pair.conflict_by_magnitude),
                _percent(pair.conflict_after_trimming),
                _beside(pair.overlap, pair.overlap_by_chance),
            )
            for label, pair in zip(_pair_labels(found), found.whole.pairs, strict=True)
        ),
    )  # fmt: skip


def _groups_table(what: str, groups: "Mapping[str, Figures]", found: "Inspection") -> TextTable:
    several = len(found.labels) > 1
    pair_columns = (*_CONFLICTS, "Cosine", "Overlap (chance)")
    rows = []
    for label, each in groups.items():
        row = [label, _percent(each.elements / max(1, found.whole.elements))]
        row += [_percent(model.relative) for model in each.models]
        if several:
            total = each.total
            row += [_percent(total.conflict), _percent(total.conflict_by_magnitude)]
            row += [_percent(total.conflict_after_trimming), _decimal(_mean(each, lambda pair: pair.cosine))]
            chance = _mean(each, lambda pair: pair.overlap_by_chance)
            row.append(_beside(_mean(each, lambda pair: pair.overlap), chance))
        rows.append(tuple(row))
    caption = "The length of each delta as a percentage of the base's"
    rest = "; signs of any two deltas; cosine and overlap: means over the pairs." if several else "."
    return TextTable(
        f"{what}s",
        (what, "Elements %", *found.labels, *(pair_columns if several else ())),
        tuple(rows),
        caption=caption + rest,
    )


def _kept_table(found: "Inspection") -> TextTable:
    return TextTable(
        f"Kept by TIES at density {found.density:g}",
        ("Layer", *found.labels),
        tuple(
            (label, *(_percent(model.kept) for model in each.models)) for label, each in found.layers.items()
        ),
        caption="Per cent of the elements of each layer.",
    )


def _ranks_table(found: "Inspection") -> TextTable:
    return TextTable(
        "Entropy ranks",
        ("Layer", "Matrices", "Full rank", *found.labels, "sum"),
        tuple(
            (
                label,
                str(each.matrices),
                _short(each.full_rank),
                *(_short(model.entropy_rank) for model in each.models),
                _short(each.total.entropy_rank),
            )
            for label, each in found.layers.items()
            if each.matrices
        ),
        caption="How many directions each delta, and their sum, has in effect; means over the matrices.",
    )


def _heat_maps(found: "Inspection") -> list[HeatMap]:
    layers, pairs = tuple(found.layers), tuple(_pair_labels(found))
    relative = tuple(tuple(model.relative for model in each.models) for each in found.layers.values())
    kept = tuple(tuple(model.kept for model in each.models) for each in found.layers.values())
    lengths = HeatMap(
        "Relative length of the deltas, per cent",
        layers, found.labels, relative, high=_top(relative), as_percent=True,
        caption="Of the length of the base, layer by layer.",
    )  # fmt: skip
    kept_map = HeatMap(
        f"Kept by TIES at density {found.density:g}, per cent of elements",
        layers, found.labels, kept, high=_top(kept), as_percent=True,
        caption="One cut over the whole of each model.",
    )  # fmt: skip
    if not pairs:
        return [lengths, kept_map]
    conflict = _by_pair(found.layers, lambda pair: pair.conflict)
    maps = [
        HeatMap("Cosines between deltas", found.labels, found.labels, cosines(found), low=-1.0),
        lengths,
        HeatMap(
            "Opposite signs, per cent of elements",
            layers, pairs, conflict, high=max(0.5, _top(conflict)), as_percent=True,
            caption="Where both deltas change every element, 50 is chance.",
        ),
        kept_map,
    ]  # fmt: skip
    if found.has_spectra:
        with_matrices = {label: each for label, each in found.layers.items() if each.matrices}
        chances = [c for each in with_matrices.values() for p in each.pairs if (c := p.overlap_by_chance)]
        span = f" Chance is {min(chances):.2f} to {max(chances):.2f}." if chances else ""
        overlap = _by_pair(with_matrices, lambda pair: pair.overlap)
        maps.append(
            HeatMap(
                "Overlap of dominant subspaces",
                tuple(with_matrices), pairs, overlap, caption=f"From 0, orthogonal, to 1, equal.{span}",
            )
        )  # fmt: skip
    return maps


def _by_pair(
    groups: "Mapping[str, Figures]", of: "Callable[[PairFigures], float | None]"
) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(of(pair) for pair in each.pairs) for each in groups.values())


def cosines(found: "Inspection") -> tuple[tuple[float | None, ...], ...]:
    """The cosine matrix of the whole models; None in the rows and columns of a delta of zero."""
    from ramekin.merge.inspection.figures import pairs_of

    known = dict(zip(pairs_of(len(found.labels)), found.whole.pairs, strict=True))
    places = range(len(found.labels))
    return tuple(
        tuple(
            (1.0 if found.whole.models[i].length else None) if i == j else known[min(i, j), max(i, j)].cosine
            for j in places
        )
        for i in places
    )


def _pair_labels(found: "Inspection") -> list[str]:
    from ramekin.merge.inspection.figures import pairs_of

    return [f"{found.labels[one]} · {found.labels[other]}" for one, other in pairs_of(len(found.labels))]


def _mean(each: "Figures", of: "Callable[[PairFigures], float | None]") -> float | None:
    known = [value for pair in each.pairs if (value := of(pair)) is not None]
    return math.fsum(known) / len(known) if known else None


def _top(values: Sequence[Sequence[float | None]]) -> float:
    return max((value for row in values for value in row if value is not None), default=0.0) or 1.0


def _index(place: int, shape: Sequence[int]) -> str:
    """`[row, column]` of an element of a flattened tensor."""
    places: list[int] = []
    for length in reversed(shape):
        place, at = divmod(place, length)
        places.insert(0, at)
    return str(places)


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    percent = 100 * share
    if percent >= 99.95:
        return f"{percent:.0f}"
    return (
        f"{percent:.1f}"
        if percent >= 10
        else f"{percent:.2f}"
        if percent >= 1
        else f"{percent:#.3g}"
        if percent
        else "0"
    )


def _decimal(value: float | None) -> str:
    return "" if value is None else {"-0.00": "0.00"}.get(text := f"{value:.2f}", text).replace("-", "−")


def _beside(value: float | None, chance: float | None) -> str:
    return "" if value is None else f"{_decimal(value)} ({_decimal(chance)})"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
