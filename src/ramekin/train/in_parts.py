"""What the strategies share that train a copy of the model, in parts.

The model itself stays whole where it was loaded, on the CPU as a rule: it is what is evaluated and saved, and
what holds the result. Weights pass between it and the parts one tensor at a time.
"""

import contextlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from ramekin.train.optimizers import trainable_parameters
from ramekin.train.strategy import AbstractStrategy, weights_from_first
from ramekin.train.team import AbstractTeam

__all__ = ["AbstractInParts"]


class AbstractInParts(AbstractStrategy):
    """A strategy whose processes each have a part of the weights, and the starting model whole.

    Args:
        model: whole, with its starting weights, the same in every process.
        team: the processes.
        device: where this one computes.
    """

    def __init__(self, model: Any, team: AbstractTeam, device: torch.device) -> None:
        self._model, self._team, self._device = model, team, device
        self._whole = trainable_parameters(model)

    @abstractmethod
    def present(self) -> Iterator[tuple[str, Tensor]]:
        """The trainable tensors, brought together one by one; all processes go through all of them."""

    @property
    @final
    def names(self) -> Sequence[str]:
        """As the model calls them."""
        return tuple(self._whole)

    @property
    @final
    def in_lockstep(self) -> bool:
        """A pass is made by all."""
        return True

    @final
    def weights(self) -> Mapping[str, Tensor]:
        """Kept by the first process, off its device."""
        return self.kept(self.present())

    @final
    def kept(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """What the first process keeps, off its device; the others go through them only."""
        return {name: tensor.detach().cpu() for name, tensor in tensors if self._team.is_first}

    @contextlib.contextmanager
    @final
    def whole_model(self) -> Iterator[Any]:
        """The model as it was given, on the first process's device."""
        self._give_back(self.present(), to_first_only=True)
        home = next(self._model.parameters()).device
        self._model.eval()
        if self._team.is_first:
            self._model.to(self._device)
        try:
            yield self._model
        finally:
            self._model.to(home)

    def finish(self, weights: Mapping[str, Tensor] | None) -> None:
        """Every process's model is whole again."""
        final = self.present() if weights is None else weights_from_first(weights, self._whole, self._team)
        self._give_back(final, to_first_only=False)

    def _give_back(self, weights: Iterable[tuple[str, Tensor]], *, to_first_only: bool) -> None:
        with torch.no_grad():
            for name, whole in weights:
                if self._team.is_first or not to_first_only:
                    self._whole[name].copy_(whole)
