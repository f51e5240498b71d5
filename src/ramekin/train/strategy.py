"""How the processes of a team hold a model's weights while they train them.

A strategy is made of a model that every process has whole, with equal weights; it owns the optimizer. What it
is asked is asked by all processes, in the same order. Here is what all strategies do, and the simplest:
`Replicated`, where each process has the whole model (data parallelism; of one process, plain training).
Gradients are added up once a step, after all micro-batches, so that a step is the same sum at any number of
processes, and a process that runs out of memory can begin its share anew without the others noticing.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.train.gradient import clip
from ramekin.train.objectives.losses import Objective
from ramekin.train.optimizers import (
    OptimizerState,
    build_optimizer,
    read_state,
    trainable_parameters,
    write_state,
)
from ramekin.train.recipe import Recipe
from ramekin.train.team import AbstractTeam

__all__ = ["AbstractStrategy", "Replicated", "memory_from_first", "weights_from_first"]

_BUCKET = 1 << 24  # numbers that are added up in one go: 64 MB


class AbstractStrategy(ABC):
    """One process's part of the model, and what is done with all parts."""

    @property
    @abstractmethod
    def trained(self) -> Any:
        """The module whose passes train: the model, or what stands for it."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """Of the trainable tensors."""

    @property
    @abstractmethod
    def in_lockstep(self) -> bool:
        """Whether a pass of one process needs the others': all make as many, and none can be repeated."""

    @abstractmethod
    def around(self, objective: Objective) -> Objective:
        """The objective as it is to be called with `trained`."""

    @abstractmethod
    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Add the gradient of one pass's part of the step's loss to what is there; `is_last` of the step."""

    @abstractmethod
    def add_gradients(self) -> None:
        """End the passes of a step: gradients are sums over the processes from here on."""

    @abstractmethod
    def grad_norm(self) -> Tensor:
        """The norm of the whole gradient, a scalar."""

    @abstractmethod
    def update(self, *, learning_rate: float, max_norm: float | None, norm: float) -> None:
        """Clip the gradient, whose norm is known, step, and forget it."""

    @abstractmethod
    def bad_weight(self) -> str | None:
        """The name of a tensor with a weight that is not finite."""

    @abstractmethod
    def weights(self) -> Mapping[str, Tensor]:
        """The trainable tensors whole, for the first process; the others get them or nothing."""

    @abstractmethod
    def memory(self) -> OptimizerState:
        """What the optimizer remembers, whole, for the first process; the others get it or nothing."""

    @abstractmethod
    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set the trainable tensors to what the first process has; the others' mappings are empty."""

    @abstractmethod
    def take_memory(self, memory: OptimizerState) -> None:
        """Set the optimizer's memory to what the first process has; the others' is empty.

        Raises:
            WeightsError: it is of another model.
        """

    @abstractmethod
    def whole_model(self) -> "contextlib.AbstractContextManager[Any]":
        """While open, the model with its present weights, in evaluation mode: for the first process."""

    @abstractmethod
    def finish(self, weights: Mapping[str, Tensor] | None) -> None:
        """Give every process's model its final weights; nothing is asked afterwards.

        Args:
            weights: what the first process has, the others' mappings being empty; None: the present ones.
        """


@final
class Replicated(AbstractStrategy):
    """Each process holds the whole model and the whole optimizer."""

    def __init__(self, model: Any, recipe: Recipe, team: AbstractTeam) -> None:
        self._model, self._team = model, team
        self._parameters = trainable_parameters(model)
        self._optimizer = build_optimizer(model, recipe)

    @property
    def trained(self) -> Any:
        """The model itself."""
        return self._model

    @property
    def names(self) -> Sequence[str]:
        """As the model calls them."""
        return tuple(self._parameters)

    @property
    def in_lockstep(self) -> bool:
        """A pass is this process's own."""
        return False

    def around(self, objective: Objective) -> Objective:
        """The objective itself."""
        return objective

    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Plain back-propagation."""
        loss.backward()  # type: ignore[no-untyped-call]

    def add_gradients(self) -> None:
        """Replace every gradient by its sum; one that a process lacks counts as zero."""
        if self._team.size == 1:
            return
        for bucket in _buckets(list(self._parameters.values())):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            flat = self._team.add(torch.cat([gradient.flatten() for gradient in gradients]))
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.grad = part.view_as(parameter)

    def grad_norm(self) -> Tensor:
        """The norm of the gradients that are there."""
        return torch.nn.utils.get_total_norm(
            [p.grad for p in self._parameters.values() if p.grad is not None]
        )

    def update(self, *, learning_rate: float, max_norm: float | None, norm: float) -> None:
        """The same in every process, as gradients and memory are."""
        if max_norm is not None:
            clip(self._parameters.values(), max_norm=max_norm, norm=norm)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def bad_weight(self) -> str | None:
        """The first of the model's, frozen ones included."""
        found = (name for name, p in self._model.named_parameters() if not torch.isfinite(p).all())
        return next(found, None)

    def weights(self) -> Mapping[str, Tensor]:
        """The live tensors."""
        return self._parameters

    def memory(self) -> OptimizerState:
        """The live tensors."""
        return read_state(self._optimizer, self._parameters)

    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Every process's are set."""
        with torch.no_grad():
            for name, whole in weights_from_first(weights, self._parameters, self._team):
                self._parameters[name].copy_(whole)

    def take_memory(self, memory: OptimizerState) -> None:
        """Every process's is set."""
        for each in memory_from_first(memory, self._team):
            write_state(self._optimizer, self._parameters, each)

    @contextlib.contextmanager
    def whole_model(self) -> Iterator[Any]:
        """The model itself."""
        self._model.eval()
        try:
            yield self._model
        finally:
            self._model.train()

    def finish(self, weights: Mapping[str, Tensor] | None) -> None:
        """It has the present ones."""
        if weights is not None:
            self.take_weights(weights)


def weights_from_first(
    weights: Mapping[str, Tensor], like: Mapping[str, Tensor], team: AbstractTeam
) -> Iterator[tuple[str, Tensor]]:
    """The first process's tensors one by one; the others' mapping is empty, `like` says their shapes."""
    for name, tensor in like.items():
        held = weights.get(name)
        empty = torch.empty(tensor.shape, dtype=tensor.dtype) if held is None else held
        yield name, team.tensor_from_first(empty)


def memory_from_first(memory: OptimizerState, team: AbstractTeam) -> Iterator[OptimizerState]:
    """The first process's memory, piece by piece, so that no process holds it twice."""
    if team.size == 1:
        yield memory
        return
    told = {key: [list(t.shape), str(t.dtype).removeprefix("torch.")] for key, t in memory.tensors.items()}
    shapes, numbers = team.from_first([told, dict(memory.numbers)])
    yield OptimizerState({}, numbers)
    for key, (shape, dtype) in shapes.items():
        held = memory.tensors.get(key)
        empty = torch.empty(shape, dtype=getattr(torch, dtype))
        yield OptimizerState({key: team.tensor_from_first(empty if held is None else held)}, {})


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    numbers = 0
    for parameter in parameters:
        if bucket and numbers + parameter.numel() > _BUCKET:
            yield bucket
            bucket, numbers = [], 0
        bucket.append(parameter)
        numbers += parameter.numel()
    if bucket:
        yield bucket
