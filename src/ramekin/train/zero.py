"""DeepSpeed's ZeRO: the optimizer's memory (1), gradients (2) and weights (3) in parts on all processes.

Rajbhandari et al. 2020, arXiv 1910.02054. What is trained is a copy of the model, which DeepSpeed takes over.
DeepSpeed divides gradients by the number of processes and clips them itself, so losses are multiplied by that
number, and the norm is told from whole gradients, brought together one by one. It lays all weights out in
flat pieces: an optimizer that looks at rows, columns or whole tensors has no meaning there. Its own
checkpoints are pickles and are not used: what is saved is what a single process would save.
"""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, final

import torch
from torch import Tensor, nn

from ramekin.errors import UsageError
from ramekin.tensors.collate import Batch, collate
from ramekin.tensors.encode import Encoded
from ramekin.tensors.tokenizer import EOS_ID
from ramekin.text.example import Provenance
from ramekin.train.in_parts import AbstractInParts
from ramekin.train.objectives.likelihood import Likelihood
from ramekin.train.objectives.losses import Losses, Objective
from ramekin.train.optimizers import (
    OptimizerState,
    build_optimizer,
    memory_key,
    other_model,
    owner_and_entry,
    trainable_parameters,
)
from ramekin.train.placement import Placement
from ramekin.train.recipe import Recipe
from ramekin.train.strategy import memory_from_first, weights_from_first
from ramekin.train.team import AbstractTeam, connection
from ramekin.weights.parameters import copy_model

__all__ = ["Zero", "refuse_unfit_for_zero"]

_ENTRIES = ("exp_avg", "exp_avg_sq")
_STEP = "step"


@final
class Zero(AbstractInParts):
    """DeepSpeed's engine around a copy of the model.

    Args:
        model: whole, with its starting weights, the same in every process; on the CPU, as a rule.
        recipe: says which optimizer.
        team: the processes.
        placement: where this one computes.
        stage: of ZeRO, 1 to 3.
    """

    def __init__(
        self, model: Any, recipe: Recipe, team: AbstractTeam, placement: Placement, *, stage: int
    ) -> None:
        super().__init__(model, team, placement.device)
        self._recipe, self._stage = recipe, stage
        self._root = _Root(copy_model(model), placement)
        self._parameters = trainable_parameters(self._root.model)
        self._engine: Any = None
        self._optimizer: Any = None

    @property
    def trained(self) -> Any:
        """The copy."""
        return self._root.model

    def around(self, objective: Objective) -> Objective:
        """The objective within the engine's forward pass."""
        return _Around(self, objective)

    def backward(self, loss: Tensor, is_last: bool) -> None:
        """Back-propagation through the engine."""
        with _deepspeed():
            self._engine.set_gradient_accumulation_boundary(is_last)
            self._engine.backward(loss * self._team.size)

    def add_gradients(self) -> None:
        """The engine has done it."""

    def grad_norm(self) -> Tensor:
        """From whole gradients."""
        from deepspeed.utils import safe_get_full_grad

        with _deepspeed():
            norms = [safe_get_full_grad(p).norm() for p in self._parameters.values()]
        return torch.stack(norms).double().square().sum().sqrt()

    def update(self, *, learning_rate: float, max_norm: float | None, norm: float) -> None:
        """The engine clips, by the same rule."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        with _deepspeed():
            self._engine.step()

    def bad_weight(self) -> str | None:
        """The first trainable tensor of which some process has a bad part."""
        parts = (getattr(p, "ds_tensor", p) for p in self._parameters.values())
        bad = (number for number, part in enumerate(parts) if not torch.isfinite(part).all())
        found = self._team.lowest(next(bad, len(self._parameters)))
        return self.names[found] if found < len(self._parameters) else None

    def present(self) -> Iterator[tuple[str, Tensor]]:
        """Out of the engine, if there is one already."""
        from deepspeed.utils import safe_get_full_fp32_param

        for name, parameter in self._parameters.items():
            with _deepspeed():
                yield name, parameter if self._engine is None else safe_get_full_fp32_param(parameter)

    def memory(self) -> OptimizerState:
        """Kept by the first process, off its device."""
        from deepspeed.utils import safe_get_full_optimizer_state

        steps = [state[_STEP] for state in self._optimizer.state.values()]
        self._link()
        with _deepspeed():
            tensors = self.kept(
                (memory_key(name, entry), safe_get_full_optimizer_state(p, entry))
                for name, p in self._parameters.items()
                for entry in _ENTRIES
            )
        if self._team.is_first:
            tensors |= {memory_key(name, _STEP): steps[0].detach().cpu() for name in self.names}
        return OptimizerState(tensors, {})

    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Before the engine takes the copy over."""
        assert self._engine is None
        with torch.no_grad():
            for name, whole in weights_from_first(weights, self._parameters, self._team):
                self._parameters[name].copy_(whole)

    def take_memory(self, memory: OptimizerState) -> None:
        """Into the engine, which has a memory once it has made a step: one that changes nothing."""
        self._step_on_nothing()
        self._link()
        for piece in memory_from_first(memory, self._team):
            for key, tensor in piece.tensors.items():
                self._remember(key, tensor)

    def finish(self, weights: Mapping[str, Tensor] | None) -> None:
        """The engine is gone afterwards."""
        super().finish(weights)
        if self._engine is not None:
            self._engine.destroy()

    def engine(self) -> Any:
        """DeepSpeed's engine, made when it is first needed: it takes over the weights that are there then."""
        if self._engine is None:
            self._engine, self._optimizer = self._started()
        return self._engine

    def _started(self) -> tuple[Any, Any]:
        import deepspeed
        from deepspeed.utils import logger

        logger.setLevel(logging.WARNING)
        optimizer = build_optimizer(self._root.model, self._recipe)
        config = {
            # Batches are ours: the engine is told of the last one of each step.
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": self._recipe.max_grad_norm or 0.0,
            "zero_optimization": {"stage": self._stage},
            "zero_force_ds_cpu_optimizer": False,
            "steps_per_print": 1 << 60,
        }
        # On processors it says on stdout what it has compiled; that is where results go.
        with _deepspeed(), contextlib.redirect_stdout(sys.stderr):
            engine, *_ = deepspeed.initialize(
                model=self._root,
                optimizer=optimizer,
                model_parameters=list(self._parameters.values()),
                config=config,
            )
        return engine, optimizer

    def _step_on_nothing(self) -> None:
        nothing = collate([Encoded((EOS_ID,), (EOS_ID,), Provenance("", "", "", 0))])
        losses = self.around(Likelihood())(self.trained, nothing.to(self._device))
        self.backward(0 * losses.values.sum(), is_last=True)
        self.update(learning_rate=0.0, max_norm=None, norm=0.0)

    def _link(self) -> None:
        """Make DeepSpeed find the memory of all weights.

        It looks once, after the first group of them has stepped: those without weight decay have none yet.
        """
        if self._stage < 3:
            self._engine.optimizer._hp_optimizer_states_linked = False
            self._engine.optimizer._lazy_init_hp_params_optimizer_state()

    def _remember(self, key: str, tensor: Tensor) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

        name, entry = owner_and_entry(key)
        if name not in self._parameters:
            raise other_model(name)
        parameter: Any = self._parameters[name]
        if entry == _STEP:
            for state in self._optimizer.state.values():
                state[_STEP].fill_(tensor.item())
        elif self._stage < 3:
            safe_set_full_optimizer_state(parameter, tensor, entry)
        else:
            length = parameter.partition_numel()
            flat = nn.functional.pad(tensor.flatten(), (0, length * self._team.size - tensor.numel()))
            own = flat.narrow(0, length * self._team.rank, length)
            safe_set_local_optimizer_state(parameter, own, entry)


@final
class _Root(nn.Module):
    """What the engine runs; the precision is set within, as the engine sets its own around."""

    def __init__(self, model: Any, placement: Placement) -> None:
        super().__init__()
        self.model, self._placement = model, placement

    def forward(self, objective: Objective, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The objective's losses, as the tuple in which DeepSpeed finds the tensors to go back from."""
        with self._placement.autocast():
            losses = objective(self.model, batch)
        return losses.values, losses.parts


@final
class _Around:
    """An objective that is called through the engine."""

    def __init__(self, strategy: Zero, objective: Objective) -> None:
        self._strategy, self._objective = strategy, objective

    @property
    def parts(self) -> tuple[str, ...]:
        """The objective's."""
        return self._objective.parts

    def __call__(self, _: Any, batch: Batch) -> Losses:
        """The losses of the batch under the model in the engine."""
        device = batch.input_ids.device.type
        with _deepspeed(), torch.autocast(device, enabled=False):
            return Losses(*self._strategy.engine()(self._objective, batch))


@contextlib.contextmanager
def _deepspeed() -> Iterator[None]:
    """A block of DeepSpeed's: it waits for the others, and calls functions of torch that have newer names."""
    with connection(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def refuse_unfit_for_zero(recipe: Recipe) -> None:
    """Check that DeepSpeed is there and can step by the recipe.

    Raises:
        UsageError: it is not installed, or the optimizer needs whole tensors.
    """
    fix = "train with FSDP2: configs/accelerate/fsdp2.yaml"
    if find_spec("deepspeed") is None:
        raise UsageError("DeepSpeed is not installed", fix=f"pip install deepspeed, or {fix}")
    if recipe.optimizer != "adamw":
        raise UsageError(
            "DeepSpeed lays the weights out in flat pieces, and this optimizer needs tensors",
            where="optimizer",
            expected="adamw",
            got=recipe.optimizer,
            fix=fix,
        )
