"""FSDP2: weights, gradients and the optimizer's memory in equal parts on all processes.

For models that do not fit on one device (`torch.distributed.fsdp.fully_shard`; Zhao et al. 2023, arXiv
2304.11277). What is cut is a copy of the model's structure, filled block by block, so that no device ever
holds all of it; the model itself stays whole where it was loaded, and gets its weights back for an evaluation
and at the end. Accelerate's own preparation is not used: it ties the model's weights anew, and an untied head
is lost. The gradient of each micro-batch is added up and cut at once: kept whole, it would take as much
memory as the weights.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError
from ramekin.tensors.collate import Batch
from ramekin.train.gradient import clip
from ramekin.train.in_parts import AbstractInParts
from ramekin.train.objectives.losses import Losses, Objective
from ramekin.train.optimizers import OptimizerState, trainable_parameters
from ramekin.train.recipe import Recipe
from ramekin.train.sharded_updates import build_updates, own_part
from ramekin.train.strategy import memory_from_first, weights_from_first
from ramekin.train.team import AbstractTeam, connection
from ramekin.weights.parameters import copy_structure

__all__ = ["FullySharded", "refuse_old_torch"]


def refuse_old_torch() -> None:
    """Refuse a torch that cannot add gradients up without dividing them.

    Raises:
        UsageError: it is such a one.
    """
    from torch.distributed.fsdp import FSDPModule

    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise UsageError(
            "this torch cannot train a model in parts",
            expected="torch 2.9 or newer",
            got=torch.__version__,
            fix="update torch, or train without fsdp_config",
        )


@final
class FullySharded(AbstractInParts):
    """Each process holds a part of every tensor, along its first dimension.

    Args:
        model: whole, with its starting weights, the same in every process; on the CPU, as a rule.
        recipe: says which optimizer.
        team: the processes.
        device: where this one computes.
        reshard_after_forward: whether the weights of a block are let go between its forward and its
            backward pass, and brought together twice.
    """

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        team: AbstractTeam,
        device: torch.device,
        *,
        reshard_after_forward: bool = True,
    ) -> None:
        super().__init__(model, team, device)
        self._root = _sharded(model, device, reshard_after_forward)
        self._cut: dict[str, Any] = dict(trainable_parameters(self._root.model))
        self._own = {name: nn.Parameter(cut.to_local().detach()) for name, cut in self._cut.items()}
        self._updates = build_updates(self._own, self._cut, recipe, team)

    @property
    def trained(self) -> Any:
        """The copy that is cut."""
        return self._root.model

    def around(self, objective: Objective) -> Objective:
        """The objective within the root's forward pass, whatever part of the model it calls."""
        return _Around(self._root, objective)

    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Back-propagation; each block's gradient is added up over the processes on the way."""
        with connection(), _views():  # blocks that are computed again
            loss.backward()  # type: ignore[no-untyped-call]

    def add_gradients(self) -> None:
        """They are sums already; each process takes its part."""
        for name, own in self._own.items():
            cut = self._cut[name]
            own.data = cut.to_local().detach()  # torch may have moved it since
            own.grad = None if cut.grad is None else cut.grad.to_local()

    def grad_norm(self) -> Tensor:
        """Of all parts."""
        norms = [p.grad.norm() for p in self._own.values() if p.grad is not None]
        squares = torch.stack(norms).double().square().sum()
        return self._team.add(squares).sqrt()

    def update(self, *, learning_rate: float, max_norm: float | None, norm: float) -> None:
        """Each process steps on its part."""
        if max_norm is not None:
            clip(self._own.values(), max_norm=max_norm, norm=norm)
        self._updates.step(learning_rate)
        for name, own in self._own.items():
            own.grad = self._cut[name].grad = None

    def bad_weight(self) -> str | None:
        """The first trainable tensor of which some process has a bad part."""
        bad = (n for n, p in enumerate(self._cut.values()) if not torch.isfinite(p.to_local()).all())
        found = self._team.lowest(next(bad, len(self._cut)))
        return self.names[found] if found < len(self._cut) else None

    def present(self) -> Iterator[tuple[str, Tensor]]:
        """By torch's distributed tensors."""
        for name, cut in self._cut.items():
            with connection():
                whole = cut.detach().full_tensor()
            yield name, whole

    def memory(self) -> OptimizerState:
        """Kept by the first process, off its device."""
        tensors, numbers = self._updates.memory()
        return OptimizerState(self.kept(tensors), numbers)

    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Each process takes its part."""
        with torch.no_grad():
            for name, whole in weights_from_first(weights, self._cut, self._team):
                self._cut[name].to_local().copy_(own_part(whole, self._cut[name]))

    def take_memory(self, memory: OptimizerState) -> None:
        """Each process takes its part."""
        for each in memory_from_first(memory, self._team):
            self._updates.take_memory(each)


@final
class _Root(nn.Module):
    """What the processes enter and leave together."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, objective: Objective, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The objective's losses, as the tuple in which torch finds the tensors to go back from."""
        losses = objective(self.model, batch)
        return losses.values, losses.parts


@final
class _Around:
    """An objective that is called through the root."""

    def __init__(self, root: _Root, objective: Objective) -> None:
        self._root, self._objective = root, objective

    @property
    def parts(self) -> tuple[str, ...]:
        """The objective's."""
        return self._objective.parts

    def __call__(self, _: Any, batch: Batch) -> Losses:
        """The losses of the batch under the model in the root."""
        with connection(), _views():
            return Losses(*self._root(self._objective, batch))


@contextlib.contextmanager
def _views() -> Iterator[None]:
    """T5's blocks return their position bias, a view, on which torch warns against writing; nothing does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module \(\w+\) returned a view tensor")
        yield


def _sharded(model: Any, device: torch.device, reshard_after_forward: bool) -> _Root:
    """A copy of the model of which this process holds its part: block by block, and the rest together."""
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    world = torch.distributed.group.WORLD
    assert world is not None
    mesh = DeviceMesh.from_group(world, device.type)
    copy, sources = copy_structure(model)
    root = _Root(copy)
    blocks = [module for module in copy.modules() if isinstance(module, GradientCheckpointingLayer)]
    for module in (*blocks, root):
        _fill(module, sources, device)
        cut: Any = fully_shard(
            module, mesh=mesh, reshard_after_forward=reshard_after_forward and module is not root
        )
        # Losses are divided by the tokens of all processes: what is wanted is their sum.
        cut.set_gradient_divide_factor(1.0)
        cut.set_force_sum_reduction_for_comms(True)
    return root


def _fill(module: nn.Module, sources: Mapping[nn.Parameter, nn.Parameter], device: torch.device) -> None:
    """Put the model's weights in place of the empty ones, a shared tensor as one in all its places."""
    made: dict[nn.Parameter, nn.Parameter] = {}
    for part in module.modules():
        for name, empty in part.named_parameters(recurse=False, remove_duplicate=False):
            if empty in sources:
                source = sources[empty]
                if empty not in made:
                    made[empty] = nn.Parameter(
                        source.detach().to(device, copy=True), requires_grad=source.requires_grad
                    )
                setattr(part, name, made[empty])
