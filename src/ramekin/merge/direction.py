"""Merges in memory: of arrays, or of checkpoints with the scaling factor still open.

A `Direction` holds the base and what the method adds to it, both read once; every scaling factor after that
touches no file, and gives bit for bit the numbers that a merge to disk would write. It holds two models in
memory, so it is for models that fit; `run.merge_factors` is for those that do not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.array import Array
from ramekin.merge.check import check_tensors
from ramekin.merge.inputs import ModelInput
from ramekin.merge.methods import find_method
from ramekin.merge.parameters import Parameter, places
from ramekin.merge.plan import Dtype, open_merge
from ramekin.merge.post import parse_post
from ramekin.merge.run import Progress, Walk, Walking, walk
from ramekin.merge.stream import Chunk, ModelStream, NamedReader
from ramekin.weights.dtypes import FILE_DTYPES, Floats, all_finite, rounded
from ramekin.weights.reading import ArrayReader

__all__ = ["Direction", "merge_arrays", "merge_direction", "merge_tensors"]


@final
@dataclass(frozen=True, slots=True)
class Direction:
    """A merge with its scaling factor still open."""

    base: Mapping[str, Floats]
    """The base's tensors by name, fp32."""
    direction: Mapping[str, Floats]
    """What a scaling factor of 1 adds to them, fp32."""
    sources: Mapping[str, str]
    """The tensor that each merged one is: itself, except for a head that is the embedding."""
    dtypes: Mapping[str, str]
    """What each merged tensor is rounded to, by safetensors' name of the dtype."""
    figures: Mapping[str, object]
    """What the method measured; JSON values."""
    warnings: tuple[str, ...]

    def scaled(self, factor: float | Parameter) -> dict[str, Floats]:
        """The merged tensors, base + factor * direction, by name, fp32.

        Raises:
            WeightsError: a merged value is not finite in its dtype.
        """
        parameter = factor if isinstance(factor, Parameter) else Parameter.of(factor)
        depth = places(dict.fromkeys(self.sources.values()))
        factors = {name: parameter.at(name, place) for name, place in depth.items()}
        return {
            name: _finite(name, self.base[name] + self.direction[name] * factors[self.sources[name]], dtype)
            for name, dtype in self.dtypes.items()
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
        dtype: what the merged numbers are rounded to; `same` is the base's.
        progress: told the bytes read so far and in all.

    Raises:
        UsageError: the method has no scaling factor, or as `run.merge` does.
        WeightsError: as `run.merge` does.
    """
    with open_merge(method, base=base, models=models, settings=settings, dtype=dtype) as opened:
        if not opened.method.scaled:
            raise UsageError(
                f"{method} has no scaling_factor", fix="sweep a method that has one, or use merge"
            )
        walked = walk(opened, Walking(progress=progress))
        shapes = {name: planned.shape for name, planned in opened.tensors.items()}
        bases, directions = _empty(shapes), _empty(shapes)

        def keep(name: str, chunk: Chunk, combined: Array) -> None:
            assert chunk.base is not None  # scaled methods need a base
            _put(bases[name], chunk, walked.stream.take(chunk.base))
            _put(directions[name], chunk, walked.stream.take(combined))

        for _ in walked.over(opened.names, keep):
            pass
        return Direction(
            bases,
            directions,
            walked.sources,
            {name: planned.dtype for name, planned in opened.tensors.items()},
            walked.prepared.figures(),
            (*opened.plan.warnings, *walked.prepared.warnings),
        )


def merge_tensors(
    method: str,
    *,
    base: Path | None,
    models: Sequence[ModelInput],
    settings: Mapping[str, object],
    dtype: Dtype = "same",
    progress: Progress | None = None,
) -> dict[str, Floats]:
    """The tensors of one merge, by name, fp32; the same numbers as `run.merge` writes.

    Raises:
        UsageError: as `run.merge` does.
        WeightsError: as `run.merge` does.
    """
    with open_merge(method, base=base, models=models, settings=settings, dtype=dtype) as opened:
        merged = _merged(walk(opened, Walking(progress=progress)), opened.names)
        return {name: _finite(name, merged[name], planned.dtype) for name, planned in opened.tensors.items()}


def merge_arrays(
    method: str,
    base: Mapping[str, npt.ArrayLike] | None,
    tuned: Sequence[Mapping[str, npt.ArrayLike]],
    *,
    post: Mapping[str, object] | None = None,
    walking: Walking | None = None,
    **settings: object,
) -> dict[str, Floats]:
    """Merge models that are arrays by name, each unique tensor once.

    Args:
        method: a name in `METHODS`.
        base: the model the others were tuned from; None for a method that needs none.
        tuned: the models, with the same names and shapes.
        post: a step after the method, `{"name": "svc", …}`; None is none.
        walking: how they are walked through; of no effect on the result.
        settings: the method's.

    Returns:
        The merged tensors by name, fp32.

    Raises:
        UsageError: a wrong method, setting or number of models.
        WeightsError: a value is not finite.

    >>> base = {"w": np.zeros(2, dtype=np.float32)}
    >>> tuned = [{"w": np.asarray([1, 2], dtype=np.float32)}, {"w": np.asarray([3, 0], dtype=np.float32)}]
    >>> merge_arrays("task_arithmetic", base, tuned, scaling_factor=0.5)["w"]
    array([2., 1.], dtype=float32)
    """
    chosen = find_method(method)
    parsed = chosen.parse(settings)
    root = None if base is None else NamedReader("the base", ArrayReader(base, where="base"))
    readers = [
        NamedReader(f"model {place}", ArrayReader(each, where=f"model {place}"))
        for place, each in enumerate(tuned)
    ]
    chosen.check_inputs(len(readers), has_base=root is not None)
    chosen.check(parsed, len(readers))
    everyone = readers if root is None else [root, *readers]
    for other in everyone[1:]:
        check_tensors(everyone[0], other)
    names = everyone[0].reader.names()
    how = walking or Walking()
    stream = ModelStream(
        root, readers, names, device=how.device, threads=how.threads, chunk_length=how.chunk_length
    )
    sources = {name: name for name in names}
    walked = Walk(chosen, parsed, parse_post(post), stream, chosen.prepare(stream, parsed), sources)
    return {name: _finite(name, tensor, "F32") for name, tensor in _merged(walked, names).items()}


def _merged(walked: Walk, names: Sequence[str]) -> dict[str, Floats]:
    """The merged tensors by name, fp32."""
    factor: Parameter | None = getattr(walked.settings, "scaling_factor", None)
    merged = _empty({name: walked.stream.shape(walked.sources[name]) for name in names})

    def keep(name: str, chunk: Chunk, combined: Array) -> None:
        _put(merged[name], chunk, walked.stream.take(walked.scaled(chunk, combined, factor)))

    for _ in walked.over(names, keep):
        pass
    return merged


def _put(tensor: Floats, chunk: Chunk, values: Floats) -> None:
    tensor.reshape(-1)[chunk.start : chunk.start + values.size] = values.reshape(-1)


def _empty(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Floats]:
    return {name: np.empty(shape, dtype=np.float32) for name, shape in shapes.items()}


def _finite(name: str, tensor: Floats, dtype: str) -> Floats:
    values = rounded(tensor, dtype)
    if not all_finite(values):
        raise WeightsError(
            "a merged value is not finite",
            where=name,
            expected=f"finite {FILE_DTYPES[dtype].torch_name} values",
            fix="a smaller scaling factor or weight, or dtype=float32",
        )
    return values
