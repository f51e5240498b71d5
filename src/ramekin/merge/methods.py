"""The merge methods by name: what each needs and how it runs over a stream; `words` has their settings.

A method runs in two steps. `prepare` may walk through all models to measure what it must know of them as a
whole, and returns a function that combines one slice. Where `scaled` is true that function gives a
direction with no scaling factor in it, and the result is base + scaling_factor * direction: so any number
of scaling factors cost one reading. This module knows nothing of files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

import torch

from ramekin.merge.average import shares, simple_average
from ramekin.merge.dummy import dummy
from ramekin.merge.inputs import embedding_counts
from ramekin.merge.settings import (
    DummySettings,
    SimpleAverageSettings,
    TaskArithmeticSettings,
    TiesSettings,
)
from ramekin.merge.stream import Chunk, ModelStream
from ramekin.merge.task_arithmetic import summed_deltas, task_arithmetic
from ramekin.merge.ties_measure import Imprecise, TiesFigures, measure_ties, num_measure_passes
from ramekin.merge.ties_merging import elect_and_merge, ties_merging
from ramekin.merge.words import WORDS, parse_method
from ramekin.registry import Registry

__all__ = ["METHODS", "Method", "Prepared"]


@final
@dataclass(frozen=True, slots=True)
class Prepared:
    """A method ready to combine slices."""

    combine: Callable[[Chunk], torch.Tensor]
    """The `(n,)` fp32 result of a slice, or its direction."""
    figures: Mapping[str, object] = field(default_factory=dict)
    """What was measured, as JSON values for the report."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""


@final
@dataclass(frozen=True, slots=True)
class Method:
    """A merge method."""

    name: str
    summary: str
    """One line for `--help`."""
    paper: str | None
    """Its link."""
    function: Callable[..., object]
    """The pure function over tensors."""
    needs_base: bool
    min_models: int
    scaled: bool
    """Whether the result is base + scaling_factor * direction."""
    prepare: Callable[[ModelStream, Sequence[str], bool, Any], Prepared]
    """From the stream, the unique tensors, whether the head is a stored embedding, and the settings."""
    num_measure_passes: Callable[[Any], int]
    """How often `prepare` reads everything."""
    check: Callable[[Any, int], None] = lambda settings, num_models: None
    """Refuses settings that do not fit the number of models."""
    uses_models: bool = True
    """Whether the models are read where there is a base; where there is none, the first is."""

    @property
    def presets(self) -> Mapping[str, Mapping[str, object]]:
        """Values by preset; empty for a method without presets."""
        return WORDS[self.name].presets

    def parse(self, given: Mapping[str, object]) -> Any:
        """The settings from the words of a configuration.

        Raises:
            UsageError: unknown keys or values, all at once, with the nearest names.
        """
        return parse_method({**given, "name": self.name})


def _check_weights(settings: SimpleAverageSettings, num_models: int) -> None:
    if settings.weights is not None:
        shares(settings.weights, num_models, normalize=settings.normalize)


def _prepare_dummy(stream: ModelStream, names: Sequence[str], _: bool, settings: DummySettings) -> Prepared:
    return Prepared(lambda chunk: dummy(chunk.base, chunk.tuned))


def _prepare_average(
    stream: ModelStream, names: Sequence[str], _: bool, settings: SimpleAverageSettings
) -> Prepared:
    return Prepared(
        lambda chunk: simple_average(chunk.tuned, weights=settings.weights, normalize=settings.normalize)
    )


def _prepare_task_arithmetic(
    stream: ModelStream, names: Sequence[str], _: bool, settings: TaskArithmeticSettings
) -> Prepared:
    def combine(chunk: Chunk) -> torch.Tensor:
        assert chunk.base is not None  # needs_base
        return summed_deltas(chunk.base, chunk.tuned)

    return Prepared(combine)


def _prepare_ties(
    stream: ModelStream, names: Sequence[str], head_is_embedding: bool, settings: TiesSettings
) -> Prepared:
    times: dict[str, int] = {}
    if settings.counting == "fusionbench":
        times = embedding_counts(names, head_is_embedding=head_is_embedding)
    sizes = {name: stream.numel(name) for name in names}
    figures = measure_ties(stream.deltas, sizes, settings, models=stream.num_tuned, times=times)

    def combine(chunk: Chunk) -> torch.Tensor:
        assert chunk.base is not None  # needs_base
        return elect_and_merge(
            [row.sub_(chunk.base) for row in chunk.tuned],
            cuts=figures.cuts[chunk.name],
            zero_sign=figures.zero_signs[chunk.name],
            merge_func=settings.merge_func,
        )

    return Prepared(
        combine, _ties_report(figures, sizes, stream.labels, times), _ties_warnings(figures, stream.labels)
    )


def _ties_report(
    figures: TiesFigures, sizes: Mapping[str, int], labels: Sequence[str], times: Mapping[str, int]
) -> dict[str, object]:
    total = sum(sizes.values())
    shares = [sum(kept[model] for kept in figures.kept.values()) / total for model in range(len(labels))]
    return {
        "kept_share": dict(zip(labels, shares, strict=True)),
        "kept_share_by_tensor": {
            name: [count / max(1, sizes[name]) for count in kept] for name, kept in figures.kept.items()
        },
        "cuts_by_tensor": {
            name: [cut if cut < float("inf") else None for cut in cuts] for name, cuts in figures.cuts.items()
        },
        "zero_sign_by_tensor": dict(figures.zero_signs),
        "counted_more_than_once": {name: count for name, count in times.items() if count > 1},
        "imprecise": [asdict(case) for case in figures.imprecise],
    }


def _ties_warnings(figures: TiesFigures, labels: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each cut that kept notably too many; the figures have every one."""
    return tuple(
        _warning(case, labels[case.model])
        for case in figures.imprecise
        if case.kept - case.wanted > max(8, case.wanted / 1000)
    )


def _warning(case: Imprecise, label: str, *, shown: int = 3) -> str:
    listed = ", ".join(case.tensors[:shown]) + (", …" if len(case.tensors) > shown else "")
    where = f"in {len(case.tensors)} tensors ({listed})"
    if case.cut == 0:
        return (
            f"{label}: nothing was trimmed, the cut is 0: fewer than the {case.wanted} values to be kept are "
            f"not zero; zeros {where}"
        )
    return (
        f"{label}: {case.kept} values were kept instead of {case.wanted}, because some equal the cut "
        f"{case.cut:.3g}; {where}"
    )


METHODS: Registry[Method] = Registry(
    "merge method",
    [
        (method.name, method)
        for method in (
            Method(
                name="dummy",
                summary="no merge: the base as it is",
                paper=None,
                function=dummy,
                needs_base=False,
                min_models=0,
                scaled=False,
                prepare=_prepare_dummy,
                num_measure_passes=lambda settings: 0,
                uses_models=False,
            ),
            Method(
                name="simple_average",
                summary="the (weighted) mean of the models",
                paper="https://arxiv.org/abs/2203.05482",
                function=simple_average,
                needs_base=False,
                min_models=1,
                scaled=False,
                prepare=_prepare_average,
                num_measure_passes=lambda settings: 0,
                check=_check_weights,
            ),
            Method(
                name="task_arithmetic",
                summary="the base plus a scaled sum of the deltas",
                paper="https://arxiv.org/abs/2212.04089",
                function=task_arithmetic,
                needs_base=True,
                min_models=1,
                scaled=True,
                prepare=_prepare_task_arithmetic,
                num_measure_passes=lambda settings: 0,
            ),
            Method(
                name="ties_merging",
                summary="deltas trimmed, signs elected, agreeing values merged",
                paper="https://arxiv.org/abs/2306.01708",
                function=ties_merging,
                needs_base=True,
                min_models=1,
                scaled=True,
                prepare=_prepare_ties,
                num_measure_passes=lambda settings: num_measure_passes(settings.density),
            ),
        )
    ],
)
"""Every merge method by its name."""
