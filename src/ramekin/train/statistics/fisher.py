"""The diagonal of a model's Fisher information on examples.

    F = 1/n sum_x (d log p(y | x) / d theta)^2                y ~ p(. | x), or the gold target

The square is of the gradient of one example's whole log-likelihood, the sum over its target tokens, and the
mean is over examples. Matena and Raffel (https://arxiv.org/abs/2111.09832) have the expectation over the
model's own distribution of labels; their code, for classifiers, weighs the square of every label's gradient
by its probability. There are too many sequences for that: one is drawn for each example, which has the same
mean (`sampling`). With gold targets it is the empirical Fisher information, which vanishes where a model fits
its data. The square of a batch's gradient would add the products of different examples' gradients.

This module knows nothing of files or of merging.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from ramekin.errors import DataError, WeightsError
from ramekin.infer.ready import in_evaluation_mode
from ramekin.tensors.collate import collate
from ramekin.tensors.encode import Encoded
from ramekin.train.objectives.forward import target_labels, target_logits
from ramekin.train.objectives.log_probs import log_probs
from ramekin.weights.parameters import tensors_of

__all__ = ["fisher_information"]

_RUN: Final = 16  # examples whose squares are added before the sum goes to float64


def fisher_information(
    model: Any, items: Iterable[Encoded], *, on_example: Callable[[], None] = lambda: None
) -> dict[str, Tensor]:
    """The mean squared gradient of the examples' log-likelihoods.

    One example a pass, as the squares are of each. Those of a few examples are added in the model's dtype and
    their sums in float64, on the model's device; a gradient is squared as soon as it is there, and let go.

    Args:
        model: a plain model; its mode and gradients are left as they were.
        items: with the targets whose likelihood is meant.
        on_example: called after each.

    Returns:
        float64 arrays by the names of `tensors_of`, in the shapes of the tensors.

    Raises:
        DataError: there are no examples.
        WeightsError: the likelihood of an example is not finite.
    """
    names = tensors_of(model).keys()
    sums = {name: _Squares(each) for name, each in model.named_parameters() if name in names}
    device = next(model.parameters()).device
    count = 0
    with in_evaluation_mode(model), torch.enable_grad(), _watched(sums.values()):
        for item in items:
            batch = collate([item]).to(device)
            likelihood = log_probs(target_logits(model, batch), target_labels(batch)).of_label.sum()
            if not bool(torch.isfinite(likelihood)):
                raise WeightsError(
                    "the likelihood of an example is not finite",
                    where=item.provenance.id,
                    got=str(likelihood.item()),
                )
            likelihood.backward()  # type: ignore[no-untyped-call]
            count += 1
            if count % _RUN == 0:
                for each in sums.values():
                    each.settle()
            on_example()
    if not count:
        raise DataError("there are no examples to measure", expected="at least one")
    return {name: each.settle().div_(count) for name, each in sums.items()}


@final
class _Squares:
    """The sum of the squares of a parameter's gradients."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.parameter = parameter
        self._run = torch.zeros_like(parameter, requires_grad=False)
        self._total = torch.zeros(parameter.shape, dtype=torch.float64, device=parameter.device)

    def add(self, parameter: Tensor) -> None:
        """Square the gradient that a parameter has got, and take it away."""
        if parameter.grad is not None:
            self._run.addcmul_(parameter.grad, parameter.grad)
            parameter.grad = None

    def settle(self) -> Tensor:
        """The sum in float64, to which what was added since the last time comes."""
        self._total += self._run
        self._run.zero_()
        return self._total


@contextlib.contextmanager
def _watched(sums: Iterable[_Squares]) -> Iterator[None]:
    """While open, parameters have gradients that are squared as they come; then all is as it was."""
    with contextlib.ExitStack() as stack:
        for each in sums:
            parameter = each.parameter
            stack.callback(setattr, parameter, "grad", parameter.grad)
            stack.callback(parameter.requires_grad_, parameter.requires_grad)
            parameter.grad = None
            parameter.requires_grad_(True)
            handle = parameter.register_post_accumulate_grad_hook(each.add)  # type: ignore[no-untyped-call]
            stack.callback(handle.remove)
        yield
