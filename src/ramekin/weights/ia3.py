"""IA3 adapters: the vectors in their file as one change for each tensor of the base.

PEFT keeps a vector that scales a layer's output as `(out, 1)`, one that scales its input (of a feed-forward
layer) as `(1, in)`; a linear layer without bias takes either into its weight. This module needs neither PEFT
nor a model, and torch only where tensors of torch's are asked for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ramekin.errors import WeightsError
from ramekin.weights.adapter_config import PREFIX, refuse_switched_on

if TYPE_CHECKING:
    from torch import Tensor

    from ramekin.weights.change import Rescaled

__all__ = ["check_ia3", "ia3_changes", "ia3_vectors"]

_SUFFIX = ".ia3_l"
_FREE_KEYS = frozenset({"exclude_modules", "feedforward_modules", "init_ia3_weights", "target_modules"})


class _Shaped(Protocol):
    """A tensor, or what a header says of one."""

    @property
    def shape(self) -> Any: ...
    @property
    def ndim(self) -> int: ...


T = TypeVar("T", bound=_Shaped)


def check_ia3(path: Path, config: Mapping[str, object]) -> None:
    """Refuse a configuration of IA3 that cannot be merged exactly.

    Args:
        path: of adapter_config.json.
        config: its content.

    Raises:
        WeightsError: names the key.
    """
    refuse_switched_on(path, config, free=_FREE_KEYS, expected="vectors of linear layers alone")


def ia3_changes(path: Path, tensors: "Mapping[str, Tensor]") -> "dict[str, Rescaled]":
    """The change of every tensor, under its name in a checkpoint file; see `ia3_vectors`."""
    from ramekin.weights.change import Rescaled  # needs torch

    return {name: Rescaled(vector.contiguous()) for name, vector in ia3_vectors(path, tensors).items()}


def ia3_vectors(path: Path, tensors: Mapping[str, T]) -> dict[str, T]:
    """The vector of every layer, under the name of the tensor it changes.

    Args:
        path: the adapter's file, for messages.
        tensors: the vectors by their names in the file, as they are or as a header describes them.

    Raises:
        WeightsError: a tensor is not the vector of a linear layer.
    """
    vectors: dict[str, T] = {}
    for name, tensor in sorted(tensors.items()):
        is_vector = tensor.ndim == 2 and 1 in tensor.shape
        if not (name.endswith(_SUFFIX) and name.startswith(PREFIX) and is_vector):
            raise WeightsError(
                "the adapter holds a tensor that is not the IA3 vector of a linear layer",
                where=f"{path}#{name}",
                expected=f"{PREFIX}….ia3_l of [out, 1] or [1, in]",
                got=str(list(tensor.shape)),
                fix="merge it into its base with the tool it was trained with, and use the whole model",
                kind="adapter-parts",
            )
        vectors[f"{name.removeprefix(PREFIX).removesuffix(_SUFFIX)}.weight"] = tensor
    if not vectors:
        raise WeightsError(
            "the adapter holds no tensors",
            where=str(path),
            kind="adapter-parts",
            fix="save the adapter again with the tool that made it",
        )
    return vectors
