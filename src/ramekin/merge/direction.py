"""Merges in memory: the tensors of one merge, or a direction that any scaling factor can be put to.

A `Direction` holds the base and what the method adds to it, both read once; every scaling factor after that
touches no file, and gives bit for bit the tensors that a merge to disk would write. It holds two models in
memory, so it is for models that fit; `run.merge_factors` is for those that do not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.inputs import ModelInput
from ramekin.merge.plan import Dtype, OpenMerge, open_merge
from ramekin.merge.run import Progress, scaled, walk
from ramekin.weights.streaming import FLOAT_DTYPES, all_finite

__all__ = ["Direction", "merge_direction", "merge_sweep", "merge_tensors"]


@final
@dataclass(frozen=True, slots=True)
class Direction:
    """A merge with its scaling factor still open."""

    base: Mapping[str, torch.Tensor]
    """The base's tensors by name, fp32."""
    direction: Mapping[str, torch.Tensor]
    """What a scaling factor of 1 adds to them, fp32."""
    dtypes: Mapping[str, torch.dtype]
    """The dtype of each merged tensor."""
    figures: Mapping[str, object]
    """What the method measured; JSON values."""
    warnings: tuple[str, ...]

    def scaled(self, factor: float) -> dict[str, torch.Tensor]:
        """The merged tensors, base + factor * direction, by name.

        Raises:
            WeightsError: a merged value is not finite in its dtype.
        """
        return {
            name: _finite(name, scaled(self.base[name], self.direction[name], factor).to(self.dtypes[name]))
            for name in self.base
        }


def merge_direction(
    method: str,
    *,
    base: Path | None,
    models: Sequence[ModelInput],
    settings: Mapping[str, object],
    dtype: Dtype = "same",
    progress: Progress | None = None,
) -> Direction:
    """Read the models once and keep the base and the direction the method goes in.

    Args:
        method: a method that has a scaling factor.
        base: the base's folder.
        models: the models.
        settings: the method's; its scaling factor is of no effect.
        dtype: of the merged tensors; `same` is the base's.
        progress: told the bytes read so far and in all.

    Raises:
        UsageError: the method has no scaling factor, or as `run.merge` does.
        WeightsError: as `run.merge` does.
    """
    with open_merge(method, base=base, models=models, settings=settings, dtype=dtype) as opened:
        if not opened.method.scaled:
            raise UsageError(
                f"{method} has no scaling_factor", fix="sweep task_arithmetic or ties_merging, or use merge"
            )
        shapes = {name: planned.shape for name, planned in opened.tensors.items()}
        base_flat, direction_flat = _empty(shapes), _empty(shapes)
        prepared, chunks, sources = walk(opened, progress=progress)
        for name, source in sources.items():
            for chunk in chunks([source]):
                assert chunk.base is not None  # scaled methods need a base
                stop = chunk.start + chunk.base.numel()
                base_flat[name].view(-1)[chunk.start : stop] = chunk.base
                direction_flat[name].view(-1)[chunk.start : stop] = prepared.combine(chunk)
        return Direction(
            base_flat,
            direction_flat,
            _dtypes(opened),
            prepared.figures,
            (*opened.plan.warnings, *prepared.warnings),
        )


def merge_sweep(
    method: str,
    factors: Sequence[float],
    *,
    base: Path | None,
    models: Sequence[ModelInput],
    settings: Mapping[str, object],
    dtype: Dtype = "same",
) -> Iterator[tuple[float, dict[str, torch.Tensor]]]:
    """The merged tensors for each scaling factor, in order, with every model read once.

    Raises:
        UsageError: as `merge_direction` does.
        WeightsError: as `merge_direction` does.
    """
    direction = merge_direction(method, base=base, models=models, settings=settings, dtype=dtype)
    for factor in factors:
        yield factor, direction.scaled(factor)


def merge_tensors(
    method: str,
    *,
    base: Path | None,
    models: Sequence[ModelInput],
    settings: Mapping[str, object],
    dtype: Dtype = "same",
    progress: Progress | None = None,
) -> dict[str, torch.Tensor]:
    """The tensors of one merge, by name; the same as `run.merge` writes.

    Raises:
        UsageError: as `run.merge` does.
        WeightsError: as `run.merge` does.
    """
    with open_merge(method, base=base, models=models, settings=settings, dtype=dtype) as opened:
        dtypes = _dtypes(opened)
        merged = {
            name: torch.empty(planned.shape, dtype=dtypes[name]) for name, planned in opened.tensors.items()
        }
        prepared, chunks, sources = walk(opened, progress=progress)
        for name, source in sources.items():
            for chunk in chunks([source]):
                values = prepared.combine(chunk)
                if opened.method.scaled:
                    assert chunk.base is not None  # scaled methods need a base
                    values = scaled(chunk.base, values, opened.settings.scaling_factor)
                merged[name].view(-1)[chunk.start : chunk.start + values.numel()] = values
        return {name: _finite(name, tensor) for name, tensor in merged.items()}


def _empty(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, dtype=torch.float32) for name, shape in shapes.items()}


def _dtypes(opened: OpenMerge) -> dict[str, torch.dtype]:
    return {name: FLOAT_DTYPES[planned.dtype] for name, planned in opened.tensors.items()}


def _finite(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not all_finite(tensor):
        raise WeightsError(
            "a merged value is not finite",
            where=name,
            expected=f"finite {str(tensor.dtype).removeprefix('torch.')} values",
            fix="a smaller scaling factor or weight, or dtype=float32",
        )
    return tensor
