"""Optimizers over tensors of which each process has a part, along the first dimension.

AdamW updates each weight by itself, so each process updates its parts as the plain tensors that they are;
AdamWScale also asks for the size of whole tensors, which is a sum over the parts. Adafactor's statistics are
of rows and columns, and both torch's and transformers' fail on torch's distributed tensors: here every tensor
is brought together with its gradient, updated by every process alike, and let go again, one after the other.
The memory is read and written whole, as a single process would have it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.train.adamwscale import AdamWScale
from ramekin.train.optimizers import (
    OptimizerState,
    build_optimizer,
    other_model,
    owner_and_entry,
    read_state,
    write_state,
)
from ramekin.train.recipe import Recipe
from ramekin.train.team import AbstractTeam, connection

__all__ = ["AbstractUpdates", "build_updates", "own_part", "whole_of"]


class AbstractUpdates(ABC):
    """An optimizer over parts."""

    @abstractmethod
    def step(self, learning_rate: float) -> None:
        """Update this process's parts; all processes step together."""

    @abstractmethod
    def memory(self) -> tuple[Iterator[tuple[str, Tensor]], Mapping[str, float | int]]:
        """What is remembered, whole: tensors one by one, to be gone through by all processes, and numbers."""

    @abstractmethod
    def take_memory(self, memory: OptimizerState) -> None:
        """Set what is remembered to whole tensors that every process has."""


def build_updates(
    own: Mapping[str, nn.Parameter], cut: Mapping[str, Any], recipe: Recipe, team: AbstractTeam
) -> AbstractUpdates:
    """The recipe's optimizer.

    Args:
        own: this process's parts, with their gradients when it steps.
        cut: torch's distributed tensors that they are the parts of.
        recipe: says which optimizer.
        team: the processes.
    """
    if recipe.optimizer == "adafactor":
        return _OfWholes(own, cut, recipe)
    return _OfParts(own, cut, recipe, team)


def own_part(whole: Tensor, like: Any) -> Tensor:
    """This process's part of a tensor that every process has whole; nothing is sent."""
    from torch.distributed.tensor import DTensor, Replicate

    copies = DTensor.from_local(whole, like.device_mesh, [Replicate()], run_check=False)
    return copies.redistribute(placements=like.placements).to_local()


def whole_of(part: Tensor, like: Any) -> Tensor:
    """The tensor of which every process has a part; all must ask."""
    from torch.distributed.tensor import DTensor

    cut = DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
    with connection():
        return cut.full_tensor()


@final
class _OfParts(AbstractUpdates):
    """One optimizer over this process's parts."""

    def __init__(
        self, own: Mapping[str, nn.Parameter], cut: Mapping[str, Any], recipe: Recipe, team: AbstractTeam
    ) -> None:
        self._own, self._cut, self._team = own, cut, team
        self._optimizer = build_optimizer(_Named(own), recipe)
        if isinstance(self._optimizer, AdamWScale):
            self._optimizer.root_mean_squares = self._root_mean_squares

    def step(self, learning_rate: float) -> None:
        """Of all parts together."""
        _step(self._optimizer, learning_rate)

    def memory(self) -> tuple[Iterator[tuple[str, Tensor]], Mapping[str, float | int]]:
        """What is as large as the part is a part."""
        state = read_state(self._optimizer, self._own)
        return ((key, self._whole(key, tensor)) for key, tensor in state.tensors.items()), state.numbers

    def take_memory(self, memory: OptimizerState) -> None:
        """What is as large as the tensor is cut as it is."""
        tensors = {key: self._part(key, tensor) for key, tensor in memory.tensors.items()}
        write_state(self._optimizer, self._own, OptimizerState(tensors, memory.numbers))

    def _whole(self, key: str, tensor: Tensor) -> Tensor:
        name, _ = owner_and_entry(key)
        return whole_of(tensor, self._cut[name]) if tensor.shape == self._own[name].shape else tensor

    def _part(self, key: str, tensor: Tensor) -> Tensor:
        cut = self._cut.get(owner_and_entry(key)[0])
        is_as_large = cut is not None and tensor.shape == cut.shape
        return own_part(tensor.to(cut.device), cut) if cut is not None and is_as_large else tensor

    def _root_mean_squares(self, parts: Sequence[Tensor]) -> list[Tensor]:
        numbers = {id(own): self._cut[name].numel() for name, own in self._own.items()}
        squares = torch.stack([part.double().square().sum() for part in parts])
        sizes = torch.tensor(
            [numbers[id(part)] for part in parts], dtype=squares.dtype, device=squares.device
        )
        return list((self._team.add(squares) / sizes).sqrt().float().unbind())


@final
class _OfWholes(AbstractUpdates):
    """An optimizer for each tensor, which is whole while that one steps."""

    def __init__(self, own: Mapping[str, nn.Parameter], cut: Mapping[str, Any], recipe: Recipe) -> None:
        self._own, self._cut = own, cut
        # Of the tensor's shape without its memory: which group a tensor is in hangs on its dimensions.
        self._wholes = {
            name: nn.Parameter(part.new_zeros(()).expand(cut[name].shape)) for name, part in own.items()
        }
        self._optimizers = {
            name: build_optimizer(_Named({name: whole}), recipe) for name, whole in self._wholes.items()
        }

    def step(self, learning_rate: float) -> None:
        """Of one tensor after the other."""
        for name, own in self._own.items():
            if own.grad is None:
                continue
            whole, cut = self._wholes[name], self._cut[name]
            nothing = whole.data
            whole.data, whole.grad = whole_of(own.detach(), cut), whole_of(own.grad, cut)
            _step(self._optimizers[name], learning_rate)
            own.data.copy_(own_part(whole.detach(), cut))
            whole.data, whole.grad = nothing, None

    def memory(self) -> tuple[Iterator[tuple[str, Tensor]], Mapping[str, float | int]]:
        """It is whole already."""
        states = [read_state(self._optimizers[name], {name: whole}) for name, whole in self._wholes.items()]
        tensors = (item for state in states for item in state.tensors.items())
        return tensors, {key: value for state in states for key, value in state.numbers.items()}

    def take_memory(self, memory: OptimizerState) -> None:
        """Every process has it whole."""
        for key, tensor in memory.tensors.items():
            self._write(key, OptimizerState({key: tensor}, {}))
        for key, number in memory.numbers.items():
            self._write(key, OptimizerState({}, {key: number}))

    def _write(self, key: str, piece: OptimizerState) -> None:
        name, _ = owner_and_entry(key)
        if name not in self._wholes:
            raise other_model(name)
        write_state(self._optimizers[name], {name: self._wholes[name]}, piece)


@final
class _Named(nn.Module):
    """Parameters under names of their own, for what asks a model for them."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self._given = dict(parameters)

    def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """What was given."""
        yield from self._given.items()


def _step(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
