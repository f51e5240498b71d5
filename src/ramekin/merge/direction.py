"""Merges in memory: of arrays, of checkpoints, or with the scaling factor still open.

A `Direction` holds the base and what the method adds to it, both read once; every scaling factor after that
touches no file, and gives bit for bit the numbers that a merge to disk would write. It holds two models in
memory, so it is for models that fit.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Unpack, final

import numpy as np
import numpy.typing as npt

from ramekin.errors import UsageError, WeightsError
from ramekin.merge.array import Array
from ramekin.merge.check import Compared, compare
from ramekin.merge.findings import raise_errors
from ramekin.merge.inputs import ReaderOf, unique_names
from ramekin.merge.methods import find_method
from ramekin.merge.parameters import Parameter, places
from ramekin.merge.plan import MergeArguments, OpenMerge, open_merge
from ramekin.merge.post import parse_post
from ramekin.merge.run import Progress, Walk, Walking, walk
from ramekin.merge.statistics import check_statistics_count
from ramekin.merge.stream import Chunk, ModelStream, NamedReader, num_threads
from ramekin.weights.dtypes import FILE_DTYPES, Floats, all_finite, rounded
from ramekin.weights.reading import ArrayReader, CheckpointReader

__all__ = [
    "NOT_FINITE",
    "Direction",
    "MergedTensors",
    "merge_arrays",
    "merge_direction",
    "merge_into",
    "merge_tensors",
]

NOT_FINITE = "merged-not-finite"
"""The kind of the error where a merge has no finite value."""

_PART = 1 << 17  # elements of a tensor formed at a time, so that they stay in the cache


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

    bytes_read: int
    """Of the models, in all passes."""

    def scaled(self, factor: float | Parameter) -> dict[str, Floats]:
        """The merged tensors, base + factor * direction, by name, fp32.

        Raises:
            WeightsError: a merged value is not finite in its dtype.
        """
        tensors = _empty({name: self.direction[name].shape for name in self.dtypes})
        self.scaled_into(tensors, factor)
        return tensors

    def scaled_into(self, tensors: Mapping[str, Floats], factor: float | Parameter) -> None:
        """Write the merged tensors over those of a model.

        Args:
            tensors: contiguous fp32 arrays by name, of the shapes of the base's.
            factor: the scaling factor, one or by tensor.

        Raises:
            WeightsError: a merged value is not finite in its dtype; then the tensors are of no use.
        """
        parameter = factor if isinstance(factor, Parameter) else Parameter.of(factor)
        depth = places(dict.fromkeys(self.sources.values()))
        factors = {name: parameter.at(name, place) for name, place in depth.items()}

        def form(part: tuple[str, int, int]) -> None:
            name, start, stop = part
            out = _flat(tensors[name], name)[start:stop]
            # The two operations of `run.Walk.scaled`, which round twice.
            np.multiply(self.direction[name].reshape(-1)[start:stop], factors[self.sources[name]], out=out)
            np.add(self.base[name].reshape(-1)[start:stop], out, out=out)
            out[:] = _finite(name, out, self.dtypes[name])

        parts = [
            (name, start, min(start + _PART, self.direction[name].size))
            for name in self.dtypes
            for start in range(0, self.direction[name].size, _PART)
        ]
        with ThreadPoolExecutor(num_threads(), thread_name_prefix="scale") as pool:
            deque(pool.map(form, parts), maxlen=0)


def merge_direction(
    method: str,
    *,
    progress: Progress | None = None,
    reader_of: ReaderOf = CheckpointReader,
    **asked: Unpack[MergeArguments],
) -> Direction:
    """Read the models once and keep the base and the direction the method goes in.

    Args:
        method: a method that has a scaling factor.
        progress: told the bytes read so far and in all.
        reader_of: how checkpoints are opened.
        asked: see `run.merge`; the scaling factor among the settings is of no effect, `dtype` is what the
            merged numbers are rounded to.

    Raises:
        UsageError: the method has no scaling factor, there is a step after it, or as `run.merge` does.
        WeightsError: as `run.merge` does.
    """
    with open_merge(method, reader_of=reader_of, **asked) as opened:
        if not opened.method.scaled:
            raise UsageError(
                f"{method} has no scaling_factor", fix="sweep a method that has one, or use merge"
            )
        if opened.post is not None:
            raise UsageError("a step after the method depends on the scaling factor", fix="use merge_into")
        walked = walk(opened, Walking(progress=progress))
        shapes = {name: planned.shape for name, planned in opened.tensors.items()}
        bases, directions = _empty(shapes), _empty(shapes)

        def keep(name: str, chunk: Chunk, combined: Array) -> None:
            assert chunk.base is not None  # scaled methods need a base
            _put(bases[name], name, chunk, walked.stream.take(chunk.base))
            _put(directions[name], name, chunk, walked.stream.take(combined))

        for _ in walked.over(opened.names, keep):
            pass
        return Direction(
            bases,
            directions,
            walked.sources,
            {name: planned.dtype for name, planned in opened.tensors.items()},
            walked.prepared.figures(),
            (*opened.plan.warnings, *walked.prepared.warnings),
            walked.stream.bytes_read,
        )


@final
@dataclass(frozen=True, slots=True)
class MergedTensors:
    """What a merge in memory tells beside its tensors."""

    figures: Mapping[str, object]
    """What the method measured; JSON values."""
    warnings: tuple[str, ...]
    bytes_read: int
    """Of the models, in all passes."""


def merge_tensors(
    method: str, *, progress: Progress | None = None, **asked: Unpack[MergeArguments]
) -> dict[str, Floats]:
    """The tensors of one merge, by name, fp32; the same numbers as `run.merge` writes.

    Raises:
        UsageError: as `run.merge` does.
        WeightsError: as `run.merge` does.
    """
    with open_merge(method, **asked) as opened:
        tensors = _empty({name: planned.shape for name, planned in opened.tensors.items()})
        _merged_into(tensors, opened, progress)
        return tensors


def merge_into(
    tensors: Mapping[str, Floats],
    method: str,
    *,
    progress: Progress | None = None,
    reader_of: ReaderOf = CheckpointReader,
    **asked: Unpack[MergeArguments],
) -> MergedTensors:
    """Write the tensors of one merge over those of a model: the numbers that `run.merge` writes to a file.

    Args:
        tensors: contiguous fp32 arrays by name, of the shapes of the base's.
        method: a name in `METHODS`.
        progress: told the bytes read so far and in all.
        reader_of: how checkpoints are opened.
        asked: see `run.merge`; `dtype` is what the merged numbers are rounded to.

    Raises:
        UsageError: as `run.merge` does.
        WeightsError: as `run.merge` does; then the tensors are of no use.
    """
    with open_merge(method, reader_of=reader_of, **asked) as opened:
        return _merged_into(tensors, opened, progress)


def merge_arrays(
    method: str,
    base: Mapping[str, npt.ArrayLike] | None,
    tuned: Sequence[Mapping[str, npt.ArrayLike]],
    *,
    statistics: Sequence[Mapping[str, npt.ArrayLike]] = (),
    post: Mapping[str, object] | None = None,
    walking: Walking | None = None,
    **settings: object,
) -> dict[str, Floats]:
    """Merge models that are arrays by name, each unique tensor once.

    Args:
        method: a name in `METHODS`.
        base: the model the others were tuned from; None for a method that needs none.
        tuned: the models, with the same names and shapes.
        statistics: what was collected of each model, in their order, by the names of the tensors.
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
    check_statistics_count(chosen, len(statistics), len(readers))
    collected = [
        NamedReader(f"the statistics of model {place}", ArrayReader(each, where=f"statistics {place}"))
        for place, each in enumerate(statistics)
    ]
    everyone = readers if root is None else [root, *readers]
    first, *others = (
        Compared(
            each.label, {name: each.reader.info(name).shape for name in unique_names(each.reader.names())}
        )
        for each in everyone
    )
    raise_errors(finding for other in others for finding in compare(first, other))
    names = everyone[0].reader.names()
    how = walking or Walking()
    stream = ModelStream(
        root,
        readers,
        names,
        device=how.device,
        threads=how.threads,
        chunk_length=how.chunk_length,
        statistics=collected,
    )
    sources = {name: name for name in names}
    walked = Walk(chosen, parsed, parse_post(post), stream, chosen.prepare(stream, parsed), sources)
    tensors = _empty({name: stream.shape(name) for name in names})
    _fill(tensors, walked, dict.fromkeys(names, "F32"))
    return tensors


def _merged_into(
    tensors: Mapping[str, Floats], opened: OpenMerge, progress: Progress | None
) -> MergedTensors:
    walked = walk(opened, Walking(progress=progress))
    _fill(tensors, walked, {name: planned.dtype for name, planned in opened.tensors.items()})
    return MergedTensors(
        walked.prepared.figures(),
        (*opened.plan.warnings, *walked.prepared.warnings),
        walked.stream.bytes_read,
    )


def _fill(tensors: Mapping[str, Floats], walked: Walk, dtypes: Mapping[str, str]) -> None:
    """Write the merged tensors, chunk by chunk."""
    factor: Parameter | None = getattr(walked.settings, "scaling_factor", None)

    def keep(name: str, chunk: Chunk, combined: Array) -> None:
        values = walked.stream.take(walked.scaled(chunk, combined, factor))
        _put(tensors[name], name, chunk, _finite(name, values, dtypes[name]))

    for _ in walked.over(list(dtypes), keep):
        pass


def _put(tensor: Floats, name: str, chunk: Chunk, values: Floats) -> None:
    _flat(tensor, name)[chunk.start : chunk.start + values.size] = values.reshape(-1)


def _flat(tensor: Floats, name: str) -> Floats:
    """A view of all values."""
    if tensor.dtype != np.float32 or not tensor.flags.c_contiguous:
        raise UsageError("tensors are written in place only where they are contiguous fp32", where=name)
    return tensor.reshape(-1)


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
            kind=NOT_FINITE,
        )
    return values
