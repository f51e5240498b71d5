"""Learn how much of each model goes into a merge, from inputs without labels: AdaMerging.

Paper: Yang et al., *AdaMerging: adaptive model merging for multi-task learning*, ICLR 2024,
https://arxiv.org/abs/2310.02575.

    theta(c) = theta_0 + sum_i c_gi * delta_i      g: the group that a tensor is in, i: a model
    minimise over c:  sum_t mean_x H(p(. | x; theta(c)))      t: a task, x: an input of it, H: entropy

p is the distribution of the first token that the decoder writes after its start token, over the whole
vocabulary; its entropy is taken for each input, and the mean over inputs afterwards. The gradient of c_gi is
the inner product of the loss' gradient and delta_i over the tensors of the group, so that the weights are
formed in place and no graph is kept through them. This module knows nothing of files, tasks or layers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ramekin.errors import DataError, UsageError, WeightsError
from ramekin.infer.ready import in_evaluation_mode, start_token
from ramekin.tensors.collate import collate_inputs

__all__ = ["AdaMergingRecipe", "Learned", "first_token_entropy", "learn_coefficients"]

Ids = Sequence[int]


@final
@dataclass(frozen=True, kw_only=True)
class AdaMergingRecipe:
    """How the coefficients are learned; the authors' values are the defaults."""

    initial: float = 0.3
    """What every coefficient starts at."""
    steps: int = 500
    learning_rate: float = 1e-3
    """Adam's."""
    batch_size: int = 16
    """Inputs of each task in a step."""
    clamp: bool = True
    """Keep the coefficients from 0 to 1."""
    seed: int = 0
    """Of the order of the inputs."""


@final
@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned."""

    coefficients: tuple[tuple[float, ...], ...]
    """(groups, models)."""
    entropies: tuple[tuple[float, ...], ...]
    """(steps, tasks), in nats: the mean over a step's inputs, before the step."""


def learn_coefficients(
    model: Any,
    deltas: Sequence[Mapping[str, Tensor]],
    groups: Mapping[str, int],
    inputs: Sequence[Sequence[Ids]],
    recipe: AdaMergingRecipe,
    *,
    on_step: Callable[[float], None] = lambda _: None,
) -> Learned:
    """Learn the coefficients of models on inputs of their tasks.

    Args:
        model: the base, whose weights are afterwards those of the merge.
        deltas: of each model, tuned minus base by the model's names; on its device.
        groups: the group of each tensor, from 0 on.
        inputs: of each task, the token ids of its inputs.
        recipe: how they are learned.
        on_step: told the mean entropy of each step.

    Raises:
        UsageError: names that are not the model's, or numbers out of their range.
        DataError: a task without inputs.
        WeightsError: an entropy that is not finite.
    """
    parameters = dict(model.named_parameters())
    _check(parameters, deltas, groups, inputs, recipe)
    start = {name: each.detach().clone() for name, each in parameters.items()}
    coefficients = torch.full(
        (max(groups.values()) + 1, len(deltas)), recipe.initial, dtype=torch.float64, requires_grad=True
    )
    optimizer = torch.optim.Adam([coefficients], lr=recipe.learning_rate)
    orders = [_orders(len(each), recipe.batch_size, (recipe.seed, task)) for task, each in enumerate(inputs)]
    entropies: list[tuple[float, ...]] = []
    with in_evaluation_mode(model):
        for _ in range(recipe.steps):
            _form(parameters, start, deltas, groups, coefficients.detach())
            model.zero_grad(set_to_none=True)
            found = []
            for rows, order in zip(inputs, orders, strict=True):
                entropy = first_token_entropy(model, [rows[place] for place in next(order)]).mean()
                entropy.backward()  # type: ignore[no-untyped-call]
                found.append(float(entropy.detach()))
            if not np.isfinite(found).all():
                raise WeightsError(
                    "the entropy of a merge is not finite",
                    got=f"{found} after {len(entropies)} steps",
                    fix="begin with smaller coefficients, or a smaller learning rate",
                )
            entropies.append(tuple(found))
            coefficients.grad = _gradient(parameters, deltas, groups, coefficients)
            optimizer.step()
            if recipe.clamp:
                with torch.no_grad():
                    coefficients.clamp_(0.0, 1.0)
            on_step(float(np.mean(found)))
    model.zero_grad(set_to_none=True)
    _form(parameters, start, deltas, groups, coefficients.detach())
    return Learned(tuple(map(tuple, coefficients.detach().tolist())), tuple(entropies))


def first_token_entropy(model: Any, inputs: Sequence[Ids]) -> Tensor:
    """The entropy of the first token that a model would write, for each input: (batch,), in nats.

    Args:
        model: in evaluation mode.
        inputs: token ids.
    """
    device = next(model.parameters()).device
    ids, mask = (each.to(device) for each in collate_inputs(inputs))
    begin = torch.full((len(inputs), 1), start_token(model), device=device)
    output = model(input_ids=ids, attention_mask=mask, decoder_input_ids=begin, use_cache=False)
    log_probs = output.logits[:, 0].float().log_softmax(-1)
    entropy: Tensor = -(log_probs.exp() * log_probs).sum(-1)
    return entropy


def _form(
    parameters: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    deltas: Sequence[Mapping[str, Tensor]],
    groups: Mapping[str, int],
    coefficients: Tensor,
) -> None:
    """Write base + sum_i c_gi * delta_i over the model's weights."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(start[name])
            for each, coefficient in zip(deltas, coefficients[groups[name]].tolist(), strict=True):
                parameter.add_(each[name], alpha=coefficient)


def _gradient(
    parameters: Mapping[str, Tensor],
    deltas: Sequence[Mapping[str, Tensor]],
    groups: Mapping[str, int],
    coefficients: Tensor,
) -> Tensor:
    """Of the loss for each coefficient."""
    gradient = torch.zeros_like(coefficients)
    for name, parameter in parameters.items():
        if parameter.grad is None:  # what no input reaches, as the decoder's later positions
            continue
        for place, each in enumerate(deltas):
            product = torch.dot(parameter.grad.flatten(), each[name].flatten())
            gradient[groups[name], place] += product.double().cpu()
    return gradient


def _orders(count: int, batch_size: int, seed: tuple[int, int]) -> Iterator[list[int]]:
    """Places of inputs, batch after batch, every one once before any comes again."""
    generator = np.random.default_rng(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < batch_size:
            waiting += generator.permutation(count).tolist()
        yield waiting[:batch_size]
        del waiting[:batch_size]


def _check(
    parameters: Mapping[str, Tensor],
    deltas: Sequence[Mapping[str, Tensor]],
    groups: Mapping[str, int],
    inputs: Sequence[Sequence[Ids]],
    recipe: AdaMergingRecipe,
) -> None:
    for names in (groups, *deltas):
        if names.keys() != parameters.keys():
            raise UsageError(
                "the tensors are not those of the model",
                where=", ".join(sorted(names.keys() ^ parameters.keys())[:3]),
            )
    if not deltas or recipe.steps < 1 or recipe.batch_size < 1 or recipe.learning_rate <= 0:
        raise UsageError("expected models, steps, a batch size and a learning rate above 0", got=str(recipe))
    for task, rows in enumerate(inputs):
        if not rows:
            raise DataError("a task has no inputs to adapt to", where=f"task {task}")
