"""A loaded model whose weights are formed from merges, one after another, with nothing written to a disk.

The models to be merged are read once where they fit in memory. Knows nothing of what the model is asked.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ramekin.errors import WeightsError
from ramekin.recipes.memory import free_bytes as _free_bytes
from ramekin.recipes.merge_schema import method_settings
from ramekin.recipes.progress import AbstractProgress, SilentProgress, reading
from ramekin.recipes.states import weights_state
from ramekin.weights.dtypes import Floats
from ramekin.weights.layout import HEAD, SHARED

if TYPE_CHECKING:
    from ramekin.merge.inputs import ModelInput
    from ramekin.merge.plan import Dtype

__all__ = ["InPlaceModel", "Merged", "fits_in_memory", "shared_model"]

_SHARE = 0.75  # of the memory that is free, for the models to be held in


@final
@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge into a loaded model tells."""

    figures: Mapping[str, object]
    warnings: tuple[str, ...]
    bytes_read: int
    """Of the models gone through, from a disk or from memory; 0 where only the scaling factor is another."""
    seconds: float


@final
class InPlaceModel:
    """A model of the architecture of a base, and the models that it is merged from.

    Args:
        base: the base's folder; None for methods without one, and then the first model is loaded.
        models: the models.
        device: where the loaded model goes.
        in_memory: whether the models to be merged stay in memory.
    """

    def __init__(
        self, base: Path | None, models: Sequence["ModelInput"], *, device: str, in_memory: bool
    ) -> None:
        from ramekin.merge.held import HeldModels
        from ramekin.weights.opening import open_model
        from ramekin.weights.reading import CheckpointReader
        from ramekin.weights.seq2seq import tensors_of

        first = base or models[0].base_folder or models[0].folder
        opened = open_model(first, device=device)
        self.model: Any = opened.model
        self.tokenizer_folder: Path = opened.tokenizer_folder
        self._shares_memory = device == "cpu"
        self._tensors: dict[str, Floats] = {
            name: each.numpy() if self._shares_memory else np.empty(tuple(each.shape), dtype=np.float32)
            for name, each in tensors_of(self.model).items()
        }
        with CheckpointReader(first) as reader:  # a head that is stored may be the embedding all the same
            self._head_is_embedding = HEAD in reader.names() and HEAD not in self._tensors
        if self._head_is_embedding:
            self._tensors[HEAD] = np.empty_like(self._tensors[SHARED])
        self._held: HeldModels = HeldModels(base, models, in_memory=in_memory)

    def merge(
        self,
        method: Mapping[str, Any],
        *,
        statistics: Sequence[Path] = (),
        post: Mapping[str, Any] | None = None,
        align: Mapping[str, Any] | None = None,
        dtype: "Dtype" = "same",
        progress: AbstractProgress | None = None,
    ) -> Merged:
        """Give the model the weights of a merge: those that `ramekin merge` would write.

        Args:
            method: its name and settings.
            statistics: folders of what was collected of the models, for methods that need it.
            post: a step after it, with its name.
            align: the space in which matrices are merged, with its name.
            dtype: what the weights are rounded to.
            progress: told how far it is.

        Raises:
            UsageError: the method or its settings are wrong.
            WeightsError: the models do not fit, or the merge is not finite; then the model's weights are of
                no use.
        """
        clock = time.perf_counter()
        with reading(progress or SilentProgress(), f"merge by {method['name']}") as on_read:
            told = self._held.merge_into(
                self._tensors,
                method["name"],
                method_settings(method),
                statistics=statistics,
                post=post,
                align=align,
                dtype=dtype,
                progress=on_read,
            )
            self._put()
        return Merged(told.figures, told.warnings, told.bytes_read, time.perf_counter() - clock)

    def _put(self) -> None:
        """Hand the merged tensors on to a model that does not share their memory."""
        tensors = dict(self._tensors)
        if self._head_is_embedding and not np.array_equal(tensors.pop(HEAD), tensors[SHARED]):
            raise WeightsError(
                "the merged head is no longer the embedding, which it is in the base",
                where=HEAD,
                expected=f"the values of {SHARED}",
                fix="merge to a folder, and evaluate that",
            )
        if not self._shares_memory:
            import torch

            from ramekin.weights.seq2seq import set_tensors

            set_tensors(self.model, {name: torch.from_numpy(each) for name, each in tensors.items()})


def shared_model(
    base: Path | None, models: Sequence["ModelInput"], *, device: str, hold: bool = True
) -> InPlaceModel:
    """The one model of this process for merges of these: loaded once, its models held where they fit.

    Args:
        base: the base's folder.
        models: the models.
        device: where the loaded model goes.
        hold: whether more than one merge is likely; else the models are read as `ramekin merge` reads them,
            and what is held is a direction, for other scaling factors.
    """
    folders = [*(() if base is None else (base,)), *(model.folder for model in models)]
    states = tuple((folder.resolve(), weights_state(folder)) for folder in folders)
    return _shared(base, tuple(models), device, hold, states)


@lru_cache(maxsize=1)
def _shared(
    base: Path | None,
    models: tuple["ModelInput", ...],
    device: str,
    hold: bool,
    _: tuple[tuple[Path, str], ...],
) -> InPlaceModel:
    folders = {*(model.folder for model in models), *(model.base_folder for model in models), base}
    held = hold and fits_in_memory([folder for folder in folders if folder is not None])
    return InPlaceModel(base, models, device=device, in_memory=held)


def fits_in_memory(folders: Sequence[Path]) -> bool:
    """Whether the weights of models can be held beside a loaded one; true where nothing tells."""
    free = _free_bytes()
    sizes = [sum(file.stat().st_size for file in folder.glob("*.safetensors")) for folder in folders]
    # A loaded model, and a base and a direction that hold for every scaling factor, each in fp32.
    return free is None or sum(sizes) + 3 * 2 * max(sizes, default=0) < _SHARE * free
