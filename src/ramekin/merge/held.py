"""Models that are read once and merged many times, each time over the tensors of one model in memory.

What was read stays in memory in the files' dtypes; of the last merge that has a scaling factor the direction
stays too, so that another factor reads nothing and works on two models, however many were merged. This module
knows nothing of what becomes of the merged tensors.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, final

from ramekin.merge.direction import Direction, MergedTensors, merge_direction, merge_into
from ramekin.merge.inputs import ModelInput, ReaderOf
from ramekin.merge.methods import find_method
from ramekin.merge.plan import Dtype, MergeArguments
from ramekin.merge.run import Progress
from ramekin.merge.settings import replace_scaling_factor
from ramekin.weights.dtypes import Floats
from ramekin.weights.reading import CheckpointReader, HeldReader

__all__ = ["HeldModels"]


@final
class HeldModels:
    """A base and models to be merged again and again.

    Args:
        base: the base's folder.
        models: the models.
        in_memory: whether the models stay in memory; else a merge that is more than another scaling factor
            of the one before reads them again.
    """

    def __init__(self, base: Path | None, models: Sequence[ModelInput], *, in_memory: bool = True) -> None:
        self._base, self._models = base, tuple(models)
        self._reader_of: ReaderOf = (
            cache(lambda folder: HeldReader(CheckpointReader(folder))) if in_memory else CheckpointReader
        )
        self._key: object = None
        self._direction: Direction | None = None

    def merge_into(
        self,
        tensors: Mapping[str, Floats],
        method: str,
        settings: Mapping[str, object],
        *,
        statistics: Sequence[Path] = (),
        post: Mapping[str, object] | None = None,
        align: Mapping[str, object] | None = None,
        dtype: Dtype = "same",
        progress: Progress | None = None,
    ) -> MergedTensors:
        """Write the tensors of a merge over those of a model, bit for bit as `run.merge` writes a file.

        Args:
            tensors: contiguous fp32 arrays by name, of the shapes of the base's.
            method: see `run.merge` for it and the others.
            settings: the method's.
            statistics: folders of what was collected of the models, for methods that need it.
            post: a step after the method.
            align: the space in which matrices are merged.
            dtype: what the merged numbers are rounded to.
            progress: told the bytes read so far and in all, if any are.

        Raises:
            UsageError: as `run.merge` does.
            WeightsError: as `run.merge` does; then the tensors are of no use.
        """
        chosen = find_method(method)
        asked: MergeArguments = {
            "base": self._base,
            "models": self._models,
            "settings": settings,
            "statistics": statistics,
            "post": post,
            "align": align,
            "dtype": dtype,
        }
        if not chosen.scaled or post is not None:  # which has no part that holds for every factor
            return merge_into(tensors, method, progress=progress, reader_of=self._reader_of, **asked)
        parsed: Any = chosen.parse(settings)
        key = (method, replace_scaling_factor(parsed, 0.0), tuple(statistics), align, dtype)
        read = 0
        if self._direction is None or key != self._key:
            self._direction = None  # before the next is made, which takes as much memory
            self._direction = merge_direction(method, progress=progress, reader_of=self._reader_of, **asked)
            self._key, read = key, self._direction.bytes_read
        self._direction.scaled_into(tensors, parsed.scaling_factor)
        return MergedTensors(self._direction.figures, self._direction.warnings, read)
