"""Inspect models before they are merged: open, measure in a few walks, and make the figures.

    1. the cuts of TIES, exact, over the whole of each model    one walk, none at density 1
    2. all that is added up element by element                  one walk
    3. the singular values of the matrices                      one walk over the matrices, unless left out

Memory grows neither with the size of the models nor, but for one chunk and some singular vectors a model,
with their number. This module knows no tables or pictures.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ramekin.errors import UsageError
from ramekin.merge.array import AbstractDevice
from ramekin.merge.cuts import cut_rank, model_cuts, wanted_count
from ramekin.merge.inputs import ModelInput, check_copies, head_is_stored_embedding, output_sources
from ramekin.merge.inspection.figures import Figures, figures
from ramekin.merge.inspection.places import kind_of, layer_of, ordered_kinds, ordered_layers, short_names
from ramekin.merge.inspection.spectra import spectra
from ramekin.merge.inspection.sums import delta_sums, together
from ramekin.merge.matrices import is_matrix
from ramekin.merge.parameters import check_share
from ramekin.merge.plan import OpenModels, open_models
from ramekin.merge.stream import ModelStream, NamedReader, chunk_elements, num_threads

__all__ = ["Cut", "Inspection", "InspectionPlan", "TensorFigures", "inspect_models", "plan_inspection"]

_COUNTING_BYTES = 20 << 20  # bins, and what waits to be counted, of one model
_CHUNKS_AT_WORK = 12  # of the length of a chunk of one model in fp32, of each model
_MATRICES_AT_WORK = 5  # a matrix in fp64, its products, eigenvectors and the sum


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """What trimming would do to one model."""

    value: float | None
    """The smallest magnitude that is kept; None where nothing is, 0 where nothing is trimmed."""
    wanted: int
    """How many elements the density asks for."""
    kept: int


@final
@dataclass(frozen=True, slots=True)
class TensorFigures:
    """The figures of a tensor, and where it is."""

    layer: str
    kind: str
    shape: tuple[int, ...]
    figures: Figures


@final
@dataclass(frozen=True, slots=True)
class InspectionPlan:
    """An inspection before it happens."""

    base: str
    models: tuple[str, ...]
    tensors: int
    parameters: int
    matrices: int
    """How many matrices have their singular values taken; 0 where they are left out."""
    passes: int
    """Walks over all tensors, besides the one over the matrices."""
    bytes_read: int
    peak_bytes: int
    """An estimate of the memory beyond the interpreter and its libraries."""
    warnings: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Inspection:
    """All that was measured."""

    base: str
    models: tuple[str, ...]
    labels: tuple[str, ...]
    """Short names of the models, for tables and sentences."""
    density: float
    rank: int
    """At most so many leading singular vectors of a matrix were compared."""
    has_spectra: bool
    cuts: tuple[Cut, ...]
    whole: Figures
    layers: Mapping[str, Figures]
    kinds: Mapping[str, Figures]
    tensors: Mapping[str, TensorFigures]
    bytes_read: int
    seconds: float
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """JSON values; what cannot be said is null."""
        return dataclasses.asdict(self)


def plan_inspection(
    *,
    base: Path,
    models: Sequence[ModelInput],
    density: float = 0.2,
    rank: int = 64,
    with_spectra: bool = True,
) -> InspectionPlan:
    """Check the models and say what would be read; see `inspect_models` for the arguments and errors."""
    _check(models, density, rank)
    with open_models(base, models, needs_base=True) as opened:
        return _plan(opened, base, models, density, rank, with_spectra=with_spectra)


def inspect_models(
    *,
    base: Path,
    models: Sequence[ModelInput],
    density: float = 0.2,
    rank: int = 64,
    with_spectra: bool = True,
    device: AbstractDevice | None = None,
    threads: int | None = None,
    chunk_length: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Measure the deltas of some models.

    Args:
        base: the checkpoint the models were tuned from.
        models: checkpoints, sharded or not, and adapters.
        density: the fraction of each model's delta that TIES would keep, above 0 and up to 1.
        rank: at most so many leading singular vectors of a matrix are compared.
        with_spectra: take the singular values of matrices, which is most of the work.
        device: where matrices are decomposed; the processor when None.
        threads: how many chunks are worked on at a time; of no effect on the result.
        chunk_length: the elements of a chunk of one model; of no effect on the result.
        progress: told the bytes read so far and in all.

    Raises:
        UsageError: a density or rank that cannot be, or a wrong list of models.
        WeightsError: an input is missing, damaged, not finite, or does not fit the others.
    """
    started = time.monotonic()
    _check(models, density, rank)
    with open_models(base, models, needs_base=True) as opened:
        plan = _plan(opened, base, models, density, rank, with_spectra=with_spectra)
        stream = _stream(opened, plan, device, threads, chunk_length, progress)
        cuts = _cuts(stream, density)
        limits = [math.inf if cut.value is None else cut.value for cut in cuts]
        sums = delta_sums(stream, limits)
        found = spectra(stream, limit=rank) if with_spectra else {}
        names, shapes = stream.names, {name: stream.shape(name) for name in stream.names}
        bytes_read = stream.bytes_read
    whole = together(sums[name] for name in names)
    places = {name: (layer_of(name), kind_of(name)) for name in names}

    def of(chosen: Sequence[str]) -> Figures:
        return figures(
            together(sums[name] for name in chosen),
            [found[name] for name in chosen if name in found],
            tensors=len(chosen),
            whole=whole,
        )

    return Inspection(
        base=plan.base,
        models=plan.models,
        labels=short_names(plan.models),
        density=density,
        rank=rank,
        has_spectra=with_spectra,
        cuts=cuts,
        whole=of(names),
        layers={each: of([n for n in names if places[n][0] == each]) for each in ordered_layers(names)},
        kinds={each: of([n for n in names if places[n][1] == each]) for each in ordered_kinds(names)},
        tensors={name: TensorFigures(*places[name], shapes[name], of([name])) for name in names},
        bytes_read=bytes_read,
        seconds=time.monotonic() - started,
        warnings=plan.warnings,
    )


def _check(models: Sequence[ModelInput], density: float, rank: int) -> None:
    problems = check_share("density", density)
    if not problems and density <= 0:
        problems = ["density: expected more than 0, which would keep nothing of any model, got 0"]
    if rank < 1:
        problems.append(f"rank: expected 1 or more, got {rank}")
    if not models:
        problems.append("models: expected at least one model")
    if problems:
        raise UsageError.of_problems(problems)


def _plan(
    opened: OpenModels,
    base: Path,
    models: Sequence[ModelInput],
    density: float,
    rank: int,
    *,
    with_spectra: bool,
) -> InspectionPlan:
    infos = {name: opened.everyone[0].reader.info(name) for name in opened.names}
    matrices = [name for name in infos if with_spectra and is_matrix(name, infos[name].shape)]
    passes = 1 + (density < 1)
    reads = dict.fromkeys(infos, passes) | dict.fromkeys(matrices, passes + 1)
    longest = max((math.prod(infos[name].shape) for name in matrices), default=0)
    widest = max((sum(infos[name].shape) for name in matrices), default=0)
    count = len(models)
    peak = num_threads() * (
        max(
            (count + 1) * _CHUNKS_AT_WORK * 4 * chunk_elements(count + 1),
            8 * (_MATRICES_AT_WORK * longest + count * rank * widest),
        )
    )
    return InspectionPlan(
        base=str(base),
        models=tuple(model.name for model in models),
        tensors=len(infos),
        parameters=sum(info.numel for info in infos.values()),
        matrices=len(matrices),
        passes=passes,
        bytes_read=sum(
            times * model.reader.info(name).nbytes
            for model in opened.everyone
            for name, times in reads.items()
        ),
        peak_bytes=peak + count * _COUNTING_BYTES,
        warnings=opened.warnings,
    )


def _stream(
    opened: OpenModels,
    plan: InspectionPlan,
    device: AbstractDevice | None,
    threads: int | None,
    chunk_length: int | None,
    progress: Callable[[int, int], None] | None,
) -> ModelStream:
    """A walk over each tensor once: a tied head that is stored beside its embedding is that embedding."""
    everyone: tuple[NamedReader, ...] = opened.everyone
    for model in everyone:
        check_copies(model)
    head_is_embedding = head_is_stored_embedding(everyone)
    sources = output_sources(opened.names, head_is_embedding=head_is_embedding)
    return ModelStream(
        opened.base,
        opened.tuned,
        dict.fromkeys(sources.values()),
        head_is_embedding=head_is_embedding,
        device=device,
        threads=threads,
        chunk_length=chunk_length or chunk_elements(len(everyone)),
        on_read=None if progress is None else lambda done: progress(done, max(done, plan.bytes_read)),
    )


def _cuts(stream: ModelStream, density: float) -> tuple[Cut, ...]:
    """The cuts that `ties_merging` finds with this density."""
    total = sum(stream.numel(name) for name in stream.names)
    wanted = wanted_count(total, density, "round")
    found = model_cuts(stream, [[cut_rank(total, wanted)]] * stream.num_tuned)
    return tuple(
        Cut(kth.value if math.isfinite(kth.value) else None, wanted, total - kth.below) for (kth,) in found
    )
